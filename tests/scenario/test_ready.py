"""Rollout has no data of a credential yet (409): told as it is, or waited for, by one request however many wait."""
import concurrent.futures
import json
import re
import socket
import threading

import pytest
import requests

from conftest import Origin, wait_for

NOT_READY = {"errorMessage": "Data for this credential is not ready yet. Please try again."}
JSON = {"Content-Type": "application/json"}
WAIT = {"Prefer": "wait=119"}
PAUSE = 25  # which Rollout asks for here: no pause runs out by itself


class Syncing:
    """An origin whose credentials are ready or not; keeps what each was asked."""

    def __init__(self):
        self.ready = set()
        self.refusal = (409, {**JSON, "Retry-After": str(PAUSE)}, json.dumps(NOT_READY).encode())
        self.hold = None
        self.origin = Origin(self.answer)

    def answer(self, seen):
        credential = seen.headers["X-Rollout-Credential-Id"]
        hold = self.hold
        refusal = None if credential in self.ready else self.refusal
        if hold:
            hold(seen)
        if refusal:
            return refusal
        return 200, JSON, json.dumps({"method": seen.method, "target": seen.target, "body": seen.body.decode()}).encode()

    def count(self, credential="cred-1", method=None):
        with self.origin.lock:
            return len([seen for seen in self.origin.seen
                        if seen.headers["X-Rollout-Credential-Id"] == credential and method in (None, seen.method)])


@pytest.fixture
def syncing():
    made = Syncing()
    yield made
    made.origin.stop()


@pytest.fixture
def start(make_gateway, syncing):
    def make(**more):
        gateway = make_gateway({"crm": {"url": syncing.origin.url + "/api"}, "tms": {"url": syncing.origin.url + "/tms"},
                                "core": {"url": syncing.origin.url + "/core"}}, **more)
        gateway.map("acme", "cred-1", app_key="followupboss")
        gateway.map("globex", "cred-2", app_key="lofty", apis=["crm"])
        return gateway
    return make


@pytest.fixture
def fresh(start):
    return start()


@pytest.fixture
def pool():
    with concurrent.futures.ThreadPoolExecutor(16) as made:
        yield made


def ask(gateway, method="GET", path="/crm/people", tenant="acme", headers=WAIT, **more):
    """A request on a connection of its own."""
    return requests.request(method, gateway.data + path, headers={"X-Tenant-Id": tenant, **headers}, timeout=60, **more)


def is_not_ready(answer):
    assert answer.status_code == 409 and answer.json() == NOT_READY, answer.text
    assert "fwd-status=409" in answer.headers["Cache-Status"] and answer.headers["Cache-Status"].endswith("detail=not-ready")
    assert int(answer.headers["Retry-After"]) >= 1
    return True


def waiting_at(gateway):
    metrics = requests.get(gateway.admin + "/metrics", timeout=60).text
    return int(re.search(r"^rollout_gateway_not_ready_waiting (\d+)$", metrics, re.M).group(1))


def resting(gateway, syncing, asked, waiting=1):
    """So many requests have come to the origin, and so many wait again: the next pause has begun."""
    wait_for(lambda: syncing.count() == asked and waiting_at(gateway) == waiting, what=f"{waiting} waiting after {asked} requests")


def poll(gateway, syncing, asked, waiting=1):
    """Jumps over a pause; the next poll has to come, and only it."""
    gateway.jump(PAUSE)
    resting(gateway, syncing, asked, waiting)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_it_is_told_as_it_is(fresh, syncing, method):
    syncing.refusal = (409, JSON, json.dumps(NOT_READY).encode())
    for i in range(2):
        answer = fresh.request(method, "/crm/people/1", data=b"{}" if method in ("POST", "PUT") else None)
        assert is_not_ready(answer) and answer.headers["Retry-After"] == "5"
        assert answer.headers["Content-Type"] == "application/json" and "Proxy-Status" not in answer.headers
        assert syncing.count() == i + 1, "never from the cache"
    syncing.ready.add("cred-1")
    assert fresh.request(method, "/crm/people/1").status_code == 200


def test_head_has_no_words(fresh, syncing):
    syncing.refusal = (409, JSON, json.dumps(NOT_READY).encode())
    answer = fresh.request("HEAD", "/crm/people")
    assert answer.status_code == 409 and answer.headers["Retry-After"] == "5" and int(answer.headers["Content-Length"]) > 0


