"""Who calls, and what they may do: service keys, their rules, their end."""
import base64
import json
import os
import re
import socket
import subprocess
import threading

import pytest
import requests

from conftest import BINARY, Gateway, configuration, problem_of, wait_for
from test_operation import run
from test_tls import authority, listener, trust  # noqa: F401 (authority is a fixture)

KEY = re.compile(r"^rgk_[A-Za-z0-9_-]{43}$")
STRANGER = "rgk_" + "A" * 43


def create(gateway, name, **fields):
    answer = requests.post(gateway.admin + "/v1/keys", json={"name": name, **fields}, timeout=10)
    assert answer.status_code == 201, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    value = answer.json()
    assert KEY.match(value["key"])
    return value


def revoke(gateway, key):
    answer = requests.delete(f"{gateway.admin}/v1/keys/{key['id']}", timeout=10)
    assert answer.status_code == 204, answer.text


def keys_of(gateway):
    return {key["id"]: key for key in requests.get(gateway.admin + "/v1/keys", timeout=10).json()["keys"]}


def bearer(key):
    return {"Authorization": "Bearer " + (key if isinstance(key, str) else key["key"])}


def own(key):
    return {"X-Gateway-Key": key if isinstance(key, str) else key["key"]}


def refused(answer, status, code, rule):
    value = problem_of(answer, status, code)
    assert value["rule"] == rule, value
    assert ("WWW-Authenticate" in answer.headers) == (status == 401)
    assert "rgk_A" not in answer.text
    return value


def on_all_workers(gateway, headers, count=24):
    """Statuses of requests on fresh connections: the kernel spreads them over the workers."""
    return {requests.get(gateway.data + "/crm/people", headers={"X-Tenant-Id": "acme", **headers}, timeout=10).status_code
            for _ in range(count)}


def test_an_open_gateway_asks_from_the_first_key_on(gateway):
    assert gateway.get("/crm/people").status_code == 200
    for headers in (bearer(STRANGER), own(STRANGER), own("rgk_x")):
        assert gateway.get("/crm/people", headers=headers).status_code == 200
    key = create(gateway, "billing")
    refused(gateway.get("/crm/people", headers=own("rgk_x")), 401, "unauthenticated", "key-malformed")
    refused(gateway.get("/crm/people", headers=bearer(STRANGER)), 401, "unauthenticated", "key-unknown")
    refused(gateway.get("/crm/people"), 401, "unauthenticated", "key-missing")
    assert gateway.get("/crm/people", headers=bearer(key)).status_code == 200
    assert gateway.get("/crm/people", headers=own(key)).status_code == 200
    # Before anything is said about the request itself.
    refused(gateway.get("/nothing/here", tenant=None), 401, "unauthenticated", "key-missing")
    # The last key's end does not open the door again.
    revoke(gateway, key)
    refused(gateway.get("/crm/people"), 401, "unauthenticated", "key-missing")
    refused(gateway.get("/crm/people", headers=bearer(key)), 401, "unauthenticated", "key-revoked")


def test_programs_written_for_rollout_need_only_another_base_url(gateway, origin):
    """Their Authorization is ignored, and does not go up."""
    headers = {"Authorization": "Bearer eyJhbGciOiJIUzUxMiJ9.e30.x"}
    assert gateway.request("GET", "/t/acme/crm/people", tenant=None, headers=headers).status_code == 200
    key = create(gateway, "billing")
    assert gateway.request("GET", "/t/acme/crm/tasks", tenant=None, headers={**headers, **own(key)}).status_code == 200
    refused(gateway.request("GET", "/t/acme/crm/people", tenant=None, headers=headers), 401, "unauthenticated", "key-missing")
    for seen in origin.seen:
        assert len(seen.all("Authorization")) == 1 and seen.all("Authorization")[0] != headers["Authorization"]
        assert not seen.all("X-Gateway-Key")


