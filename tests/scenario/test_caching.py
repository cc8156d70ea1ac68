"""What is answered from memory, for whom, and until when."""
import concurrent.futures
import threading

import pytest
import requests

from conftest import problem_of, wait_for


def status_of(answer):
    return answer.headers["Cache-Status"]


def counting(body=lambda n: b'{"n":%d}' % n, **headers):
    """An origin's answer that numbers itself."""
    lock, count = threading.Lock(), [0]

    def answer(seen):
        with lock:
            count[0] += 1
            n = count[0]
        return 200, {"Content-Type": "application/json", **headers}, body(n)
    answer.count = count
    return answer


def test_a_second_get_is_a_hit(gateway, origin):
    origin.answer = counting()
    first, second = gateway.get("/crm/people"), gateway.get("/crm/people")
    assert first.content == second.content == b'{"n":1}'
    assert "fwd=uri-miss" in status_of(first) and "stored" in status_of(first)
    assert status_of(second).startswith("rollout-gateway; hit; ttl=")
    assert second.headers["Age"] == "0" and "Age" not in first.headers
    assert first.headers["Cache-Control"] == second.headers["Cache-Control"] == "private"
    assert first.headers["ETag"] == second.headers["ETag"] if "ETag" in first.headers else True
    assert len(origin.seen) == 1


def test_ttl_and_age(gateway, origin):
    origin.answer = counting()
    gateway.get("/crm/people")
    gateway.jump(20)
    hit = gateway.get("/crm/people")
    assert "hit" in status_of(hit) and hit.headers["Age"] in ("20", "21")
    gateway.jump(7200)
    assert gateway.get("/crm/people").content == b'{"n":2}'


def test_tenants_never_share(gateway, origin):
    origin.answer = lambda seen: (200, {}, seen.all("X-Rollout-Credential-Id")[0].encode())
    for _ in range(2):
        assert gateway.get("/crm/people", tenant="acme").content == b"cred-acme"
        assert gateway.get("/crm/people", tenant="globex").content == b"cred-globex"
    assert len(origin.seen) == 2


@pytest.mark.threads
def test_tenants_never_share_under_concurrency(gateway, origin):
    for n in range(8):
        gateway.map(f"t{n}", f"c{n}", apis=["crm"])
    origin.answer = lambda seen: (200, {}, seen.all("X-Rollout-Credential-Id")[0].encode())

    def ask(i):
        tenant = i % 8
        answer = gateway.get(f"/crm/people/{i % 5}", tenant=f"t{tenant}")
        return answer.content == b"c%d" % tenant

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(1200)))


@pytest.mark.threads
def test_many_concurrent_misses_are_one_upstream_request(gateway, origin):
    go_on, sent = threading.Event(), threading.Semaphore(0)
    inner = counting()

    def answer(seen):
        go_on.wait(30)
        return inner(seen)
    origin.answer = answer

    def ask(_):
        with gateway.connect() as sock:
            sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n")
            sent.release()
            out = b""
            while piece := sock.recv(65536):
                out += piece
            return out

    with concurrent.futures.ThreadPoolExecutor(200) as pool:
        futures = [pool.submit(ask, i) for i in range(200)]
        for _ in range(200):
            assert sent.acquire(timeout=30)
        for _ in range(16):  # what comes later, on either worker, is answered: so all have been read
            assert gateway.raw(b"GET /none HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 404")
        go_on.set()
        answers = [future.result(60) for future in futures]
    assert [answer for answer in answers if not answer.endswith(b'\r\n\r\n{"n":1}')] == []
    assert inner.count == [1] and len(origin.seen) == 1
    assert sum(b"collapsed" in answer for answer in answers) >= 100


def connections(gateway):
    """Connections of clients that the kernel has for the data listener."""
    port = f":{gateway.data_port:04X}"
    with open("/proc/net/tcp") as file:
        rows = [line.split() for line in file][1:]
    return sum(row[1].endswith(port) and row[3] == "01" for row in rows)


def test_etag_and_conditional_requests(gateway, origin):
    origin.answer = counting(ETag='"v1"', **{"Cache-Control": "max-age=60"})
    assert gateway.get("/crm/people/1").headers["ETag"] == '"v1"'
    answer = gateway.get("/crm/people/1", headers={"If-None-Match": '"v0", "v1"'})
    assert (answer.status_code, answer.content) == (304, b"")
    assert gateway.get("/crm/people/1", headers={"If-None-Match": '"other"'}).status_code == 200
    assert len(origin.seen) == 1