def test_rollouts_own_retry_after_stands(fresh, syncing):
    answer = fresh.get("/crm/people")
    assert is_not_ready(answer) and answer.headers["Retry-After"] == str(PAUSE)


@pytest.mark.parametrize("body", [b'{"errorMessage":"a person with this email exists"}', b"", b"x" * 100_000 + b"not ready"])
def test_another_conflict_of_a_write_is_none_of_ours(fresh, syncing, body):
    syncing.refusal = (409, JSON, body)
    answer = fresh.request("POST", "/crm/people", headers=WAIT, data=b"{}")
    assert answer.status_code == 409 and answer.content == body
    assert "Retry-After" not in answer.headers and "not-ready" not in answer.headers["Cache-Status"]
    assert syncing.count() == 1


def test_core_has_no_credential_to_wait_for(fresh, syncing):
    syncing.refusal = (409, JSON, b"{}")
    answer = fresh.get("/core/connectors", headers=WAIT)
    assert answer.status_code == 409 and "Retry-After" not in answer.headers


@pytest.mark.threads
def test_who_waits_is_answered_once_it_is_ready(fresh, syncing, pool):
    future = pool.submit(ask, fresh)
    resting(fresh, syncing, 1)
    for polls in (2, 3, 4):
        poll(fresh, syncing, polls)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    answer = future.result(60)
    assert answer.status_code == 200 and answer.json()["target"] == "/api/people" and "stored" in answer.headers["Cache-Status"]
    assert syncing.count() == 5
    assert "hit" in fresh.get("/crm/people").headers["Cache-Status"]
    assert "Retry-After" not in answer.headers


def test_without_a_word_of_rollouts_it_asks_after_some_seconds(fresh, syncing, pool):
    syncing.refusal = (409, JSON, json.dumps(NOT_READY).encode())
    future = pool.submit(ask, fresh)
    wait_for(lambda: syncing.count() == 1)
    syncing.ready.add("cred-1")
    fresh.jump(2)
    assert future.result(60).status_code == 200 and syncing.count() == 2


def test_a_longer_retry_after_is_obeyed(fresh, syncing, pool):
    future = pool.submit(ask, fresh)
    resting(fresh, syncing, 1)
    fresh.jump(10)
    assert fresh.get("/crm/notes").status_code == 409  # the gateway has seen the time
    assert syncing.count() == 2
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE - 10)
    assert future.result(60).status_code == 200


def test_at_the_end_of_the_time_it_is_the_answer_as_it_came(fresh, syncing, pool):
    syncing.refusal = (409, {**syncing.refusal[1], "X-Rollout-Trace": "abc", "Date": "Thu, 01 Jan 2026 00:00:00 GMT"}, json.dumps(NOT_READY).encode())
    asks = pool.submit(ask, fresh, path="/crm/notes")  # for all of them
    resting(fresh, syncing, 1)
    short = {"Prefer": "wait=3"}
    futures = [pool.submit(ask, fresh, headers=short), pool.submit(ask, fresh, "POST", headers=short, data=b"{}"), pool.submit(ask, fresh, "HEAD", headers=short)]
    resting(fresh, syncing, 4, 4)
    fresh.jump(4)
    for future in futures[:2]:
        answer = future.result(60)
        assert is_not_ready(answer) and answer.headers["X-Rollout-Trace"] == "abc" and answer.headers["Date"] == "Thu, 01 Jan 2026 00:00:00 GMT"
    head = futures[2].result(60)
    assert head.status_code == 409 and int(head.headers["Content-Length"]) == len(futures[0].result().content)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert asks.result(60).status_code == 200


def test_also_when_the_time_ends_while_it_asks(fresh, syncing, pool):
    future = pool.submit(ask, fresh, headers={"Prefer": "wait=40"})
    resting(fresh, syncing, 1)
    go_on = threading.Event()
    syncing.hold = lambda seen: go_on.wait(60)
    poll(fresh, syncing, 2, waiting=0)
    fresh.jump(PAUSE)
    assert is_not_ready(future.result(60))
    go_on.set()


def test_nobody_waits_longer_than_two_minutes(fresh, syncing, pool):
    future = pool.submit(ask, fresh, headers={"Prefer": "wait=3000"})
    resting(fresh, syncing, 1)
    fresh.jump(121)
    assert is_not_ready(future.result(60))


