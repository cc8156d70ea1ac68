"""What is passed on besides plain answers: interim answers, cut ones over TLS, and what two options let through that is kept back otherwise."""
import socket
import ssl
import subprocess
import threading

import pytest

from conftest import wait_for
from test_caching import connections, counting, status_of
from test_callers import create

# --- interim answers


def read_head(sock):
    out = b""
    while not out.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        assert byte, out
        out += byte
    return out


def hinting(let_go, status=b"103 Early Hints"):
    """Hints, and the answer when it is let go."""
    def answer(seen):
        seen.handler.wfile.write(b"HTTP/1.1 " + status + b"\r\nLink: </a>; rel=preload\r\nConnection: X-Hop\r\nX-Hop: 1\r\nAge: 5\r\n\r\n")
        seen.handler.wfile.flush()
        assert let_go.wait(60)
        return 200, {"X-Final": "1"}, b"body"
    return answer


def ask(gateway, method=b"GET", version=b"1.1"):
    sock = gateway.connect()
    more = b"Content-Length: 0\r\n" if method == b"POST" else b""
    sock.sendall(b"%s /crm/people/1 HTTP/%s\r\nHost: x\r\nX-Tenant-Id: acme\r\n%sConnection: close\r\n\r\n" % (method, version, more))
    return sock


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_an_interim_answer_comes_before_the_final_one(gateway, origin, method):
    let_go = threading.Event()
    origin.answer = hinting(let_go)
    with ask(gateway, method) as sock:
        assert read_head(sock) == b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"
        let_go.set()
        final = read_head(sock)
        assert final.startswith(b"HTTP/1.1 200 ") and b"X-Final: 1\r\n" in final and b"Link" not in final
        assert sock.recv(100) == b"body"
    # Nothing of it is kept with the answer.
    if method == b"GET":
        with ask(gateway) as sock:
            assert read_head(sock).startswith(b"HTTP/1.1 200 ")
        assert len(origin.seen) == 1


def test_an_old_client_gets_no_interim_answer(gateway, origin):
    let_go = threading.Event()
    let_go.set()
    origin.answer = hinting(let_go)
    with ask(gateway, version=b"1.0") as sock:  # RFC 9110 15.2
        assert read_head(sock).startswith(b"HTTP/1.1 200 ")


def test_all_who_wait_get_the_interim_answer(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, workers=1)
    gateway.map("acme", "cred-acme", apis=["crm"])
    joined, let_go = threading.Event(), threading.Event()
    hints = hinting(let_go, b"102 Processing")

    def answer(seen):
        assert joined.wait(60)
        return hints(seen)
    origin.answer = answer
    socks = [ask(gateway) for _ in range(3)]
    wait_for(lambda: connections(gateway) >= 3, what="three connections")
    assert gateway.session.get(gateway.admin + "/v1/status", timeout=60).status_code == 200  # the one loop has been round
    joined.set()
    for sock in socks:
        assert read_head(sock).startswith(b"HTTP/1.1 102 ")
    let_go.set()
    for sock in socks:
        assert read_head(sock).startswith(b"HTTP/1.1 200 ")
        sock.close()
    assert len(origin.seen) == 1


# --- a client's own Authorization