def header_forms(key):
    """(header lines, status, rule): everything a client can present, with one good key."""
    bare = base64.b64encode(key.encode()).decode()
    other = key[:-2] + ("AA" if key[-2:] != "AA" else "BB")
    return [
        ([f"Authorization: Bearer {key}"], 200, None),
        ([f"authorization: bearer {key}"], 200, None),
        ([f"AUTHORIZATION: BEARER    {key}   "], 200, None),
        ([f"X-Gateway-Key: {key}"], 200, None),
        ([f"x-gateway-key:{key}"], 200, None),
        ([f"Authorization: Bearer {key}", f"X-Gateway-Key: {key}"], 200, None),
        (["Authorization: Basic Zm9vOmJhcg==", f"X-Gateway-Key: {key}"], 200, None),
        (["Authorization: Basic Zm9vOmJhcg==", "Authorization: Bearer eyJ", f"X-Gateway-Key: {key}"], 200, None),
        ([f"X-Gateway-Key: {key}", "Connection: X-Gateway-Key"], 200, None),
        ([f"X-Gateway-Key: {key}", f"X_Gateway_Key: {STRANGER}"], 200, None),
        ([], 401, "key-missing"),
        ([f"Authorization: {key}"], 401, "key-missing"),
        ([f"Authorization: Basic {bare}"], 401, "key-missing"),
        ([f"Authorization: Digest {key}"], 401, "key-missing"),
        ([f"Authorization: Bearer {bare}"], 401, "key-missing"),
        ([f"Authorization: Bearer\t{key}"], 401, "key-missing"),
        ([f"Authorization: Bearer {key.upper()}"], 401, "key-missing"),
        ([f"Proxy-Authorization: Bearer {key}"], 401, "key-missing"),
        ([f"X_Gateway_Key: {key}"], 401, "key-missing"),
        ([f"X-Gateway_Key: {key}"], 401, "key-missing"),
        ([f"Cookie: key={key}"], 401, "key-missing"),
        ([f"X-Forwarded-Authorization: Bearer {key}"], 401, "key-missing"),
        (["Authorization:"], 401, "key-missing"),
        (["Authorization: Bearer rgk_"], 401, "key-malformed"),
        ([f"Authorization: Bearer {key}x"], 401, "key-malformed"),
        ([f"Authorization: Bearer {key[:-1]}"], 401, "key-malformed"),
        ([f"Authorization: Bearer {key}, Bearer {key}"], 401, "key-malformed"),
        ([f"Authorization: Bearer {key} {key}"], 401, "key-malformed"),
        ([f"X-Gateway-Key: {key}, {key}"], 401, "key-malformed"),
        ([f"X-Gateway-Key: Bearer {key}"], 401, "key-malformed"),
        (["X-Gateway-Key:"], 401, "key-malformed"),
        (["X-Gateway-Key: letmein"], 401, "key-malformed"),
        ([f"Authorization: Bearer {other}"], 401, "key-unknown"),
        ([f"X-Gateway-Key: {STRANGER}"], 401, "key-unknown"),
        ([f"Authorization: Bearer {key}", f"X-Gateway-Key: {STRANGER}"], 401, "keys-differ"),
        ([f"Authorization: Bearer {STRANGER}", f"X-Gateway-Key: {key}"], 401, "keys-differ"),
        ([f"Authorization: Bearer {key}", "X-Gateway-Key:"], 401, "keys-differ"),
        ([f"Authorization: Bearer {key}", f"Authorization: Bearer {key}"], 400, "key-twice"),
        ([f"Authorization: Bearer {STRANGER}", f"Authorization: Bearer {key}"], 400, "key-twice"),
        (["Authorization: Basic Zm9vOmJhcg==", f"Authorization: Bearer {key}"], 400, "key-twice"),
        ([f"X-Gateway-Key: {key}", f"X-Gateway-Key: {key}"], 400, None),
        ([f"X-Gateway-Key: {STRANGER}", f"x-gateway-key: {key}"], 400, None),
        ([f"X-Gateway-Key : {key}"], 400, None),
        ([f"X-Gateway-Key: {key[:20]}", f" {key[20:]}"], 400, None),
    ]


def send(gateway, method, target, lines, body=b""):
    """A request byte by byte as given; (status, whole answer)."""
    head = [f"{method} {target} HTTP/1.1", "Host: gateway", "Connection: close" if not any("Connection" in line for line in lines) else "X-Filler: x"]
    answer = gateway.raw("\r\n".join(head + lines).encode() + b"\r\n\r\n" + body)
    assert answer.startswith(b"HTTP/1.1 "), answer
    return int(answer[9:12]), answer


