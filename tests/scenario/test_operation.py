"""Starting, reloading, draining, dying; the operator's API."""
import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import BINARY, Gateway, configuration, problem_of, wait_for
from test_caching import counting, status_of


def run(*arguments, env=None):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                          env={**os.environ, "ROLLOUT_CLIENT_SECRET": "s" * 64, **(env or {})})


def test_health_and_metrics(gateway):
    gateway.get("/crm/people")
    assert requests.get(gateway.admin + "/livez", timeout=10).status_code == 200
    assert requests.get(gateway.admin + "/readyz", timeout=10).status_code == 200
    text = requests.get(gateway.admin + "/metrics", timeout=10).text
    assert 'rollout_gateway_requests_total{outcome="miss"} 1' in text
    types = {}
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name, kind = line.split()[2:]
            assert name.startswith("rollout_gateway_") and name not in types
            types[name] = kind
        elif not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            float(value)
            base = name.split("{")[0]
            assert base in types or base.rsplit("_", 1)[0] in types, line
    assert "acme" not in text and "cred-acme" not in text


def test_mapping_paths(gateway):
    url = gateway.admin + "/v1/tenants/initech/credentials"
    made = requests.put(url + "/c-1", json={"app_key": "lofty", "apis": ["crm", "tms"], "label": "Löfty", "default": True}, timeout=10)
    assert made.status_code == 201
    value = made.json()
    assert {"tenant", "credential_id", "app_key", "apis", "label", "default", "status", "created_at", "updated_at", "webhook_path"} <= set(value)
    assert value["status"] == "active" and value["webhook_path"].startswith("/webhooks/rollout/")
    assert requests.get(url + "/c-1", timeout=10).json() == value
    again = requests.put(url + "/c-1", json={"label": "other"}, timeout=10)
    assert again.status_code == 200 and again.json()["app_key"] == "lofty" and again.json()["webhook_path"] == value["webhook_path"]
    assert [c["credential_id"] for c in requests.get(url, timeout=10).json()["credentials"]] == ["c-1"]
    page = requests.get(gateway.admin + "/v1/tenants?prefix=i&limit=1", timeout=10).json()
    assert page == {"tenants": [{"tenant": "initech", "credentials": 1}], "next": None}
    problem_of(requests.put(gateway.admin + "/v1/tenants/acme/credentials/c-1", json={}, timeout=10), 409, "conflict")
    for bad in ({"apis": "crm"}, {"apis": ["A B"]}, {"default": 1}, {"nope": True}, {"label": "x" * 201}):
        problem_of(requests.put(url + "/c-2", json=bad, timeout=10), 400, "bad-request")
    problem_of(requests.put(url + "/c-2", data="{", timeout=10), 400, "bad-request")
    assert requests.delete(url + "/c-1", timeout=10).status_code == 204
    problem_of(requests.delete(url + "/c-1", timeout=10), 404, "not-found")
    problem_of(requests.get(url + "/c-1", timeout=10), 404, "not-found")


def test_an_acknowledged_mapping_survives_kill(gateway, origin):
    for n in range(20):
        gateway.map(f"tenant-{n}", f"cred-{n}", apis=["crm"])
        if n % 7 == 0:
            gateway.kill()
            gateway.start()
    gateway.kill()
    gateway.start()
    for n in range(20):
        assert gateway.get("/crm/people", tenant=f"tenant-{n}").status_code == 200


def test_admin_token(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"ADMIN": "top-secret"}, admin={"token": {"env": "ADMIN"}})
    for path in ("/metrics", "/v1/status", "/"):
        problem_of(requests.get(gateway.admin + path, timeout=10), 401, "unauthenticated")
        assert requests.get(gateway.admin + path, headers={"Authorization": "Bearer top-secret"}, timeout=10).status_code == 200
    problem_of(requests.get(gateway.admin + "/v1/status", headers={"Authorization": "Bearer top-secreT"}, timeout=10), 401, "unauthenticated")
    assert requests.get(gateway.admin + "/livez", timeout=10).status_code == 200
    shown = requests.get(gateway.admin + "/v1/config", headers={"Authorization": "Bearer top-secret"}, timeout=10)
    assert "top-secret" not in shown.text and "s" * 64 not in shown.text
    shown.json()


