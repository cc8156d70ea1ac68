"""TLS on the data and webhooks listeners, with Python's ssl and requests as independent clients."""
import json
import os
import pathlib
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import requests

from conftest import Gateway, configuration, sign, wait_for
from test_caching import counting
from test_operation import run

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Authority:
    """A CA of our own in a directory, by the openssl program."""

    def __init__(self, directory, name="ca"):
        self.directory = pathlib.Path(directory)
        self.name = name
        self.run("req", "-x509", *self.new_key(), "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "30", "-subj", f"/CN=test {name}",
                 "-addext", "basicConstraints=critical,CA:TRUE")
        self.file = self.directory / f"{name}.pem"

    @staticmethod
    def new_key():
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def run(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self.directory, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr

    def issue(self, name, common_name="localhost", alternative="DNS:localhost,IP:127.0.0.1", days=10):
        """(certificate file, key file); days may be negative: expired."""
        (self.directory / "ext").write_text(f"subjectAltName={alternative}\n" if alternative else "basicConstraints=CA:FALSE\n")
        self.run("req", *self.new_key(), "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={common_name}")
        if days > 0:
            self.run("x509", "-req", "-in", f"{name}.csr", "-CA", self.file, "-CAkey", f"{self.name}.key", "-CAcreateserial", "-days", days,
                     "-extfile", "ext", "-out", f"{name}.pem")
        else:
            self.run("ca", "-batch", "-config", self.write_ca_config(), "-in", f"{name}.csr", "-out", f"{name}.pem", "-notext",
                     "-startdate", "20200101000000Z", "-enddate", "20200201000000Z", "-extfile", "ext")
        return self.directory / f"{name}.pem", self.directory / f"{name}.key"

    def write_ca_config(self):
        (self.directory / "index").write_text("")
        path = self.directory / "ca.cnf"
        path.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase=index\nrand_serial=yes\nnew_certs_dir=.\ndefault_md=sha256\npolicy=p\n"
                        f"certificate={self.name}.pem\nprivate_key={self.name}.key\nunique_subject=no\n[p]\ncommonName=supplied\n")
        return path


@pytest.fixture
def authority(directory):
    place = directory / "ca"
    place.mkdir()
    return Authority(place)


def listener(files, client_ca=None, address="127.0.0.1:0"):
    value = {"address": address, "cert": str(files[0]), "key": str(files[1])}
    return {**value, "client_ca": str(client_ca)} if client_ca else value


@pytest.fixture
def secure(make_gateway, origin, authority):
    """As `gateway`, with TLS on data and webhooks."""
    files = authority.issue("server")
    made = make_gateway({"crm": {"url": origin.url + "/api"}}, listen={"data": listener(files), "webhooks": listener(files)})
    made.files = files
    made.map("acme", "cred-acme", app_key="followupboss", apis=["crm"])
    trust(made, authority)
    return made


def trust(gateway, authority, cert=None):
    gateway.data = f"https://localhost:{gateway.data_port}"
    gateway.webhooks = gateway.webhooks.replace("http://127.0.0.1", "https://localhost")
    gateway.session.verify = str(authority.file)
    gateway.session.cert = cert and tuple(map(str, cert))


def context(authority, version=None, alpn=None, cert=None):
    made = ssl.create_default_context(cafile=str(authority.file))
    if version:
        made.minimum_version = made.maximum_version = version
    if alpn:
        made.set_alpn_protocols(alpn)
    if cert:
        made.load_cert_chain(*map(str, cert))
    return made


def connect(gateway, how, session=None):
    sock = gateway.connect()
    return how.wrap_socket(sock, server_hostname="localhost", session=session)


def ask(sock, path="/crm/people/1", more=""):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: acme\r\n{more}\r\n".encode())
    return answer_of(sock.makefile("rb"))


def answer_of(file):
    """(status, headers, body) of an answer with a length."""
    status = int(file.readline().split()[1])
    headers = {}
    while (line := file.readline().strip()) != b"":
        name, value = line.decode().split(": ", 1)
        headers[name.lower()] = value
    return status, headers, file.read(int(headers["content-length"]))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_hit_over_tls(secure, origin, authority, version):
    origin.answer = counting()
    with connect(secure, context(authority, VERSIONS[version])) as sock:
        assert sock.version() == f"TLSv{version}"
        first, second = ask(sock), ask(sock)
    assert first[0] == second[0] == 200 and first[2] == second[2]
    assert "hit" in second[1]["cache-status"] and len(origin.seen) == 1


def test_requests_and_webhooks_over_tls(secure, origin):
    origin.answer = counting()
    assert secure.get("/crm/people/1").status_code == 200
    before = secure.get("/crm/people/1").content
    path = requests.get(secure.admin + "/v1/tenants/acme/credentials", timeout=10).json()["credentials"][0]["webhook_path"]
    body = json.dumps({"eventId": "e1", "eventCreated": "2026-01-01T00:00:00+00:00", "event": "people.updated", "resourceIds": ["1"],
                       "uri": "https://crm.universal.rollout.com/people"}).encode()
    answer = requests.post(secure.webhooks + path, data=body, headers={"Content-Type": "application/json", "X-Rollout-Signature": sign(body)},
                           verify=secure.session.verify, timeout=10)
    assert answer.status_code == 204
    assert secure.get("/crm/people/1").content != before


