"""SIGUSR2: a new process takes the listeners over, and no client notices."""
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import threading

import pytest
import requests

from conftest import BINARY, UnixConnection, wait_for
from test_activation import Manager
from test_caching import counting, status_of
from test_operation import run

PR_SET_CHILD_SUBREAPER = 36


@pytest.fixture(autouse=True)
def reaper():
    """Processes whose parent has handed over become children of this one, so that their end is seen."""
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    yield
    assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0) == 0


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def hand_over(gateway):
    """Returns the process that has handed over; it may still be answering what it has."""
    old, before = gateway.pid, len(gateway.heirs)
    os.kill(old, signal.SIGUSR2)
    wait_for(lambda: len(gateway.heirs) > before and len(gateway.events("handed-over")) > before, 60, "the handover")
    assert gateway.pid != old
    return old


def ended(gateway, count):
    """That many old processes have gone."""
    wait_for(lambda: len(gateway.events("handover-complete")) == count, 60, "the old process' end")


class Load:
    """Clients that never try again: on kept connections, on new ones, and webhooks."""

    def __init__(self, gateway, hook, connect=None):
        self.gateway, self.hook = gateway, hook
        self.over, self.failures, self.done = threading.Event(), [], [0] * 6
        self.connect = connect or (lambda: __import__("http.client").client.HTTPConnection("127.0.0.1", gateway.data_port, timeout=60))
        self.threads = [threading.Thread(target=self.run, args=(n, what)) for n, what in enumerate((self.kept, self.kept, self.kept, self.fresh, self.fresh, self.event))]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join(120)

    def run(self, n, what):
        try:
            what(n)
        except Exception as error:  # a client that failed, whatever the reason
            self.failures.append(repr(error))

    def ask(self, connection, n):
        connection.request("GET", f"/crm/people/{self.done[n] % 5}", headers={"X-Tenant-Id": "acme"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failures.append((answer.status, body))
        self.done[n] += 1
        return answer.will_close

    def kept(self, n):
        """A connection is used until an answer says that it closes."""
        while not self.over.is_set():
            with contextlib.closing(self.connect()) as connection:
                while not self.ask(connection, n) and not self.over.is_set():
                    pass

    def fresh(self, n):
        while not self.over.is_set():
            with contextlib.closing(self.connect()) as connection:
                self.ask(connection, n)

    def event(self, n):
        while not self.over.is_set():
            status = self.gateway.event(self.hook, "peopleUpdated", [str(self.done[n] % 5)]).status_code
            if status != 204:
                self.failures.append(status)
            self.done[n] += 1

    def goes_on(self):
        mark = list(self.done)
        wait_for(lambda: self.failures or all(now >= then + 5 for now, then in zip(self.done, mark)), 60, "load")


def three_times(gateway, hook, connect=None):
    with Load(gateway, hook, connect) as load:
        load.goes_on()
        for n in range(3):
            hand_over(gateway)
            load.goes_on()
            ended(gateway, n + 1)
    assert load.failures == []
    assert len(set(gateway.heirs)) == 3
    assert gateway.events("handover-failed") == []


@pytest.mark.threads
def test_three_handovers_under_load_fail_no_request(gateway):
    hook = gateway.map("acme", "cred-acme")["webhook_path"]
    three_times(gateway, hook)
    assert gateway.get("/crm/people").status_code == 200
    assert requests.get(gateway.admin + "/readyz", timeout=60).status_code == 200
    if os.geteuid() == 0:  # else nobody may look: descriptors of the process before did not come along
        counts = []
        for _ in range(2):
            counts.append(len(os.listdir(f"/proc/{gateway.pid}/fd")))
            hand_over(gateway)
            ended(gateway, len(gateway.heirs))
        assert abs(counts[1] - counts[0]) <= 8, counts  # connections come and go


def test_a_unix_listener_is_handed_over(make_gateway, origin, directory):
    listen = {"data": f"unix:{directory / 'data.sock'}", "admin": f"unix:{directory / 'admin.sock'}"}
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, start=False, listen=listen)
    gateway.start()
    done = run("credentials", "put", "acme", "cred-acme", "--apis", "crm", "-c", str(gateway.path), "--json")
    assert done.returncode == 0, done.stderr
    three_times(gateway, json.loads(done.stdout)["webhook_path"], lambda: UnixConnection(gateway.data_address))


def test_what_is_in_flight_is_answered_by_the_old_process(gateway, origin):
    asked, go_on = threading.Event(), threading.Event()

    def answer(seen):
        if seen.target.endswith("/slow"):
            asked.set()
            go_on.wait(60)
        return 200, {"Content-Type": "application/json"}, b"{}"
    origin.answer = answer
    answers = []
    thread = threading.Thread(target=lambda: answers.append(requests.get(gateway.data + "/crm/people/slow", headers={"X-Tenant-Id": "acme"}, timeout=60)))
    thread.start()
    assert asked.wait(60)
    hand_over(gateway)
    assert gateway.get("/crm/people/quick").status_code == 200
    assert gateway.events("handover-complete") == []
    go_on.set()
    thread.join(60)
    assert answers[0].status_code == 200 and answers[0].headers["Connection"] == "close"
    ended(gateway, 1)
    assert gateway.process.wait(60) == 0


def kept_get(sock, path):
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n".encode())
    answer = __import__("http.client").client.HTTPResponse(sock)
    answer.begin()
    return answer, answer.read()


def test_what_becomes_stale_in_one_process_is_stale_in_the_other(gateway, origin):
    """An event that the new process gets reaches a client that still has a connection to the old one."""
    origin.answer = counting()
    hook = gateway.map("acme", "cred-acme")["webhook_path"]
    with gateway.connect() as sock:
        _, before = kept_get(sock, "/crm/people/1")
        answer, again = kept_get(sock, "/crm/people/1")
        assert again == before and "hit" in answer.headers["Cache-Status"]
        hand_over(gateway)
        assert gateway.event(hook, "peopleUpdated", ["1"]).status_code == 204
        answer, after = kept_get(sock, "/crm/people/1")
        assert after != before and answer.headers["Connection"] == "close"
        assert sock.recv(1) == b""
    ended(gateway, 1)


def test_a_write_that_the_old_process_ends_is_seen_by_the_new(gateway, origin):
    asked, go_on, count = threading.Event(), threading.Event(), counting()

    def answer(seen):
        if seen.method == "PUT":
            asked.set()
            go_on.wait(60)
        return count(seen)
    origin.answer = answer
    thread = threading.Thread(target=lambda: gateway.session.put(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "acme"}, data=b"{}", timeout=60))
    thread.start()
    assert asked.wait(60)
    hand_over(gateway)
    gateway.jump(10)  # write_settle of the write's beginning is over
    with requests.Session() as session:
        def read():
            return session.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "acme"}, timeout=60)
        before = read().content
        assert "hit" in status_of(read())
        go_on.set()
        thread.join(60)
        answer = read()
        assert answer.content != before and "hit" not in status_of(answer)
        assert "write-settle" in status_of(read())
    ended(gateway, 1)


