"""Rollout is slow, broken or gone: what is tried again, what is not, and who is let through when it is known."""
import concurrent.futures
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
import requests

from conftest import problem_of, wait_for

FLOOR, FLOOR_PER_S = 3, 2  # of the retry budget
SHORT = {"connect": "300ms", "first_byte": "300ms", "idle": "300ms", "total": "20s"}


class Wreck:
    """An origin whose behaviour is a word that may change at any time; counts the requests that reach it by method."""

    def __init__(self, mode="good", headers=b"Cache-Control: max-age=10\r\n"):
        self.mode, self.headers, self.heard, self.lock = mode, headers, [], threading.Lock()
        self.open()

    def open(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/api"
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def count(self, method=None):
        with self.lock:
            return sum(method in (None, one[0]) for one in self.heard)

    def read(self, file):
        method, target, _ = file.readline().decode().split()
        length = 0
        while (line := file.readline().strip()):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = file.read(length)
        with self.lock:
            self.heard.append((method, target, body))
        return target

    def serve(self, sock):
        with sock, sock.makefile("rb") as file:
            try:
                while True:
                    target = self.read(file)
                    if not self.answer(sock, target):
                        return
            except (ValueError, OSError):
                return

    def answer(self, sock, target):
        """True: the connection goes on."""
        mode = self.mode(target) if callable(self.mode) else self.mode
        if mode == "good":
            sock.sendall(b"HTTP/1.1 200 OK\r\n%sContent-Length: 4\r\n\r\ngood" % self.headers)
        elif mode == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        elif mode == "silent":
            sock.settimeout(30)
            sock.recv(1)  # until the other side has had enough
            return False
        elif mode == "stall":
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            sock.settimeout(30)
            sock.recv(1)
            return False
        else:
            status, _, fields = mode.partition(" ")
            sock.sendall(b"HTTP/1.1 %s Sorry\r\n%sContent-Length: 3\r\n\r\nbad" % (
                status.encode(), (fields + "\r\n").encode() if fields else b""))
        return True


@pytest.fixture
def wreck():
    made = Wreck()
    yield made
    made.close()


@pytest.fixture
def behind(make_gateway, wreck, request):
    """Timeouts are short only where the test is of an origin that says nothing: a slow machine is not one."""
    callspec = getattr(request.node, "callspec", None)
    silent = request.node.get_closest_marker("short") or (callspec and callspec.params.get("mode") in ("silent", "stall"))
    made = make_gateway({"crm": {"url": wreck.url}}, timeouts=SHORT if silent else {"total": "20s"},
                        limits={"tenant": {"rate": "100000/s", "burst": 100000}})
    made.map("acme", "cred-acme", apis=["crm"])
    made.map("globex", "cred-globex", apis=["crm"])
    return made


def metric(gateway, name):
    found = re.search(rf"^rollout_gateway_{name}(?:{{[^}}]*}})? (\d+)$", requests.get(gateway.admin + "/metrics", timeout=30).text, re.M)
    return int(found[1])


def breaker(gateway):
    hosts = requests.get(gateway.admin + "/v1/status", timeout=30).json()["hosts"]
    return hosts[0]["breaker"]


def tries(gateway, answer):
    lines = []

    def there():
        lines[:] = [one for one in gateway.events("request") if one["request_id"] == answer.headers["X-Request-Id"]]
        return lines
    wait_for(there, what="the access line")
    return lines[0].get("tries", 0)


def is_refusal(answer):
    return answer.status_code == 503 and answer.headers.get("Content-Type") == "application/problem+json" and answer.json()["code"] == "circuit-open"


def ask(gateway, path, **more):
    """An answer, or None for one that was cut."""
    try:
        return gateway.get(path, **more)
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
        return None


# --- five ways to be down -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["killed", "silent", "stall", "503", "reset"])
def test_an_outage(behind, wreck, mode):
    stored = behind.get("/crm/kept")
    assert (stored.status_code, stored.content) == (200, b"good")
    behind.jump(60)  # stale now, and may be used when there is nothing better

    def attempts():
        return metric(behind, "upstream_connect_failures_total") if mode == "killed" else wreck.count()
    wreck.mode = mode
    if mode == "killed":
        wreck.close()
    before, began = attempts(), time.monotonic()

    # It opens by itself, without a storm.
    asked = 0
    while breaker(behind) != "open":
        asked += 1
        ask(behind, f"/crm/a{asked}")
        assert asked < 10
    assert attempts() - before <= 1.2 * asked + FLOOR + FLOOR_PER_S * (time.monotonic() - began)

    # From now on the host has peace: what is not a refusal was a probe.
    before, began = attempts(), time.monotonic()
    answers = [ask(behind, f"/crm/b{i}") for i in range(60)]
    refused = [answer for answer in answers if answer is not None and is_refusal(answer)]
    assert attempts() - before == 60 - len(refused)
    assert 60 - len(refused) <= 2 * (1 + time.monotonic() - began)
    for answer in refused:
        problem_of(answer, 503, "circuit-open")
        assert 1 <= int(answer.headers["Retry-After"]) <= 36
        assert tries(behind, answer) == 0 if answer is refused[0] else True
    for _ in range(20):
        answer = behind.get("/crm/kept")
        assert (answer.status_code, answer.content) == (200, b"good")
        assert "stale-if-error" in answer.headers["Cache-Status"]
    assert metric(behind, "breaker_state") in (1, 2) and metric(behind, "breaker_opened_total") >= 1
    assert metric(behind, "breaker_refused_total") >= len(refused)

    # A write is refused, too, and does not leave.
    if breaker(behind) == "open":
        writes = wreck.count("POST")
        behind.request("POST", "/crm/people", data=b"x")
        assert wreck.count("POST") <= writes + 1

    # It comes back: as soon as it may be asked, it is asked, and found well.
    wreck.mode = "good"
    if mode == "killed":
        wreck.open(wreck.port)
    behind.jump(37)
    for i in range(3):
        assert behind.get(f"/crm/c{i}").content == b"good"
    assert breaker(behind) == "closed"
    assert metric(behind, "breaker_state") == 0


@pytest.mark.threads
@pytest.mark.parametrize("mode", ["silent", "503", "reset"])
def test_an_outage_under_load(behind, wreck, mode):
    def many(n):
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            return list(pool.map(lambda i: requests.get(f"{behind.data}/crm/x{n + i}", headers={"X-Tenant-Id": "acme"}, timeout=60), range(200)))
    assert all(answer.content == b"good" for answer in many(0))
    wreck.mode = mode
    before, began = wreck.count(), time.monotonic()
    answers = many(1000)
    attempts, elapsed = wreck.count() - before, time.monotonic() - began
    refused = sum(is_refusal(answer) for answer in answers)
    # 16 at a time may be on their way when the first failure is known, and again when it opens, each with its further tries; the budget
    # had filled up before.
    assert attempts <= 1.2 * (200 - refused) + 52 + FLOOR_PER_S * elapsed, (attempts, refused)
    assert refused >= 100
    wreck.mode = "good"
    behind.jump(37)
    assert sum(answer.content == b"good" for answer in many(2000)) >= 150  # few are probes at first
    assert breaker(behind) == "closed"


def test_one_credential_that_fails_does_not_close_the_door_to_others(behind, wreck):
    """Its CRM is down and Rollout says so; everybody else's is not."""
    wreck.mode = lambda target: "502" if "/sick" in target else "good"
    for i in range(12):
        assert behind.get(f"/crm/well{i}", tenant="globex").status_code == 200
        for j in range(3):
            assert behind.get(f"/crm/sick{i}.{j}").status_code == 502
    assert breaker(behind) == "closed"


@pytest.mark.parametrize("mode", ["503", "reset"])
def test_who_waits_for_a_turn_hears_that_the_circuit_is_open(make_gateway, wreck, mode):
    """At one request a minute the last of them would wait for half an hour."""
    gateway = make_gateway({"crm": {"url": wreck.url}}, workers=1, timeouts={"total": "20s"},
                           limits={"tenant": {"rate": "1/m", "burst": 40, "max_wait": "1h"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    wreck.mode = mode
    with concurrent.futures.ThreadPoolExecutor(70) as pool:
        answers = list(pool.map(lambda i: requests.get(f"{gateway.data}/crm/x{i}", headers={"X-Tenant-Id": "acme"}, timeout=60), range(70)))
    assert sum(is_refusal(answer) for answer in answers) >= 30
    assert all(is_refusal(answer) or answer.status_code in (502, 503) for answer in answers)


# --- further tries ------------------------------------------------------------------------------------------------------------


def failing(times, mode):
    """Badly for so many times, then well."""
    left = [times]

    def choose(_):
        left[0] -= 1
        return mode if left[0] >= 0 else "good"
    return choose


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("mode", ["reset", "502", "503", "504", "503 Retry-After: 0"])
def test_a_read_is_tried_again(behind, wreck, method, mode):
    wreck.mode = failing(2, mode)
    if method == "HEAD":
        wreck.headers = b"Cache-Control: no-store\r\n"
    answer = behind.request(method, "/crm/people")
    assert answer.status_code == 200
    assert wreck.count() == 3 and tries(behind, answer) == 3
    assert metric(behind, "retries_total") == 2


def test_a_read_is_not_tried_for_ever(behind, wreck):
    wreck.mode = "502"
    answer = behind.get("/crm/people")
    assert (answer.status_code, answer.content) == (502, b"bad")
    assert wreck.count() == 3 and tries(behind, answer) == 3


@pytest.mark.parametrize("mode", ["500", "501", "404", "429", "429 Retry-After: 3", "503 Retry-After: 30", "503 Retry-After: soon",
                                  "503 Retry-After: Fri, 01 Jan 2100 00:00:00 GMT"])
def test_what_would_not_get_better_is_passed_on(behind, wreck, mode):
    wreck.mode = mode
    answer = behind.get("/crm/people")
    assert (answer.status_code, answer.content) == (int(mode[:3]), b"bad")
    assert wreck.count() == 1


def test_a_short_retry_after_is_waited_for(behind, wreck):
    wreck.mode = failing(1, "429 Retry-After: 1")
    began = time.monotonic()
    assert behind.get("/crm/people").status_code == 200
    assert wreck.count() == 2 and time.monotonic() - began >= 1


@pytest.mark.parametrize("mode", ["reset", "502", "503", "504", "429 Retry-After: 0", "silent"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_that_left_is_never_sent_twice(behind, wreck, method, mode):
    wreck.mode = mode
    answer = behind.request(method, "/crm/people/1", data=b"x" * 1000)
    assert answer.status_code >= 400 and wreck.count(method) == 1
    assert tries(behind, answer) == 1


def test_a_write_that_did_not_leave_is_tried_again(make_gateway, directory):
    """The first connection breaks inside the handshake: no byte of the request has left. Body and all go out on the next one."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem", "-out",
                    "cert.pem", "-days", "2", "-subj", "/CN=origin", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=directory, check=True,
                   capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
    wreck, broken = Wreck(), [1]
    serve = wreck.serve

    def serve_tls(sock):
        if broken[0] > 0:
            broken[0] -= 1
            sock.recv(100)
            sock.close()
            return
        with context.wrap_socket(sock, server_side=True) as secured:
            serve(secured)
    wreck.serve = serve_tls
    gateway = make_gateway({"crm": {"url": f"https://127.0.0.1:{wreck.port}", "ca": str(directory / "cert.pem")}}, workers=1)
    gateway.map("acme", "cred-acme", apis=["crm"])
    for body in (b"x" * 50000, b""):
        broken[0] = 1
        wreck.heard.clear()
        answer = gateway.request("POST", "/crm/people", data=body, headers={"Connection": "close"})
        assert (answer.status_code, [one[2] for one in wreck.heard]) == (200, [body])
        assert body == b"" or tries(gateway, answer) == 2
    # A client that has sent only half of it when the first try fails.
    broken[0] = 1
    wreck.heard.clear()
    gateway.jump(400)  # the kept connection is too old: a new one
    with gateway.connect() as sock:
        sock.sendall(b"POST /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nContent-Length: 10\r\nConnection: close\r\n\r\nfirst")
        wait_for(lambda: metric(gateway, "retries_total") == 2, what="a second try")
        sock.sendall(b"-last")
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert [one[2] for one in wreck.heard] == [b"first-last"]
    wreck.close()


def test_further_tries_stay_within_the_budget(behind, wreck):
    """A fifth of the requests fail for good: too few for the breaker, and all of them would be tried again twice."""
    wreck.mode = lambda target: "502" if target.endswith("0") or target.endswith("5") else "good"
    began = time.monotonic()
    for i in range(200):
        assert behind.get(f"/crm/people/{i}").status_code == (502 if i % 5 == 0 else 200)
    elapsed = time.monotonic() - began
    assert breaker(behind) == "closed"
    assert 200 < wreck.count() <= 1.2 * 200 + FLOOR + FLOOR_PER_S * elapsed
    if elapsed < 15:
        assert metric(behind, "retry_budget_exhausted_total") > 0


@pytest.mark.short
def test_one_timeout_is_no_outage(behind, wreck):
    """In a quiet hour it may be one slow page: no further try makes it slower, and the next request goes up."""
    wreck.mode = lambda target: "silent" if target.endswith("/slow") else "good"
    for n in range(2):
        problem_of(behind.get(f"/crm/{n}/slow"), 504, "upstream-timeout")
        assert wreck.count() == n + 1
    assert behind.get("/crm/people").status_code == 200


@pytest.mark.short
def test_a_stalled_read_is_tried_again_while_others_are_answered(behind, wreck):
    """A timeout alone says that the host is gone; with others' answers in the meantime it is one request's bad luck."""
    wreck.mode = lambda target: "silent" if target.endswith("/slow") and wreck.count("GET") < 1000 and slow.pop("first", None) else "good"
    slow = {"first": True}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(behind.get, "/crm/slow")
        wait_for(lambda: wreck.count() == 1, what="the slow request")
        n = 0
        while not future.done():
            n += 1
            assert requests.get(f"{behind.data}/crm/fast{n}", headers={"X-Tenant-Id": "acme"}, timeout=30).status_code == 200
        answer = future.result()
    assert answer.status_code == 200 and tries(behind, answer) == 2


def test_the_time_allowed_is_for_all_tries(make_gateway, wreck):
    """A pause that would end after the deadline is not begun."""
    gateway = make_gateway({"crm": {"url": wreck.url}}, timeouts={**SHORT, "total": "900ms", "first_byte": "900ms"})
    gateway.map("acme", "cred-acme", apis=["crm"])
    wreck.mode = "503 Retry-After: 1"
    assert gateway.get("/crm/people").status_code == 503
    assert wreck.count() == 1


@pytest.mark.short
def test_nothing_is_tried_again_once_a_head_was_given(behind, wreck):
    wreck.mode = "stall"
    for _ in range(2):
        answer = ask(behind, "/crm/people")
        assert answer is None or answer.content in (b"half", b"") or is_refusal(answer)
    assert wreck.count() <= 2


# --- patience -----------------------------------------------------------------------------------------------------------------


def leave(sock):
    """Closes so that the other side hears of it: a mere FIN behind a request is no departure."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def held(origin, status=200, **headers):
    """The origin answers when told to."""
    started, go_on = threading.Event(), threading.Event()

    def answer(seen):
        started.set()
        go_on.wait(60)
        return status, headers, b"late"
    origin.answer = answer
    return started, go_on


@pytest.mark.parametrize("prefer", ["wait=5", "respond-async, Wait = 5; x=y"])
def test_prefer_wait_bounds_the_clients_patience(gateway, origin, prefer):
    started, go_on = held(origin, **{"Cache-Control": "max-age=600"})
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(gateway.get, "/crm/people", headers={"Prefer": prefer})
        assert started.wait(20)
        gateway.jump(5)
        problem_of(future.result(20), 504, "upstream-timeout")
    go_on.set()
    # What was fetched is not lost: the flight went on for the cache.
    same = {} if prefer == "wait=5" else {"Prefer": prefer}  # other preferences go up, and are part of the key
    wait_for(lambda: gateway.get("/crm/people", headers={"Cache-Control": "only-if-cached", **same}).content == b"late", what="a hit")
    assert len(origin.seen) == 1 and origin.seen[0].all("Prefer") == list(same.values())


def test_prefer_wait_prefers_the_stale_answer(gateway, origin):
    origin.answer = lambda seen: (200, {"Cache-Control": "max-age=10"}, b"early")
    gateway.get("/crm/people")
    gateway.jump(60)
    started, go_on = held(origin, **{"Cache-Control": "max-age=600"})
    answer = gateway.get("/crm/people", headers={"Prefer": "wait=0"})
    assert (answer.status_code, answer.content) == (200, b"early")
    assert "detail=prefer-wait" in answer.headers["Cache-Status"] and "hit" in answer.headers["Cache-Status"]
    assert started.wait(20)
    go_on.set()
    wait_for(lambda: gateway.get("/crm/people", headers={"Cache-Control": "only-if-cached"}).content == b"late", what="the new answer")
    assert len(origin.seen) == 2


def test_prefer_wait_that_suffices_changes_nothing(gateway, origin):
    assert gateway.get("/crm/people", headers={"Prefer": "wait=30"}).status_code == 200
    gateway.jump(60)
    assert gateway.get("/crm/people", headers={"Prefer": "wait=nonsense"}).status_code == 200


def test_prefer_wait_ends_with_the_clients_connection(gateway, origin):
    started, go_on = held(origin)
    sock = gateway.connect()
    sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nPrefer: wait=5\r\n\r\n")
    assert started.wait(20)
    leave(sock)
    wait_for(lambda: metric(gateway, "clients_gone_total") == 1, what="the client's leaving")
    gateway.jump(10)
    go_on.set()
    assert gateway.get("/crm/users").status_code == 200


def test_a_write_goes_on_without_its_impatient_client(gateway, origin):
    started, go_on = held(origin)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(gateway.request, "POST", "/crm/people", data=b"x", headers={"Prefer": "wait=2"})
        assert started.wait(20)
        gateway.jump(2)
        problem_of(future.result(20), 504, "upstream-timeout")
    go_on.set()
    assert gateway.get("/crm/users").status_code == 200
    assert [seen.method for seen in origin.seen].count("POST") == 1


# --- clients that leave -------------------------------------------------------------------------------------------------------


def test_a_client_that_leaves_ends_the_work_upstream(make_gateway, wreck):
    """Nobody waits, and no cache is filled: the connection upstream is closed at once, not at a timeout."""
    gone = threading.Event()
    wreck.answer = lambda sock, target: (sock.settimeout(30), sock.recv(1) == b"" and gone.set())[1]
    behind = make_gateway({"crm": {"url": wreck.url}})
    behind.map("acme", "cred-acme", apis=["crm"])
    sock = behind.connect()
    sock.sendall(b"POST /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nContent-Length: 1\r\n\r\nx")
    wait_for(lambda: wreck.count() == 1, what="the request upstream")
    assert not gone.is_set()
    leave(sock)
    assert gone.wait(20)
    wait_for(lambda: metric(behind, "clients_gone_total") == 1, what="the client's leaving")
    assert breaker(behind) == "closed"


def test_a_client_that_leaves_does_not_end_what_fills_the_cache(gateway, origin):
    half, go_on = threading.Event(), threading.Event()

    def answer(seen):
        seen.handler.wfile.write(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 10\r\n\r\nfirst")
        seen.handler.wfile.flush()
        half.set()
        go_on.wait(60)
        seen.handler.wfile.write(b"-last")
    origin.answer = answer
    sock = gateway.connect()
    sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
    assert half.wait(20) and sock.recv(65536).startswith(b"HTTP/1.1 200 ")
    leave(sock)
    wait_for(lambda: metric(gateway, "clients_gone_total") == 1, what="the client's leaving")
    go_on.set()
    wait_for(lambda: gateway.get("/crm/people", headers={"Cache-Control": "only-if-cached"}).content == b"first-last", what="a hit")
    assert len(origin.seen) == 1


@pytest.mark.threads
def test_clients_that_leave_during_a_pause(behind, wreck):
    wreck.mode = lambda target: "429 Retry-After: 2" if target.endswith("0") else "good"
    for n in range(20):
        sock = behind.connect()
        sock.sendall(b"GET /crm/people/%d0 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n" % n)
        if n % 4 == 3:
            wait_for(lambda: wreck.count() > 0, what="a request upstream")
        leave(sock)
    behind.jump(3)
    # What was under way at the jump may have timed out and opened the circuit for a moment.
    wait_for(lambda: behind.get("/crm/people/1").content == b"good", what="a good answer")


def test_stopping_during_a_pause(make_gateway, wreck):
    gateway = make_gateway({"crm": {"url": wreck.url}}, timeouts={"drain": "100ms"})
    gateway.map("acme", "cred-acme", apis=["crm"])
    wreck.mode = "429 Retry-After: 2"
    with gateway.connect() as sock:
        sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
        wait_for(lambda: metric(gateway, "retries_total") == 1, what="the pause")
        gateway.stop()
