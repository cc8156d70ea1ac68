"""Rollout Link and discovery: in front of a Rollout of our own that checks every token with PyJWT."""
import concurrent.futures
import json
import socket
import struct
import subprocess
import threading
import urllib.parse

import jwt
import pytest
import requests

from conftest import BINARY, CLIENT_ID, SECRET, Origin, json_of, problem_of, wait_for

PAGE = "https://app.example.com"


class Rollout(Origin):
    """Three APIs of Rollout. `accounts`: {tenant: [{"id", "appKey", …}]}; a data call wants the tenant's own."""

    def __init__(self):
        super().__init__(self.serve)
        self.accounts = {}
        self.refused = {}  # (api, credential) -> status
        self.list_answer = None  # (status, headers, body) in place of a list
        self.hold = None  # an Event that lists wait for
        self.delete_status = None

    def upstreams(self, *apis):
        return {api: {"url": f"{self.url}/{api}/api"} for api in apis or ("core", "crm", "tms")}

    def connect(self, tenant, credential_id, app_key, **more):
        self.accounts.setdefault(tenant, []).append({"id": credential_id, "appKey": app_key, "createdAt": "2026-01-01T00:00:00Z", **more})

    def disconnect(self, tenant, credential_id):
        self.accounts[tenant] = [one for one in self.accounts[tenant] if one["id"] != credential_id]

    def ids(self, tenant):
        return [one["id"] for one in self.accounts.get(tenant, [])]

    def calls(self, method, api, path):
        return [seen for seen in list(self.seen) if seen.method == method and seen.target.split("?")[0] == f"/{api}/api{path}"]

    def lists(self):
        return len(self.calls("GET", "core", "/credentials"))

    def tenant_of(self, seen):
        scheme, token = seen.all("Authorization")[0].split(" ")
        assert scheme == "Bearer" and len(seen.all("Authorization")) == 1
        claims = jwt.decode(token, SECRET, algorithms=["HS512"], issuer=CLIENT_ID, options={"require": ["exp", "iat", "iss", "sub"], "verify_iat": False, "verify_exp": False})
        return claims["sub"]

    def serve(self, seen):
        tenant = self.tenant_of(seen)
        path, _, query = seen.target.partition("?")
        _, api, base, entity = path.split("/", 3)
        assert base == "api"
        if api == "core":
            assert not seen.all("X-Rollout-Credential-Id")
            return self.core(seen, tenant, entity, urllib.parse.parse_qs(query))
        (credential,) = seen.all("X-Rollout-Credential-Id")
        if status := self.refused.get((api, credential)):
            return status, {"Content-Type": "application/json"}, b'{"errorMessage":"no"}'
        if credential not in self.ids(tenant):
            return 403, {"Content-Type": "application/json"}, b'{"errorMessage":"Invalid credential."}'
        return 200, {"Content-Type": "application/json"}, json.dumps({"by": credential}).encode()

    def core(self, seen, tenant, entity, query):
        assert entity == "credentials"
        if seen.method == "DELETE":
            if self.delete_status:
                return self.delete_status, {"Content-Type": "application/json"}, b"{}"
            (credential,) = query["credentialId"]
            if credential not in self.ids(tenant):
                return 404, {"Content-Type": "application/json"}, b"{}"
            self.disconnect(tenant, credential)
            return 200, {"Content-Type": "application/json"}, b"{}"
        if self.hold:
            assert self.hold.wait(60)
        if self.list_answer:
            return self.list_answer
        return 200, {"Content-Type": "application/json"}, json.dumps(self.accounts.get(tenant, [])).encode()


@pytest.fixture
def rollout():
    made = Rollout()
    yield made
    made.stop()


@pytest.fixture
def gateway(make_gateway, rollout):
    return make_gateway(rollout.upstreams(), link={"allowed_origins": [PAGE]})


def mapped(gateway, tenant):
    answer = requests.get(f"{gateway.admin}/v1/tenants/{tenant}/credentials", timeout=60)
    return {one["credential_id"]: one for one in answer.json()["credentials"]}


def link(gateway, method, path, tenant="acme", **more):
    return gateway.request(method, "/link" + path, tenant, **more)


