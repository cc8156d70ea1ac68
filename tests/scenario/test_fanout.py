"""X-Fanout: one request to several of a tenant's systems, each through its own cache, limits and errors."""
import concurrent.futures
import json
import socket
import threading

import pytest
import requests

from conftest import Origin, problem_of, wait_for
from test_tls import authority, listener, trust  # noqa: F401 (authority is a fixture)

JSON = {"Content-Type": "application/json"}
ALL = {"X-Fanout": "all"}


class Systems:
    """An origin that answers for each credential in its own way. `answers[credential]` is a function of the request."""

    def __init__(self):
        self.answers = {}
        self.flying = self.most = 0
        self.lock = threading.Lock()
        self.origin = Origin(self.answer)

    def answer(self, seen):
        credential = seen.headers["X-Rollout-Credential-Id"]
        with self.lock:
            self.flying += 1
            self.most = max(self.most, self.flying)
        try:
            answer = self.answers.get(credential, lambda seen: {"who": credential})(seen)
        finally:
            with self.lock:
                self.flying -= 1
        return (200, JSON, json.dumps(answer).encode()) if isinstance(answer, (dict, list)) else answer

    def seen(self, credential=None):
        with self.origin.lock:
            return [seen for seen in self.origin.seen if credential in (None, seen.headers["X-Rollout-Credential-Id"])]


@pytest.fixture
def systems():
    made = Systems()
    yield made
    made.origin.stop()


@pytest.fixture
def start(make_gateway, systems):
    def make(**more):
        gateway = make_gateway({"crm": {"url": systems.origin.url + "/api"}, "tms": {"url": systems.origin.url + "/tms"},
                                "core": {"url": systems.origin.url + "/core"}}, **more)
        gateway.map("acme", "cred-1", app_key="followupboss", apis=["crm"])
        gateway.map("acme", "cred-2", app_key="lofty", apis=["crm"])
        gateway.map("acme", "cred-3", app_key="brivity", apis=["crm"])
        gateway.map("acme", "cred-tms", app_key="dotloop", apis=["tms"])
        gateway.map("globex", "cred-globex", app_key="lofty", apis=["crm"])
        return gateway
    return make


@pytest.fixture
def fan(start):
    return start()


def results_of(answer):
    assert answer.status_code == 207, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    value = answer.json()
    assert set(value) == {"results", "next"}
    for result in value["results"]:
        assert {"credential_id", "app_key", "status", "cache", "next", "body"} <= set(result)
    return value["results"]


def leg_problem(result, status, code):
    assert result["status"] == status and result["body"]["code"] == code and result["body"]["status"] == status, result
    return result["body"]


@pytest.mark.threads
def test_each_system_answers_for_itself(fan, systems):
    answer = fan.get("/crm/people", headers=ALL)
    results = results_of(answer)
    assert [(r["credential_id"], r["app_key"], r["status"], r["body"]) for r in results] == [
        ("cred-1", "followupboss", 200, {"who": "cred-1"}), ("cred-2", "lofty", 200, {"who": "cred-2"}), ("cred-3", "brivity", 200, {"who": "cred-3"})]
    assert all(r["cache"].startswith("rollout-gateway; fwd=uri-miss; fwd-status=200; stored") for r in results)
    assert answer.json()["next"] is None and all(r["next"] is None for r in results)
    assert answer.headers["Cache-Control"] == "private, no-store" and "detail=fanout" in answer.headers["Cache-Status"]
    assert len(systems.seen()) == 3 and {s.headers["X-Request-Id"] for s in systems.seen()} == {answer.headers["X-Request-Id"]}
    # each has an entry of its own, which a request to that system alone meets, and the other way round
    assert "hit" in fan.get("/crm/people", headers={"X-App-Key": "lofty"}).headers["Cache-Status"]
    assert all("; hit;" in r["cache"] for r in results_of(fan.get("/crm/people", headers=ALL)))
    fan.event(fan.map("acme", "cred-2")["webhook_path"], "peopleUpdated", ["1"])
    assert ["; hit;" in r["cache"] for r in results_of(fan.get("/crm/people", headers=ALL))] == [True, False, True]
    assert len(systems.seen()) == 4
    own = answer.headers["X-Request-Id"]
    wait_for(lambda: sum(line["request_id"] == own for line in fan.events("request")) == 4, what="the lines of the request and its legs")