# (method, tenant, api) and the rule that refuses it, for RULED below.
ASKED = [
    ("GET", "acme", "crm", None),
    ("HEAD", "acme", "crm", None),
    ("GET", "acme-eu", "crm", None),
    ("GET", "globex", "crm", "tenants"),
    ("GET", "acme2", "crm", "tenants"),
    ("GET", "ACME", "crm", "tenants"),
    ("GET", "acme", "tms", "apis"),
    ("POST", "acme", "crm", "methods"),
    ("DELETE", "acme", "crm", "methods"),
    ("PURGE", "acme", "crm", "methods"),
    ("PATCH", "acme", "crm", "methods"),
]
RULED = {"tenants": ["acme", "acme-*"], "apis": ["crm"], "methods": ["GET", "HEAD"]}


def test_every_header_form_meets_every_rule(gateway, origin):
    key = create(gateway, "ruled", **RULED)["key"]
    for tenant in ("acme-eu", "acme2", "ACME"):
        gateway.map(tenant, "cred-" + tenant.replace("ACME", "upper"), apis=["crm"])
    for lines, status, rule in header_forms(key):
        for method, tenant, api, ruled in ASKED:
            for target, named in ((f"/{api}/people", [f"X-Tenant-Id: {tenant}"]), (f"/t/{tenant}/{api}/people", [])):
                origin.clear()
                got, answer = send(gateway, method, target, named + lines)
                expected = status if status != 200 or not ruled else 403
                where = (lines, method, target, answer)
                assert got == expected, where
                assert key.encode() not in answer and key[4:].encode() not in answer, where
                if got != 200:
                    assert not origin.seen, where
                reason = ruled if expected == 403 else rule
                if reason and method != "HEAD":
                    assert f'"rule":"{reason}"'.encode() in answer, where


@pytest.mark.parametrize("lines", [
    ["X-Tenant-Id: globex"],
    ["X-Tenant-Id: acme", "X-Tenant-Id: globex"],
    ["X-Tenant-Id: globex", "X-Tenant-Id: acme"],
    ["X-Tenant-Id: acme, globex"],
    ["X-Tenant-Id: acme*"],
    ["X-Tenant-Id: *"],
    ["X-Tenant-Id: acme", "X-Rollout-Credential-Id: cred-globex"],
    ["X_Tenant_Id: acme", "X-Tenant-Id: globex"],
    ["X-Tenant-Id: globex", "Connection: X-Tenant-Id"],
    ["X-Tenant-Id: acme", "X-HTTP-Method-Override: DELETE", "X-Tenant-Id: globex"],
])
def test_no_header_widens_what_a_key_allows(gateway, origin, lines):
    key = create(gateway, "ruled", **RULED)["key"]
    status, answer = send(gateway, "GET", "/crm/people", [f"Authorization: Bearer {key}", *lines])
    assert status in (400, 403), answer
    assert not origin.seen


@pytest.mark.parametrize("target", ["/t/acme/../globex/crm/people", "/t/acme/%2e%2e/globex/crm/people", "/t/acme%2fglobex/crm/people",
                                    "/t/acme/crm/../../globex/crm/people", "/t/acme/crm/..%2f..%2ftms/people", "/crm/../tms/people",
                                    "/t/globex/crm/people", "//crm/people", "/t//crm/people"])
def test_no_path_widens_what_a_key_allows(gateway, origin, target):
    key = create(gateway, "ruled", **RULED)["key"]
    lines = [f"X-Gateway-Key: {key}"] + ([] if target.startswith("/t/") else ["X-Tenant-Id: acme"])
    status, answer = send(gateway, "GET", target, lines)
    assert status in (400, 403, 404), answer
    assert not origin.seen


def test_what_overrides_methods_and_what_trails_does_not_go_up(gateway, origin):
    reader, writer = create(gateway, "reader", **RULED)["key"], create(gateway, "writer")["key"]
    overrides = ["X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "X-Method-Override: DELETE", "X_HTTP_Method_Override: DELETE",
                 "X-Original-URL: /t/globex/crm/people", "X-Rewrite-URL: /tms"]
    status, _ = send(gateway, "GET", "/crm/overridden", ["X-Tenant-Id: acme", f"X-Gateway-Key: {reader}", *overrides])
    assert status == 200
    chunked = ["X-Tenant-Id: acme", f"X-Gateway-Key: {writer}", "Transfer-Encoding: chunked", "Trailer: X-Gateway-Key, X-Tenant-Id"]
    trailers = f"3\r\nabc\r\n0\r\nX-Gateway-Key: {writer}\r\nX-Tenant-Id: globex\r\nAuthorization: Bearer {writer}\r\n\r\n".encode()
    send(gateway, "POST", "/crm/trailed", chunked, trailers)
    for seen in origin.seen:
        names = {name.lower() for name, _ in seen.raw_headers}
        assert not {name for name in names if "override" in name or "_" in name or "original" in name or "gateway-key" in name}
        assert seen.all("X-Rollout-Credential-Id") == ["cred-acme"]
        assert writer not in str(seen.raw_headers) + str(seen.body) and reader not in str(seen.raw_headers)
    # A key that comes behind the body is no key.
    late = ["X-Tenant-Id: acme", "Transfer-Encoding: chunked", "Trailer: X-Gateway-Key"]
    origin.clear()
    status, _ = send(gateway, "POST", "/crm/trailed", late, f"0\r\nX-Gateway-Key: {writer}\r\n\r\n".encode())
    assert status == 401 and not origin.seen