# --- discovery


def test_the_first_request_of_an_unmapped_tenant_works(gateway, rollout):
    rollout.connect("acme", "cred-1", "follow-up-boss", label="Ada's CRM")
    answer = gateway.get("/crm/people")
    assert answer.status_code == 200 and answer.json() == {"by": "cred-1"}
    assert gateway.get("/crm/people/1").status_code == 200
    assert rollout.lists() == 1
    one = mapped(gateway, "acme")["cred-1"]
    assert (one["app_key"], one["apis"], one["label"], one["status"]) == ("follow-up-boss", ["crm"], "Ada's CRM", "active")
    assert one["discovered"] is True and one["last_checked"] and not one["default"]
    assert gateway.event(one["webhook_path"], "peopleUpdated", ["1"]).status_code == 204
    wait_for(lambda: [(line["added"], line["tenant"]) for line in gateway.events("credentials")] == [(1, "acme")], what="the line")


@pytest.mark.threads
def test_many_first_requests_are_one_look_up(gateway, rollout):
    rollout.connect("acme", "cred-1", "followupboss")
    rollout.hold = threading.Event()
    sockets = [gateway.connect() for _ in range(60)]
    for sock in sockets:
        sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: g\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n")
    wait_for(lambda: rollout.lists() == 1, what="the look-up")
    for sock in sockets[50:]:
        sock.close()  # who leaves is not missed
    rollout.hold.set()
    for sock in sockets[:50]:
        assert sock.makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        sock.close()
    assert rollout.lists() == 1


@pytest.mark.threads
def test_many_tenants_at_once_each_have_their_own(gateway, rollout):
    tenants = [f"t{i}" for i in range(40)]
    for tenant in tenants[::2]:
        rollout.connect(tenant, f"cred-{tenant}", "lofty")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda tenant: requests.get(f"{gateway.data}/crm/people", headers={"X-Tenant-Id": tenant}, timeout=60), tenants * 3))
    for tenant, answer in zip(tenants * 3, answers):
        if tenant in tenants[::2]:
            assert answer.json() == {"by": f"cred-{tenant}"}
        else:
            problem_of(answer, 404, "credential-not-found")
    assert rollout.lists() == 40


def test_nothing_there_is_remembered_for_a_while(gateway, rollout):
    for _ in range(5):
        value = problem_of(gateway.get("/crm/people", "nobody"), 404, "credential-not-found")
        assert "neither here nor at Rollout" in value["detail"]
    assert rollout.lists() == 1
    rollout.connect("nobody", "cred-n", "lofty")
    problem_of(gateway.get("/crm/people", "nobody"), 404, "credential-not-found")
    gateway.jump(31)
    assert gateway.get("/crm/people", "nobody").json() == {"by": "cred-n"}
    assert rollout.lists() == 2


@pytest.mark.parametrize("answer, words", [
    ((500, {"Content-Type": "application/json"}, b"{}"), "cannot be reached"),
    ((500, {"Content-Type": "text/html"}, b"oops"), "as it should"),
    ((200, {"Content-Type": "application/json"}, b'{"credentials":[]}'), "as it should"),
    ((200, {"Content-Type": "application/json"}, b'[{"id":"cred-1"},{"appKey":"lofty"}]'), "as it should"),
    ((200, {"Content-Type": "application/json"}, b'[{"id":"cred-1"'), "as it should"),
    ((401, {}, b"{}"), "as it should"),
    ((429, {"Retry-After": "7"}, b"{}"), "limit"),
])
def test_when_rollout_cannot_be_asked_the_refusal_says_so(gateway, rollout, answer, words):
    rollout.connect("acme", "cred-1", "lofty")
    rollout.list_answer = answer
    value = problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert "could not be asked" in value["detail"] and words in value["detail"]
    assert mapped(gateway, "acme") == {}
    asked = rollout.lists()
    problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert rollout.lists() == asked  # not by every request
    rollout.list_answer = None
    gateway.jump(10)
    assert gateway.get("/crm/people").status_code == 200


def test_a_404_in_place_of_the_list_is_an_empty_one(gateway, rollout):
    rollout.list_answer = (404, {"Content-Type": "application/json"}, b"{}")
    value = problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert "neither here nor at Rollout" in value["detail"]


