"""What every listener refuses, whatever form it comes in: one table, over real sockets. None of it reaches Rollout, or changes anything."""
import json
import socket
import ssl
import urllib.parse

import pytest
import requests

from conftest import sign
from test_callers import STRANGER, create, revoke
from test_tls import Authority, authority, context, listener  # noqa: F401 (authority is a fixture)

ADMIN = "the-admin-token"
EVENT = b'{"eventId":"e-1","event":"peopleUpdated","resourceIds":["1"],"uri":"https://crm.universal.rollout.com/people"}'

# Where a client writes what it should be believed: field lines before the body, or behind it.
FORMS = {
    "absent": lambda name, good, bad: ([], []),
    "wrong": lambda name, good, bad: ([f"{name}: {bad}"], []),
    "empty": lambda name, good, bad: ([f"{name}:"], []),
    "underscored": lambda name, good, bad: ([f"{name.replace('-', '_')}: {good}"], []) if "-" in name else ([f"{name}_: {good}"], []),
    "another field": lambda name, good, bad: ([f"X-Forwarded-{name}: {good}", f"X-Original-{name}: {good}"], []),
    "proxy's": lambda name, good, bad: ([f"Proxy-Authorization: {good}"], []),
    "cookie": lambda name, good, bad: ([f"Cookie: {name}={good}"], []),
    "twice, good first": lambda name, good, bad: ([f"{name}: {good}", f"{name}: {bad}"], []),
    "twice, bad first": lambda name, good, bad: ([f"{name}: {bad}", f"{name}: {good}"], []),
    "joined": lambda name, good, bad: ([f"{name}: {bad}, {good}"], []),
    "folded": lambda name, good, bad: ([f"{name}:\r\n {good}"], []),
    "space before colon": lambda name, good, bad: ([f"{name} : {good}"], []),
    "named by Connection": lambda name, good, bad: ([f"{name}: {bad}", f"Connection: {name}"], []),
    "trailer": lambda name, good, bad: ([f"Trailer: {name}"], [f"{name}: {good}"]),
    "trailer over a wrong one": lambda name, good, bad: ([f"{name}: {bad}", f"Trailer: {name}"], [f"{name}: {good}"]),
}


@pytest.fixture
def guarded(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, env={"ADMIN": ADMIN}, admin={"token": {"env": "ADMIN"}})
    gateway.auth = {"Authorization": "Bearer " + ADMIN}
    answer = requests.put(f"{gateway.admin}/v1/tenants/acme/credentials/cred-acme", json={"apis": ["crm"]}, headers=gateway.auth, timeout=60)
    gateway.hook = answer.json()["webhook_path"]
    made = [requests.post(gateway.admin + "/v1/keys", json={"name": name, **more}, headers=gateway.auth, timeout=60).json()
            for name, more in (("good", {"tenants": ["acme"]}), ("foreign", {"tenants": ["globex"]}), ("ended", {}))]
    assert requests.delete(f"{gateway.admin}/v1/keys/{made[2]['id']}", headers=gateway.auth, timeout=60).status_code == 204
    gateway.good, gateway.foreign, gateway.ended = (key["key"] for key in made)
    return gateway


def ask(url, method, path, lines, trailers=(), body=b"x", wrap=None):
    """The status of a request that is written as it stands; 0: the connection was closed without an answer."""
    at = urllib.parse.urlsplit(url)
    head = [f"{method} {path} HTTP/1.1", "Host: x", "X-Tenant-Id: acme", *lines]
    if trailers:
        head.append("Transfer-Encoding: chunked")
        body = b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(body), body, "".join(line + "\r\n" for line in trailers).encode())
    else:
        head.append(f"Content-Length: {len(body)}")
    with socket.create_connection((at.hostname, at.port), timeout=60) as sock:
        sock.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        answer = b""
        while b"\r\n" not in answer and (piece := sock.recv(65536)):
            answer += piece
    return int(answer.split()[1]) if answer else 0


def refusals(gateway):
    """(listener, what it should be, field, good value, bad values, request)."""
    return [
        ("data", "X-Gateway-Key", gateway.good, {"a stranger's": STRANGER, "an ended": gateway.ended, "the admin's": ADMIN}, (gateway.data, "POST", "/crm/people")),
        ("data", "Authorization", "Bearer " + gateway.good, {"a stranger's": "Bearer " + STRANGER, "an ended": "Bearer " + gateway.ended,
                                                             "the admin's": "Bearer " + ADMIN}, (gateway.data, "POST", "/crm/people")),
        ("webhooks", "X-Rollout-Signature", sign(EVENT), {"another's": sign(EVENT, "z" * 64), "of another body": sign(EVENT + b" "), "a service key": gateway.good,
                                                          "the admin's": ADMIN}, (gateway.webhooks, "POST", gateway.hook, EVENT)),
        ("admin", "Authorization", "Bearer " + ADMIN, {"another's": "Bearer " + ADMIN + "x", "a service key": "Bearer " + gateway.good, "cut": "Bearer " + ADMIN[:-1],
                                                       "no scheme": ADMIN, "basic": "Basic " + ADMIN}, (gateway.admin, "POST", "/v1/purge", b'{"tenant":"acme"}')),
    ]


