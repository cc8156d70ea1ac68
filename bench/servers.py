"""The programs that are measured, and the origin behind them. Each runs as a child, pinned to a core, on loopback ports that were
free, with all its files in one temporary directory."""
import http.client
import json
import os
import pathlib
import shutil
import socket
import subprocess
import threading
import time

from load import LOAD_CORE, SERVER_CORE

SECRET = "0123456789abcdef" * 5
NGINX_PROGRAM = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
BODY = json.dumps({"data": "x" * (1024 - len('{"data": ""}'))})
assert len(BODY) == 1024
READY_SECONDS = 20


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def wait_for_port(process, port):
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{process.args} does not listen on {port}: see its log")


class Server:
    """A child that is pinned to a core; ended by its id, whatever happens."""

    def __init__(self, directory, name, command, core=SERVER_CORE, env=None):
        self.log = open(pathlib.Path(directory) / f"{name}.log", "wb")
        self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, command)], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=subprocess.STDOUT, env=env)
        self.pid = self.process.pid  # taskset becomes the program

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def make_certificates(directory):
    """A CA of our own, and a certificate for 127.0.0.1 that it vouches for. Returns the CA's file."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True, timeout=60)

    (directory / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=bench CA")
    openssl("req", *key, "-keyout", "origin.key", "-out", "origin.csr", "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", "origin.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile",
            "san", "-out", "origin.pem")
    return directory / "ca.pem"


NGINX = """
{user}
worker_processes 1;
daemon off;
pid {directory}/{name}.pid;
error_log {directory}/{name}-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    default_type application/json;
    {files}
    tcp_nodelay on;
    server_tokens off;
    keepalive_timeout 75s;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/{name}-client;
    proxy_temp_path {directory}/{name}-proxy;
    fastcgi_temp_path {directory}/{name}-fastcgi;
    uwsgi_temp_path {directory}/{name}-uwsgi;
    scgi_temp_path {directory}/{name}-scgi;
{http}
}}
"""

ORIGIN = """
    server {{
        listen 127.0.0.1:{plain} backlog=4096;
        listen 127.0.0.1:{tls} ssl backlog=4096;
        ssl_certificate {directory}/origin.pem;
        ssl_certificate_key {directory}/origin.key;
        ssl_session_cache shared:origin:1m;
        location /api/cached/ {{ add_header Cache-Control "max-age=3600"; return 200 '{body}'; }}
        location / {{ add_header Cache-Control "no-store"; return 200 '{body}'; }}
    }}