def test_status_tells_of_every_part(gateway):
    assert gateway.get("/crm/people").status_code == 200
    assert gateway.request("POST", "/crm/people", json={}, headers={"Idempotency-Key": "once"}).status_code == 200
    status = requests.get(gateway.admin + "/v1/status", timeout=10).json()
    assert status["idempotency"]["sent"] == 1 and status["idempotency"]["replayed"] == 0
    assert status["subscriptions"]["managed"] is False and status["subscriptions"]["covered"] == 0
    assert status["relay"]["subscribers"] == [] and status["relay"]["dead_letters"] == 0 and status["relay"]["outbox"]["events"] == 0
    assert set(status["discovery"]) == {"look_ups", "failed", "found", "gone"} and set(status["canary"]) == {"same", "late", "drift", "unclear", "failed"}


def test_reload_changes_what_may_change(gateway, origin):
    origin.answer = counting()
    gateway.config["cache"] = {"default": {"ttl": "0s"}}
    gateway.write_config()
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: gateway.events("reloaded"), what="the reload")
    wait_for(lambda: gateway.get("/crm/x/1").content != gateway.get("/crm/x/1").content, what="the new ttl")


def test_the_log_format_of_the_command_line_survives_a_reload(directory, origin):
    path = directory / "gateway.json"
    path.write_text(json.dumps(configuration(directory, {"crm": {"url": origin.url}})))
    with subprocess.Popen([BINARY, "serve", "-c", str(path), "--log-format", "text"], stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "ROLLOUT_CLIENT_SECRET": "s" * 64}) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if " ready " in line:
                process.send_signal(signal.SIGHUP)
            elif "reloaded" in line:
                process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert any("reloaded" in line for line in lines) and not any(line.startswith("{") for line in lines), lines


def test_a_bad_reload_keeps_the_old_configuration(gateway, origin):
    gateway.path.write_text('{"listne": {}}')
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: gateway.events("reload-refused"), what="the refusal")
    assert "listne: unknown key" in gateway.events("reload-refused")[0]["message"]
    assert all(json.loads(line) for line in gateway.lines)  # one object a line, whatever is said
    gateway.path.write_text('{"listne": {}, "workers": "many"}')
    problem = problem_of(requests.post(gateway.admin + "/v1/reload", timeout=60), 409, "conflict")
    assert "2 errors" in problem["detail"]
    wait_for(lambda: [e["message"].split(":")[0] for e in gateway.events("configuration")][-2:] == ["listne", "workers"], what="both lines")
    assert gateway.get("/crm/people").status_code == 200
    answer = requests.post(gateway.admin + "/v1/reload", timeout=10)
    problem_of(answer, 409, "conflict")