def test_no_form_of_a_wrong_credential_is_believed(guarded, origin):
    before = requests.get(guarded.admin + "/v1/status", headers=guarded.auth, timeout=60).json()
    count, wrong = 0, []
    for where, name, good, bads, (url, method, path, *body) in refusals(guarded):
        body = body[0] if body else b"x"
        for form, lines_of in FORMS.items():
            for kind, bad in bads.items():
                lines, trailers = lines_of(name, good, bad)
                status = ask(url, method, path, lines, trailers, body)
                count += 1
                if status not in (400, 401):
                    wrong.append((where, name, form, kind, status))
    assert wrong == []
    assert count >= 4 * len(FORMS) * 3
    assert origin.seen == []
    after = requests.get(guarded.admin + "/v1/status", headers=guarded.auth, timeout=60).json()
    assert after["webhooks"]["accepted"] == before["webhooks"]["accepted"] == 0
    assert after["cache"]["invalidations"] == before["cache"]["invalidations"]


def test_the_good_one_of_each_is(guarded, origin):
    """The table above refuses for the reason that it names."""
    for where, name, good, _, (url, method, path, *body) in refusals(guarded):
        assert ask(url, method, path, [f"{name}: {good}"], (), body[0] if body else b"x") in (200, 204), (where, name)


def test_a_key_of_another_tenant_opens_nothing_in_any_form(guarded, origin):
    for name, value in (("X-Gateway-Key", guarded.foreign), ("Authorization", "Bearer " + guarded.foreign)):
        for lines in ([f"{name}: {value}"], [f"{name}: {value}", "X-Tenant-Id: globex"], [f"{name}: {value}", "X_Tenant_Id: globex"],
                      [f"{name}: {value}", "Connection: X-Tenant-Id"], [f"{name}: {value}", "X-Rollout-Credential-Id: cred-acme"],
                      [f"{name}: {value}", "X-App-Key: x"], [f"{name}: {value}", "X-HTTP-Method-Override: GET"]):
            status = ask(guarded.data, "POST", "/crm/people", lines)
            assert status in (400, 403), (lines, status)
        assert ask(guarded.data, "POST", "/t/acme/crm/people", [f"{name}: {value}"]) == 403
    assert origin.seen == []


def test_listeners_do_not_serve_each_others_paths(guarded, origin):
    """What opens one door is at no other."""
    everything = [f"X-Gateway-Key: {guarded.good}", f"X-Rollout-Signature: {sign(EVENT)}"]
    token = ["Authorization: Bearer " + ADMIN]
    assert ask(guarded.data, "POST", guarded.hook, everything, (), EVENT) in (400, 404)
    assert ask(guarded.data, "POST", "/v1/purge", [*everything, *token], (), b"{}") in (400, 404)
    assert ask(guarded.webhooks, "POST", "/crm/people", everything) == 404
    assert ask(guarded.webhooks, "POST", "/v1/purge", [*everything, *token], (), b"{}") == 404
    assert ask(guarded.admin, "POST", "/crm/people", [*everything, *token]) == 404
    assert ask(guarded.admin, "POST", guarded.hook, [*everything, *token], (), EVENT) == 404
    assert origin.seen == []


def test_certificates(make_gateway, origin, authority, directory):  # noqa: F811
    """On both TLS listeners: none, of another authority, expired, of nobody's name, of an ended key's name."""
    (directory / "other").mkdir()
    other = Authority(directory / "other", "other")
    server = authority.issue("server")
    names = {"good": "DNS:good.internal", "nobody": "DNS:nobody.internal", "ended": "DNS:ended.internal"}
    certs = {name: authority.issue(name, name, alternative) for name, alternative in names.items()}
    certs.update(expired=authority.issue("expired", "expired", names["good"], days=-1), foreign=other.issue("foreign", "foreign", names["good"]), none=None)
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, listen={name: listener(server, authority.file) for name in ("data", "webhooks")})
    gateway.map("acme", "cred-acme", apis=["crm"])
    create(gateway, "good", peers=["dns:good.internal"])
    revoke(gateway, create(gateway, "ended", peers=["dns:ended.internal"]))
    ports = {"data": gateway.data_port, "webhooks": int(gateway.webhooks.rsplit(":", 1)[1])}
    expected = {"good": (200, 404), "nobody": (401, 404), "ended": (401, 404), "expired": (None, None), "foreign": (None, None), "none": (None, None)}
    for name, statuses in expected.items():
        for where, status in zip(("data", "webhooks"), statuses):
            got = over_tls(ports[where], context(authority, cert=certs[name]))
            assert got == status, (name, where, got)
    assert len(origin.seen) == 1


def over_tls(port, how):
    """The status, or None when the handshake or what follows it is refused."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=60) as plain, how.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n")
            answer = sock.recv(4096)
            return int(answer.split()[1]) if answer else None
    except (ssl.SSLError, ConnectionError):
        return None