def test_callers_of_one_tenant_share_what_is_cached(gateway, origin):
    first, second = create(gateway, "first"), create(gateway, "second", tenants=["globex"])
    gateway.get("/crm/people", headers=bearer(first))
    assert "hit" in gateway.get("/crm/people", headers=own(create(gateway, "third"))).headers["Cache-Status"]
    refused(gateway.get("/crm/people", headers=bearer(second)), 403, "forbidden", "tenants")
    assert len(origin.seen) == 1


@pytest.mark.threads
def test_a_revoked_key_stops_at_once_on_all_workers(gateway):
    key, other = create(gateway, "first"), create(gateway, "second")
    kept = [requests.Session() for _ in range(12)]
    asked = {"X-Tenant-Id": "acme", **bearer(key)}
    for session in kept:
        session.trust_env = False
        assert session.get(gateway.data + "/crm/people", headers=asked, timeout=10).status_code == 200
    assert on_all_workers(gateway, bearer(key)) == {200}
    revoke(gateway, key)
    # On connections that were open and had been let in, too.
    assert {session.get(gateway.data + "/crm/people", headers=asked, timeout=10).status_code for session in kept} == {401}
    assert on_all_workers(gateway, bearer(key)) == {401}
    assert on_all_workers(gateway, bearer(other)) == {200}
    value = keys_of(gateway)[key["id"]]
    assert value["status"] == "revoked" and value["revoked_at"]
    problem_of(requests.delete(f"{gateway.admin}/v1/keys/{key['id']}", timeout=10), 404, "not-found")


@pytest.mark.threads
def test_rotation_without_an_interruption(gateway):
    keys = [create(gateway, "billing-0")]
    statuses, over = [], threading.Event()

    def work():
        session = requests.Session()
        session.trust_env = False
        while not over.is_set():
            headers = {"X-Tenant-Id": "acme", **bearer(keys[-1])}
            statuses.append(session.get(gateway.data + "/crm/people", headers=headers, timeout=10).status_code)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(1, 6):
        before = len(statuses)
        keys.append(create(gateway, f"billing-{n}"))
        wait_for(lambda: len(statuses) > before + 40, what="requests with the new key")
        revoke(gateway, keys[-2])
    over.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {200}
    assert [requests.get(gateway.data + "/crm/people", headers={"X-Tenant-Id": "acme", **bearer(key)}, timeout=10).status_code
            for key in keys] == [401] * 5 + [200]


def test_keys_of_the_command_line_work_beside_the_running_gateway(gateway):
    config = ("-c", str(gateway.path))
    made = run("keys", "create", "--name", "billing", "--tenants", "acme*,globex", "--apis", "crm,tms", "--methods", "GET,HEAD",
               "--rate", "100/s", "--json", *config)
    assert made.returncode == 0, made.stderr
    key = json.loads(made.stdout)
    assert KEY.match(key["key"]) and key["tenants"] == ["acme*", "globex"] and key["rate"] == "100/s"
    assert gateway.get("/crm/people", headers=bearer(key)).status_code == 200
    refused(gateway.request("POST", "/crm/people", headers=bearer(key)), 403, "forbidden", "methods")
    refused(gateway.get("/crm/people"), 401, "unauthenticated", "key-missing")
    assert {name: value for name, value in key.items() if name != "key"}.keys() == keys_of(gateway)[key["id"]].keys()
    # For people: the key alone on stdout.
    plain = run("keys", "create", "--name", "other", *config)
    assert plain.returncode == 0 and KEY.match(plain.stdout.strip()) and "once" in plain.stderr
    assert gateway.get("/crm/people", headers=own(plain.stdout.strip())).status_code == 200
    listed = run("keys", "list", *config)
    assert "billing" in listed.stdout and "rgk_" not in listed.stdout
    lines = [json.loads(line) for line in run("keys", "list", "--json", *config).stdout.splitlines()]
    assert sorted(line["name"] for line in lines) == ["billing", "other"] and "rgk_" not in str(lines)
    assert on_all_workers(gateway, bearer(key)) == {200}
    ended = run("keys", "revoke", key["id"], *config)
    assert ended.returncode == 0, ended.stderr
    assert on_all_workers(gateway, bearer(key)) == {401}
    assert run("keys", "revoke", key["id"], *config).returncode == 1


