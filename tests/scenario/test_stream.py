"""Event streams: a strict reader of Server-Sent Events against the real binary."""
import json
import socket
import threading
import time

import pytest
import requests

from conftest import problem_of, wait_for
from test_relay import map_all, receivers, shown, start, tell  # noqa: F401 (fixtures)


class Stream:
    """A strict parser of text/event-stream (HTML, 9.2.6): lines end in LF, known fields only, UTF-8. As an EventSource it keeps the
    last id of whatever block had one, also one without data, and dispatches blocks with data."""

    def __init__(self, gateway, path="/t/acme/events", last=None, tenant=None, receive_buffer=None, reading=True):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", gateway.data_port))
        self.sock.settimeout(60)
        lines = [f"GET {path} HTTP/1.1", "Host: x", "Accept: text/event-stream"]
        lines += [f"Last-Event-ID: {last}"] if last is not None else []
        lines += [f"X-Tenant-Id: {tenant}"] if tenant else []
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.events, self.comments, self.last, self.ended, self.retry = [], 0, last, False, None
        self.raw = self.sock.makefile("rb")
        self.status = int(self.raw.readline().split()[1])
        self.headers = {}
        while (line := self.raw.readline().rstrip(b"\r\n")):
            name, value = line.decode().split(": ", 1)
            self.headers[name.lower()] = value
        if reading:
            self.read()

    def read(self):
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        return self

    def chunks(self):
        assert self.headers["transfer-encoding"] == "chunked"
        while True:
            line = self.raw.readline()
            if not line:
                return
            size = int(line, 16)
            data = self.raw.read(size)
            assert self.raw.read(2) == b"\r\n"
            if size == 0:
                self.ended = True
                return
            yield data

    def run(self):
        try:
            self.parse()
        except (OSError, ValueError):
            return

    def parse(self):
        rest, block = b"", {}
        for data in self.chunks():
            rest += data
            while b"\n" in rest:
                line, rest = rest.split(b"\n", 1)
                assert b"\r" not in line
                text = line.decode()
                if text == "":
                    self.last = block.get("id", self.last)
                    if "data" in block:
                        self.events.append((int(self.last), block.get("event", "message"), json.loads(block["data"])))
                    block = {}
                elif text.startswith(":"):
                    self.comments += 1
                else:
                    name, value = text.split(": ", 1)
                    assert name in ("id", "event", "data", "retry") and name not in block
                    if name == "retry":
                        self.retry = int(value)
                    else:
                        block[name] = value

    def ids(self):
        return [data["eventId"] for _, _, data in list(self.events)]

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


def test_a_stream_tells_events_as_they_come(start):
    gateway = start([])
    before = tell(gateway)
    stream, other = Stream(gateway), Stream(gateway, "/events", tenant="globex")
    assert stream.status == 200 and stream.headers["content-type"] == "text/event-stream"
    assert stream.headers["cache-control"] == "no-store" and stream.headers["x-request-id"]
    wait_for(lambda: stream.last is not None and other.last is not None)
    sent = [tell(gateway, name, ids=["1", "ü"]) for name in ("peopleUpdated", "notesCreated")]
    foreign = tell(gateway, credential="cred-globex")
    wait_for(lambda: stream.ids() == sent and other.ids() == [foreign])
    assert [name for _, name, _ in stream.events] == ["peopleUpdated", "notesCreated"]
    number, _, data = stream.events[0]
    assert data["tenant"] == "acme" and data["credential_id"] == "cred-acme" and data["app_key"] == "followupboss"
    assert data["resourceIds"] == ["1", "ü"] and before not in stream.ids()
    assert [number for number, _, _ in stream.events] == sorted({number for number, _, _ in stream.events})
    assert stream.retry and shown(gateway)["streams"] == 2
    assert "rollout_gateway_event_streams 2\n" in requests.get(gateway.admin + "/metrics", timeout=60).text
    stream.close()
    wait_for(lambda: gateway.jump(16) or shown(gateway)["streams"] == 1)  # a heartbeat finds that nobody is there


def test_a_filter_of_events(start):
    gateway = start([])
    stream = Stream(gateway, "/t/acme/events?events=people*,notes-created")
    wait_for(lambda: stream.last is not None)
    sent = [tell(gateway, name) for name in ("peopleUpdated", "notesUpdated", "notesCreated", "dealsCreated", "peopleDeleted")]
    wait_for(lambda: stream.ids() == [sent[0], sent[2], sent[4]])
    for bad in ("", "a,,b", "%00", "a%20b", ",".join("abcdefghijklmnopq")):
        answer = requests.get(gateway.data + "/t/acme/events?events=" + bad, timeout=60)
        problem_of(answer, 400, "bad-request")


def test_resuming(start):
    """After a break, and after a restart, nothing is missing and nothing comes twice."""
    gateway = start([])
    stream = Stream(gateway)
    wait_for(lambda: stream.last is not None)
    first = [tell(gateway) for _ in range(3)]
    wait_for(lambda: stream.ids() == first)
    stream.close()
    missed = [tell(gateway) for _ in range(3)]
    for how in ({"last": stream.last}, {"path": f"/t/acme/events?lastEventId={stream.last}"}):
        again = Stream(gateway, **how)
        wait_for(lambda: again.ids() == missed)
    gateway.kill()
    gateway.start()
    third = Stream(gateway, last=stream.last)
    last = tell(gateway)
    wait_for(lambda: third.ids() == [*missed, last])