def test_the_copy_on_disk_goes_to_the_new_process(gateway, origin):
    gateway.get("/crm/people/1")
    hand_over(gateway)
    ended(gateway, 1)
    assert gateway.events("cache_copy_missing") == []
    # What the old one knew answers when upstream does not.
    origin.answer = lambda seen: (503, {}, b"")
    answer = gateway.get("/crm/people/1")
    assert answer.status_code == 200 and "restored" in status_of(answer) or "stale" in status_of(answer), status_of(answer)


def test_a_new_process_that_ends_changes_nothing(gateway, origin):
    good = gateway.path.read_text()
    gateway.path.write_text('{"listne": {}}')
    os.kill(gateway.pid, signal.SIGUSR2)
    wait_for(lambda: gateway.events("handover-failed"), 60, "the failure")
    assert "ended with status 78" in gateway.events("handover-failed")[0]["message"]
    assert any("listne" in line for line in gateway.lines)
    assert gateway.get("/crm/people").status_code == 200
    gateway.path.write_text(good)
    hand_over(gateway)
    assert gateway.get("/crm/people").status_code == 200
    ended(gateway, 1)


@pytest.fixture
def own_program(make_gateway, origin, directory):
    """A gateway of a program file that can be replaced."""
    program = directory / "rollout-gateway"
    shutil.copy(BINARY, program)
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, start=False)
    gateway.command = [str(program)]
    gateway.start()
    gateway.map("acme", "cred-acme", apis=["crm"])
    gateway.program = program
    return gateway


def replace(gateway, text=None):
    """As a package manager does it."""
    new = gateway.program.with_name("new")
    if text is None:
        shutil.copy(BINARY, new)
    else:
        new.write_text(text)
        new.chmod(0o755)
    new.rename(gateway.program)