def test_an_unreachable_rollout_is_told(make_gateway, rollout):
    gateway = make_gateway({**rollout.upstreams("crm"), "core": {"url": "http://127.0.0.1:1/core/api"}})
    value = problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert "could not be asked" in value["detail"]
    problem_of(link(gateway, "POST", "/credentials", json={"credential_id": "cred-1"}), 502, "upstream-unreachable")


@pytest.mark.short
def test_a_rollout_that_says_nothing_is_not_waited_for_without_end(make_gateway, rollout):
    gateway = make_gateway(rollout.upstreams(), timeouts={"first_byte": "300ms", "total": "1s"})
    rollout.hold = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda _: requests.get(f"{gateway.data}/crm/people", headers={"X-Tenant-Id": "acme"}, timeout=60), range(8)):
            assert "could not be asked" in problem_of(answer, 404, "credential-not-found")["detail"]
    rollout.hold.set()


@pytest.mark.parametrize("more", [{"upstreams": ("crm",)}, {"discovery": {"enabled": False}}])
def test_without_core_or_switched_off_nobody_is_asked(make_gateway, rollout, more):
    apis = more.pop("upstreams", ())
    rollout.connect("acme", "cred-1", "lofty")
    gateway = make_gateway(rollout.upstreams(*apis), **more)
    value = problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert value["detail"] == "the tenant has no credential that serves this API"
    assert not rollout.seen


def test_a_tenant_is_looked_up_for_an_api_that_nothing_of_it_serves(gateway, rollout):
    gateway.map("acme", "cred-1", app_key="lofty", apis=["crm"])
    rollout.connect("acme", "cred-1", "lofty")
    rollout.connect("acme", "cred-2", "skyslope")
    assert gateway.get("/crm/people").status_code == 200 and rollout.lists() == 0
    assert gateway.get("/tms/transactions").json() == {"by": "cred-2"}
    assert gateway.get("/crm/people").status_code == 200
    problem_of(gateway.get("/tms/x", headers={"X-App-Key": "dotloop"}), 404, "credential-not-found")
    problem_of(gateway.get("/tms/x", headers={"X-Rollout-Credential-Id": "cred-3"}), 403, "credential-forbidden")
    assert rollout.lists() == 1
    rollout.connect("acme", "cred-3", "dotloop")
    gateway.jump(31)
    assert gateway.get("/tms/x", headers={"X-Rollout-Credential-Id": "cred-3"}).json() == {"by": "cred-3"}
    assert not mapped(gateway, "acme")["cred-1"]["discovered"]


def test_connectors_say_which_apis_an_account_serves(make_gateway, rollout):
    gateway = make_gateway(rollout.upstreams(), connectors={"house_made": {"apis": ["tms"]}, "Lofty": {"apis": ["tms"]}})
    for number, app_key in enumerate(("Follow_Up.Boss", "sky slope", "HouseMade", "lofty", "who-knows", "")):
        rollout.connect("acme", f"cred-{number}", app_key)
    gateway.get("/crm/people")
    apis = {name: one["apis"] for name, one in mapped(gateway, "acme").items()}
    assert apis == {"cred-0": ["crm"], "cred-1": ["tms"], "cred-2": ["tms"], "cred-3": ["tms"], "cred-4": [], "cred-5": []}
    wait_for(lambda: {line["app_key"] for line in gateway.events("connector-unknown")} == {"who-knows", ""}, what="the warnings")


def test_what_cannot_be_stored_is_left_out(gateway, rollout):
    rollout.connect("acme", "bad id", "lofty")
    rollout.connect("acme", "x" * 300, "lofty")
    rollout.connect("acme", "cred-1", "lofty", label="a\nb")
    rollout.connect("acme", "cred-1", "lofty")
    assert gateway.get("/crm/people").json() == {"by": "cred-1"}
    assert mapped(gateway, "acme").keys() == {"cred-1"}