def test_revalidation_with_upstream(gateway, origin):
    def answer(seen):
        if seen.all("If-None-Match") == ['"v1"']:
            return 304, {"ETag": '"v1"'}, b""
        return 200, {"ETag": '"v1"', "Cache-Control": "max-age=60"}, b"the body"
    origin.answer = answer
    gateway.get("/crm/people/1")
    gateway.jump(120)
    again = gateway.get("/crm/people/1")
    assert (again.status_code, again.content) == (200, b"the body")
    assert "fwd-status=304" in status_of(again), status_of(again)
    assert "hit" in status_of(gateway.get("/crm/people/1"))
    assert len(origin.seen) == 2


def test_ranges_from_a_stored_answer(gateway, origin):
    origin.answer = lambda seen: (200, {}, b"0123456789")
    gateway.get("/crm/people/1")
    answer = gateway.get("/crm/people/1", headers={"Range": "bytes=2-4"})
    assert (answer.status_code, answer.content, answer.headers["Content-Range"]) == (206, b"234", "bytes 2-4/10")
    assert gateway.get("/crm/people/1", headers={"Range": "bytes=50-"}).status_code == 416


def test_only_if_cached(gateway, origin):
    problem_of(gateway.get("/crm/people", headers={"Cache-Control": "only-if-cached"}), 504, "cache-only-miss")
    gateway.get("/crm/people")
    assert gateway.get("/crm/people", headers={"Cache-Control": "only-if-cached"}).status_code == 200
    assert len(origin.seen) == 1


def test_no_cache_asks_again(gateway, origin):
    origin.answer = counting()
    gateway.get("/crm/people")
    answer = gateway.get("/crm/people", headers={"Cache-Control": "no-cache"})
    assert answer.content == b'{"n":2}' and "fwd=request" in status_of(answer)
    assert gateway.get("/crm/people").content == b'{"n":2}'


def test_what_must_not_be_stored(gateway, origin):
    for headers in ({"Cache-Control": "no-store"}, {"Set-Cookie": "a=b"}, {"Vary": "*"}, {"Cache-Control": "private"}):
        origin.clear()
        origin.answer = counting(**headers)
        path = f"/crm/people/{abs(hash(str(headers)))}"
        assert gateway.get(path).content != gateway.get(path).content, headers


@pytest.mark.parametrize("control", ["no-store", "max-age=60"])
def test_what_is_said_to_shared_caches_stays_here(gateway, origin, control):
    """Clients get private answers (contract 3): no cache in front of them is told otherwise (RFC 9213 3.1)."""
    origin.answer = counting(**{"CDN-Cache-Control": control, "Cache-Control": "public, s-maxage=60"})
    for _ in range(2):
        answer = gateway.get("/crm/people")
        assert ("stored" in status_of(answer) or "hit" in status_of(answer)) == (control != "no-store")
        assert answer.headers["Cache-Control"] == "private" and "CDN-Cache-Control" not in answer.headers


def test_vary(gateway, origin):
    origin.answer = lambda seen: (200, {"Vary": "Accept-Language"}, (seen.all("Accept-Language") or ["-"])[0].encode())
    for _ in range(2):
        for language in ("de", "fr"):
            assert gateway.get("/crm/people", headers={"Accept-Language": language}).content == language.encode()
    assert len(origin.seen) == 2


def test_a_write_is_seen_by_the_next_read(gateway, origin):
    origin.answer = counting()
    before = gateway.get("/crm/people/1").content
    assert gateway.get("/crm/people/1").content == before
    gateway.request("PUT", "/crm/people/1", data=b"{}")
    settling = gateway.get("/crm/people/1")
    assert settling.content != before and "detail=write-settle" in status_of(settling)
    gateway.jump(4)
    stored = gateway.get("/crm/people/1")
    assert gateway.get("/crm/people/1").content == stored.content


def test_a_write_leaves_other_tenants_and_entities_alone(gateway, origin):
    origin.answer = counting()
    kept = [gateway.get("/crm/people/1", tenant="globex").content, gateway.get("/crm/users").content]
    gateway.request("PUT", "/crm/people/1", data=b"{}")
    assert [gateway.get("/crm/people/1", tenant="globex").content, gateway.get("/crm/users").content] == kept


def test_stale_if_error(gateway, origin):
    origin.answer = counting(**{"Cache-Control": "max-age=10"})
    first = gateway.get("/crm/people")
    gateway.jump(60)
    origin.answer = lambda seen: (503, {}, b"down")
    answer = gateway.get("/crm/people")
    assert (answer.status_code, answer.content) == (200, first.content)
    assert "hit" in status_of(answer) and "stale-if-error" in status_of(answer) and int(answer.headers["Age"]) >= 60
    origin.stop()
    answer = gateway.get("/crm/people")
    assert (answer.status_code, answer.content) == (200, first.content)


def test_an_object_over_entry_max_streams_on(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"entry_max": "64KiB"})
    gateway.map("acme", "cred-acme")
    body = bytes(1000) * 3000
    origin.answer = lambda seen: (200, {"Content-Type": "application/octet-stream"}, body)
    for _ in range(2):
        assert gateway.get("/crm/people/1").content == body
    assert len(origin.seen) == 2


