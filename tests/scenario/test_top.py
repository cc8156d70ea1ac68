"""`top`: what the gateway is doing, for people and for programs; what the sandbox tells people to try."""
import contextlib
import json
import os
import pty
import re
import subprocess
import threading

import pytest

from conftest import BINARY, Gateway, configuration, wait_for
from test_operation import run
from test_tls import authority, listener  # noqa: F401 (authority is a fixture)


@contextlib.contextmanager
def load(gateway):
    over = threading.Event()

    def ask():
        while not over.is_set():
            gateway.get("/crm/people/1")
    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(60)


def test_once_for_programs(gateway):
    with load(gateway):
        done = run("top", "--once", "--json", "-c", str(gateway.directory / "cli.json"))
        assert done.returncode == 78  # no such file
        done = run("top", "--once", "--json", "-c", str(cli_config(gateway)))
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    view = json.loads(line)
    assert view["state"] == "ready" and view["interval_s"] >= 1
    assert view["requests_per_s"] > 0 and view["outcomes_per_s"]["hit"] > 0 and view["hit_ratio"] > 0.5
    assert view["p50_ms"] is None or view["p50_ms"] > 0
    assert view["limits"]["waiting"] == 0 and view["cache"]["entries"] == 1
    assert view["events"] == {"waiting": 0, "dead_letters": 0, "streams": 0} and view["coverage"]["managed"] is False
    (host,) = view["hosts"]
    assert host["breaker"] == "closed"


def cli_config(gateway):
    """With the address that the admin listener really has."""
    path = gateway.directory / "cli.json"
    path.write_text(json.dumps({**gateway.config, "listen": {"admin": gateway.admin.removeprefix("http://")}}))
    return path


def test_once_for_people(gateway):
    gateway.get("/crm/people/1")
    done = run("top", "--once", "-c", str(cli_config(gateway)))
    assert done.returncode == 0, done.stderr
    assert "\033" not in done.stdout  # it is no terminal
    assert done.stdout.startswith("rollout-gateway ")
    for name in ("requests ", "outcomes ", "upstream ", "limits ", "webhooks ", "  events ", "cache ", "hosts "):
        assert re.search("^" + name, done.stdout, re.M), done.stdout
    assert re.search(r"^requests   0\.0/s   hit ratio 0\.0 %   p50 -   p99 -$", done.stdout, re.M), done.stdout


def test_a_terminal_is_cleared_each_second_until_the_gateway_ends(gateway):
    try:
        ours, theirs = pty.openpty()
    except OSError:
        pytest.skip("no terminals here")
    process = subprocess.Popen([BINARY, "top", "-c", str(cli_config(gateway))], stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL)
    os.close(theirs)
    seen = b""
    while seen.count(b"\033[H\033[2J") < 2:
        seen += os.read(ours, 65536)
    gateway.stop()
    with contextlib.suppress(OSError):  # a terminal that nobody has open
        while piece := os.read(ours, 65536):
            seen += piece
    assert process.wait(60) == 1 and b"no gateway answers" in seen
    os.close(ours)


def test_nobody_there(directory):
    path = directory / "c.json"
    path.write_text(json.dumps(configuration(directory, {"crm": {"url": "http://127.0.0.1:1"}}, listen={"admin": "127.0.0.1:1"})))
    done = run("top", "--once", "-c", str(path))
    assert done.returncode == 1 and "no gateway answers" in done.stderr and done.stdout == ""


@pytest.mark.parametrize("how", ["tls", "unix", "plain"])
def test_what_the_sandbox_says_works_when_pasted(directory, authority, how):  # noqa: F811
    data = {"tls": lambda: listener(authority.issue("server")), "unix": lambda: f"unix:{directory / 'data.sock'}", "plain": lambda: "127.0.0.1:0"}[how]()
    config = directory / "c.json"
    config.write_text(json.dumps({"listen": {"data": data, "webhooks": "127.0.0.1:0", "admin": "127.0.0.1:0"}, "workers": 1}))
    with open(directory / "out", "w") as out:
        process = subprocess.Popen([BINARY, "serve", "--sandbox", "-c", str(config)], stdout=out, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    try:
        wait_for(lambda: "a clear refusal" in (directory / "out").read_text(), 60, "the greeting")
        text = (directory / "out").read_text().replace("\\\n", "")
        commands = [line.split("  #")[0].strip() for line in text.splitlines() if line.strip().startswith("curl")]
        assert len(commands) == 5
        for command, expected in zip(commands, (200, 200, 200, 201, 404)):
            done = subprocess.run(command + " -o /dev/null -w '%{http_code}'", shell=True, capture_output=True, text=True, timeout=60)
            assert done.stdout.endswith(str(expected)), (command, done.stdout, done.stderr)
    finally:
        process.terminate()
        process.wait(60)