def test_an_account_that_is_mapped_for_another_tenant_stays_there(gateway, rollout):
    gateway.map("globex", "cred-1", app_key="lofty", apis=["crm"])
    rollout.connect("acme", "cred-1", "lofty")
    problem_of(gateway.get("/crm/people", "acme"), 404, "credential-not-found")
    assert mapped(gateway, "acme") == {} and mapped(gateway, "globex").keys() == {"cred-1"}
    wait_for(lambda: [line["mapped_for_another_tenant"] for line in gateway.events("credentials")] == [1], what="the warning")


# --- what Rollout refuses is looked for once


@pytest.mark.threads
def test_a_credential_that_has_gone_is_dropped_with_its_data(gateway, rollout):
    rollout.connect("acme", "cred-1", "lofty")
    assert gateway.get("/crm/people").status_code == 200
    assert "hit" in gateway.get("/crm/people").headers["Cache-Status"]
    gateway.jump(61)
    assert gateway.get("/crm/people").status_code == 200
    rollout.disconnect("acme", "cred-1")
    assert gateway.get("/crm/notes").status_code == 403  # as Rollout answers it
    wait_for(lambda: mapped(gateway, "acme")["cred-1"]["status"] == "gone", what="the mark")
    problem_of(gateway.get("/crm/people"), 404, "credential-not-found")  # not from the cache
    assert rollout.lists() == 2
    rollout.connect("acme", "cred-1", "lofty")
    gateway.jump(31)
    assert "hit" not in gateway.get("/crm/people").headers["Cache-Status"]
    assert mapped(gateway, "acme")["cred-1"]["status"] == "active"


def test_doubts_are_no_storm(gateway, rollout):
    gateway.map("acme", "cred-1", app_key="lofty", apis=["crm"])
    rollout.connect("acme", "cred-1", "lofty")
    rollout.refused["crm", "cred-1"] = 403
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for answer in pool.map(lambda n: requests.get(f"{gateway.data}/crm/x{n}", headers={"X-Tenant-Id": "acme"}, timeout=60), range(40)):
            assert answer.status_code == 403
    wait_for(lambda: mapped(gateway, "acme")["cred-1"]["last_checked"], what="the look")
    assert rollout.lists() == 1
    one = mapped(gateway, "acme")["cred-1"]
    assert one["status"] == "active" and one["apis"] == ["crm"]
    gateway.jump(61)
    assert gateway.get("/crm/x").status_code == 403
    wait_for(lambda: rollout.lists() == 2, what="another look")


def test_a_404_of_a_record_is_no_doubt(gateway, rollout):
    gateway.map("acme", "cred-1", app_key="lofty", apis=["crm"])
    rollout.connect("acme", "cred-1", "lofty")
    rollout.refused["crm", "cred-1"] = 404
    assert gateway.get("/crm/people/1").status_code == 404
    assert rollout.lists() == 0
    assert gateway.get("/crm/people").status_code == 404
    wait_for(lambda: rollout.lists() == 1, what="the look")


@pytest.mark.parametrize("answer, status", [((404, {}, b"{}"), "active"), ((200, {"Content-Type": "application/json"}, b"[]"), "gone")])
def test_what_an_operator_has_made_goes_by_a_real_list_alone(gateway, rollout, answer, status):
    gateway.map("acme", "cred-1", app_key="lofty", apis=["crm"])
    rollout.list_answer = answer
    assert gateway.get("/crm/people").status_code == 403
    wait_for(lambda: rollout.lists() == 1, what="the look")
    value = requests.post(f"{gateway.admin}/v1/tenants/acme/discover", timeout=60)  # behind the first one
    assert value.status_code == 200
    wait_for(lambda: mapped(gateway, "acme")["cred-1"]["status"] == status, what=status)


def test_a_look_for_more_takes_nothing_of_what_an_operator_has_made(gateway, rollout):
    gateway.map("acme", "cred-1", app_key="lofty", apis=["crm"])
    rollout.connect("acme", "cred-2", "dotloop")
    assert gateway.get("/tms/transactions").json() == {"by": "cred-2"}
    assert rollout.lists() == 1
    assert {name: one["status"] for name, one in mapped(gateway, "acme").items()} == {"cred-1": "active", "cred-2": "active"}


