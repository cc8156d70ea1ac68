"""What a request becomes upstream, and what its answer becomes for the client."""
import socket
import threading

import jwt
import pytest

from conftest import CLIENT_ID, SECRET, Origin, problem_of


def test_a_get_goes_up_with_our_identity(gateway, origin):
    answer = gateway.get("/crm/people?limit=50&email=a%40b.c")
    assert answer.status_code == 200 and answer.json() == {"ok": True}
    seen = origin.seen[0]
    assert seen.target == "/api/people?limit=50&email=a%40b.c"
    assert seen.all("X-Rollout-Credential-Id") == ["cred-acme"]
    assert seen.all("Host") == [f"127.0.0.1:{origin.port}"]
    (authorization,) = seen.all("Authorization")
    claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS512"], issuer=CLIENT_ID,
                        options={"require": ["iss", "sub", "iat", "exp"]})
    assert claims["sub"] == "acme" and claims["exp"] - claims["iat"] == 900
    assert jwt.get_unverified_header(authorization.removeprefix("Bearer ")) == {"alg": "HS512", "typ": "JWT"}


def test_the_tenant_may_stand_in_the_path(gateway, origin):
    assert gateway.get("/t/globex/crm/people", tenant=None).status_code == 200
    assert origin.seen[0].all("X-Rollout-Credential-Id") == ["cred-globex"]
    assert origin.seen[0].target == "/api/people"


@pytest.mark.parametrize("path, tenant, status, code", [
    ("/crm/people", None, 400, "tenant-required"),
    ("/t/globex/crm/people", "acme", 400, "bad-request"),
    ("/crm/people", "a" * 129, 400, "bad-request"),
    ("/crm/people", "a/b", 400, "bad-request"),
    ("/nope/people", "acme", 404, "api-unknown"),
    ("/crm/people", "initech", 404, "credential-not-found"),
    ("/tms/transactions", "acme", 404, "credential-not-found"),
    ("/crm/..%2fpeople", "acme", 400, "bad-request"),
    ("/crm/%2e%2e/people", "acme", 400, "bad-request"),
    ("/crm/a%5cb", "acme", 400, "bad-request"),
    ("/crm/a%00b", "acme", 400, "bad-request"),
])
def test_refusals(gateway, origin, path, tenant, status, code):
    # Path segments must reach the gateway as they stand here: no client-side normalisation.
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\n" + (f"X-Tenant-Id: {tenant}\r\n" if tenant else "") + "\r\n"
    raw = gateway.raw(head.encode())
    assert raw.startswith(f"HTTP/1.1 {status} ".encode()), raw
    assert b'"code":"' + code.encode() + b'"' in raw
    assert b"\r\nProxy-Status: rollout-gateway; error=" in raw and b"\r\nX-Request-Id: " in raw and b"\r\nCache-Status: " in raw
    assert origin.seen == []


def test_what_a_client_sends_as_identity_never_goes_up(gateway, origin):
    gateway.get("/crm/people", headers={
        "Authorization": "Bearer stolen", "Cookie": "a=b", "X-Rollout-Credential-Id": "cred-acme", "X-App-Key": "follow-up-boss",
        "Connection": "keep-alive, X-Rollout-Credential-Id, Authorization, X-Mine", "X-Mine": "1", "X_Rollout_Credential_Id": "cred-globex",
        "Proxy-Authorization": "x", "TE": "trailers", "X-Forwarded-Host": "evil"})
    seen = origin.seen[0]
    assert seen.all("X-Rollout-Credential-Id") == ["cred-acme"]
    assert len(seen.all("Authorization")) == 1 and "stolen" not in seen.all("Authorization")[0]
    names = {name.lower() for name, _ in seen.raw_headers}
    assert not names & {"cookie", "x-app-key", "x-mine", "x_rollout_credential_id", "proxy-authorization", "te", "x-tenant-id",
                        "x-forwarded-host", "connection"}


def test_a_foreign_credential_is_forbidden(gateway, origin):
    problem_of(gateway.get("/crm/people", headers={"X-Rollout-Credential-Id": "cred-globex"}), 403, "credential-forbidden")
    assert origin.seen == []


def test_several_credentials_need_a_default_or_a_selector(gateway, origin):
    gateway.map("acme", "cred-acme-2", app_key="lofty", apis=["crm"])
    value = problem_of(gateway.get("/crm/people"), 409, "credential-ambiguous")
    assert {choice["credential_id"] for choice in value["choices"]} == {"cred-acme", "cred-acme-2"}
    assert gateway.get("/crm/people", headers={"X-App-Key": "Follow-Up-Boss"}).status_code == 200
    gateway.map("acme", "cred-acme-2", default=True)
    assert gateway.get("/crm/people/1").status_code == 200
    assert [seen.all("X-Rollout-Credential-Id") for seen in origin.seen] == [["cred-acme"], ["cred-acme-2"]]