@pytest.mark.parametrize("named,expected", [
    ("lofty,followupboss", ["cred-2", "cred-1"]),
    ("cred-3, Follow-Up-Boss", ["cred-3", "cred-1"]),
    ("LOFTY , , cred-2,lofty", ["cred-2"]),
    ("ALL", ["cred-1", "cred-2", "cred-3"]),
])
def test_names_in_any_spelling_and_their_order(fan, named, expected):
    assert [r["credential_id"] for r in results_of(fan.get("/crm/people", headers={"X-Fanout": named}))] == expected


def test_an_app_key_stands_for_all_its_credentials(fan):
    fan.map("acme", "cred-4", app_key="Lofty", apis=["crm"])
    assert [r["credential_id"] for r in results_of(fan.get("/crm/people", headers={"X-Fanout": "cred-4,lofty,brivity"}))] == ["cred-4", "cred-2", "cred-3"]


def test_who_is_not_there_hides_nobody(fan):
    results = results_of(fan.get("/crm/people", headers={"X-Fanout": "sisu,lofty,cred-globex,cred-tms"}))
    assert [(r["credential_id"], r["app_key"], r["status"]) for r in results] == [
        (None, "sisu", 404), ("cred-2", "lofty", 200), (None, "cred-globex", 404), (None, "cred-tms", 404)]
    for i in (0, 2, 3):
        leg_problem(results[i], 404, "credential-not-found")


@pytest.mark.parametrize("headers", [
    {"X-Fanout": ""}, {"X-Fanout": ","}, {"X-Fanout": "all,lofty"}, {"X-Fanout": "all;next=x"}, {"X-Fanout": "lofty;next"}, {"X-Fanout": "lofty;next="},
    {"X-Fanout": "lofty;prev=x"}, {"X-Fanout": "lofty;next=%4"}, {"X-Fanout": "lofty;next=a&limit=9"}, {"X-Fanout": "lofty;next=a;next=b"},
    {"X-Fanout": '"lofty"'}, {"X-Fanout": "x" * 200}, {"X-Fanout": ",".join(f"n{i}" for i in range(65))},
    {**ALL, "X-App-Key": "lofty"}, {**ALL, "X-Rollout-Credential-Id": "cred-1"},
])
def test_what_is_malformed_is_refused(fan, systems, headers):
    problem_of(fan.get("/crm/people", headers=headers), 400, "bad-request")
    assert not systems.seen()


def test_nothing_to_fan_out_to(fan, systems):
    problem_of(fan.get("/core/credentials", headers=ALL), 400, "bad-request")
    problem_of(fan.get("/crm/people", tenant="nobody", headers=ALL), 404, "credential-not-found")
    problem_of(fan.get("/tms/people", tenant="globex", headers={"X-Fanout": "lofty"}), 404, "credential-not-found")
    problem_of(fan.get("/nothing/people", headers=ALL), 404, "api-unknown")
    assert not [seen for seen in systems.seen() if seen.target != "/core/credentials"]


def test_a_tenant_that_nobody_has_mapped_is_looked_up(fan, systems):
    systems.answers = {None: lambda seen: [{"id": f"new-{i}", "appKey": key, "createdAt": "2026-01-01T00:00:00Z"} for i, key in enumerate(("lofty", "follow-up-boss"))]}
    results = results_of(fan.request("POST", "/crm/people", tenant="newcomer", headers={"X-Fanout": "followupboss,lofty"}, data=b"{}"))
    assert [(r["credential_id"], r["body"]) for r in results] == [("new-1", {"who": "new-1"}), ("new-0", {"who": "new-0"})]
    assert [seen.body for seen in systems.seen("new-0")] == [b"{}"] and [seen.method for seen in systems.seen()].count("GET") == 1