def test_answers_teach_what_an_account_of_an_unknown_system_serves(gateway, rollout):
    rollout.connect("acme", "cred-1", "who-knows")
    rollout.connect("acme", "cred-2", "lofty")
    rollout.refused["crm", "cred-1"] = 403
    both = problem_of(gateway.get("/crm/people"), 409, "credential-ambiguous")
    assert {one["credential_id"] for one in both["choices"]} == {"cred-1", "cred-2"}
    gateway.jump(61)
    assert gateway.get("/crm/people", headers={"X-App-Key": "WhoKnows"}).status_code == 403
    wait_for(lambda: mapped(gateway, "acme")["cred-1"]["apis"] == ["tms"], what="what was learned")
    assert gateway.get("/crm/people").json() == {"by": "cred-2"}
    assert gateway.get("/tms/transactions").json() == {"by": "cred-1"}
    # … and is unlearned when it is all that stands in the way
    del rollout.refused["crm", "cred-1"]
    rollout.disconnect("acme", "cred-2")
    requests.delete(f"{gateway.admin}/v1/tenants/acme/credentials/cred-2", timeout=60)
    gateway.jump(31)
    assert gateway.get("/crm/people").json() == {"by": "cred-1"}


# --- Link


def test_a_token_for_the_front_end(gateway):
    answer = link(gateway, "POST", "/token")
    value = json_of(answer)
    claims = jwt.decode(value["token"], SECRET, algorithms=["HS512"], issuer=CLIENT_ID)
    assert claims["sub"] == "acme" and claims["exp"] - claims["iat"] == 900
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["X-Request-Id"]
    assert answer.headers["Cache-Status"].startswith("rollout-gateway")
    assert value.keys() == {"token", "expires_at"} and value["expires_at"].endswith("Z")
    gateway.jump(300)
    later = jwt.decode(link(gateway, "POST", "/token").json()["token"], SECRET, algorithms=["HS512"], options={"verify_iat": False})
    assert later["exp"] >= claims["exp"] + 299  # its whole life before it
    assert gateway.request("POST", "/t/globex/link/token", None).status_code == 200


@pytest.mark.threads
def test_a_credential_is_connected_listed_and_disconnected(gateway, rollout):
    rollout.connect("acme", "cred~1:a", "lofty", label="Ada")
    answer = link(gateway, "POST", "/credentials", json={"credential_id": "cred~1:a", "app_key": "someone-else"})
    assert answer.status_code == 201
    value = json_of(answer)
    assert (value["tenant"], value["credential_id"], value["app_key"], value["apis"], value["label"]) == ("acme", "cred~1:a", "lofty", ["crm"], "Ada")
    assert value["status"] == "active" and "webhook" not in answer.text
    assert link(gateway, "POST", "/credentials", json={"credential_id": "cred~1:a"}).status_code == 200
    listed = json_of(link(gateway, "GET", "/credentials"))
    assert [one["credential_id"] for one in listed["credentials"]] == ["cred~1:a"] and "webhook" not in json.dumps(listed)
    assert gateway.get("/crm/people").status_code == 200 and gateway.get("/crm/people").headers["Cache-Status"].count("hit")

    answer = link(gateway, "DELETE", "/credentials/cred~1%3Aa")
    assert answer.status_code == 204 and not answer.content
    (seen,) = rollout.calls("DELETE", "core", "/credentials")
    assert seen.target.endswith("?credentialId=cred~1%3Aa")
    assert rollout.ids("acme") == [] and mapped(gateway, "acme") == {}
    problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    assert link(gateway, "DELETE", "/credentials/cred~1:a").status_code == 204  # again, or by somebody else: the same
    rollout.connect("acme", "cred~1:a", "lofty")
    assert link(gateway, "POST", "/credentials", json={"credential_id": "cred~1:a"}).status_code == 201
    assert "hit" not in gateway.get("/crm/people").headers["Cache-Status"]  # nothing from before


