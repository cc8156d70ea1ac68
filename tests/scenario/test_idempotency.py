"""Writes with an Idempotency-Key: never executed twice, whatever happens in between, and answered as the first time."""
import concurrent.futures
import functools
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import threading

import pytest
import requests

import conftest
from conftest import Origin, problem_of, wait_for

CYCLES = int(os.environ.get("IDEMPOTENCY_CYCLES", "15"))  # of kill -9
DAY = 24 * 3600


class Book:
    """An origin that writes down what it is told to create. `hold` makes it wait before it answers, `instead` answers otherwise."""

    def __init__(self):
        self.entries, self.lock = [], threading.Lock()
        self.hold, self.go = False, threading.Event()
        self.instead = None
        self.origin = Origin(self.answer)
        self.url = self.origin.url + "/api"

    def answer(self, seen):
        instead = self.instead
        if callable(instead):
            return instead(seen)
        if seen.method in ("GET", "HEAD"):
            return 200, {"Content-Type": "application/json"}, b"{}"
        with self.lock:
            self.entries.append(seen)
            number = len(self.entries)
        if self.hold:
            self.go.wait(60)
        if instead:
            return instead
        return 201, {"Content-Type": "application/json", "X-Number": str(number), "Set-Cookie": "a=b", "Location": f"/api/people/{number}"}, \
            json.dumps({"id": number}).encode()

    def count(self, key=None):
        with self.lock:
            return sum(key is None or key in entry.all("Idempotency-Key") for entry in self.entries)

    def release(self):
        self.hold = False
        self.go.set()


@pytest.fixture
def book():
    made = Book()
    yield made
    made.release()
    made.origin.stop()


@pytest.fixture
def behind(make_gateway, book):
    made = make_gateway({"crm": {"url": book.url}, "tms": {"url": book.url}}, limits={"tenant": {"rate": "100000/s", "burst": 100000}})
    for tenant in ("acme", "globex"):
        made.map(tenant, "cred-" + tenant, apis=["crm", "tms"])
    return made