def test_errors_stay_with_who_made_them(fan, systems):
    def dead(seen):
        seen.handler.connection.shutdown(socket.SHUT_RDWR)

    systems.answers = {"cred-1": lambda seen: (404, JSON, b'{"errorMessage":"no such record"}'), "cred-2": dead,
                       "cred-3": lambda seen: (200, {"Content-Type": "text/plain"}, "gr\u00fc\u00df \"dich\"\n\x00\xff".encode("latin-1"))}
    results = results_of(fan.get("/crm/people/7", headers=ALL))
    assert (results[0]["status"], results[0]["body"]) == (404, {"errorMessage": "no such record"})
    assert leg_problem(results[1], 502, "upstream-unreachable")["request_id"]
    assert results[2]["status"] == 200 and results[2]["body"].endswith(' "dich"\n\x00\ufffd')
    systems.answers = {"cred-1": lambda seen: (204, {}, b""), "cred-2": lambda seen: (429, {**JSON, "Retry-After": "90"}, b'"slow"'),
                       "cred-3": lambda seen: (200, JSON, b'{"n":12345678901234567890.10,"a":1,"a":2}')}
    answer = fan.get("/crm/people/8", headers=ALL)
    results = results_of(answer)
    assert (results[0]["status"], results[0]["body"]) == (204, None)
    assert (results[1]["status"], results[1]["body"], results[1]["retry_after"]) == (429, "slow", 90)
    assert '"body":{"n":12345678901234567890.10,"a":1,"a":2}' in answer.text  # as it came, not as somebody understood it


def test_one_slow_system_is_bounded_by_its_own_deadline(start, systems):
    fan = start(timeouts={"fanout": "20s"})
    go_on, asked = threading.Event(), threading.Event()

    def slow(seen):
        asked.set()
        go_on.wait(60)
        return {"who": "late"}

    systems.answers = {"cred-2": slow}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(fan.get, "/crm/people", headers=ALL)
        assert asked.wait(20)
        wait_for(lambda: len(fan.events("request")) == 2, what="the others' answers")
        fan.jump(21)
        results = results_of(future.result(60))
    assert [r["status"] for r in results] == [200, 504, 200]
    leg_problem(results[1], 504, "upstream-timeout")
    go_on.set()  # its answer is still of use
    wait_for(lambda: "hit" in fan.get("/crm/people", headers={"X-App-Key": "lofty"}).headers["Cache-Status"], what="the late answer in the cache")


def test_a_slow_system_may_have_a_known_answer(start, systems):
    fan = start(cache={"default": {"ttl_uncovered": "10s", "stale_while_revalidate": "0s"}})
    go_on, asked = threading.Event(), threading.Event()
    results_of(fan.get("/crm/people", headers=ALL))

    def slow(seen):
        asked.set()
        go_on.wait(60)
        return {"who": "late"}

    systems.answers = {"cred-2": slow}
    fan.jump(11)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(fan.get, "/crm/people", headers={**ALL, "Prefer": "wait=30"})
        assert asked.wait(20)
        wait_for(lambda: len(fan.events("request")) == 6, what="the others' answers")
        fan.jump(31)
        results = results_of(future.result(60))
    go_on.set()
    assert results[1]["status"] == 200 and results[1]["body"] == {"who": "cred-2"} and "detail=prefer-wait" in results[1]["cache"]