def test_a_break_before_the_first_event_loses_nothing(start):
    gateway = start([])
    stream = Stream(gateway)
    wait_for(lambda: stream.last is not None)
    stream.close()
    event_id = tell(gateway)
    again = Stream(gateway, last=stream.last)
    wait_for(lambda: again.ids() == [event_id])


def test_what_cannot_be_resumed_is_told(start):
    gateway = start([], outbox={"events": 3})
    for _ in range(6):
        tell(gateway)
    window = shown(gateway)["outbox"]
    for last in ("0", str(window["first"] - 2), str(window["last"] + 1), "x", "-1", "99999999999999999999999"):
        stream = Stream(gateway, last=last)
        wait_for(lambda: stream.events, what=f"the gap after {last}")
        assert stream.events == [(window["last"], "gap", {"first": window["first"], "last": window["last"]})]
        stream.close()
    for key, back, count in (("first", 1, 3), ("last", 0, 0)):
        stream = Stream(gateway, last=window[key] - back)
        wait_for(lambda: stream.last is not None and len(stream.events) == count)
        sent = tell(gateway)
        wait_for(lambda: stream.ids()[-1:] == [sent])
        assert len(stream.events) == count + 1
        assert all(name != "gap" for _, name, _ in stream.events)
        stream.close()
        window = shown(gateway)["outbox"]


def test_heartbeats_tell_how_far_it_is(start):
    gateway = start([])
    stream = Stream(gateway)
    wait_for(lambda: stream.last is not None)
    tell(gateway, credential="cred-globex")
    here = str(shown(gateway)["outbox"]["last"])
    wait_for(lambda: gateway.jump(16) or (stream.comments >= 2 and stream.last == here))
    assert stream.events == []


def test_refusals(start):
    gateway = start([], outbox={"streams": 1})
    problem_of(requests.get(gateway.data + "/events", timeout=60), 400, "tenant-required")
    answer = requests.post(gateway.data + "/t/acme/events", timeout=60)
    assert answer.status_code == 405 and answer.headers["Allow"] == "GET"
    stream = Stream(gateway)
    wait_for(lambda: stream.last is not None)
    answer = requests.get(gateway.data + "/t/acme/events", timeout=60)
    problem_of(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
    stream.close()
    wait_for(lambda: gateway.jump(16) or shown(gateway)["streams"] == 0)
    again = Stream(gateway)
    wait_for(lambda: again.last is not None)


def test_streams_end_when_the_gateway_drains(start):
    gateway = start([])
    streams = [Stream(gateway) for _ in range(3)]
    wait_for(lambda: all(stream.last is not None for stream in streams))
    begin = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begin < 25
    wait_for(lambda: all(stream.ended for stream in streams))


@pytest.mark.threads
def test_a_slow_reader_costs_no_memory_and_misses_nothing(start):
    gateway = start([])
    quick = Stream(gateway)
    slow = Stream(gateway, receive_buffer=4096, reading=False)
    wait_for(lambda: quick.last is not None)
    ids = [f"{i:0200}" for i in range(1000)]
    sent = [tell(gateway, event_id=f"e-{i}", ids=ids) for i in range(40)]  # 8 MB: more than any socket takes
    wait_for(lambda: quick.ids() == sent, 30)
    slow.read()
    wait_for(lambda: slow.ids() == sent, 30)
    more = tell(gateway)
    wait_for(lambda: slow.ids()[-1] == more and quick.ids()[-1] == more)


@pytest.mark.threads
def test_who_reads_when_told_by_a_stream_never_gets_data_from_before(start, origin):
    lock, value, wrong = threading.Lock(), [0], []

    def answer(seen):
        with lock:
            return 200, {"Content-Type": "application/json"}, json.dumps({"value": value[0]}).encode()
    origin.answer = answer
    gateway = start([], limits={"tenant": {"rate": "10000/s", "burst": 10000}})
    stop = threading.Event()

    def load():
        with requests.Session() as session:
            session.trust_env = False
            while not stop.is_set():
                session.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "globex"}, timeout=30)

    class Events(list):
        def append(self, event):
            got = requests.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "globex"}, timeout=30).json()["value"]
            if got < int(event[2]["eventId"].split("-")[1]):
                wrong.append((event[2]["eventId"], got))
            super().append(event)

    streams = [Stream(gateway, "/t/globex/events", reading=False) for _ in range(2)]
    for stream in streams:
        stream.events = Events()
        stream.read()
    wait_for(lambda: all(stream.last is not None for stream in streams))
    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for i in range(1, 41):
            with lock:
                value[0] = i
            tell(gateway, credential="cred-globex", event_id=f"v-{i}")
        wait_for(lambda: all(len(stream.events) == 40 for stream in streams), 60)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert wrong == []


def test_a_revoked_key_ends_its_streams_and_no_other(start):  # noqa: F811
    gateway = start([])
    keys = [requests.post(gateway.admin + "/v1/keys", json={"name": name, "tenants": ["acme"]}, timeout=60).json() for name in ("one", "two")]
    answers = [requests.get(gateway.data + "/t/acme/events", headers={"X-Gateway-Key": key["key"]}, stream=True, timeout=60) for key in keys]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert requests.delete(gateway.admin + f"/v1/keys/{keys[0]['id']}", timeout=60).status_code in (200, 204)
    gateway.jump(16)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        for _ in answers[0].iter_content(None):
            pass
    event_id = tell(gateway)
    assert any(event_id.encode() in line for line in answers[1].iter_lines() if line.startswith(b"data"))
    answers[1].close()