@pytest.mark.threads
def test_many_wait_and_one_asks(fresh, syncing, pool):
    futures = [pool.submit(ask, fresh, path=f"/crm/people/{i}") for i in range(8)]
    other = pool.submit(ask, fresh, tenant="globex")
    wait_for(lambda: syncing.count("cred-2") == 1)
    resting(fresh, syncing, 8, 9)
    for polls in (9, 10):
        fresh.jump(PAUSE)
        wait_for(lambda: syncing.count("cred-2") == polls - 7, what="the other credential's poll")
        resting(fresh, syncing, polls, 9)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert sorted(future.result(60).json()["target"] for future in futures) == [f"/api/people/{i}" for i in range(8)]
    assert syncing.count() == 10 + 8, "one asked, then the others"
    assert not other.done()
    syncing.ready.add("cred-2")
    fresh.jump(PAUSE)
    assert other.result(60).status_code == 200


def test_the_same_request_is_asked_once_for_all(fresh, syncing, pool):
    go_on = threading.Event()
    syncing.hold = lambda seen: go_on.wait(60)
    futures = [pool.submit(ask, fresh) for _ in range(8)]
    wait_for(lambda: syncing.count() == 1)
    go_on.set()
    wait_for(lambda: syncing.count() <= 8 and waiting_at(fresh) == 8)
    syncing.ready.add("cred-1")
    before = syncing.count()
    fresh.jump(PAUSE)
    assert all(future.result(60).status_code == 200 for future in futures)
    assert syncing.count() == before + 1, "the others are answered from the cache"


@pytest.mark.threads
def test_who_asks_may_leave(fresh, syncing, pool):
    sock = fresh.connect()
    sock.sendall(b"GET /crm/people/0 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nPrefer: wait=60\r\n\r\n")
    resting(fresh, syncing, 1)
    futures = [pool.submit(ask, fresh, path=f"/crm/people/{i}") for i in (1, 2)]
    resting(fresh, syncing, 3, 3)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    resting(fresh, syncing, 3, 2)
    poll(fresh, syncing, 4, 2)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert all(future.result(60).status_code == 200 for future in futures)
    with syncing.origin.lock:
        assert [seen.target for seen in syncing.origin.seen].count("/api/people/0") == 1