@pytest.mark.parametrize("arguments, says", [
    ([], "--name"),
    (["--name", "a b"], "name: "),
    (["--name", "a", "--tenants", "x/y"], "tenants[0]: "),
    (["--name", "a", "--tenants", ""], "tenants[0]: "),
    (["--name", "a", "--apis", "crm,,tms"], "apis[1]: "),
    (["--name", "a", "--methods", "get"], "methods[0]: "),
    (["--name", "a", "--rate", "100"], "rate: "),
    (["--name", "a", "--rate", ""], "rate"),
    (["--name", "a", "--peers", "billing"], "peers[0]: "),
])
def test_keys_create_says_what_is_wrong(directory, arguments, says):
    path = directory / "gateway.json"
    path.write_text(json.dumps(configuration(directory, {"crm": {"url": "http://127.0.0.1:1"}})))
    done = run("keys", "create", *arguments, "-c", str(path))
    assert done.returncode == 2 and says in done.stderr and done.stdout == "", done


@pytest.mark.parametrize("body, says", [
    ({}, "name: "),
    ({"name": "a", "tenants": []}, "tenants: "),
    ({"name": "a", "tenants": "acme"}, "tenants: "),
    ({"name": "a", "tenants": [1]}, "tenants[0]: "),
    ({"name": "a", "tenants": ["a/b"]}, "tenants[0]: "),
    ({"name": "a", "apis": ["crm", "crm"]}, "apis[1]: "),
    ({"name": "a", "methods": ["get"]}, "methods[0]: "),
    ({"name": "a", "rate": "fast"}, "rate: "),
    ({"name": "a", "rate": 5}, "rate: "),
    ({"name": "a", "key": "rgk_mine"}, "key: "),
    ({"name": ["a"]}, "name: "),
    ([], "JSON object"),
])
def test_the_admin_listener_says_what_is_wrong(gateway, body, says):
    value = problem_of(requests.post(gateway.admin + "/v1/keys", json=body, timeout=10), 400, "bad-request")
    assert says in value["detail"], value
    assert keys_of(gateway) == {} and gateway.get("/crm/people").status_code == 200


def test_names_are_unique_until_a_key_is_revoked(gateway):
    key = create(gateway, "billing", peers=["dns:billing.internal"])
    for body in ({"name": "billing"}, {"name": "other", "peers": ["dns:billing.internal"]}):
        problem_of(requests.post(gateway.admin + "/v1/keys", json=body, timeout=10), 409, "conflict")
    revoke(gateway, key)
    create(gateway, "billing", peers=["dns:billing.internal"])
    assert sorted(value["status"] for value in keys_of(gateway).values()) == ["active", "revoked"]


def test_keys_are_listed_in_pages(gateway):
    made = {create(gateway, f"key-{n}")["id"] for n in range(7)}
    seen, cursor = [], ""
    for _ in range(3):
        page = requests.get(f"{gateway.admin}/v1/keys?limit=3&cursor={cursor}", timeout=10).json()
        seen += [key["id"] for key in page["keys"]]
        cursor = page["next"]
    assert cursor is None and len(seen) == 7 and set(seen) == made
    for query in ("limit=0", "limit=x", "cursor=zz"):
        problem_of(requests.get(f"{gateway.admin}/v1/keys?{query}", timeout=10), 400, "bad-request")


def test_last_use_is_visible(gateway):
    key = create(gateway, "billing")
    assert keys_of(gateway)[key["id"]]["last_used_at"] is None
    gateway.get("/crm/people", headers=bearer(key))
    wait_for(lambda: keys_of(gateway)[key["id"]]["last_used_at"], what="the first use")
    first = keys_of(gateway)[key["id"]]["last_used_at"]
    gateway.jump(3600)
    gateway.get("/crm/people", headers=bearer(key))
    wait_for(lambda: keys_of(gateway)[key["id"]]["last_used_at"] > first, what="the second use")


