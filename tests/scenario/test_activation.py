"""Started by a service manager: sockets that it listens on, and what it is told."""
import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys

import pytest
import requests

from conftest import BINARY, Gateway, configuration, wait_for
from test_operation import run

UPSTREAMS = {"crm": {"url": "http://127.0.0.1:1/api"}}

# Puts the descriptors it was given from 3 on, as systemd does, and becomes the program.
LAUNCHER = """
import fcntl, os, sys
fds, names, pid, program = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]
high = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in fds.split(",")]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
    os.close(fd)
os.environ.update(LISTEN_FDS=str(len(high)), LISTEN_PID=pid or str(os.getpid()))
if names:
    os.environ["LISTEN_FDNAMES"] = names
os.execv(program[0], program)
"""


@contextlib.contextmanager
def listening(count, host="127.0.0.1"):
    sockets = [socket.create_server((host, 0)) for _ in range(count)]
    yield sockets
    for one in sockets:
        one.close()


def address(one):
    return "%s:%d" % one.getsockname()


def activated(gateway, sockets, names="", pid=""):
    gateway.command = [sys.executable, "-c", LAUNCHER, ",".join(str(one.fileno()) for one in sockets), names, pid, BINARY]
    gateway.pass_fds = [one.fileno() for one in sockets]
    return gateway


@pytest.fixture
def make_activated(make_gateway, origin):
    def make(sockets, names="", pid="", **more):
        gateway = activated(make_gateway({"crm": {"url": origin.url + "/api"}}, start=False, **more), sockets, names, pid)
        gateway.start()
        gateway.map("acme", "cred-acme", apis=["crm"])
        return gateway
    return make


def where(gateway):
    told = gateway.events("ready")[-1]
    return [told[name] for name in ("data", "webhooks", "admin")]


def works(gateway):
    """On every listener, and with every worker: each request is a connection of its own."""
    hook = requests.get(f"{gateway.admin}/v1/tenants/acme/credentials/cred-acme", timeout=60).json()["webhook_path"]
    for _ in range(12):
        assert requests.get(gateway.data + "/crm/people", headers={"X-Tenant-Id": "acme"}, timeout=60).status_code == 200
        assert gateway.event(hook, "peopleUpdated", ["1"]).status_code == 204
        assert requests.get(gateway.admin + "/readyz", timeout=60).status_code == 200