def test_a_body_that_stops_coming_is_bounded_too(start, systems):
    fan = start(timeouts={"fanout": "20s"})
    go_on, asked = threading.Event(), threading.Event()

    def stuck(seen):
        handler = seen.handler
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 200000\r\n\r\n" + b"x" * 100000)
        asked.set()
        go_on.wait(60)
        handler.close_connection = True

    systems.answers = {"cred-3": stuck}
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        future = pool.submit(fan.get, "/crm/people", headers=ALL)
        assert asked.wait(20)
        wait_for(lambda: len(fan.events("request")) == 2, what="the others' answers")
        fan.jump(21)
        results = results_of(future.result(60))
    go_on.set()
    assert [r["status"] for r in results] == [200, 200, 504]
    leg_problem(results[2], 504, "upstream-timeout")


def paged(name, total, size):
    """A list of `total` items in pages of `size`, in Rollout's form; cursors have characters that need care."""
    def answer(seen):
        _, _, query = seen.target.partition("?")
        parameters = dict(part.split("=", 1) for part in query.split("&") if part)
        assert parameters.pop("limit") == str(size) and parameters.pop("tags") == "a%2Cb"
        cursor = parameters.pop("next", None)
        assert not parameters, parameters
        at = 0 if cursor is None else int(cursor.replace("%2F", "/").replace("%3D", "=").replace("%22", '"').removeprefix("c/").removesuffix('="'))
        more = at + size < total
        next_cursor = f'c/{at + size}="' if more else None
        link = f"http://{seen.headers['Host']}/api/people?limit={size}&next=c%2F{at + size}" if more else None
        return {"_metadata": {"collection": "people", "limit": size, "total": total, "next": next_cursor, "nextLink": link},
                "people": [{"id": f"{name}-{i}"} for i in range(at, min(at + size, total))]}
    return answer


@pytest.mark.threads
def test_paging_to_the_end_of_three_systems(fan, systems):
    totals = {"cred-1": 7, "cred-2": 2, "cred-3": 23}
    systems.answers = {name: paged(name, total, 3) for name, total in totals.items()}
    got = {name: [] for name in totals}
    fanout, pages = "all", 0
    while fanout:
        answer = fan.get("/crm/people?offset=0&limit=3&tags=a%2Cb" if pages else "/crm/people?limit=3&tags=a%2Cb", headers={"X-Fanout": fanout})
        for result in results_of(answer):
            assert result["status"] == 200
            got[result["credential_id"]] += [person["id"] for person in result["body"]["people"]]
            assert result["next"] == result["body"]["_metadata"]["next"]
            link = result["body"]["_metadata"]["nextLink"]
            assert link is None or link.startswith(fan.data + "/crm/people?"), "links lead to the gateway"
        fanout, pages = answer.json()["next"], pages + 1
    assert pages == 8 and len(systems.seen()) == 3 + 1 + 8
    assert got == {name: [f"{name}-{i}" for i in range(total)] for name, total in totals.items()}


def test_the_path_form_gets_links_of_its_form(fan, systems):
    systems.answers = {f"cred-{i}": paged(f"cred-{i}", 9, 3) for i in (1, 2, 3)}
    for result in results_of(fan.request("GET", "/t/acme/crm/people?limit=3&tags=a%2Cb", tenant=None, headers=ALL)):
        assert result["body"]["_metadata"]["nextLink"].startswith(fan.data + "/t/acme/crm/people?")


def test_a_cursor_that_no_header_can_hold_is_not_offered(fan, systems):
    systems.answers = {"cred-1": lambda seen: {"_metadata": {"next": "c" * 9000}}, "cred-2": lambda seen: {"_metadata": {"next": ""}},
                       "cred-3": lambda seen: {"_metadata": {"next": 7}}}
    answer = fan.get("/crm/people", headers=ALL)
    assert [r["next"] for r in results_of(answer)] == [None] * 3 and answer.json()["next"] is None


# --- writes


