"""What scenario tests stand on: the real binary on real sockets, an origin of our own that records, a clock that jumps."""
import base64
import hashlib
import hmac
import http.client
import http.server
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time

import pytest
import requests

BINARY = os.environ.get("GATEWAY", str(pathlib.Path(__file__).parents[2] / "build/debug/rollout-gateway"))
SECRET = "s" * 64
CLIENT_ID = "test-client"


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: worth running under the thread sanitizer")
    config.addinivalue_line("markers", "short: of timeouts, which are short here")


class Seen:
    """One request as the origin received it."""

    def __init__(self, handler, body):
        self.method = handler.command
        self.target = handler.path
        self.headers = handler.headers
        self.raw_headers = handler.headers.items()
        self.body = body

    def all(self, name):
        return self.headers.get_all(name) or []


class Origin:
    """A threaded HTTP/1.1 origin on loopback. `answer(seen)` returns (status, headers, body) or None after having written to
    seen.handler itself. Requests are recorded in `seen`."""

    def __init__(self, answer=None):
        self.seen = []
        self.lock = threading.Lock()
        self.answer = answer or (lambda seen: (200, {"Content-Type": "application/json"}, b'{"ok":true}'))
        origin = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *args):
                pass

            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    out = b""
                    while True:
                        size = int(self.rfile.readline().split(b";")[0], 16)
                        out += self.rfile.read(size)
                        self.rfile.readline()
                        if size == 0:
                            return out
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def serve(self):
                seen = Seen(self, self.body())
                seen.handler = self
                with origin.lock:
                    origin.seen.append(seen)
                    seen.number = len(origin.seen)
                answer = origin.answer(seen)
                if answer is None:
                    return
                status, headers, body = answer
                self.send_response_only(status)
                names = {name.lower() for name in headers}
                for name, value in headers.items():
                    for one in value if isinstance(value, list) else [value]:
                        self.send_header(name, one)
                if status not in (204, 304) and "content-length" not in names and "transfer-encoding" not in names:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD" and status not in (204, 304):
                    self.wfile.write(body)

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def __getattr__(self, name):
                if name.startswith("do_"):
                    return self.serve
                raise AttributeError(name)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 1024

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def clear(self):
        with self.lock:
            self.seen.clear()


class Gateway:
    """The binary with a configuration, in a directory of its own."""

    def __init__(self, config, directory, env=None, arguments=()):
        self.directory = pathlib.Path(directory)
        self.config = config
        self.path = self.directory / "gateway.json"
        self.clock = self.directory / "clock"
        self.clock.write_bytes(struct.pack("=q", 0))
        self.write_config()
        self.env = {**os.environ, "ROLLOUT_CLIENT_SECRET": SECRET, "ROLLOUT_GATEWAY_TEST_CLOCK": str(self.clock), **(env or {})}
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            self.env.setdefault(name, "http://127.0.0.1:1")  # must never be asked
        self.arguments = list(arguments)
        self.lines = []
        self.process = None
        self.session = requests.Session()
        self.session.trust_env = False

        self.command = [BINARY]
        self.pass_fds = ()
        self.pid = None
        self.heirs = []  # processes that took over, one after the other (SIGUSR2)

    def write_config(self):
        self.path.write_text(json.dumps(self.config))

    def start(self):
        self.ready = threading.Event()
        self.lines = []
        self.heirs = []
        self.process = subprocess.Popen([*self.command, "serve", "-c", str(self.path), *self.arguments], env=self.env, pass_fds=self.pass_fds,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.reader = threading.Thread(target=self.read, args=(self.process,), daemon=True)
        self.reader.start()
        if not self.ready.wait(30) or self.process.poll() is not None:
            self.process.kill()
            raise AssertionError("the gateway did not become ready:\n" + "\n".join(self.lines[-40:]))
        return self

    def read(self, process):
        for line in process.stderr:
            text = line.decode(errors="replace").rstrip("\n")
            self.lines.append(text)
            if '"event":"ready"' in text:
                told = json.loads(text)
                self.data, self.webhooks, self.admin = (f"http://{told[name]}" for name in ("data", "webhooks", "admin"))
                if self.pid != told["pid"] and self.ready.is_set():
                    self.heirs.append(told["pid"])
                self.pid = told["pid"]
                self.data_address = told["data"]
                self.data_port = int(port) if (port := told["data"].rsplit(":", 1)[1]).isdigit() else None
                self.ready.set()
        self.ready.set()

    def stop(self, number=signal.SIGTERM):
        """Ends the process and checks that it ended well."""
        if self.process is None:
            return
        process, self.process = self.process, None
        if self.heirs:
            os.kill(self.pid, number)
        elif process.poll() is None:
            process.send_signal(number)
        try:
            status = process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("the gateway did not stop:\n" + "\n".join(self.lines[-40:])) from None
        for pid in self.heirs:  # children of this process by now (PR_SET_CHILD_SUBREAPER)
            status = status or os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        self.reader.join(10)
        if number == signal.SIGTERM:
            assert status == 0, f"exit status {status}:\n" + "\n".join(self.lines[-60:])

    def kill(self):
        self.stop(signal.SIGKILL)

    def jump(self, seconds):
        """Moves the gateway's clocks ahead."""
        now = struct.unpack("=q", self.clock.read_bytes())[0]
        with open(self.clock, "r+b") as file:
            file.write(struct.pack("=q", now + int(seconds * 1000)))
        self.session.close()  # kept connections may be over their idle time now

    def events(self, name):
        """Log lines of that event. What was done is not always written and read yet: the first one is waited for, a while."""
        end = time.monotonic() + 2
        while True:
            out = [value for value in map(self.parse, list(self.lines)) if value.get("event") == name]
            if out or time.monotonic() > end:
                return out
            time.sleep(0.02)

    @staticmethod
    def parse(line):
        try:
            return json.loads(line)
        except ValueError:
            return {}

    # --- talking to it

    def request(self, method, path, tenant="acme", headers=None, **more):
        headers = dict(headers or {})
        if tenant is not None:
            headers.setdefault("X-Tenant-Id", tenant)
        return self.session.request(method, self.data + path, headers=headers, timeout=60, allow_redirects=False, **more)

    def get(self, path, tenant="acme", **more):
        return self.request("GET", path, tenant, **more)

    def map(self, tenant, credential_id, **fields):
        answer = requests.put(f"{self.admin}/v1/tenants/{tenant}/credentials/{credential_id}", json=fields, timeout=60)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def event(self, path, event, ids=(), event_id=None, body=None, signature=None, secret=SECRET):
        """Delivers a webhook as Rollout would; returns the answer."""
        if body is None:
            body = json.dumps({"eventId": event_id or os.urandom(8).hex(), "eventCreated": "2026-01-01T00:00:00+00:00", "event": event,
                               "resourceIds": list(ids), "uri": "https://crm.universal.rollout.com/people"}).encode()
        if signature is None:
            signature = sign(body, secret)
        headers = {"Content-Type": "application/json"}
        if signature:
            headers["X-Rollout-Signature"] = signature
        return requests.post(self.webhooks + path, data=body, headers=headers, timeout=60)

    def connect(self):
        sock = socket.create_connection(("127.0.0.1", self.data_port), timeout=30)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def raw(self, data):
        """Sends bytes, reads to the end of the connection."""
        with self.connect() as sock:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
            out = b""
            while True:
                try:
                    piece = sock.recv(65536)
                except ConnectionResetError:
                    return out
                if not piece:
                    return out
                out += piece


class UnixConnection(http.client.HTTPConnection):
    """To a listener at "unix:/path"."""

    def __init__(self, address, timeout=60):
        super().__init__("localhost", timeout=timeout)
        self.address = address.removeprefix("unix:")

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)