"""

# What the gateway adds upstream, nginx adds too: the same bytes travel.
PROXY = """
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Authorization "Bearer {token}";
    proxy_set_header X-Rollout-Credential-Id "cred-acme";
    upstream plain {{ server 127.0.0.1:{plain}; keepalive 64; keepalive_requests 1000000000; }}
    upstream tls {{ server 127.0.0.1:{tls}; keepalive 64; keepalive_requests 1000000000; }}
    proxy_cache_path {directory}/cache levels=1:2 keys_zone=hits:10m max_size=256m inactive=1h use_temp_path=off;
    server {{
        listen 127.0.0.1:{cached} backlog=4096;
        location /crm/ {{
            proxy_pass http://plain/api/;
            proxy_cache hits;
            proxy_cache_key "$http_x_tenant_id $request_method $request_uri";
            proxy_cache_valid 200 1h;
            proxy_cache_lock on;
        }}
    }}
    server {{
        listen 127.0.0.1:{through} backlog=4096;
        location /crm/ {{ proxy_pass http://plain/api/; }}
        location /tms/ {{
            proxy_pass https://tls/api/;
            proxy_ssl_verify on;
            proxy_ssl_trusted_certificate {directory}/ca.pem;
            proxy_ssl_name localhost;
            proxy_ssl_session_reuse on;
        }}
    }}
"""
# How nginx reads what it has stored. The second way is the quickest that was found for small answers.
USUAL = "sendfile on; tcp_nopush on;"  # as in Debian's nginx.conf
TUNED = "sendfile off; open_file_cache max=1000 inactive=60s; open_file_cache_valid 60s;"


def start_nginx(directory, name, http, port, core=SERVER_CORE, files=USUAL):
    path = directory / f"{name}.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    path.write_text(NGINX.format(user=user, directory=directory, name=name, files=files, http=http))
    server = Server(directory, name, [NGINX_PROGRAM, "-c", path, "-e", directory / f"{name}-error.log"], core)
    try:
        wait_for_port(server.process, port)
    except RuntimeError:
        server.stop()
        raise
    return server


def start_origin(directory):
    """Answers every path with the same 1 KiB, on plain HTTP and on TLS; on the core of the load."""
    make_certificates(directory)
    plain, tls = free_ports(2)
    server = start_nginx(directory, "origin", ORIGIN.format(plain=plain, tls=tls, directory=directory, body=BODY), plain, LOAD_CORE)
    server.plain, server.tls = plain, tls
    return server


def start_proxy(directory, origin, name, files):
    cached, through = free_ports(2)
    own = directory / name
    own.mkdir()
    (own / "ca.pem").write_bytes((directory / "ca.pem").read_bytes())
    http = PROXY.format(plain=origin.plain, tls=origin.tls, directory=own, cached=cached, through=through, token="x" * 240)
    server = start_nginx(own, name, http, cached, files=files)
    server.cached, server.through = cached, through
    return server


def start_bare(directory, programs):
    port, = free_ports(1)
    server = Server(directory, "bare_epoll", [programs / "bare_epoll", port])
    wait_for_port(server.process, port)
    server.port = port
    return server


def start_forwarder(directory, programs, origin, tls):
    port, = free_ports(1)
    base = f"https://127.0.0.1:{origin.tls}/api" if tls else f"http://127.0.0.1:{origin.plain}/api"
    ca = [directory / "ca.pem"] if tls else []
    server = Server(directory, f"forwarder-{'tls' if tls else 'plain'}", [programs / "curl_multi_forwarder", port, base, *ca])
    wait_for_port(server.process, port)
    server.port = port
    return server


class Gateway(Server):
    """The release binary with a configuration of its own; `more` overlays it."""

    def __init__(self, directory, binary, origin, name="gateway", env=None, core=SERVER_CORE, **more):
        own = directory / name
        own.mkdir()
        config = {
            "listen": {"data": "127.0.0.1:0", "webhooks": "127.0.0.1:0", "admin": "127.0.0.1:0"},
            "data_dir": str(own),
            "rollout": {"client_id": "bench", "client_secret": {"env": "ROLLOUT_CLIENT_SECRET"}},
            "upstreams": {"crm": {"url": f"http://127.0.0.1:{origin.plain}/api"},
                          "tms": {"url": f"https://127.0.0.1:{origin.tls}/api", "ca": str(directory / "ca.pem")}},
            "cache": {"rules": [{"api": "crm", "entity": "cached", "ttl": "1h", "ttl_uncovered": "1h"}]},
            "limits": {"tenant": {"rate": "none", "burst": 0, "concurrency": 0}},
            "log": {"access": False},
            **more,
        }
        path = own / "gateway.json"
        path.write_text(json.dumps(config))
        environment = {**os.environ, "ROLLOUT_CLIENT_SECRET": SECRET, **(env or {})}
        self.process = subprocess.Popen(["taskset", "-c", str(core), str(binary), "serve", "-c", str(path)],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=environment)
        self.pid = self.process.pid
        self.lines, self.ready = [], threading.Event()
        self.requests = []  # the access log, where it is on
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        if not self.ready.wait(READY_SECONDS) or not hasattr(self, "port"):
            self.stop()
            raise RuntimeError("the gateway does not become ready:\n" + "\n".join(self.lines[-20:]))

    def read(self):
        for line in self.process.stderr:
            text = line.decode(errors="replace").strip()
            if '"event":"request"' in text:
                self.requests.append(json.loads(text))
                continue
            self.lines = (self.lines + [text])[-100:]
            if '"event":"ready"' in text:
                told = json.loads(text)
                self.port, self.admin, self.webhooks = (int(told[key].rsplit(":", 1)[1]) for key in ("data", "admin", "webhooks"))
                self.ready.set()
        self.ready.set()

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.reader.join(5)
        self.process.stderr.close()

    def map_tenant(self, tenant="acme", credential="cred-acme"):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        body = json.dumps({"app_key": "followupboss", "apis": ["crm", "tms"], "default": True})
        connection.request("PUT", f"/v1/tenants/{tenant}/credentials/{credential}", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        if answer.status not in (200, 201):
            raise RuntimeError(f"mapping a tenant: {answer.status} {text[:300]!r}")
        return json.loads(text)

    def told(self, path):
        """What the admin listener says."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=10)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()