def test_links_say_https(secure, origin):
    origin.answer = lambda seen: (200, {"Content-Type": "application/json"}, json.dumps(
        {"people": [], "_metadata": {"next": "x", "nextLink": f"{origin.url}/api/people?next=x"}}).encode())
    value = secure.get("/crm/people").json()
    assert value["_metadata"]["nextLink"].startswith(f"https://localhost:{secure.data_port}/"), value
    joined = secure.get("/crm/people", headers={"X-Fanout": "all"}).json()  # through a request of the gateway's own
    assert joined["results"][0]["body"] == value


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that the old versions are old is the point
def test_old_versions_and_other_protocols_are_refused(secure, authority):
    old = context(authority)
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        connect(secure, old)
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(secure, context(authority, alpn=["h2"]))
    with connect(secure, context(authority, alpn=["h2", "http/1.1"])) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
        assert ask(sock)[0] == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed_on_any_worker(secure, authority, version):
    how = context(authority, VERSIONS[version])
    session, reused = None, []
    for _ in range(12):
        with connect(secure, how, session) as sock:
            assert ask(sock)[0] == 200
            reused.append(sock.session_reused)
            session = sock.session
    assert reused == [False] + [True] * 11


def test_client_certificates(make_gateway, origin, authority, directory):
    files = authority.issue("server")
    other = directory / "other"
    other.mkdir()
    stranger = Authority(other)
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, listen={"data": listener(files, authority.file)})
    gateway.map("acme", "cred-acme", apis=["crm"])
    trust(gateway, authority, authority.issue("client", "billing", None))
    assert gateway.get("/crm/people").status_code == 200
    for cert in (None, stranger.issue("client", "billing", None), authority.issue("expired", "billing", None, days=-1)):
        for version in VERSIONS.values():
            with pytest.raises((ssl.SSLError, OSError), match="(?i)alert|reset"):
                with connect(gateway, context(authority, version, cert=cert)) as sock:
                    ask(sock)
    assert len(origin.seen) == 1


def test_who_speaks_no_tls(secure):
    answer = secure.raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"speaks TLS" in answer
    for garbage in (b"\0" * 100, b"\x16\x03\x01\x02\x00\x01" + b"\xff" * 600, os.urandom(3000), b"\x16"):
        assert not secure.raw(garbage).startswith(b"HTTP")
    assert secure.get("/crm/people").status_code == 200


def test_a_slow_handshake_is_cut(secure):
    with secure.connect() as sock, secure.connect() as begun:
        begun.sendall(b"\x16\x03\x01\x02\x00\x01")
        wait_for(lambda: secure.get("/crm/people").status_code == 200)
        secure.jump(11)
        assert sock.recv(1) == b"" and begun.recv(1) == b""


def replace(files, fresh):
    for target, source in zip(files, fresh):
        target.write_bytes(source.read_bytes())


@pytest.mark.threads
def test_new_certificates_under_load(secure, authority):
    stop, failures = threading.Event(), []

    def ask_again(keep):
        session = requests.Session()
        session.verify, session.trust_env = secure.session.verify, False
        while not stop.is_set():
            try:
                answer = session.get(secure.data + "/crm/people/1", headers={"X-Tenant-Id": "acme", **({} if keep else {"Connection": "close"})},
                                     timeout=30)
                if answer.status_code != 200:
                    failures.append(answer.text)
            except requests.RequestException as error:
                failures.append(repr(error))
    threads = [threading.Thread(target=ask_again, args=(keep,)) for keep in (True, True, False, False)]
    old = connect(secure, context(authority))
    first = old.getpeercert()["serialNumber"]
    for thread in threads:
        thread.start()
    for n in range(5):
        replace(secure.files, authority.issue(f"server-{n}"))
        secure.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(secure.events("reloaded")) > n, what="the reload")
    fresh = authority.issue("last")
    replace(secure.files, fresh)
    assert requests.post(secure.admin + "/v1/reload", timeout=30).status_code == 200
    done = subprocess.run(["openssl", "x509", "-noout", "-serial", "-in", fresh[0]], capture_output=True, text=True, timeout=10)
    wanted = int(done.stdout.strip().split("=")[1], 16)

    def seen():
        with connect(secure, context(authority)) as sock:
            return int(sock.getpeercert()["serialNumber"], 16) == wanted
    wait_for(lambda: all(seen() for _ in range(8)), what="the new certificate")
    assert int(first, 16) != wanted and ask(old)[0] == 200  # goes on with what it has
    stop.set()
    for thread in threads:
        thread.join(30)
    old.close()
    assert failures == []