@pytest.mark.threads
def test_reloads_under_load_fail_no_request(gateway, origin):
    stop, failures = threading.Event(), []

    def ask(n):
        session = requests.Session()
        while not stop.is_set():
            answer = session.get(f"{gateway.data}/crm/people/{n}", headers={"X-Tenant-Id": "acme"}, timeout=30)
            if answer.status_code != 200:
                failures.append(answer.text)
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for n in range(20):
        assert requests.post(gateway.admin + "/v1/reload", timeout=30).status_code == 200
    stop.set()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_a_drain_is_looked_at_and_no_reload_crosses_it(make_gateway, origin):
    """Workers without a request have ended long before the last one."""
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, workers=2)
    gateway.map("acme", "cred-acme", apis=["crm"])
    gate = threading.Event()
    origin.answer = lambda seen: gate.wait(60) and (200, {}, b"late")
    answers = []
    asking = threading.Thread(target=lambda: answers.append(gateway.get("/crm/people")))
    asking.start()
    wait_for(lambda: origin.seen, what="the request upstream")
    gateway.process.send_signal(signal.SIGTERM)
    wait_for(lambda: requests.get(gateway.admin + "/readyz", timeout=10).status_code == 503, what="readyz to say draining")
    for _ in range(20):
        for path in ("/metrics", "/v1/status", "/v1/cache", "/v1/webhooks"):
            assert requests.get(gateway.admin + path, timeout=60).status_code == 200
        time.sleep(0.01)
    problem_of(requests.post(gateway.admin + "/v1/reload", timeout=60), 409, "conflict")
    gateway.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(gateway.events("reload-refused")) == 2, what="the second refusal")
    assert requests.get(gateway.admin + "/metrics", timeout=60).status_code == 200
    gate.set()
    asking.join()
    assert answers[0].text == "late" and gateway.process.wait(60) == 0


def test_drain_answers_what_is_in_flight(gateway, origin):
    started, go_on = threading.Event(), threading.Event()

    def answer(seen):
        started.set()
        go_on.wait(30)
        return 200, {}, b"fine"
    origin.answer = answer
    results = []
    thread = threading.Thread(target=lambda: results.append(gateway.get("/crm/people")))
    thread.start()
    assert started.wait(30)
    gateway.process.send_signal(signal.SIGTERM)
    wait_for(lambda: requests.get(gateway.admin + "/readyz", timeout=10).status_code == 503, what="readyz to say draining")

    def refused():
        try:
            socket.create_connection(("127.0.0.1", gateway.data_port), timeout=5).close()
        except OSError:
            return True
        return False
    wait_for(refused, what="the listeners to be closed")  # each worker closes its own
    assert gateway.process.poll() is None
    go_on.set()
    thread.join(20)
    assert results[0].content == b"fine"
    assert gateway.process.wait(30) == 0


def test_bad_configuration_is_told_whole(directory):
    path = directory / "bad.json"
    path.write_text('{"listen":{"dta":"127.0.0.1:1"},"workers":"two","cache":{"memory":"12 parsecs"},"upstreams":{"crm":{"url":"ftp://x"}}}')
    for command in (["check", "-c", str(path)], ["serve", "-c", str(path)]):
        done = run(*command)
        assert done.returncode == 78, done
        for word in ("listen.dta", "data", "workers", "cache.memory", "upstreams.crm.url"):
            assert word in done.stderr, (word, done.stderr)


def test_check_tells_in_json_what_it_tells_in_text(directory):
    path = directory / "bad.json"
    path.write_text('{"workers": "two", "lisen": {}}')
    done = run("check", "-c", str(path), "--json")
    told = json.loads(done.stdout)
    assert done.returncode == 78 and told["valid"] is False and sorted(line.split(":")[0] for line in told["errors"]) == ["lisen", "workers"]
    path.write_text("{}")
    done = run("check", "-c", str(path), "--json")
    assert done.returncode == 0 and json.loads(done.stdout) == {"valid": True, "errors": []}


def test_what_is_not_there_is_told(directory):
    path = directory / "gateway.json"
    path.write_text(json.dumps(configuration(directory, {"crm": {"url": "http://127.0.0.1:1/api"}}, admin={"token": {"file": "/nonexistent/token"}})))
    for name, told, status in ((path, "admin.token", 1), (directory / "none.json", "none.json", 78)):
        done = run("serve", "-c", str(name))
        assert done.returncode == status and told in done.stderr and all(json.loads(line) for line in done.stderr.splitlines()), done