def test_writes_tell_what_was_done_where(fan, systems):
    systems.answers = {"cred-1": lambda seen: (201, JSON, b'{"id":"1"}'), "cred-2": lambda seen: (422, JSON, b'{"errors":[]}'),
                       "cred-3": lambda seen: (503, JSON, b'{"errorMessage":"down"}')}
    fan.get("/crm/people", headers={"X-App-Key": "followupboss"})
    body = json.dumps({"firstName": "A"}).encode()
    answer = fan.request("POST", "/crm/people", headers={**ALL, **JSON}, data=body)
    assert [(r["status"], r["body"]) for r in results_of(answer)] == [(201, {"id": "1"}), (422, {"errors": []}), (503, {"errorMessage": "down"})]
    posts = [seen for seen in systems.seen() if seen.method == "POST"]
    assert len(posts) == 3, "nothing was sent twice"
    assert all(seen.body == body and seen.headers["Content-Type"] == "application/json" for seen in posts)
    assert "hit" not in fan.get("/crm/people", headers={"X-App-Key": "followupboss"}).headers["Cache-Status"]


def test_a_chunked_body_goes_to_each(fan, systems):
    pieces = [b"a" * 30000, b"b" * 50000]
    results = results_of(fan.request("PUT", "/crm/people/1", headers=ALL, data=iter(pieces)))
    assert [r["status"] for r in results] == [200] * 3
    assert [seen.body for seen in systems.seen()] == [b"".join(pieces)] * 3


def test_a_write_keeps_its_conditions_and_a_read_does_not(fan, systems):
    conditions = {"If-Match": '"a"', "If-None-Match": '"b"', "Range": "bytes=0-1"}
    results_of(fan.request("PUT", "/crm/people/1", headers={**ALL, **conditions}, data=b"{}"))
    assert [seen.headers["If-Match"] for seen in systems.seen()] == ['"a"'] * 3
    systems.origin.clear()
    results = results_of(fan.get("/crm/notes", headers={**ALL, **conditions, "Cache-Control": "no-store"}))
    assert [r["status"] for r in results] == [200] * 3
    assert not any(name in seen.headers for seen in systems.seen() for name in conditions)


def test_a_body_too_large_is_sent_to_nobody(start, systems):
    fan = start(sizes={"request_body": "1KiB"})
    problem_of(fan.request("POST", "/crm/people", headers=ALL, data=b"x" * 1025), 413, "payload-too-large")
    problem_of(fan.request("POST", "/crm/people", headers=ALL, data=iter([b"x" * 1000, b"x" * 1000])), 413, "payload-too-large")
    assert not systems.seen()
    assert [r["status"] for r in results_of(fan.request("POST", "/crm/people", headers=ALL, data=b"x" * 1024))] == [200] * 3


def test_a_write_whose_time_is_over_is_not_sent(fan, systems):
    results = results_of(fan.request("POST", "/crm/people", headers={**ALL, "Prefer": "wait=0"}, data=b"{}"))
    assert all("not sent" in leg_problem(r, 504, "upstream-timeout")["detail"] for r in results)
    assert not systems.seen()


def test_each_system_has_its_own_idempotency_key(fan, systems):
    systems.answers = {"cred-2": lambda seen: (500, JSON, b'{"errorMessage":"no"}')}
    for key in ("k-1", '"k-2"'):
        systems.origin.clear()
        for repetition in (False, True):
            results = results_of(fan.request("POST", "/crm/people", headers={**ALL, "Idempotency-Key": key}, data=b"{}"))
            assert [r["status"] for r in results] == [200, 500, 200]
            assert [r.get("replayed", False) for r in results] == [repetition] * 3
        assert len(systems.seen()) == 3, "none was written to twice"
    one = fan.request("POST", "/crm/people", headers={"X-App-Key": "lofty", "Idempotency-Key": "k-1"}, data=b"{}")
    assert "Idempotent-Replayed" not in one.headers, "a key alone is another one"
    results = results_of(fan.request("POST", "/crm/people", headers={**ALL, "Idempotency-Key": "k-1"}, data=b"[]"))
    assert [r["status"] for r in results] == [422] * 3