def test_who_waits_for_an_object_that_outgrows_entry_max_gets_all_of_it(make_gateway, origin):
    """Nothing tells its length beforehand: it is being kept until it is too large, and goes on to everybody."""
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"memory": "4MiB", "entry_max": "100KiB"})
    gateway.map("acme", "cred-acme", apis=["crm"])
    go_on, piece = threading.Event(), b"x" * 32768

    def answer(seen):
        write = seen.handler.wfile.write
        write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8000\r\n" + piece + b"\r\n")
        assert go_on.wait(60)
        for _ in range(7):
            write(b"8000\r\n" + piece + b"\r\n")
        write(b"0\r\n\r\n")
    origin.answer = answer
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(requests.get, gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "acme"}, timeout=60) for _ in range(8)]
        wait_for(lambda: connections(gateway) >= 8, 20, "8 connections")
        go_on.set()
        assert all(future.result(60).content == piece * 8 for future in futures)
    assert "fwd=uri-miss" in status_of(gateway.get("/crm/people/1"))


def test_purge(gateway, origin):
    origin.answer = counting()
    assert gateway.get("/crm/people/1").content == gateway.get("/crm/people/1").content
    answer = gateway.request("PURGE", "/crm/people/1")
    assert answer.status_code == 200 and answer.json()["generations"] >= 1
    assert gateway.get("/crm/people/1").content == b'{"n":2}'
    for body in ({"tenant": "acme"}, {"credential_id": "cred-acme"}, {"api": "crm"}, {"api": "crm", "entity": "People"},
                 {"entity": "people"}, {"tenant": "acme", "entity": "people"}, {"tenant": "acme", "entity": "people", "ids": ["1"]},
                 {"tenant": "acme", "api": "crm", "entity": "people", "ids": ["1"]}, {}):
        before = gateway.get("/crm/people/1").content
        told = gateway.session.post(gateway.admin + "/v1/purge", json=body)
        assert told.status_code == 200 and told.json()["generations"] >= 1, told.text
        assert gateway.get("/crm/people/1").content != before, body
    before = gateway.get("/crm/people/1").content
    gateway.session.post(gateway.admin + "/v1/purge", json={"tenant": "globex"})
    gateway.session.post(gateway.admin + "/v1/purge", json={"api": "tms"})
    gateway.session.post(gateway.admin + "/v1/purge", json={"tenant": "acme", "entity": "notes"})
    assert gateway.get("/crm/people/1").content == before
    for bad in ({"nope": 1}, {"ids": []}, {"tenant": 7}, {"tenant": "acme", "api": "crm", "ids": ["1"]}, {"entity": "people", "ids": ["1"]}):
        problem_of(gateway.session.post(gateway.admin + "/v1/purge", json=bad), 400, "bad-request")


def test_a_slow_reader_hurts_no_other(gateway, origin):
    body = bytes(900 * 1024)
    origin.answer = lambda seen: (200, {}, body)
    with gateway.connect() as slow:
        slow.sendall(b"GET /crm/people/1 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
        assert slow.recv(10)
        assert gateway.get("/crm/people/1").content == body
    assert len(origin.seen) == 1


@pytest.mark.threads
def test_a_304_without_vary_is_for_its_own_variant_only(make_gateway, origin):
    """A request for another language stands on the flight that revalidates this one."""
    go_on = threading.Event()
    go_on.set()

    def answer(seen):
        go_on.wait(30)
        fields = {"ETag": '"same"'}
        if '"same"' in seen.all("If-None-Match"):
            return 304, fields, b""
        return 200, {**fields, "Vary": "Accept-Language"}, seen.all("Accept-Language")[0].encode()
    origin.answer = answer
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"default": {"ttl": "5s", "ttl_uncovered": "5s", "stale_while_revalidate": "0s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])

    def ask(language):
        return gateway_get(gateway, language)
    assert ask("de").content == b"de"
    gateway.jump(10)
    go_on.clear()
    before = len(origin.seen)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, "de")
        wait_for(lambda: len(origin.seen) > before, what="the revalidation")
        others = [pool.submit(ask, "en") for _ in range(6)]
        wait_for(lambda: connections(gateway) >= 7, what="the others' connections")
        for _ in range(16):  # what comes later, on either worker, is answered: so all have been read
            gateway.raw(b"GET /none HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n")
        go_on.set()
        assert first.result(30).content == b"de"
        assert [other.result(30).content for other in others] == [b"en"] * 6


def gateway_get(gateway, language):
    """On a connection of its own."""
    return requests.get(gateway.data + "/crm/people", headers={"X-Tenant-Id": "acme", "Accept-Language": language, "Connection": "close"}, timeout=30)