def test_a_key_is_in_no_log_and_no_answer_but_its_own(gateway, origin):
    key = create(gateway, "billing", tenants=["acme"])
    answers = [gateway.get("/crm/people", headers=bearer(key)), gateway.get("/crm/people", tenant="globex", headers=bearer(key)),
               gateway.get("/crm/people", headers=own(STRANGER)), gateway.get("/crm/people", headers={**own(key), **bearer(STRANGER)}),
               requests.get(gateway.admin + "/v1/keys", timeout=10), requests.get(gateway.admin + "/v1/status", timeout=10),
               requests.get(gateway.admin + "/v1/config", timeout=10), requests.get(gateway.admin + "/metrics", timeout=10),
               requests.post(gateway.admin + "/v1/keys", json={"name": "billing"}, timeout=10)]
    revoke(gateway, key)
    answers.append(gateway.get("/crm/people", headers=bearer(key)))
    wait_for(lambda: len(gateway.events("request")) >= 5, what="the access lines")
    everything = "\n".join(gateway.lines) + "".join(answer.text + str(answer.headers) for answer in answers)
    everything += "".join(str(seen.raw_headers) + seen.target for seen in origin.seen)
    assert key["key"][4:] not in everything and STRANGER not in everything
    lines = gateway.events("request")
    assert lines[0]["caller"] == "billing" and lines[0]["status"] == 200
    assert lines[1]["caller"] == "billing" and lines[1]["rule"] == "tenants"
    assert "caller" not in lines[2] and lines[2]["rule"] == "key-unknown"
    assert gateway.events("key-created")[0]["key_id"] == key["id"]
    assert gateway.events("key-revoked")[0]["caller"] == "billing"
    gateway.stop()
    for path in gateway.directory.rglob("*"):
        if path.is_file():
            assert key["key"].encode() not in path.read_bytes(), path


@pytest.mark.parametrize("caller, tenant, method, code, rule", [
    ("ruled", "acme", "GET", None, None),
    ("ruled", "globex", "GET", "forbidden", "tenants"),
    ("ruled", "acme", "POST", "forbidden", "methods"),
    ("nobody", "acme", "GET", "unauthenticated", None),
    (None, "globex", "POST", None, None),
])
def test_explain_tells_what_a_caller_may(gateway, caller, tenant, method, code, rule):
    create(gateway, "ruled", **RULED)
    named = ["--caller", caller] if caller else []
    done = run("explain", tenant, method, "/crm/people", "--json", "-c", str(admin_config(gateway)), *named)
    assert done.returncode == 0, done.stderr
    value = json.loads(done.stdout)
    assert (value.get("problem"), value.get("rule"), value.get("caller")) == (code, rule, caller)
    assert ("upstream" in value) == (code is None)


def admin_config(gateway):
    """The gateway's configuration with the port that the kernel chose."""
    path = gateway.directory / "told.json"
    listen = {**gateway.config["listen"], "admin": gateway.admin.removeprefix("http://")}
    path.write_text(json.dumps({**gateway.config, "listen": listen}))
    return path


def test_keys_survive_a_kill(gateway):
    key, ended = create(gateway, "billing"), create(gateway, "ended")
    revoke(gateway, ended)
    gateway.kill()
    gateway.start()
    assert gateway.get("/crm/people", headers=bearer(key)).status_code == 200
    refused(gateway.get("/crm/people", headers=bearer(ended)), 401, "unauthenticated", "key-revoked")
    refused(gateway.get("/crm/people"), 401, "unauthenticated", "key-missing")


def test_allow_anonymous_lets_in_who_presents_nothing(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, allow_anonymous=True)
    gateway.map("acme", "cred-acme", apis=["crm"])
    key = create(gateway, "ruled", **RULED)
    assert gateway.request("POST", "/crm/people").status_code == 200
    refused(gateway.request("POST", "/crm/people", headers=bearer(key)), 403, "forbidden", "methods")
    refused(gateway.get("/crm/people", headers=bearer(STRANGER)), 401, "unauthenticated", "key-unknown")
    gateway.config["allow_anonymous"] = False
    gateway.write_config()
    assert requests.post(gateway.admin + "/v1/reload", timeout=10).status_code == 200
    wait_for(lambda: on_all_workers(gateway, {}) == {401}, what="the reload")