def test_every_outcome_of_the_selectors(make_gateway, origin):
    gateway = make_gateway({api: {"url": f"{origin.url}/{api}/api"} for api in ("crm", "tms", "los")})
    gateway.map("acme", "fub", app_key="follow-up-boss", apis=["crm"])
    gateway.map("acme", "lofty-1", app_key="Lofty", apis=["crm"])
    gateway.map("acme", "lofty-2", app_key="lofty", apis=["tms"])
    gateway.map("acme", "sky", app_key="skyslope", apis=["tms"], default=True)
    gateway.map("acme", "any", app_key="any_thing", apis=[])
    gateway.map("globex", "other", app_key="lofty", apis=["crm"])
    ambiguous, missing, forbidden = (409, "credential-ambiguous"), (404, "credential-not-found"), (403, "credential-forbidden")
    rows = [
        ("crm", {}, ambiguous), ("tms", {}, "sky"), ("los", {}, "any"),
        ("crm", {"X-App-Key": "followupboss"}, "fub"), ("crm", {"X-App-Key": "Follow_Up.Boss"}, "fub"), ("crm", {"x-app-key": "FOLLOW UP BOSS"}, "fub"),
        ("crm", {"X-App-Key": "lofty"}, "lofty-1"), ("tms", {"X-App-Key": "LOFTY"}, "lofty-2"), ("los", {"X-App-Key": "lofty"}, missing),
        ("crm", {"X-App-Key": "followupbos"}, missing), ("crm", {"X-App-Key": "---"}, missing), ("crm", {"X-App-Key": "anything"}, "any"),
        ("crm", {"X-App-Key": ""}, ambiguous), ("tms", {"X-App-Key": "any-thing"}, "any"),
        ("crm", {"X-Rollout-Credential-Id": "lofty-1"}, "lofty-1"), ("tms", {"X-Rollout-Credential-Id": "lofty-2"}, "lofty-2"),
        ("los", {"X-Rollout-Credential-Id": "any"}, "any"), ("tms", {"X-Rollout-Credential-Id": "fub"}, missing),
        ("crm", {"X-Rollout-Credential-Id": "other"}, forbidden), ("crm", {"X-Rollout-Credential-Id": "FUB"}, forbidden),
        ("crm", {"X-Rollout-Credential-Id": "fub", "X-App-Key": "follow up boss"}, "fub"), ("crm", {"X-Rollout-Credential-Id": "fub", "X-App-Key": "lofty"}, missing),
        ("crm", {"X-Rollout-Credential-Id": "other", "X-App-Key": "lofty"}, forbidden),
    ]
    for number, (api, headers, expected) in enumerate(rows):
        answer = gateway.get(f"/{api}/people/{number}", headers=headers)
        if isinstance(expected, str):
            assert answer.status_code == 200, (api, headers, answer.text)
            assert origin.seen[-1].all("X-Rollout-Credential-Id") == [expected] and not origin.seen[-1].all("X-App-Key")
        else:
            value = problem_of(answer, *expected)
            if expected == ambiguous:
                assert {one["credential_id"]: one["app_key"] for one in value["choices"]} == {"fub": "follow-up-boss", "lofty-1": "Lofty", "any": "any_thing"}
    assert len(origin.seen) == sum(isinstance(expected, str) for _, _, expected in rows)
    for name in (b"X-App-Key: lofty", b"X-Rollout-Credential-Id: fub"):
        out = gateway.raw(b"GET /crm/people HTTP/1.1\r\nHost: g\r\nX-Tenant-Id: acme\r\n%s\r\n%s\r\n\r\n" % (name, name))
        assert out.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_go_up(gateway, origin, method, chunked):
    body = bytes(range(256)) * 2048
    answer = gateway.request(method, "/crm/people/7", data=iter([body[:1000], body[1000:]]) if chunked else body)
    assert answer.status_code == 200
    assert origin.seen[0].method == method and origin.seen[0].body == body
    assert "fwd=method" in answer.headers["Cache-Status"]