def test_a_foreign_or_unknown_id_is_refused_and_nothing_is_stored(gateway, rollout):
    rollout.connect("acme", "cred-1", "lofty")
    rollout.connect("globex", "cred-2", "lofty")
    for name in ("cred-2", "cred-3"):
        problem_of(link(gateway, "POST", "/credentials", json={"credential_id": name}), 403, "credential-forbidden")
    assert mapped(gateway, "acme") == {}
    assert link(gateway, "POST", "/credentials", "globex", json={"credential_id": "cred-2"}).status_code == 201
    asked = len(rollout.seen)
    problem_of(link(gateway, "DELETE", "/credentials/cred-2"), 403, "credential-forbidden")
    assert len(rollout.seen) == asked and rollout.ids("globex") == ["cred-2"]
    gateway.map("initech", "cred-1", apis=["crm"])
    problem_of(link(gateway, "POST", "/credentials", json={"credential_id": "cred-1"}), 409, "conflict")


def test_what_is_found_is_subscribed_at_once(make_gateway, rollout):
    gateway = make_gateway(rollout.upstreams("core", "crm"), webhooks={"public_url": "https://hooks.example.com"})
    rollout.connect("acme", "cred-1", "lofty")
    rollout.connect("globex", "cred-2", "lofty")
    assert gateway.get("/crm/people").status_code == 200
    wait_for(lambda: any(seen.all("X-Rollout-Credential-Id") == ["cred-1"] for seen in rollout.calls("GET", "crm", "/webhooks")), what="a look at its subscriptions")
    assert link(gateway, "POST", "/credentials", "globex", json={"credential_id": "cred-2"}).status_code == 201
    wait_for(lambda: any(seen.all("X-Rollout-Credential-Id") == ["cred-2"] for seen in rollout.calls("GET", "crm", "/webhooks")), what="a look at its subscriptions")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"{}", b'{"credential_id":1}', b'{"credential_id":""}', b'{"credential_id":"a b"}', b'{"credential_id":"a","app_key":2}',
                                  b'{"credential_id":"a","apis":["crm"]}', b'{"credential_id":"' + b"a" * 129 + b'"}', b'{"credential_id":"a","app_key":"' + b"a" * 65 + b'"}',
                                  b'{"credential_id":"a","credential_id":"b"}', b'{"credential_id":"a\\u0000"}'])
def test_bodies_that_cannot_be(gateway, rollout, body):
    problem_of(link(gateway, "POST", "/credentials", data=body), 400, "bad-request")
    assert not rollout.seen


def test_paths_and_methods(gateway):
    problem_of(link(gateway, "GET", ""), 404, "not-found")
    problem_of(link(gateway, "GET", "/x"), 404, "not-found")
    problem_of(link(gateway, "GET", "/credentials/"), 404, "not-found")
    problem_of(link(gateway, "DELETE", "/credentials/a/b"), 404, "not-found")
    problem_of(link(gateway, "DELETE", "/credentials/a%20b"), 400, "bad-request")
    for method, path, allow in (("GET", "/token", "POST"), ("PUT", "/credentials", "GET, HEAD, POST"), ("GET", "/credentials/a", "DELETE")):
        answer = link(gateway, method, path)
        problem_of(answer, 405, "method-not-allowed")
        assert answer.headers["Allow"] == allow
    problem_of(link(gateway, "POST", "/token", None), 400, "tenant-required")
    assert link(gateway, "HEAD", "/credentials").status_code == 200
    problem_of(link(gateway, "POST", "/credentials", data=b"x" * 20000), 413, "payload-too-large")


def test_a_failed_disconnection_changes_nothing(gateway, rollout):
    rollout.connect("acme", "cred-1", "lofty")
    assert gateway.get("/crm/people").status_code == 200
    for status, expected, code in ((500, 502, "upstream-unreachable"), (429, 429, "rate-limited"), (401, 502, "upstream-invalid"), (403, 403, "credential-forbidden")):
        rollout.delete_status = status
        problem_of(link(gateway, "DELETE", "/credentials/cred-1"), expected, code)
        assert mapped(gateway, "acme")["cred-1"]["status"] == "active"
        gateway.jump(120)  # the breaker and the limits forget
    assert gateway.get("/crm/people").status_code == 200