def test_a_new_process_that_does_not_get_ready_is_ended(own_program, directory):
    gateway = own_program
    replace(gateway, f"#!/bin/sh\necho $$ > {directory}/pid\nexec sleep 1000\n")
    os.kill(gateway.pid, signal.SIGUSR2)
    wait_for(lambda: (directory / "pid").exists() and (directory / "pid").read_text(), 60, "the new process")
    pid = int((directory / "pid").read_text())
    os.kill(gateway.pid, signal.SIGUSR2)
    wait_for(lambda: gateway.events("handover-failed"), 60, "the refusal of a second one")
    assert f"{pid} is already being waited for" in gateway.events("handover-failed")[0]["message"]
    gateway.jump(29)
    assert gateway.get("/crm/people").status_code == 200
    assert is_alive(pid)
    gateway.jump(2)
    wait_for(lambda: len(gateway.events("handover-failed")) == 2, 60, "the failure")
    assert "not ready" in gateway.events("handover-failed")[1]["message"]
    assert not is_alive(pid)
    assert gateway.get("/crm/people").status_code == 200
    replace(gateway)
    hand_over(gateway)
    ended(gateway, 1)


def test_a_replaced_program_is_the_one_that_is_started(own_program):
    before = os.stat(own_program.program).st_ino
    replace(own_program)
    assert os.stat(own_program.program).st_ino != before
    hand_over(own_program)
    ended(own_program, 1)
    if os.geteuid() == 0:
        assert os.stat(f"/proc/{own_program.pid}/exe").st_ino == os.stat(own_program.program).st_ino
    own_program.program.unlink()
    os.kill(own_program.pid, signal.SIGUSR2)
    wait_for(lambda: own_program.events("handover-failed"), 60, "the failure")
    assert "could not be started" in own_program.events("handover-failed")[0]["message"]
    assert own_program.get("/crm/people").status_code == 200


def test_the_end_comes_before_the_handover(own_program, directory):
    """SIGTERM while the new process is being waited for: both end."""
    gateway = own_program
    replace(gateway, f"#!/bin/sh\necho $$ > {directory}/pid\nexec sleep 1000\n")
    os.kill(gateway.pid, signal.SIGUSR2)
    wait_for(lambda: (directory / "pid").exists() and (directory / "pid").read_text(), 60, "the new process")
    gateway.stop()
    assert not is_alive(int((directory / "pid").read_text()))


@pytest.mark.parametrize("workers", [1, 3])
def test_another_number_of_workers(gateway, workers):
    """More share the sockets; fewer would leave some without anybody who accepts."""
    gateway.config["workers"] = workers
    gateway.write_config()
    hand_over(gateway)
    assert gateway.events("ready")[-1]["workers"] == max(workers, 2)
    for _ in range(20):
        assert requests.get(gateway.data + "/crm/people", headers={"X-Tenant-Id": "acme"}, timeout=60).status_code == 200
    ended(gateway, 1)


def test_a_sandbox_has_nobody_to_hand_over_to(make_gateway):
    gateway = make_gateway({}, arguments=["--sandbox"], start=False)
    gateway.config = {"listen": gateway.config["listen"], "workers": 1}
    gateway.write_config()
    gateway.start()
    os.kill(gateway.pid, signal.SIGUSR2)
    wait_for(lambda: gateway.events("handover-failed"), 60, "the refusal")
    assert requests.get(gateway.admin + "/readyz", timeout=60).status_code == 200


def test_the_service_manager_follows(make_gateway, origin, directory):
    manager = Manager(directory)
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "3000000"})
    assert manager.next(but=("WATCHDOG",)) == {"READY": "1"}
    hand_over(gateway)
    assert manager.next(but=("WATCHDOG",)) == {"MAINPID": str(gateway.pid)}
    ended(gateway, 1)
    for _ in range(2):  # of the new process, which is the only one left
        assert manager.next() == {"WATCHDOG": "1"}
    gateway.process.wait(60)
    gateway.stop()
    assert manager.next(but=("WATCHDOG",)) == {"STOPPING": "1"}
    manager.socket.close()


def test_a_socket_of_the_service_manager_is_handed_on(make_gateway, origin, directory):
    """No socket of its own is opened; none is lost."""
    with socket.create_server(("127.0.0.1", 0)) as data:
        from test_activation import activated
        gateway = activated(make_gateway({"crm": {"url": origin.url + "/api"}}, start=False), [data], "data")
        gateway.start()
        gateway.map("acme", "cred-acme", apis=["crm"])
        for n in range(2):
            hand_over(gateway)
            ended(gateway, n + 1)
            assert gateway.data_port == data.getsockname()[1]
            assert gateway.get("/crm/people").status_code == 200