def with_authorization(make_gateway, origin, ttl, allowed):
    gateway = make_gateway({"crm": {"url": origin.url, "client_authorization": allowed}}, cache={"default": {"ttl": ttl}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    return gateway


@pytest.mark.parametrize("ttl, allowed, own", [("0s", True, True), ("0s", False, False), ("1m", True, False)])
def test_a_clients_authorization_goes_up_only_where_that_is_configured(make_gateway, origin, ttl, allowed, own):
    gateway = with_authorization(make_gateway, origin, ttl, allowed)
    origin.answer = lambda seen: (401, {}, b"") if seen.target.endswith("/denied") else (200, {}, b"")
    for path, asked in (("/crm/people", 1), ("/crm/denied", 1 if own else 2)):
        origin.clear()
        gateway.get(path, headers={"Authorization": "Basic YTpi"})
        sent = [seen.all("Authorization") for seen in origin.seen]
        assert len(sent) == asked and all(len(each) == 1 for each in sent)  # of another's 401 no new token of ours is the cure
        assert all((each == ["Basic YTpi"]) == own for each in sent) and all(own or each[0].startswith("Bearer ey") for each in sent)
    origin.clear()
    gateway.get("/crm/other")
    assert origin.seen[0].all("Authorization")[0].startswith("Bearer ey")


def test_two_authorizations_or_a_key_of_ours_never_go_up(make_gateway, origin):
    gateway = with_authorization(make_gateway, origin, "0s", True)
    key = create(gateway, "billing")["key"]
    for headers in ({"Authorization": f"Bearer {key}"}, {"Authorization": f"Custom x={key}", "X-Gateway-Key": key}):
        origin.clear()
        assert gateway.get("/crm/people", headers=headers).status_code == 200
        assert origin.seen[0].all("Authorization")[0].startswith("Bearer ey") and not origin.seen[0].all("X-Gateway-Key")
    raw = b"GET /crm/x HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nX-Gateway-Key: %s\r\nAuthorization: Basic YQ==\r\nAuthorization: Basic Yg==\r\n\r\n"
    origin.clear()
    gateway.raw(raw % key.encode())
    assert all(seen.all("Authorization")[0].startswith("Bearer ey") and len(seen.all("Authorization")) == 1 for seen in origin.seen)


@pytest.mark.parametrize("control, kept", [("max-age=60", False), ("public, max-age=60", True), ("s-maxage=60", True), ("must-revalidate, max-age=60", True)])
def test_what_authorization_was_asked_with_is_kept_if_that_is_allowed(make_gateway, origin, control, kept):
    """RFC 9111 3.5, decided on the client's own request."""
    gateway = with_authorization(make_gateway, origin, "0s", True)
    origin.answer = counting(**{"Cache-Control": control})
    answers = [gateway.get("/crm/people", headers={"Authorization": "Basic YTpi"}) for _ in range(2)]
    assert ("hit" in status_of(answers[1])) == kept and (answers[0].content == answers[1].content) == kept


# --- cookies


@pytest.mark.parametrize("ttl", ["0s", "1m"])
@pytest.mark.parametrize("kept", [False, True])
def test_answers_with_cookies_are_kept_only_where_that_is_configured(make_gateway, origin, ttl, kept):
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"default": {"ttl": ttl}, "rules": [{"api": "crm", "entity": "people", "ttl": ttl, "set_cookie": kept}]})
    gateway.map("acme", "cred-acme", apis=["crm"])
    origin.answer = counting(**{"Cache-Control": "max-age=60", "Set-Cookie": "a=b"})
    first, second = gateway.get("/crm/people"), gateway.get("/crm/people")
    assert first.headers["Set-Cookie"] == second.headers["Set-Cookie"] == "a=b"
    assert (first.content == second.content) == kept == ("hit" in status_of(second))
    assert kept or "detail=set-cookie" in status_of(first)
    assert gateway.get("/crm/other").content != gateway.get("/crm/other").content  # the rule's entity alone


# --- cut answers over TLS


class SecureOrigin:
    """Speaks TLS on loopback. The first answer of each connection is whole, the second is `later`: (bytes, say goodbye?); then it closes."""

    def __init__(self, directory):

        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key.pem",
                        "-out", "cert.pem", "-days", "2", "-subj", "/CN=origin", "-addext", "subjectAltName=IP:127.0.0.1"],
                       cwd=directory, check=True, capture_output=True)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        self.later, self.requests = None, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        try:
            with self.context.wrap_socket(sock, server_side=True, suppress_ragged_eofs=False) as secured:
                for number in (1, 2):
                    self.requests.append((number, read_head(secured)))
                    answer, goodbye = (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", True) if number == 1 else self.later
                    secured.sendall(answer)
                if goodbye:
                    secured.unwrap()
        except (OSError, AssertionError):
            pass

    def close(self):
        self.listener.close()


CUTS = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", b"x" * 5000),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2710\r\n" + b"x" * 5000),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1388\r\n" + b"x" * 5000 + b"\r\n"),
    "close": (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x" * 5000),
}


@pytest.fixture
def secure_origin(directory):
    made = SecureOrigin(directory)
    yield made
    made.close()


@pytest.mark.parametrize("goodbye", [False, True], ids=["torn", "close_notify"])
@pytest.mark.parametrize("framing", CUTS)
def test_a_second_answer_over_tls_that_is_cut(make_gateway, directory, secure_origin, framing, goodbye):
    gateway = make_gateway({"crm": {"url": f"https://127.0.0.1:{secure_origin.port}", "ca": str(directory / "cert.pem")}}, workers=1)
    gateway.map("acme", "cred-acme", apis=["crm"])
    head, body = CUTS[framing]
    secure_origin.later = (head + body, goodbye)
    assert gateway.get("/crm/people/1").content == b"whole"
    with gateway.connect() as sock:
        sock.sendall(b"GET /crm/people/2 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
        sock.settimeout(30)
        told, got = read_head(sock), b""
        assert told.startswith(b"HTTP/1.1 200 ")
        whole = framing == "close" and goodbye  # RFC 8446 6.1: the end is told, and nothing is missing
        while not (whole and got.endswith(b"0\r\n\r\n")) and (piece := sock.recv(65536)):
            got += piece
    assert [number for number, _ in secure_origin.requests] == [1, 2], "both on one connection"
    if framing == "length":
        assert b"Content-Length: 10000" in told and len(got) <= 5000
    else:
        assert b"Transfer-Encoding: chunked" in told and got.endswith(b"0\r\n\r\n") == whole
    again = gateway.get("/crm/people/2")
    assert ("hit" in status_of(again), len(again.content)) == ((True, 5000) if whole else (False, 5))