def test_what_a_client_began_goes_on_without_it(gateway, rollout):
    rollout.connect("acme", "cred-1", "lofty")
    rollout.hold = threading.Event()
    body = b'{"credential_id":"cred-1"}'
    with gateway.connect() as sock:
        sock.sendall(b"POST /t/acme/link/credentials HTTP/1.1\r\nHost: g\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        wait_for(lambda: rollout.lists() == 1, what="the question")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
    wait_for(lambda: any(line.get("end") == "client-gone" for line in gateway.events("request")), what="the departure")
    rollout.hold.set()
    wait_for(lambda: "cred-1" in mapped(gateway, "acme"), what="the mapping")


def test_pages_of_allowed_origins_alone(gateway):
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-tenant-id"}
    for path in ("/link/token", "/t/acme/link/credentials"):
        answer = gateway.request("OPTIONS", path, None, headers={"Origin": PAGE, **ask})
        assert answer.status_code == 204 and answer.headers["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in answer.headers["Access-Control-Allow-Methods"] and "Origin" in answer.headers["Vary"]
        assert "x-tenant-id" in answer.headers["Access-Control-Allow-Headers"].lower()
    for path, origin in (("/link/token", "https://app.example.com.evil.example"), ("/link/token", "null"), ("/crm/people", PAGE), ("/t/acme/crm/link/x", PAGE)):
        answer = gateway.request("OPTIONS", path, "acme", headers={"Origin": origin, **ask})
        assert "Access-Control-Allow-Origin" not in answer.headers and answer.status_code != 204
    answer = link(gateway, "POST", "/token", headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE and answer.headers["Vary"] == "Origin"
    answer = link(gateway, "POST", "/token", headers={"Origin": "https://evil.example"})
    assert "Access-Control-Allow-Origin" not in answer.headers and answer.headers["Vary"] == "Origin"
    answer = link(gateway, "POST", "/credentials", headers={"Origin": PAGE}, data=b"{")
    assert problem_of(answer, 400, "bad-request") and answer.headers["Access-Control-Allow-Origin"] == PAGE


def test_without_allowed_origins_nothing_is_said(make_gateway, rollout):
    gateway = make_gateway(rollout.upstreams())
    answer = gateway.request("OPTIONS", "/link/token", "acme", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 405 and not {"Access-Control-Allow-Origin", "Vary"} & answer.headers.keys()
    answer = link(gateway, "POST", "/token", headers={"Origin": PAGE})
    assert answer.status_code == 200 and not {"Access-Control-Allow-Origin", "Vary"} & answer.headers.keys()


def test_callers_need_a_key_for_link(gateway):
    keys = {name: requests.post(f"{gateway.admin}/v1/keys", json={"name": name, **spec}, timeout=60).json()["key"]
            for name, spec in (("front", {"apis": ["link"], "tenants": ["acme"]}), ("reports", {"apis": ["crm"]}))}
    problem_of(link(gateway, "POST", "/token"), 401, "unauthenticated")
    assert problem_of(link(gateway, "POST", "/token", headers={"X-Gateway-Key": keys["reports"]}), 403, "forbidden")["rule"] == "apis"
    assert problem_of(link(gateway, "POST", "/token", "globex", headers={"X-Gateway-Key": keys["front"]}), 403, "forbidden")["rule"] == "tenants"
    assert link(gateway, "POST", "/token", headers={"Authorization": "Bearer " + keys["front"]}).status_code == 200
    # A preflight cannot bring one.
    answer = gateway.request("OPTIONS", "/link/token", None, headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})
    assert answer.status_code == 204
    problem_of(gateway.request("OPTIONS", "/crm/people", None, headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}), 401, "unauthenticated")
    wait_for(lambda: any(line.get("api") == "link" and line.get("caller") == "front" and line["status"] == 200 for line in gateway.events("request")), what="its access line")


def test_secrets_and_whole_ids_stay_where_they_are(gateway, rollout):
    credential = "cred-0123456789-whole"
    rollout.connect("acme", credential, "lofty", data={"accessToken": "planted-secret-1"}, currentData={"refreshToken": "planted-secret-2"}, profile={"accountName": "planted-secret-3"})
    texts = [gateway.get("/crm/people").text, link(gateway, "POST", "/credentials", json={"credential_id": credential}).text, link(gateway, "GET", "/credentials").text]
    token = link(gateway, "POST", "/token").json()["token"]
    texts.append(requests.post(f"{gateway.admin}/v1/tenants/acme/discover", timeout=60).text)
    assert link(gateway, "DELETE", "/credentials/" + credential).status_code == 204
    gateway.stop()
    log = "\n".join(gateway.lines)
    kept = b"".join(path.read_bytes() for path in gateway.directory.glob("state/*"))
    for secret in ("planted-secret", SECRET):
        assert all(secret not in text for text in texts) and secret not in log and secret.encode() not in kept
    assert credential not in log and token not in log and token.encode() not in kept
    assert sum('"api":"link"' in line for line in gateway.lines) == 4


# --- operators


def test_an_operator_looks_now(gateway, rollout):
    ask = f"{gateway.admin}/v1/tenants/acme/discover"
    problem_of(gateway.get("/crm/people"), 404, "credential-not-found")
    rollout.connect("acme", "cred-1", "lofty")
    rollout.connect("acme", "cred-2", "skyslope")
    value = requests.post(ask, timeout=60).json()
    assert (value["tenant"], value["added"], value["returned"], value["gone"]) == ("acme", 2, 0, 0)
    assert [one["credential_id"] for one in value["credentials"]] == ["cred-1", "cred-2"]
    assert gateway.get("/crm/people").status_code == 200  # whatever was remembered
    rollout.disconnect("acme", "cred-2")
    value = requests.post(ask, timeout=60).json()
    assert value["gone"] == 1 and {one["credential_id"]: one["status"] for one in value["credentials"]} == {"cred-1": "active", "cred-2": "gone"}
    rollout.list_answer = (500, {"Content-Type": "application/json"}, b"{}")
    answer = requests.post(ask, timeout=60)
    assert answer.status_code == 502 and "nothing was changed" in answer.json()["detail"]
    assert requests.post(f"{gateway.admin}/v1/tenants/a%20b/discover", timeout=60).status_code == 400
    assert requests.get(ask, timeout=60).status_code == 405
    metrics = requests.get(f"{gateway.admin}/metrics", timeout=60).text
    for line in ("lookups_total 4", "failed_total 1", "found_total 2", "gone_total 1"):
        assert f"\nrollout_gateway_discovery_{line}\n" in metrics
    explained = requests.post(f"{gateway.admin}/v1/explain", json={"tenant": "nobody", "method": "GET", "path": "/crm/people"}, timeout=60).json()
    assert "would look at Rollout first" in explained["detail"]
    assert rollout.lists() == 4


def test_the_command_line_asks_for_it(gateway, rollout):
    gateway.config["listen"]["admin"] = gateway.admin.removeprefix("http://")
    gateway.write_config()

    def run(*arguments):
        return subprocess.run([BINARY, "credentials", "discover", *arguments, "-c", str(gateway.path)], env=gateway.env, capture_output=True, text=True, timeout=60)

    rollout.connect("acme:1", "cred-1", "lofty")
    done = run("acme:1")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "cred-1  lofty  active  crm\n1 added, 0 returned, 0 gone\n"
    assert json.loads(run("acme:1", "--json").stdout)["credentials"][0]["last_checked"]
    rollout.list_answer = (429, {}, b"")
    done = run("acme:1")
    assert done.returncode == 1 and "429" in done.stderr
    assert run("a b").returncode == 2


def test_a_reload_brings_new_connectors_and_origins(gateway, rollout):
    rollout.connect("acme", "cred-1", "house-made")
    assert gateway.get("/crm/people").status_code == 200
    gateway.config.update(connectors={"housemade": {"apis": ["tms"]}}, link={"allowed_origins": ["https://other.example"]})
    gateway.write_config()
    assert requests.post(f"{gateway.admin}/v1/reload", timeout=60).status_code == 200
    wait_for(lambda: "Access-Control-Allow-Origin" in link(gateway, "POST", "/token", headers={"Origin": "https://other.example", "Connection": "close"}).headers, what="the reload")
    assert requests.post(f"{gateway.admin}/v1/tenants/acme/discover", timeout=60).json()["credentials"][0]["apis"] == ["tms"]