def test_bad_files_are_named_at_start_at_check_and_on_reload(secure, origin, authority, directory):
    good = [file.read_bytes() for file in secure.files]
    cases = {"cert": (b"garbage", good[1], "holds no PEM certificate"),
             "key": (good[0], authority.issue("x")[1].read_bytes(), "does not belong to the certificate")}
    expired = authority.issue("old", days=-1)
    cases["cert "] = (expired[0].read_bytes(), expired[1].read_bytes(), "has expired")
    for name, (cert, key, why) in cases.items():
        secure.files[0].write_bytes(cert)
        secure.files[1].write_bytes(key)
        before = len(secure.events("reload-refused"))
        secure.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(secure.events("reload-refused")) > before, what="the refusal")
        told = str(secure.events("reload-refused")[-1])
        assert f"listen.data.{name.strip()}" in told and why in told
        assert secure.get("/crm/people").status_code == 200
        other = directory / f"other-{len(why)}"
        other.mkdir()
        started = Gateway(configuration(other, {"crm": {"url": origin.url}}, listen={"data": listener(secure.files)}), other)
        done = run("serve", "-c", str(started.path))
        assert done.returncode == 1 and f"listen.data.{name.strip()}" in done.stderr and why in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        done = run("check", "-c", str(started.path))
        assert done.returncode == 78 and f"listen.data.{name.strip()}" in done.stderr and why in done.stderr, done.stderr
    for file, content in zip(secure.files, good):
        file.write_bytes(content)
    assert requests.post(secure.admin + "/v1/reload", timeout=30).status_code == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_large_bodies_and_a_slow_reader(secure, origin, authority, version):
    body = os.urandom(4 * 1024 * 1024)
    origin.answer = lambda seen: (200, {"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}, seen.body or body)
    how = context(authority, VERSIONS[version])
    with connect(secure, how) as sock:
        head = f"POST /crm/people HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: acme\r\nContent-Length: {len(body)}\r\n\r\n"
        sender = threading.Thread(target=lambda: sock.sendall(head.encode() + body))
        sender.start()
        sender.join(60)
        sock.sendall(b"GET /crm/blob HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: acme\r\n\r\n")
        file = sock.makefile("rb", buffering=0)
        for _ in range(2):
            headers, status = {}, int(file.readline().split()[1])
            while (line := file.readline().strip()) != b"":
                name, value = line.decode().split(": ", 1)
                headers[name.lower()] = value
            assert status == 200
            got = bytearray()
            while len(got) < int(headers["content-length"]):
                got += sock.recv(min(1500, int(headers["content-length"]) - len(got)))
            assert bytes(got) == body


def test_pipelining(secure, origin, authority):
    origin.answer = lambda seen: (200, {"Cache-Control": "no-store"}, seen.target.encode())
    one = "GET /crm/people/{} HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: acme\r\n\r\n"
    with connect(secure, context(authority)) as sock:
        sock.sendall("".join(one.format(n) for n in range(20)).encode())
        file = sock.makefile("rb")
        for n in range(20):
            assert answer_of(file)[2].endswith(f"/people/{n}".encode())


def test_a_client_that_ends_its_side_is_answered(secure, origin, authority):
    release = threading.Event()

    def answer(seen):
        release.wait(20)
        return 200, {"Cache-Control": "no-store"}, b"fine"
    origin.answer = answer
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context(authority).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with secure.connect() as sock:
        def pump(call):
            while True:
                try:
                    return call()
                except ssl.SSLWantReadError:
                    if to_send := outgoing.read():
                        sock.sendall(to_send)
                    data = sock.recv(65536)
                    incoming.write(data) if data else incoming.write_eof()
        pump(tls.do_handshake)
        tls.write(b"GET /crm/people/1 HTTP/1.1\r\nHost: localhost\r\nX-Tenant-Id: acme\r\n\r\n")
        sock.sendall(outgoing.read())
        sock.shutdown(socket.SHUT_WR)
        wait_for(lambda: origin.seen)
        release.set()
        got = b""
        while not got.endswith(b"fine"):
            got += pump(lambda: tls.read(65536))
        assert got.startswith(b"HTTP/1.1 200 ")
        assert pump(lambda: tls.read(1)) == b""  # a close_notify: else it raises


def test_drain_says_goodbye(secure, authority):
    with connect(secure, context(authority)) as idle:
        assert ask(idle)[0] == 200
        secure.process.send_signal(signal.SIGTERM)
        assert idle.recv(1) == b""  # a close_notify: else it raises
        assert secure.process.wait(30) == 0


def test_curl_verifies_the_chain(secure, authority):
    """Another implementation of the client's side."""
    done = subprocess.run(["curl", "-sS", "--noproxy", "*", "--cacert", authority.file, "-H", "X-Tenant-Id: acme", "-o", os.devnull, "-w",
                           "%{http_code} %{http_version} %{ssl_verify_result}", secure.data + "/crm/people"],
                          capture_output=True, text=True, timeout=30)
    assert done.stdout == "200 1.1 0", done