def test_sockets_by_name(make_activated):
    with listening(3) as (admin, data, webhooks):
        gateway = make_activated((admin, data, webhooks), "admin:data:webhooks")
        assert where(gateway) == [address(data), address(webhooks), address(admin)]
        works(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for(lambda: gateway.events("reloaded"), 60, "the reload")
        works(gateway)
        gateway.stop()
        # They are the manager's: who connects now waits for the next start.
        gateway.start()
        works(gateway)


def test_nameless_sockets_in_their_order(make_activated):
    with listening(3) as sockets:
        gateway = make_activated(sockets, "rollout-gateway.socket:rollout-gateway.socket:rollout-gateway.socket")
        assert where(gateway) == [address(one) for one in sockets]
        works(gateway)


def test_nameless_sockets_by_the_configured_addresses(make_activated):
    with listening(3) as sockets:
        names = ("admin", "webhooks", "data")
        gateway = make_activated(sockets, listen=dict(zip(names, map(address, sockets))))
        assert where(gateway) == [address(one) for one in reversed(sockets)]
        works(gateway)


def test_one_socket_the_rest_is_opened(make_activated):
    with listening(1) as sockets:
        gateway = make_activated(sockets, "webhooks")
        assert where(gateway)[1] == address(sockets[0])
        works(gateway)


def test_a_unix_socket(make_activated, directory):
    path = str(directory / "admin.sock")
    with listening(1) as (data,), socket.socket(socket.AF_UNIX) as admin:
        admin.bind(path)
        admin.listen()
        gateway = activated(Gateway(configuration(directory, UPSTREAMS, listen={"data": address(data), "admin": f"unix:{path}"}), directory), (admin, data))
        gateway.start()
        told = where(gateway)
        gateway.stop()
        assert told[0] == address(data) and told[2] == f"unix:{path}"


def test_sockets_of_another_process_are_left_alone(make_activated):
    with listening(1) as sockets:
        gateway = make_activated(sockets, "data", pid="1")
        assert where(gateway)[0] != address(sockets[0])
        works(gateway)


def refused(directory, sockets, names="", **more):
    path = directory / "c.json"
    path.write_text(json.dumps(configuration(directory, UPSTREAMS, **more)))
    done = subprocess.run([sys.executable, "-c", LAUNCHER, ",".join(str(one.fileno()) for one in sockets), names, "", BINARY, "serve", "-c", str(path)],
                          pass_fds=[one.fileno() for one in sockets], capture_output=True, text=True, timeout=60,
                          env={**os.environ, "ROLLOUT_CLIENT_SECRET": "s" * 64})
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    return done.returncode, done.stderr


def test_what_is_no_listening_socket_is_refused(directory):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram, socket.socket() as silent, open("/dev/null") as file:
        for one in (datagram, silent, file):
            status, line = refused(directory, [one], "data")
            assert status == 1 and "descriptor 3 is not a listening stream socket" in line


def test_more_sockets_than_listeners_are_refused(directory):
    with listening(4) as sockets:
        status, line = refused(directory, sockets)
        assert status == 1 and "descriptor 6: there are more sockets than listeners" in line
        status, line = refused(directory, sockets[:2], "admin:admin")
        assert status == 1 and "named admin" in line


def test_an_open_socket_asks_for_callers_wherever_it_comes_from(directory):
    """The configuration says loopback; the socket unit is what counts."""
    with listening(1, "0.0.0.0") as sockets:
        for name in ("data", "admin"):
            status, line = refused(directory, sockets, name)
            assert status == 78 and f"listen.{name}: other machines can reach this address" in line


@pytest.mark.parametrize("count", ["x", "-1", "", "100000", "2"])
def test_a_damaged_number_of_sockets(directory, count):
    path = directory / "c.json"
    path.write_text(json.dumps(configuration(directory, UPSTREAMS)))
    program = f"import os; os.environ.update(LISTEN_FDS={count!r}, LISTEN_PID=str(os.getpid())); os.execv({BINARY!r}, [{BINARY!r}, 'serve', '-c', {str(path)!r}])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, env={**os.environ, "ROLLOUT_CLIENT_SECRET": "s" * 64})
    assert done.returncode == 1 and ("LISTEN_FDS" in done.stderr or "descriptor 3" in done.stderr), done.stderr


# --- what the service manager is told


class Manager:
    """systemd's end of NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.settimeout(60)

    def next(self, but=()):
        """The next message, as a dictionary."""
        while True:
            told = dict(line.split("=", 1) for line in self.socket.recv(4096).decode().splitlines())
            if not set(told) & set(but):
                return told


@pytest.fixture
def manager(directory):
    made = Manager(directory)
    yield made
    made.socket.close()


def test_the_service_manager_is_told(make_gateway, origin, manager):
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"NOTIFY_SOCKET": manager.path})
    assert manager.next() == {"READY": "1"}
    for text in (gateway.path.read_text(), "{"):  # also a refused reload comes to its end
        gateway.path.write_text(text)
        gateway.process.send_signal(signal.SIGHUP)
        told = manager.next()
        assert told["RELOADING"] == "1" and told["MONOTONIC_USEC"].isdigit()
        assert manager.next() == {"READY": "1"}
    gateway.stop()
    assert manager.next() == {"STOPPING": "1"}


def test_the_watchdog_is_fed(make_gateway, origin, manager):
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "300000"})
    assert manager.next(but=("WATCHDOG",)) == {"READY": "1"}
    for _ in range(3):
        assert manager.next() == {"WATCHDOG": "1"}
    gateway.stop()
    assert manager.next(but=("WATCHDOG",)) == {"STOPPING": "1"}


def test_somebody_elses_watchdog_is_not(make_gateway, origin, manager):
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "3000", "WATCHDOG_PID": "1"})
    assert manager.next() == {"READY": "1"}
    for _ in range(20):
        gateway.get("/crm/people")
    gateway.stop()
    assert manager.next() == {"STOPPING": "1"}


def test_shipped_units_name_what_there_is():
    conf = pathlib.Path(__file__).parents[2] / "conf"
    service, sockets = (conf / f"rollout-gateway.{kind}" for kind in ("service", "socket"))
    assert "Type=notify-reload" in service.read_text() and sockets.read_text().count("ListenStream=") == 3
    command = next(line for line in service.read_text().splitlines() if line.startswith("ExecStart="))
    assert run(*command.split()[1:2], "--help").returncode == 0