def leave(gateway, book):
    """A client that goes when its write has reached the origin."""
    with gateway.connect() as sock:
        sock.sendall(b"POST /crm/people HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\nIdempotency-Key: k\r\nContent-Length: 14\r\n\r\n" + b'{"name":"Ann"}')
        wait_for(lambda: book.count() == 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_for(lambda: any(e.get("end") == "client-gone" for e in gateway.events("request")))


def write(gateway, key="k", body=b'{"name":"Ann"}', method="POST", path="/crm/people", headers=None, **more):
    return gateway.request(method, path, headers={"Idempotency-Key": key, "Content-Type": "application/json", **(headers or {})}, data=body, **more)


def words(gateway):
    text = requests.get(gateway.admin + "/metrics", timeout=60).text
    return {name: int(n) for name, n in re.findall(r'^rollout_gateway_idempotency_total{outcome="(\w+)"} (\d+)$', text, re.M)}


def is_replay(first, answer):
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert answer.headers["Cache-Status"] == "rollout-gateway; detail=idempotent-replay"
    assert "Set-Cookie" not in answer.headers
    assert (answer.status_code, answer.content) == (first.status_code, first.content)
    assert "Date" in answer.headers
    for name in ("Content-Type", "X-Number", "Location"):
        assert answer.headers.get(name) == first.headers.get(name)
    return True


@pytest.mark.threads
def test_repetitions_get_the_first_answer(behind, book):
    first = write(behind)
    assert first.status_code == 201 and "Idempotent-Replayed" not in first.headers
    assert first.headers["Cache-Status"] == "rollout-gateway; fwd=method; fwd-status=201" and first.headers["Set-Cookie"] == "a=b"
    for key in ("k", '"k"', "k"):
        again = write(behind, key)
        assert is_replay(first, again) and again.headers["X-Request-Id"] != first.headers["X-Request-Id"]
    assert book.count() == 1 and book.entries[0].all("Idempotency-Key") == ["k"]
    assert words(behind) == {"sent": 1, "replayed": 3, "conflict": 0, "mismatch": 0, "unknown": 0}
    wait_for(lambda: [e.get("idempotency") for e in behind.events("request") if e["method"] == "POST"] == ["sent"] + ["replayed"] * 3)


def test_restart_replays(behind, book):
    first = write(behind)
    behind.stop()
    behind.start()
    assert is_replay(first, write(behind))
    behind.kill()
    behind.start()
    assert is_replay(first, write(behind)) and book.count() == 1


def test_a_day_later_the_key_is_free(behind, book):
    first = write(behind)
    behind.jump(DAY - 60)
    assert is_replay(first, write(behind))
    behind.jump(120)
    second = write(behind)
    assert second.json() == {"id": 2} and "Idempotent-Replayed" not in second.headers
    assert is_replay(second, write(behind)) and book.count() == 2


def test_what_is_old_goes_without_new_keys(make_gateway, book):
    gateway = make_gateway({"crm": {"url": book.url}}, log={"level": "debug"})
    gateway.map("acme", "cred-acme", apis=["crm"])
    for n in range(3):
        assert write(gateway, f"k{n}").status_code == 201
    gateway.jump(DAY + 3600)
    wait_for(lambda: requests.get(gateway.admin + "/livez", timeout=60).ok and gateway.events("idempotency-cleaned"))
    assert gateway.events("idempotency-cleaned")[0]["message"].startswith("3 keys")


@pytest.mark.parametrize("other", [
    {"body": b'{"name":"Bob"}'}, {"body": b""}, {"body": b'{"name":"Ann"} '}, {"method": "PUT"}, {"path": "/crm/people?a=1"},
    {"path": "/crm/people/"}, {"path": "/tms/people"}, {"headers": {"X-Rollout-Credential-Id": "cred-second"}}], ids=str)
def test_a_key_is_for_one_request(behind, book, other):
    behind.map("acme", "cred-acme", apis=["crm", "tms"], default=True)
    behind.map("acme", "cred-second", apis=["crm"])
    first = write(behind)
    assert first.status_code == 201
    answer = write(behind, **other)
    problem_of(answer, 422, "idempotency-mismatch")
    assert answer.headers["Cache-Status"] == "rollout-gateway; fwd=bypass; detail=not-forwarded"
    assert is_replay(first, write(behind)) and book.count() == 1 and words(behind)["mismatch"] == 1


def test_other_requests_under_way_are_a_mismatch_at_once(behind, book):
    book.hold = True
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, behind)
        wait_for(lambda: book.count() == 1)
        problem_of(write(behind, body=b"{}", headers={"Prefer": "wait=60"}), 422, "idempotency-mismatch")
        book.release()
        assert first.result().status_code == 201


def test_while_the_first_is_under_way(behind, book):
    book.hold = True
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, behind)
        wait_for(lambda: book.count() == 1)
        for _ in range(8):  # on both workers
            answer = requests.post(behind.data + "/crm/people", data=b'{"name":"Ann"}', headers={"X-Tenant-Id": "acme", "Idempotency-Key": "k"}, timeout=60)
            problem_of(answer, 409, "idempotency-conflict")
            assert answer.headers["Retry-After"] == "1"
        problem_of(write(behind, headers={"Prefer": "wait=1"}), 409, "idempotency-conflict")
        waiting = [pool.submit(write, behind, headers={"Prefer": "wait=60"}) for _ in range(4)]
        gone = behind.connect()
        gone.sendall(b"POST /crm/people HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\nIdempotency-Key: k\r\nPrefer: wait=60\r\nContent-Length: 14\r\n\r\n"
                     b'{"name":"Ann"}')
        gone.close()
        book.release()
        assert first.result().status_code == 201
        for one in waiting:
            assert is_replay(first.result(), one.result())
    assert book.count() == 1


@pytest.mark.threads
@pytest.mark.parametrize("prefer", [{}, {"Prefer": "wait=60"}], ids=["conflicts", "waits"])
def test_first_uses_at_once_are_one(behind, book, prefer):
    def one(key):
        return requests.post(behind.data + "/crm/people", data=b"{}", headers={"X-Tenant-Id": "acme", "Idempotency-Key": key, **prefer}, timeout=60)

    for round_ in range(5):
        key = f"key-{round_}"
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(one, [key] * 12))
        assert book.count(key) == 1
        done = [answer for answer in answers if answer.status_code == 201]
        assert len({answer.content for answer in done}) == 1
        assert sum("Idempotent-Replayed" not in answer.headers for answer in done) == 1
        for answer in answers:
            if answer.status_code != 201:
                problem_of(answer, 409, "idempotency-conflict")
                assert not prefer