def test_nobody_is_left_who_asks(fresh, syncing):
    sock = fresh.connect()
    sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nPrefer: wait=60\r\n\r\n")
    resting(fresh, syncing, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    wait_for(lambda: waiting_at(fresh) == 0, what="its leaving")
    fresh.jump(30)
    assert is_not_ready(fresh.get("/crm/notes"))
    assert syncing.count() == 2


def test_a_failure_of_who_asks_is_its_own(fresh, syncing, pool):
    first = pool.submit(ask, fresh, path="/crm/people/0")
    resting(fresh, syncing, 1)
    second = pool.submit(ask, fresh, path="/crm/people/1")
    resting(fresh, syncing, 2, 2)
    kept, syncing.refusal = syncing.refusal, (500, JSON, b'{"errorMessage":"oops"}')
    fresh.jump(PAUSE)
    assert first.result(60).status_code == 500
    syncing.refusal = kept
    asked = syncing.count()
    resting(fresh, syncing, asked)
    poll(fresh, syncing, asked + 1)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert second.result(60).status_code == 200


@pytest.mark.parametrize("method,data", [("POST", b'{"a":1}'), ("PUT", b"x" * 60_000), ("DELETE", None), ("POST", "chunked")])
def test_a_write_is_sent_again_whole_and_done_once(fresh, syncing, pool, method, data):
    body = iter([b"ab", b"cd"]) if data == "chunked" else data
    future = pool.submit(ask, fresh, method, "/crm/people/1", data=body)
    resting(fresh, syncing, 1)
    poll(fresh, syncing, 2)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    answer = future.result(60)
    assert answer.status_code == 200 and answer.json()["body"] == ("abcd" if data == "chunked" else (data or b"").decode())
    assert syncing.count() == 3


def test_a_write_too_large_to_be_kept_does_not_wait(fresh, syncing):
    assert is_not_ready(fresh.request("POST", "/crm/people", headers=WAIT, data=b"x" * 200_000))
    assert syncing.count() == 1


def test_a_write_with_a_key_waits_too(fresh, syncing, pool):
    headers = {**WAIT, "Idempotency-Key": "k"}
    future = pool.submit(ask, fresh, "POST", headers=headers, data=b"x" * 100_000)
    resting(fresh, syncing, 1)
    poll(fresh, syncing, 2)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    answer = future.result(60)
    assert answer.status_code == 200 and len(answer.json()["body"]) == 100_000 and syncing.count() == 3
    again = ask(fresh, "POST", headers=headers, data=b"x" * 100_000)
    assert again.headers["Idempotent-Replayed"] == "true" and syncing.count() == 3


def test_a_write_whose_time_ends_while_it_asks_is_not_called_undone(fresh, syncing, pool):
    future = pool.submit(ask, fresh, "POST", headers={"Prefer": "wait=40"}, data=b"{}")
    resting(fresh, syncing, 1)
    go_on = threading.Event()
    syncing.hold = lambda seen: go_on.wait(60)
    poll(fresh, syncing, 2, waiting=0)
    fresh.jump(PAUSE)
    assert future.result(60).status_code == 504
    go_on.set()


def test_legs_of_a_fan_out_wait_each_for_its_own(fresh, syncing, pool):
    fresh.map("acme", "cred-3", app_key="lofty", apis=["crm"])
    syncing.ready.add("cred-3")
    told = ask(fresh, headers={"X-Fanout": "all"}).json()["results"]
    assert [(r["status"], r.get("retry_after")) for r in told] == [(409, PAUSE), (200, None)]
    future = pool.submit(ask, fresh, headers={**WAIT, "X-Fanout": "all"})
    resting(fresh, syncing, 2)
    poll(fresh, syncing, 3)
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert [r["status"] for r in future.result(60).json()["results"]] == [200, 200]


CALLBACK = "/webhooks/rollout"


@pytest.mark.parametrize("body", [
    {"credentialId": "cred-1"}, {"event": "syncCompleted", "data": {"credentialId": "cred-1"}, "id": "evt-1"}, {"credential": {"id": "cred-1"}},
    {"credential_id": "cred-1", "id": "evt-1"}, {"id": "cred-1", "appKey": "followupboss"}])
def test_rollouts_callback_ends_the_wait_at_once(fresh, syncing, pool, body):
    futures = [pool.submit(ask, fresh, path=f"/{api}/people") for api in ("crm", "tms")]
    other = pool.submit(ask, fresh, tenant="globex")
    wait_for(lambda: syncing.count("cred-2") == 1)
    resting(fresh, syncing, 2, 3)
    syncing.ready |= {"cred-1", "cred-2"}
    assert fresh.event(CALLBACK, None, body=json.dumps(body).encode()).status_code == 204
    assert [future.result(60).status_code for future in futures] == [200, 200]  # no time has passed
    assert syncing.count() == 4 and syncing.count("cred-2") == 1
    fresh.jump(PAUSE)
    assert other.result(60).status_code == 200


def test_a_callback_that_is_none_ends_nothing(fresh, syncing, pool):
    future = pool.submit(ask, fresh)
    resting(fresh, syncing, 1)
    good = json.dumps({"credentialId": "cred-1"}).encode()
    assert fresh.event(CALLBACK, None, body=good, secret="x" * 64).status_code == 401
    assert fresh.event(CALLBACK, None, body=good, signature="").status_code == 401
    assert fresh.event(CALLBACK, None, body=b"[]").status_code == 400
    assert fresh.event(CALLBACK, None, body=b"{").status_code == 400
    assert requests.get(fresh.webhooks + CALLBACK, timeout=60).status_code == 405
    for body in ({}, {"credentialId": "nobody"}, {"credentialId": 7}, {"data": None, "credential": []}):
        assert fresh.event(CALLBACK, None, body=json.dumps(body).encode()).status_code == 204
    resting(fresh, syncing, 1)
    assert fresh.event(CALLBACK + "?from=dashboard", None, body=good).status_code == 204
    resting(fresh, syncing, 2)  # it was asked, and is not ready after all
    syncing.ready.add("cred-1")
    fresh.jump(PAUSE)
    assert future.result(60).status_code == 200


def test_what_was_known_before_the_first_sync_is_read_again(fresh, syncing):
    syncing.ready.add("cred-1")
    assert fresh.get("/crm/people").status_code == 200
    assert "hit" in fresh.get("/crm/people").headers["Cache-Status"]
    assert fresh.event(CALLBACK, None, body=b'{"credentialId":"cred-1"}').status_code == 204
    assert "hit" not in fresh.get("/crm/people").headers["Cache-Status"]


def test_it_ends_with_the_process(start, syncing, pool):
    fresh = start(timeouts={"drain": "1s"})
    future = pool.submit(ask, fresh)
    resting(fresh, syncing, 1)
    fresh.stop()  # checks that nothing is left
    with pytest.raises(requests.RequestException):
        future.result(60)
