"""A data listener at a unix path: who connects is known by its user id."""
import contextlib
import json
import os
import socket
import stat

import pytest
import requests

from conftest import UnixConnection
from test_callers import STRANGER, create, own, revoke
from test_tls import authority, context, listener  # noqa: F401 (authority is a fixture)

ME, OTHER = f"uid:{os.geteuid()}", f"uid:{os.geteuid() + 1}"


@pytest.fixture
def make_local(make_gateway, origin, directory):
    def make(**more):
        path = directory / "data.sock"
        made = make_gateway({"crm": {"url": origin.url + "/api"}}, listen={"data": f"unix:{path}"}, **more)
        assert made.data_address == f"unix:{path}"
        made.map("acme", "cred-acme", apis=["crm"])
        return made

    return make


def ask(gateway, headers=None, method="GET", tenant="acme"):
    """(status, rule) of a request on a connection of its own."""
    with contextlib.closing(UnixConnection(gateway.data_address)) as connection:
        connection.request(method, "/crm/people", headers={"X-Tenant-Id": tenant, **(headers or {})})
        answer = connection.getresponse()
        body = answer.read()
        return answer.status, json.loads(body).get("rule") if answer.status in (401, 403) else None


def test_without_any_key_every_local_user_that_the_file_lets_in_is_served(make_local):
    gateway = make_local()
    mode = os.stat(gateway.data_address.removeprefix("unix:")).st_mode
    assert stat.S_ISSOCK(mode) and mode & 0o007 == 0  # nobody but owner and group
    assert ask(gateway) == (200, None)


def test_a_listed_user_is_its_key_and_no_more(make_local, origin):
    gateway = make_local()
    key = create(gateway, "billing", peers=[ME], tenants=["ac*"], methods=["GET"])
    assert ask(gateway) == (200, None)
    assert ask(gateway, own(key)) == (200, None)  # the same one twice
    assert ask(gateway, tenant="globex") == (403, "tenants")
    assert ask(gateway, method="POST") == (403, "methods")
    assert ask(gateway, own(STRANGER)) == (401, "key-unknown")  # what is presented has to be good
    # What a client writes about itself counts for nothing, and nothing of it goes up.
    for name in ("X-Peer", "X-Uid", "X-Forwarded-User"):
        assert ask(gateway, {name: OTHER}, method="POST") == (403, "methods")
    revoke(gateway, key)
    assert ask(gateway) == (401, "peer-unknown")
    assert all("uid:" not in str(seen.raw_headers) for seen in origin.seen)


def test_a_user_that_no_key_lists_is_refused_and_cannot_use_the_key_of_another(make_local):
    gateway = make_local()
    other = create(gateway, "search", peers=[OTHER])
    assert ask(gateway) == (401, "peer-unknown")
    assert ask(gateway, own(other)) == (200, None)  # nobody else's name, a good key
    mine = create(gateway, "billing", peers=[ME])
    assert ask(gateway) == (200, None)
    assert ask(gateway, own(mine)) == (200, None)
    assert ask(gateway, own(other)) == (401, "peer-differs")


def test_allow_anonymous_lets_in_who_is_on_no_list(make_local):
    gateway = make_local(allow_anonymous=True)
    create(gateway, "search", peers=[OTHER], tenants=["none"])
    assert ask(gateway) == (200, None)
    create(gateway, "billing", peers=[ME], tenants=["none"])
    assert ask(gateway) == (403, "tenants")  # who is named is held to its rules


def test_only_unix_clients_have_a_user_id(gateway):
    """Over TCP nobody can tell: the same machine is not the same user."""
    create(gateway, "billing", peers=[ME])
    answer = gateway.get("/crm/people")
    assert answer.status_code == 401 and answer.json()["rule"] == "key-missing"


def test_a_user_id_has_one_spelling(gateway):
    for peer in ("uid:", "uid:root", "uid:01", "uid:-1", "uid:4294967295"):
        answer = requests.post(gateway.admin + "/v1/keys", json={"name": "x", "peers": [peer]}, timeout=60)
        assert answer.status_code == 400 and "peers[0]" in answer.json()["detail"], peer


def test_a_certificate_comes_before_the_user_id(make_gateway, origin, authority, directory):  # noqa: F811
    """TLS works over a unix path as well; what it tells is more than who runs the program."""
    data = listener(authority.issue("server"), authority.file, f"unix:{directory / 'tls.sock'}")
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, listen={"data": data})
    gateway.map("acme", "cred-acme", apis=["crm"])
    create(gateway, "user", peers=[ME], tenants=["none"])
    create(gateway, "certificate", peers=["dns:billing.internal"])
    how = context(authority, cert=authority.issue("client", "client", "DNS:billing.internal"))
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(60)
        plain.connect(gateway.data_address.removeprefix("unix:"))
        with how.wrap_socket(plain, server_hostname="localhost") as sock:
            sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\nConnection: close\r\n\r\n")
            assert sock.recv(4096).startswith(b"HTTP/1.1 200 ")