def test_a_waiter_sends_when_the_first_one_was_not_executed(behind, book):
    def held(seen):
        with book.lock:
            book.entries.append(seen)
        if len(book.entries) == 1:
            book.go.wait(60)
            return 429, {}, b"slow down"
        return 201, {}, b"done"

    book.instead = held
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, behind)
        wait_for(lambda: book.count() == 1)
        second = pool.submit(write, behind, headers={"Prefer": "wait=60"})
        book.go.set()
        assert first.result().status_code == 429
        assert second.result().content == b"done"
    assert book.count() == 2


# --- what came of it is not known

def silent(seen):
    seen.handler.connection.settimeout(60)
    seen.handler.connection.recv(1)  # until the other side has had enough
    seen.handler.close_connection = True


def reset(seen):
    seen.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    seen.handler.connection.shutdown(socket.SHUT_RD)
    seen.handler.connection.close()
    seen.handler.close_connection = True


def cut(seen):
    seen.handler.wfile.write(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")
    seen.handler.wfile.flush()
    seen.handler.connection.shutdown(socket.SHUT_RDWR)
    seen.handler.close_connection = True


def nonsense(seen):
    seen.handler.wfile.write(b"HTTP/9.9 what\r\n\r\n")
    seen.handler.close_connection = True


@pytest.mark.parametrize("how,status", [(silent, None), (reset, None), (cut, 201), (nonsense, None)], ids=lambda how: getattr(how, "__name__", ""))
def test_a_lost_answer_is_never_sent_again(make_gateway, book, how, status):
    gateway = make_gateway({"crm": {"url": book.url}}, timeouts={"first_byte": "500ms"} if how is silent else {})
    gateway.map("acme", "cred-acme", apis=["crm"])
    heard = []

    def instead(seen):
        heard.append(seen.all("Idempotency-Key"))
        how(seen)

    book.instead = instead
    first = write(gateway)
    problem_of(first, 502, "outcome-unknown")
    book.instead = None
    for _ in range(3):
        again = problem_of(write(gateway), 502, "outcome-unknown")
        assert again.get("upstream_status") == status
    gateway.kill()
    gateway.start()
    problem_of(write(gateway), 502, "outcome-unknown")
    problem_of(write(gateway, headers={"Prefer": "wait=60"}), 502, "outcome-unknown")
    problem_of(write(gateway, body=b"{}"), 422, "idempotency-mismatch")
    assert heard == [["k"]] and book.count() == 0
    assert write(gateway, "another").status_code == 201


def test_a_crash_between_sending_and_the_answer(behind, book):
    book.hold = True
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, behind)
        wait_for(lambda: book.count() == 1)
        behind.kill()
        assert isinstance(first.exception(60), requests.exceptions.ConnectionError)
    book.release()
    for _ in range(2):
        behind.start()
        problem_of(write(behind), 502, "outcome-unknown")
        behind.stop()
    behind.start()
    behind.jump(DAY + 60)
    assert write(behind).status_code == 201 and book.count() == 2


def test_killed_again_and_again(behind, book):
    """Never more than one creation for a key, and what a client was told stays so. IDEMPOTENCY_CYCLES=500 is the long run."""
    random.seed(5)
    unknown = told = 0

    def attempt(key):
        try:
            return requests.post(behind.data + "/crm/people", data=b"{}", headers={"X-Tenant-Id": "acme", "Idempotency-Key": key}, timeout=60)
        except requests.exceptions.RequestException:
            return None

    def late(seen):
        with book.lock:
            book.entries.append(seen)
        delay = random.random() * 0.02
        threading.Event().wait(delay)
        return 201, {}, seen.all("Idempotency-Key")[0].encode()

    book.instead = late
    for cycle in range(CYCLES):
        keys = [f"{cycle}-{n}" for n in range(4)]
        with concurrent.futures.ThreadPoolExecutor(len(keys)) as pool:
            firsts = [pool.submit(attempt, key) for key in keys]
            threading.Event().wait(random.random() * 0.03)  # any moment is good: nothing depends on which it is
            behind.kill()
            firsts = [first.result() for first in firsts]
        behind.start()
        for key, first in zip(keys, firsts):
            again = [attempt(key), attempt(key)]
            assert again[0].status_code == again[1].status_code and book.count(key) <= 1
            if first is not None:
                told += 1
                assert first.status_code == 201 and is_replay(first, again[0])
            elif again[0].status_code == 502:
                unknown += 1
                problem_of(again[0], 502, "outcome-unknown")
            else:
                assert again[0].content == key.encode() and book.count(key) == 1
    print(f"\n{CYCLES} kills, {4 * CYCLES} keys: {len(book.entries)} creations, never two for a key; {told} were answered before the kill, {unknown} are unknown")