def test_expect_continue(gateway, origin):
    with gateway.connect() as sock:
        sock.sendall(b"POST /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert sock.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"hello")
        assert sock.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
    assert origin.seen[0].body == b"hello" and not origin.seen[0].all("Expect")


def test_pipelined_requests_are_answered_in_order(gateway, origin):
    origin.answer = lambda seen: (200, {}, seen.target.encode())
    one = b"GET /crm/people/%d HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n"
    out = gateway.raw(b"".join(one % n for n in range(1, 9)))
    places = [out.index(b"/api/people/%d" % n) for n in range(1, 9)]
    assert places == sorted(places) and out.count(b"HTTP/1.1 200 OK") == 8


def test_head(gateway, origin):
    origin.answer = lambda seen: (200, {"Content-Type": "text/plain"}, b"x" * 1234)
    answer = gateway.request("HEAD", "/crm/people/1")
    assert answer.status_code == 200 and answer.headers["Content-Length"] == "1234" and answer.content == b""
    assert gateway.get("/crm/people/1").content == b"x" * 1234


def chunked(handler, pieces, end=b"0\r\n\r\n"):
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in pieces:
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        handler.wfile.flush()
    handler.wfile.write(end)


def test_chunked_answers(gateway, origin):
    body = b"0123456789abcdef" * 100000
    origin.answer = lambda seen: chunked(seen.handler, [body[i:i + 70000] for i in range(0, len(body), 70000)])
    assert gateway.get("/crm/people").content == body


def test_close_delimited_answers(gateway, origin):
    def answer(seen):
        seen.handler.close_connection = True
        seen.handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end")
    origin.answer = answer
    assert gateway.get("/crm/people").content == b"to the end"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_cut_body_is_passed_on_as_cut(gateway, origin, method):
    def answer(seen):
        seen.handler.close_connection = True
        chunked(seen.handler, [b"x" * 5000], end=b"")
    origin.answer = answer
    with gateway.connect() as sock:
        sock.sendall(b"%s /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nContent-Length: 0\r\n\r\n" % method.encode())
        out = b""
        while piece := sock.recv(65536):
            out += piece
    assert not out.endswith(b"0\r\n\r\n"), out[-100:]
    # Nothing of it is kept as whole.
    origin.answer = lambda seen: (200, {}, b"whole")
    assert gateway.get("/crm/people").content == b"whole"


def test_next_links_point_at_the_gateway(gateway, origin):
    def answer(seen):
        link = f"{origin.url}/api/people?next=abc&limit=1"
        body = b'{"_metadata":{"collection":"people","next":"abc","nextLink":"%s"},"people":[{"id":"1"}]}' % link.encode()
        return 200, {"Content-Type": "application/json"}, body
    origin.answer = answer
    own = gateway.data
    first = gateway.get("/crm/people?limit=1")
    assert first.json()["_metadata"]["nextLink"] == f"{own}/crm/people?next=abc&limit=1"
    hit = gateway.get("/t/acme/crm/people?limit=1", tenant=None)
    assert hit.json()["_metadata"]["nextLink"] == f"{own}/t/acme/crm/people?next=abc&limit=1"
    assert hit.headers["Cache-Status"].startswith("rollout-gateway; hit")
    assert int(hit.headers["Content-Length"]) == len(hit.content)
    assert len(origin.seen) == 1


def test_secrets_of_upstream_systems_are_struck_out(make_gateway):
    body = b'[{"id":"c1","appKey":"x","data":{"accessToken":"planted-secret"},"currentData":{"k":"planted-secret"}}]'
    origin = Origin(lambda seen: (200, {"Content-Type": "application/json"}, body))
    gateway = make_gateway({"core": {"url": origin.url + "/api"}})
    for _ in range(2):
        answer = gateway.get("/core/credentials?includeData=true&appKey=x&include%44ata=1")
        assert answer.json() == [{"id": "c1", "appKey": "x"}]
    assert [seen.target for seen in origin.seen] == ["/api/credentials?appKey=x"] * 2
    assert not origin.seen[0].all("X-Rollout-Credential-Id") and len(origin.seen[0].all("Authorization")) == 1
    gateway.stop()
    origin.stop()
    assert not any("planted-secret" in line for line in gateway.lines)


def test_secrets_are_struck_wherever_they_stand(make_gateway):
    credential = '{"id":"c1","data":{"k":"planted-secret"},"currentData":1}'
    origin = Origin(lambda seen: (200, {"Content-Type": "application/json"},
                                  ('{"credentials":[%s],"one":{"credential":%s}}' % (credential, credential)).encode()))
    gateway = make_gateway({"core": {"url": origin.url + "/api"}})
    answer = gateway.get("/core/credentials")
    assert answer.json() == {"credentials": [{"id": "c1"}], "one": {"credential": {"id": "c1"}}}
    origin.stop()


def test_an_endless_401_does_not_hold_up_the_retry(gateway, origin):
    def answer(seen):
        if seen.number > 1:
            return 200, {}, b"fine"
        seen.handler.close_connection = True
        seen.handler.wfile.write(b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(10000):  # far more than anybody reads
                seen.handler.wfile.write(b"1000\r\n" + bytes(4096) + b"\r\n")
        except OSError:
            pass
    origin.answer = answer
    answer = gateway.get("/crm/people")
    assert (answer.status_code, answer.content, len(origin.seen)) == (200, b"fine", 2)


def test_a_401_is_retried_once_with_a_new_token(gateway, origin):
    tokens = []

    def answer(seen):
        tokens.append(seen.all("Authorization")[0])
        return (401, {}, b"no") if len(tokens) == 1 else (200, {}, seen.body or b"fine")
    origin.answer = answer
    answer = gateway.request("POST", "/crm/people", data=b"the body")
    assert (answer.status_code, answer.content) == (200, b"the body")
    assert len(tokens) == 2


def test_a_lasting_401_is_passed_on(gateway, origin):
    origin.answer = lambda seen: (401, {}, b'{"error":"no"}')
    answer = gateway.get("/crm/people")
    assert (answer.status_code, answer.content, len(origin.seen)) == (401, b'{"error":"no"}', 2)


def test_errors_of_rollout_pass_unchanged(gateway, origin):
    body = b'{"errorMessage":"Data for this credential is not ready yet. Please try again."}'
    origin.answer = lambda seen: (409, {"Content-Type": "application/json"}, body)
    for _ in range(2):
        answer = gateway.get("/crm/people")
        assert (answer.status_code, answer.content) == (409, body)
        assert "Proxy-Status" not in answer.headers
    assert len(origin.seen) == 2


@pytest.mark.parametrize("raw, status, code", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502, "upstream-invalid"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "upstream-invalid"),
    (b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n", 502, "upstream-invalid"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", 502, "upstream-invalid"),
    (b"garbage\r\n\r\n", 502, "upstream-invalid"),
    (b"HTTP/1.1 200 OK\r\nContent-Le", 502, "upstream-unreachable"),
    (b"", 502, "upstream-unreachable"),
])
def test_bad_answers(gateway, origin, raw, status, code):
    def answer(seen):
        seen.handler.close_connection = True
        seen.handler.wfile.write(raw)
    origin.answer = answer
    problem_of(gateway.get("/crm/people"), status, code)