def test_a_port_in_use(make_gateway, origin, directory):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        gateway = Gateway(configuration(directory, {"crm": {"url": origin.url}}, listen={"data": "127.0.0.1:%d" % sock.getsockname()[1]}),
                          directory)
        done = run("serve", "-c", str(gateway.path))
    assert done.returncode == 1 and "listen.data" in done.stderr and "in use" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_another_gateway_on_the_same_port_is_refused(gateway, directory):
    config = configuration(directory / "second", gateway.config["upstreams"], listen={"data": f"127.0.0.1:{gateway.data_port}"})
    path = directory / "second.json"
    path.write_text(json.dumps(config))
    done = run("serve", "-c", str(path))
    assert done.returncode == 1 and "in use" in done.stderr


def test_an_unreadable_secret(directory, origin):
    config = configuration(directory, {"crm": {"url": origin.url}})
    config["rollout"]["client_secret"] = {"file": str(directory / "nothing")}
    path = directory / "c.json"
    path.write_text(json.dumps(config))
    done = run("serve", "-c", str(path))
    assert done.returncode == 1 and "rollout.client_secret" in done.stderr and "nothing" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("damage", ["garbage", "cut"])
def test_a_damaged_store_is_told_and_left_alone(make_gateway, origin, directory, damage):
    gateway = make_gateway({"crm": {"url": origin.url}})
    gateway.map("acme", "cred-acme")
    gateway.stop()
    file = gateway.directory / "state" / "data.mdb"
    content = b"\0garbage" * 5000 if damage == "garbage" else file.read_bytes()[:6000]
    file.write_bytes(content)
    done = run("serve", "-c", str(gateway.path))
    assert done.returncode == 1 and "state" in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert file.read_bytes() == content


def test_a_short_secret_is_warned_of_once(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, env={"ROLLOUT_CLIENT_SECRET": "short"})
    gateway.map("acme", "c")
    for n in range(3):
        gateway.get(f"/crm/people/{n}")
    assert len(gateway.events("short-secret")) == 1


def test_no_core_dump_and_no_memory_for_others(gateway):
    status = open(f"/proc/{gateway.process.pid}/limits").read()
    line = next(line for line in status.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_explain(gateway):
    value = requests.post(gateway.admin + "/v1/explain", json={"tenant": "acme", "method": "GET", "path": "/crm/people/7?x=1"}, timeout=10).json()
    assert value["credential_id"] == "cred-acme" and value["entity"] == "people" and value["id"] == "7"
    assert value["upstream"]["url"].endswith("/api/people/7?x=1") and value["cache"]["decision"] == "miss"
    value = requests.post(gateway.admin + "/v1/explain", json={"tenant": "nobody", "method": "GET", "path": "/crm/people"}, timeout=10).json()
    assert value["problem"] == "credential-not-found" and value["status"] == 404


def test_explain_finds_what_a_request_would_find(gateway, origin):
    def decision(**more):
        body = {"tenant": "acme", "method": "GET", "path": "/crm/people/7", **more}
        return requests.post(gateway.admin + "/v1/explain", json=body, timeout=10).json()["cache"]["decision"]

    gateway.get("/crm/people/7", headers={"X-Region": "north"})  # goes up as it is, and so is part of the key
    assert decision(headers={"x-region": "north"}) == "hit"
    assert decision(headers={"X-Region": "south"}) == "miss" and decision() == "miss"
    assert decision(headers={"X-Region": "north", "Cache-Control": "no-cache"}) == "revalidate"
    assert decision(headers={"X-Region": "north", "Cache-Control": "no-store"}) == "bypass"
    assert decision(headers={"X-Region": "n" * 5000}) == "bypass"  # more than a key may hold
    assert len(origin.seen) == 1
    for wrong in ({"X-Tenant-Id": "b"}, {"a b": "c"}, {"a": "b\nc"}, {"a": 1}, ["a"], {str(n): "" for n in range(65)}):
        body = {"tenant": "acme", "method": "GET", "path": "/crm/people/7", "headers": wrong}
        assert requests.post(gateway.admin + "/v1/explain", json=body, timeout=10).status_code == 400