def test_keys_of_two_certificates_do_not_meet(make_gateway, systems, authority):  # noqa: F811
    gateway = make_gateway({"crm": {"url": systems.origin.url + "/api"}}, listen={"data": listener(authority.issue("server"), authority.file)})
    gateway.map("acme", "cred-1", app_key="followupboss", apis=["crm"])
    systems.answers["cred-1"] = lambda seen: (201, JSON, json.dumps({"id": len(systems.seen("cred-1"))}).encode())

    def write(cert):
        gateway.session.close()
        trust(gateway, authority, cert)
        return results_of(gateway.request("POST", "/crm/people", headers={**ALL, "Idempotency-Key": "same"}, data=b"{}"))[0]
    one, other = (authority.issue(name, name, f"DNS:{name}.internal") for name in ("billing", "search"))
    assert [write(cert)["body"]["id"] for cert in (one, other, one)] == [1, 2, 1]


def test_head_and_purge(fan, systems):
    answer = fan.request("HEAD", "/crm/people", headers=ALL)
    assert answer.status_code == 207 and answer.content == b"" and int(answer.headers["Content-Length"]) > 0
    assert [seen.method for seen in systems.seen()] == ["HEAD"] * 3
    results_of(fan.get("/crm/people", headers=ALL))
    assert [r["status"] for r in results_of(fan.request("PURGE", "/crm/people", headers=ALL))] == [200] * 3
    assert not any("; hit;" in r["cache"] for r in results_of(fan.get("/crm/people", headers=ALL)))


# --- bounds


def test_what_one_system_says_is_bounded(fan, systems):
    large = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    systems.answers = {"cred-1": lambda seen: (200, large, b'"' + b"x" * (5 << 20) + b'"'), "cred-2": lambda seen: (200, large, b'"' + b"y" * (3 << 20) + b'"')}
    results = results_of(fan.get("/crm/people", headers=ALL))
    assert "too large" in leg_problem(results[0], 502, "upstream-invalid")["detail"]
    assert results[1]["body"] == "y" * (3 << 20) and results[2]["body"] == {"who": "cred-3"}


def test_what_all_say_together_is_bounded(fan, systems):
    for i in range(4, 10):
        fan.map("acme", f"cred-{i}", app_key=f"app-{i}", apis=["crm"])
    systems.answers = {f"cred-{i}": lambda seen: (200, {**JSON, "Cache-Control": "no-store"}, b'"' + b"x" * (3 << 20) + b'"') for i in range(1, 10)}
    results = results_of(fan.get("/crm/people", headers=ALL))
    good = [r for r in results if r["status"] == 200]
    assert 1 < len(good) <= 5 and all(len(r["body"]) == 3 << 20 for r in good)
    for result in results:
        if result["status"] != 200:
            assert "together" in leg_problem(result, 503, "overloaded")["detail"]


@pytest.mark.threads
def test_sixty_four_systems_a_few_at_a_time(start, systems):
    fan = start(limits={"tenant": {"rate": "1000/s", "burst": 1000}})
    for i in range(64):
        fan.map("wide", f"w-{i:02}", app_key=f"app-{i}", apis=["crm"])
    ready = threading.Barrier(8)
    for i in range(8):
        systems.answers[f"w-{i:02}"] = lambda seen: ready.wait(60) >= 0 and {"who": "together"}
    results = results_of(fan.get("/crm/people", tenant="wide", headers=ALL))
    assert [r["credential_id"] for r in results] == [f"w-{i:02}" for i in range(64)] and {r["status"] for r in results} == {200}
    assert systems.most <= 8


def test_limits_are_each_ones_own(start, systems):
    fan = start(limits={"credential": {"rate": "1/m", "burst": 1, "max_wait": "0s"}})
    no_store = {"Cache-Control": "no-store"}
    assert fan.get("/crm/people", headers={"X-App-Key": "lofty", **no_store}).status_code == 200
    results = results_of(fan.get("/crm/people", headers={**ALL, **no_store}))
    assert [r["status"] for r in results] == [200, 429, 200]
    leg_problem(results[1], 429, "rate-limited")
    assert results[1]["retry_after"] >= 1