def test_an_origin_that_is_not_there(make_gateway):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    gateway = make_gateway({"crm": {"url": f"http://127.0.0.1:{port}/api"}})
    gateway.map("acme", "cred-acme")
    problem_of(gateway.get("/crm/people"), 502, "upstream-unreachable")


def test_a_slow_origin_times_out(gateway, origin):
    started, go_on = threading.Event(), threading.Event()

    def answer(seen):
        started.set()
        go_on.wait(30)
        return 200, {}, b"late"
    origin.answer = answer
    results = []
    thread = threading.Thread(target=lambda: results.append(gateway.get("/crm/people")))
    thread.start()
    started.wait(10)
    gateway.jump(31)
    thread.join(20)
    go_on.set()
    problem_of(results[0], 504, "upstream-timeout")


def test_too_large(gateway, origin):
    problem_of(gateway.request("POST", "/crm/people", data=b"x" * (10 * 1024 * 1024 + 1)), 413, "payload-too-large")
    out = gateway.raw(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nX-Long: " + b"y" * 40000 + b"\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 431 ") and b'"code":"headers-too-large"' in out
    assert origin.seen == []


@pytest.mark.parametrize("head", [
    b"GET /crm/people HTTP/1.1\r\nX-Tenant-Id : acme\r\nHost: x\r\n\r\n",
    b"GET /crm/people HTTP/1.1\nHost: x\n\n",
    b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nX-Tenant-Id: globex\r\n\r\n",
    b"GET /crm/people HTTP/1.1\r\nX-Tenant-Id: acme\r\n\r\n",
    b"POST /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
])
def test_malformed_requests(gateway, origin, head):
    out = gateway.raw(head)
    assert out.startswith(b"HTTP/1.1 400 ") and b'"code":"bad-request"' in out, out
    assert origin.seen == []


def test_a_client_that_leaves_hurts_nobody(gateway, origin):
    started, go_on = threading.Event(), threading.Event()

    def answer(seen):
        started.set()
        go_on.wait(30)
        return 200, {}, b"fine"
    origin.answer = answer
    sock = gateway.connect()
    sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
    started.wait(10)
    results = []
    thread = threading.Thread(target=lambda: results.append(gateway.get("/crm/people")))
    thread.start()
    sock.close()
    go_on.set()
    thread.join(20)
    assert results[0].content == b"fine" and len(origin.seen) == 1