def sign(body, secret=SECRET, form="base64-body-hex"):
    text = base64.b64encode(body) if form.startswith("base64-body") else body
    digest = hmac.new(secret.encode(), text, hashlib.sha256).digest()
    return digest.hex() if form.endswith("hex") else base64.b64encode(digest).decode()


def configuration(directory, upstreams, **more):
    config = {
        "listen": {"data": "127.0.0.1:0", "webhooks": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "workers": 2,
        "data_dir": str(directory),
        "rollout": {"client_id": CLIENT_ID, "client_secret": {"env": "ROLLOUT_CLIENT_SECRET"}},
        "upstreams": upstreams,
    }
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(config.get(key), dict):
            config[key] = {**config[key], **value}
        else:
            config[key] = value
    return config


def wait_for(condition, seconds=10, what="the condition"):
    """Polls something outside of our control (another process); fails after a generous while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError(f"{what} did not come true in {seconds} s")


@pytest.fixture
def directory():
    with tempfile.TemporaryDirectory(prefix="rollout-gateway-test.") as path:
        yield pathlib.Path(path)


@pytest.fixture
def origin():
    made = Origin()
    yield made
    made.stop()


@pytest.fixture
def make_gateway(directory):
    """make_gateway(upstreams, **configuration) starts one; all are stopped, and have to stop well."""
    made = []

    def make(upstreams, env=None, arguments=(), start=True, **more):
        own = directory / str(len(made))
        own.mkdir()
        gateway = Gateway(configuration(own, upstreams, **more), own, env, arguments)
        made.append(gateway)
        return gateway.start() if start else gateway

    yield make
    for gateway in made:
        gateway.stop()


@pytest.fixture
def gateway(make_gateway, origin):
    """In front of `origin` as crm and tms; acme has cred-acme, globex has cred-globex."""
    made = make_gateway({"crm": {"url": origin.url + "/api"}, "tms": {"url": origin.url + "/tms/api"}})
    made.map("acme", "cred-acme", app_key="followupboss", apis=["crm"])
    made.map("globex", "cred-globex", app_key="lofty", apis=["crm"])
    return made


def json_of(answer):
    assert answer.headers["Content-Type"].startswith("application/json"), answer.text
    return answer.json()


def problem_of(answer, status, code):
    """Checks the shape of one of the gateway's own errors; returns the document."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    value = answer.json()
    assert value["code"] == code and value["status"] == status
    assert value["type"] == "https://rollout-gateway.dev/problems/" + code
    assert value["request_id"] == answer.headers["X-Request-Id"]
    assert {"title", "detail"} <= value.keys()
    assert answer.headers["Proxy-Status"].startswith("rollout-gateway; error=")
    return value