def test_a_client_that_leaves_takes_its_legs_along(fan, systems):
    go_on, asked = threading.Event(), threading.Semaphore(0)

    def held(seen):
        asked.release()
        go_on.wait(60)
        return {"who": "late"}

    systems.answers = {f"cred-{i}": held for i in (1, 2, 3)}
    sock = fan.connect()
    sock.sendall(b"DELETE /crm/people/1 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nX-Fanout: all\r\n\r\n")
    for _ in range(3):
        assert asked.acquire(timeout=20)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()
    wait_for(lambda: len([line for line in fan.events("request") if line.get("end") == "client-gone"]) == 4, what="the end of all")
    go_on.set()
    assert fan.get("/crm/notes", headers={"X-App-Key": "lofty"}).status_code == 200


# --- who calls


def test_nothing_of_the_clients_identity_reaches_a_system(fan, systems):
    hostile = {**ALL, "Authorization": "Bearer stolen", "Cookie": "a=b", "X_Rollout_Credential_Id": "cred-globex",
               "X-Forwarded-For": "1.2.3.4", "X-HTTP-Method-Override": "DELETE", "X-Rollout-Signature": "x", "Connection": "X-Mine, close", "X-Mine": "1",
               "X-Rollout-Gateway-Fanout": "1", "Accept": "application/json"}
    results = results_of(fan.get("/crm/people", headers=hostile))
    assert [r["body"]["who"] for r in results] == ["cred-1", "cred-2", "cred-3"]
    for seen in systems.seen():
        assert len(seen.all("Authorization")) == 1 and "stolen" not in seen.headers["Authorization"]
        assert len(seen.all("X-Rollout-Credential-Id")) == 1
        for name in ("Cookie", "X-Fanout", "X-Tenant-Id", "X_Rollout_Credential_Id", "X-Forwarded-For", "X-HTTP-Method-Override", "X-Rollout-Signature", "X-Mine"):
            assert name not in seen.headers, name


def test_two_of_the_header_are_malformed(fan, systems):
    answer = fan.raw(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Tenant-Id: acme\r\nX-Fanout: lofty\r\nX-Fanout: all\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and not systems.seen()


def test_a_key_allows_no_more_than_alone(fan, systems):
    made = requests.post(fan.admin + "/v1/keys", json={"name": "reader", "tenants": ["acme"], "apis": ["crm"], "methods": ["GET"]}, timeout=60)
    key = {"X-Gateway-Key": made.json()["key"]}
    problem_of(fan.get("/crm/people", headers=ALL), 401, "unauthenticated")
    problem_of(fan.get("/crm/people", tenant="globex", headers={**ALL, **key}), 403, "forbidden")
    problem_of(fan.get("/tms/people", headers={**ALL, **key}), 403, "forbidden")
    problem_of(fan.request("DELETE", "/crm/people/1", headers={**ALL, **key}), 403, "forbidden")
    assert not systems.seen()
    assert len(results_of(fan.get("/crm/people", headers={**ALL, **key}))) == 3
    wait_for(lambda: [line["caller"] for line in fan.events("request") if line["status"] == 200] == ["reader"] * 3, what="the legs' lines")


def test_the_callers_own_limit_holds_for_its_legs(start, systems):
    fan = start(limits={"service": {"rate": "2/m", "burst": 2, "max_wait": "0s"}})
    made = requests.post(fan.admin + "/v1/keys", json={"name": "reader", "tenants": ["*"], "apis": ["crm"], "methods": ["GET"]}, timeout=60)
    results = results_of(fan.get("/crm/people", headers={**ALL, "X-Gateway-Key": made.json()["key"]}))
    assert sorted(r["status"] for r in results) == [200, 200, 429]