# --- nothing left: the key is free again

def test_refused_before_sending(make_gateway, book):
    port = book.origin.port
    gateway = make_gateway({"crm": {"url": f"http://127.0.0.1:{free_port()}/api"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    codes = set()
    while codes != {"upstream-unreachable", "circuit-open"}:  # the breaker opens on the way
        codes.add(write(gateway).json()["code"])
        assert codes <= {"upstream-unreachable", "circuit-open"}
    gateway.config["upstreams"]["crm"]["url"] = f"http://127.0.0.1:{port}/api"
    gateway.write_config()
    gateway.stop()
    gateway.start()
    assert write(gateway).status_code == 201 and book.count() == 1


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def test_limited(make_gateway, book):
    gateway = make_gateway({"crm": {"url": book.url}}, limits={"tenant": {"rate": "1/m", "burst": 1, "max_wait": "0s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    assert write(gateway, "first").status_code == 201
    problem_of(write(gateway), 429, "rate-limited")
    problem_of(write(gateway), 429, "rate-limited")
    gateway.jump(61)
    answer = write(gateway)
    assert answer.status_code == 201 and "Idempotent-Replayed" not in answer.headers
    assert is_replay(answer, write(gateway)) and book.count() == 2  # a replay costs nothing of the allowance


@pytest.mark.parametrize("status,final", [(401, False), (409, False), (429, False), (200, True), (204, True), (302, True), (400, True), (404, True), (422, True),
                                          (500, True), (503, True)])
def test_which_answers_are_final(behind, book, status, final):
    book.instead = (status, {"X-Number": "1"}, b"" if status == 204 else b"no")
    first = write(behind)
    assert first.status_code == status
    before = book.count()
    book.instead = None
    second = write(behind)
    if final:
        assert is_replay(first, second) and book.count() == before == 1
    else:
        assert second.status_code == 201 and book.count() == before + 1


# --- clients

def test_a_client_that_leaves_does_not_stop_its_write(behind, book):
    book.hold = True
    leave(behind, book)
    book.release()
    answer = write(behind, headers={"Prefer": "wait=60"})
    assert answer.status_code == 201 and answer.headers["Idempotent-Replayed"] == "true" and book.count() == 1


def test_a_gateway_that_stops_waits_for_the_outcome(behind, book):
    book.hold = True
    leave(behind, book)
    behind.process.send_signal(signal.SIGTERM)
    wait_for(lambda: behind.events("draining"))
    assert behind.process.poll() is None
    book.release()
    behind.process.wait(60)
    behind.stop()
    behind.start()
    assert write(behind).headers["Idempotent-Replayed"] == "true" and book.count() == 1


def test_a_gateway_that_cannot_wait_any_longer(make_gateway, book):
    gateway = make_gateway({"crm": {"url": book.url}}, timeouts={"drain": "200ms"})
    gateway.map("acme", "cred-acme", apis=["crm"])
    book.hold = True
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(write, gateway)
        wait_for(lambda: book.count() == 1)
        waiting = [pool.submit(write, gateway, headers={"Prefer": "wait=60"}) for _ in range(3)]
        queued = [pool.submit(write, gateway, f"k{n}") for n in range(3)]
        gateway.stop()  # and it leaves nothing behind, as the sanitizer sees
        for one in [first, *waiting, *queued]:
            if one.exception(60):
                assert isinstance(one.exception(), requests.exceptions.ConnectionError)
            else:  # the other worker had time enough to tell
                problem_of(one.result(), 502, "outcome-unknown")
    book.release()
    gateway.start()
    problem_of(write(gateway), 502, "outcome-unknown")
    for n in range(3):
        write(gateway, f"k{n}")
        assert book.count(f"k{n}") <= 1


def test_an_impatient_client_finds_the_answer_later(behind, book):
    book.hold = True
    problem_of(write(behind, headers={"Prefer": "wait=1"}), 504, "upstream-timeout")
    problem_of(write(behind), 409, "idempotency-conflict")
    book.release()
    assert write(behind, headers={"Prefer": "wait=60"}).headers["Idempotent-Replayed"] == "true" and book.count() == 1


@pytest.mark.parametrize("value", ["", '"', '""', '"a', 'a"', '"a"b', '"a";x=1', "a b", '"a b"', "a,b", "a, b", "a;b", '"\\x"', '"\\', "x" * 256, '"' + "x" * 256 + '"', "\u00e9"])
def test_malformed_keys(behind, book, value):
    answer = behind.raw(b"POST /crm/people HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Tenant-Id: acme\r\nIdempotency-Key: " + value.encode() + b"\r\n\r\n")
    assert b" 400 " in answer.split(b"\r\n")[0] and b"bad-request" in answer
    assert book.count() == 0


def test_keys_of_every_form(behind, book):
    keys = ["a", "x" * 255, '"' + "y" * 255 + '"', "order:1/2=3+4~5", '"a,b;c"', '"a\\"b\\\\c"', "5f0c6d0e-9e2b-4b3a-8f5e-0a4a3c0c8a11"]
    for key in keys:
        assert is_replay(write(behind, key), write(behind, key))
    assert book.count() == len(keys)
    raw = b"POST /crm/people HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Tenant-Id: acme\r\nIdempotency-Key: a\r\nIdempotency-Key: a\r\n\r\n"
    assert b" 400 " in behind.raw(raw).split(b"\r\n")[0]


def test_only_writes_have_keys(behind, book):
    for value in ("k", '"malformed'):
        for method in ("GET", "HEAD", "OPTIONS"):
            answer = behind.request(method, "/crm/people", headers={"Idempotency-Key": value})
            assert answer.status_code < 400 and "Idempotent-Replayed" not in answer.headers
    assert set(words(behind).values()) == {0}


def test_callers_and_tenants_do_not_meet(behind, book):
    assert write(behind).json() == {"id": 1}
    assert write(behind, tenant="globex").json() == {"id": 2}
    keys = [requests.post(behind.admin + "/v1/keys", json={"name": name}, timeout=60).json()["key"] for name in ("one", "two")]
    ids = [write(behind, headers={"X-Gateway-Key": key}).json()["id"] for key in keys]
    assert ids == [3, 4]
    assert write(behind, headers={"X-Gateway-Key": keys[0]}).json() == {"id": 3} and book.count() == 4


def test_what_was_kept_goes_with_the_mapping(behind, book):
    assert write(behind).status_code == 201
    assert requests.delete(behind.admin + "/v1/tenants/acme/credentials/cred-acme", timeout=60).status_code in (200, 204)
    problem_of(write(behind), 404, "credential-not-found")
    behind.map("acme", "cred-new", apis=["crm"])
    problem_of(write(behind), 422, "idempotency-mismatch")
    assert book.count() == 1


def test_a_clients_own_authorization_is_part_of_the_request(make_gateway, book):
    """Where it goes up (not to Rollout), nobody gets what another one was answered."""
    gateway = make_gateway({"crm": {"url": book.url, "client_authorization": True}}, cache={"default": {"ttl": "0s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    first = write(gateway, headers={"Authorization": "Basic YTpi"})
    assert first.status_code == 201 and book.entries[0].all("Authorization") == ["Basic YTpi"]
    problem_of(write(gateway, headers={"Authorization": "Basic Yzpk"}), 422, "idempotency-mismatch")
    assert is_replay(first, write(gateway, headers={"Authorization": "Basic YTpi"})) and book.count() == 1


# --- sizes

@pytest.mark.threads
def test_bodies_up_to_a_mebibyte(behind, book):
    large = os.urandom(1 << 20)
    first = write(behind, body=large)
    assert first.status_code == 201 and book.entries[0].body == large
    assert is_replay(first, write(behind, body=large))
    chunked = write(behind, body=iter([large[:700000], large[700000:]]))  # other framing, same request
    assert is_replay(first, chunked)
    for body in (large + b"x", iter([large, b"x"])):
        problem_of(write(behind, "other", body=body), 413, "payload-too-large")
    assert write(behind, "other", body=b"x").status_code == 201  # that key was not used
    empty = write(behind, "empty", method="DELETE", body=None)
    assert is_replay(empty, write(behind, "empty", method="DELETE", body=None)) and book.count() == 3
    pieces = write(behind, "pieces", body=iter([b"abc", b"def"]))
    assert pieces.status_code == 201 and book.entries[-1].body == b"abcdef"


@pytest.mark.parametrize("chunked", [False, True])
def test_answers_up_to_a_mebibyte_are_kept(behind, book, chunked):
    large = os.urandom(1 << 20)

    def answer(seen):
        with book.lock:
            book.entries.append(seen)
        body = large + b"x" if "larger" in seen.all("Idempotency-Key")[0] else large
        if not chunked:
            return 201, {"Content-Type": "application/octet-stream"}, body
        return 201, {"Transfer-Encoding": "chunked"}, b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    book.instead = answer
    first = write(behind)
    assert first.content == large and is_replay(first, write(behind))
    assert write(behind, "larger").content == large + b"x"
    for _ in range(2):
        assert problem_of(write(behind, "larger"), 502, "outcome-unknown")["upstream_status"] == 201
    assert book.count("larger") == 1
    book.instead = lambda seen: (201, {}, os.urandom(5 << 20)) if book.entries.append(seen) is None else None
    assert len(write(behind, "larger-still").content) == 5 << 20
    assert problem_of(write(behind, "larger-still"), 502, "outcome-unknown")["upstream_status"] == 201 and book.count("larger-still") == 1


def test_links_are_rewritten_for_each_client(behind, book):
    link = book.url + "/people?next=2"
    book.instead = (200, {"Content-Type": "application/json"}, json.dumps({"_metadata": {"nextLink": link}}).encode())
    book.entries.clear()
    assert write(behind).json()["_metadata"]["nextLink"] == behind.data + "/crm/people?next=2"
    again = behind.request("POST", "/t/acme/crm/people", tenant=None, headers={"Idempotency-Key": "k"}, data=b'{"name":"Ann"}')
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json()["_metadata"]["nextLink"] == behind.data + "/t/acme/crm/people?next=2"
    assert int(again.headers["Content-Length"]) == len(again.content) and book.count() == 1


def test_a_full_disk_sends_nothing(make_gateway, book, monkeypatch):
    monkeypatch.setattr(conftest.subprocess, "Popen", functools.partial(conftest.subprocess.Popen, restore_signals=False))  # SIGXFSZ stays ignored
    gateway = make_gateway({"crm": {"url": book.url}}, limits={"tenant": {"rate": "100000/s", "burst": 100000}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    assert write(gateway, "before").status_code == 201
    size = max((gateway.directory / "state" / "data.mdb").stat().st_size, 4096)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    refused, done = [], {}
    for n in range(1000):
        answer = write(gateway, f"k{n}")
        if answer.status_code == 503:
            assert "nothing was sent" in problem_of(answer, 503, "store-unavailable")["detail"]
            assert book.count(f"k{n}") == 0 and answer.headers["Retry-After"] == "1"
            refused.append(f"k{n}")
            if len(refused) == 3:
                break
        else:
            assert answer.status_code == 201 and book.count(f"k{n}") == 1
            done[f"k{n}"] = answer
    assert len(refused) == 3
    assert write(gateway, "before").headers["Idempotent-Replayed"] == "true"  # reading needs no room
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for key in refused:
        assert write(gateway, key).status_code == 201 and book.count(key) == 1
    for key, first in done.items():
        again = write(gateway, key)
        if again.status_code == 201:
            assert is_replay(first, again)
        else:  # its outcome found no room
            problem_of(again, 502, "outcome-unknown")
        assert book.count(key) == 1