# --- mutual TLS

def test_a_certificate_stands_for_the_key_that_lists_it(make_gateway, origin, authority):  # noqa: F811
    server = authority.issue("server")
    billing = authority.issue("billing", "Billing", "DNS:billing.internal")
    search = authority.issue("search", "Search", "DNS:search.internal,URI:spiffe://internal/search")
    other = authority.issue("other", "Other", None)
    gateway = make_gateway({"crm": {"url": origin.url}}, listen={"data": listener(server, authority.file)})
    gateway.map("acme", "cred-acme", apis=["crm"])
    gateway.map("globex", "cred-globex", apis=["crm"])

    def ask(cert, tenant="acme", headers=None):
        gateway.session.close()
        trust(gateway, authority, cert)
        return gateway.get("/crm/people", tenant=tenant, headers=headers)

    # Without keys the CA's word is enough.
    assert {ask(cert).status_code for cert in (billing, search, other)} == {200}
    first = create(gateway, "billing", tenants=["acme"], peers=["dns:billing.internal"])
    second = create(gateway, "search", tenants=["globex"], peers=["uri:spiffe://internal/search"])
    plain = create(gateway, "plain", tenants=["acme"])
    assert ask(billing).status_code == 200
    refused(ask(billing, "globex"), 403, "forbidden", "tenants")
    assert ask(search, "globex").status_code == 200
    refused(ask(search), 403, "forbidden", "tenants")
    refused(ask(other), 401, "unauthenticated", "peer-unknown")
    # A certificate that is nobody's beside a key; one that is somebody else's; one's own.
    assert ask(other, headers=bearer(plain)).status_code == 200
    refused(ask(search, headers=bearer(first)), 401, "unauthenticated", "peer-differs")
    refused(ask(billing, "globex", headers=own(second)), 401, "unauthenticated", "peer-differs")
    assert ask(billing, headers=own(first)).status_code == 200
    # Nothing that a client writes is a peer's name.
    for name in ("X-Peer-Name", "X-Client-Cert", "X-SSL-Client-S-DN", "X-Forwarded-Client-Cert", "Client-Cert"):
        refused(ask(other, headers={name: "dns:billing.internal"}), 401, "unauthenticated", "peer-unknown")
    revoke(gateway, first)
    refused(ask(billing), 401, "unauthenticated", "peer-unknown")
    wait_for(lambda: any(line.get("caller") == "billing" and line.get("peer") == "dns:billing.internal"
                         for line in gateway.events("request")), what="the access line")


# --- listeners that others can reach

def open_config(directory, **more):
    config = configuration(directory, {"crm": {"url": "http://127.0.0.1:1"}}, **more)
    config["listen"]["data"] = "0.0.0.0:0"
    path = directory / "gateway.json"
    path.write_text(json.dumps(config))
    return path


def test_an_open_listener_without_keys_is_refused(directory):
    path = open_config(directory)
    for command in (("serve",), ("check",)):
        done = run(*command, "-c", str(path))
        assert done.returncode == 78, (command, done)
        assert "listen.data" in done.stderr and "keys create" in done.stderr and "allow_anonymous" in done.stderr
    assert run("keys", "create", "--name", "first", "-c", str(path)).returncode == 0
    assert run("check", "-c", str(path)).returncode == 0


def test_an_open_listener_with_keys_starts(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, start=False)
    gateway.config["listen"]["data"] = "0.0.0.0:0"
    gateway.write_config()
    made = run("keys", "create", "--name", "first", "-c", str(gateway.path))
    gateway.start()
    gateway.data = gateway.data.replace("0.0.0.0", "127.0.0.1")
    gateway.map("acme", "cred-acme", apis=["crm"])
    refused(gateway.get("/crm/people"), 401, "unauthenticated", "key-missing")
    assert gateway.get("/crm/people", headers=bearer(made.stdout.strip())).status_code == 200


def test_a_reload_may_not_open_the_door(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, start=False, allow_anonymous=True)
    gateway.config["listen"]["data"] = "0.0.0.0:0"
    gateway.write_config()
    gateway.start()
    gateway.config["allow_anonymous"] = False
    gateway.write_config()
    value = problem_of(requests.post(gateway.admin + "/v1/reload", timeout=10), 409, "conflict")
    assert "listen.data" in value["detail"]
