"""Limits: what goes upstream, in what order, and what is said of it."""
import email.utils
import re
import socket
import struct
import threading
import time

import pytest
import requests

from conftest import problem_of, wait_for
from test_callers import create, own


def limited(make_gateway, origin, **rule):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"tenant": rule}, cache={"default": {"ttl": "1h", "ttl_uncovered": "1h"}})
    for tenant in ("acme", "globex"):
        gateway.map(tenant, "cred-" + tenant, apis=["crm"])
    return gateway


def state_of(gateway, tenant="acme", scope="tenant"):
    told = requests.get(gateway.admin + "/v1/limits", params={"tenant": tenant}, timeout=10).json()
    return next((one for one in told["limits"] if one["scope"] == scope), None)


def metric(gateway, name):
    text = requests.get(gateway.admin + "/metrics", timeout=10).text
    return float(re.search(rf"^rollout_gateway_{re.escape(name)} (\S+)$", text, re.M)[1])


def test_over_the_limit_is_429_and_retry_after_is_true(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/m", burst=3, max_wait="1s")
    for n in range(3):
        answer = gateway.get(f"/crm/people/{n}")
        assert answer.status_code == 200
        assert answer.headers["RateLimit-Policy"] == '"tenant";q=3;w=180'
        assert re.fullmatch(rf'"tenant";r={2 - n};t=\d+', answer.headers["RateLimit"])
    answer = gateway.get("/crm/people/4")
    problem_of(answer, 429, "rate-limited")
    after = int(answer.headers["Retry-After"])
    assert 55 <= after <= 60
    assert answer.headers["RateLimit"] == f'"tenant";r=0;t={after}'
    assert len(origin.seen) == 3
    gateway.jump(after - 2)
    problem_of(gateway.get("/crm/people/4"), 429, "rate-limited")
    gateway.jump(2)
    assert gateway.get("/crm/people/4").status_code == 200
    assert gateway.get("/crm/people", tenant="globex").status_code == 200
    assert metric(gateway, 'limit_refused_total{scope="tenant"}') == 2


@pytest.mark.parametrize("service", [{}, {"rate": "100/s", "burst": 100}, {"rate": "1/h", "burst": 1}], ids=["no-rule", "wide-rule", "narrow-rule"])
def test_a_service_key_has_a_rate_of_its_own(make_gateway, origin, service):
    """In place of the rule for all services; only what goes upstream counts."""
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"service": {"max_wait": "0s", **service}},
                           cache={"default": {"ttl": "1h", "ttl_uncovered": "1h"}})
    for tenant in ("acme", "globex"):
        gateway.map(tenant, "cred-" + tenant, apis=["crm"])
    slow, quick = (create(gateway, name, rate=rate) for name, rate in (("slow", "2/s"), ("quick", "100/s")))
    answers = [gateway.get(f"/crm/people/{n}", tenant=("acme", "globex")[n % 2], headers=own(slow)) for n in range(3)]
    assert [answer.status_code for answer in answers[:1]] == [200]
    assert '"service";q=2;w=1' in answers[0].headers["RateLimit-Policy"]
    gateway.jump(10)
    # Two at once over all tenants; more come back with the time that really passes, so many are asked for.
    answers = [gateway.get(f"/crm/tasks/{n}", tenant=("acme", "globex")[n % 2], headers=own(slow)) for n in range(200)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused and {answer.status_code for answer in answers} == {200, 429}
    assert [answer.status_code for answer in answers[:2]] == [200, 200]
    detail = problem_of(refused[0], 429, "rate-limited")["detail"]
    assert "service" in detail and int(refused[0].headers["Retry-After"]) == 1
    # Hits are free, and nobody else is held up.
    for _ in range(50):
        assert gateway.get("/crm/tasks/0", headers=own(slow)).status_code == 200
    for n in range(20):
        assert gateway.get(f"/crm/notes/{n}", headers=own(quick)).status_code == 200
    gateway.jump(2)
    assert gateway.get("/crm/tasks/none-yet", headers=own(slow)).status_code == 200


def test_a_key_without_a_rate_is_under_the_rule_of_all_services(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"service": {"rate": "1/h", "burst": 2, "max_wait": "0s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    key = create(gateway, "billing")
    statuses = [gateway.get(f"/crm/people/{n}", headers=own(key)).status_code for n in range(4)]
    assert statuses == [200, 200, 429, 429]


def test_a_service_waits_its_turn_under_its_own_rate(make_gateway, origin):
    """max_wait is the rule's, which need not have a rate."""
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"service": {"max_wait": "30s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    key = create(gateway, "billing", rate="4/s")
    assert [gateway.get(f"/crm/people/{n}", headers=own(key)).status_code for n in range(7)] == [200] * 7
    assert metric(gateway, "limit_waited_total") >= 1


def test_hits_are_free(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/m", burst=2, max_wait="0s")
    first = gateway.get("/crm/people/1")
    assert "RateLimit" in first.headers
    for _ in range(200):
        answer = gateway.get("/crm/people/1")
        assert answer.status_code == 200 and "RateLimit" not in answer.headers
    assert gateway.get("/crm/people/2").status_code == 200
    problem_of(gateway.get("/crm/people/3"), 429, "rate-limited")
    assert gateway.get("/crm/people/1").status_code == 200
    assert len(origin.seen) == 2


def test_waits_for_its_turn(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="10/s", burst=1, max_wait="5s")
    results = []

    def ask(n):
        results.append(requests.get(f"{gateway.data}/crm/people/{n}", headers={"X-Tenant-Id": "acme"}, timeout=30).status_code)
    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 8
    assert time.monotonic() - begun >= 0.69
    assert metric(gateway, "limit_waited_total") >= 6
    assert metric(gateway, "limit_waiting") == 0


def test_a_write_that_waits_keeps_its_body(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="5/s", burst=1, max_wait="5s")
    bodies = [bytes([65 + n]) * (1000 + n * 50000) for n in range(4)]
    threads = [threading.Thread(target=requests.post, args=(gateway.data + "/crm/people",),
                                kwargs={"data": body, "headers": {"X-Tenant-Id": "acme"}, "timeout": 30}) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen.body for seen in origin.seen) == sorted(bodies)


def test_a_client_that_leaves_frees_its_place(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/m", burst=1, max_wait="1h")
    gateway.get("/crm/people/0")
    socks = []
    for n in range(5):
        sock = gateway.connect()
        sock.sendall(b"GET /crm/people/w%d HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n" % n)
        socks.append(sock)
    wait_for(lambda: state_of(gateway)["waiting"] == 5, what="five waiting")
    for sock in socks[1:]:  # a reset: a half-closed client would still be answered
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    wait_for(lambda: state_of(gateway)["waiting"] == 1, what="four gone")
    assert metric(gateway, "limit_left_total") == 4
    gateway.jump(61)
    wait_for(lambda: len(origin.seen) == 2, what="the patient one's turn")
    assert origin.seen[1].target == "/api/people/w0"
    assert socks[0].recv(100).startswith(b"HTTP/1.1 200")
    socks[0].close()
    gateway.jump(300)
    assert gateway.get("/crm/people/after").status_code == 200
    assert len(origin.seen) == 3


def test_concurrency(make_gateway, origin):
    go, most, now = threading.Event(), [0], [0]
    lock = threading.Lock()

    def answer(seen):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        go.wait(20)
        with lock:
            now[0] -= 1
        return 200, {"Content-Type": "application/json"}, b"{}"
    origin.answer = answer
    gateway = limited(make_gateway, origin, rate="1000/s", concurrency=2, max_wait="30s")
    results = []
    threads = [threading.Thread(target=lambda n=n: results.append(
        requests.get(f"{gateway.data}/crm/people/{n}", headers={"X-Tenant-Id": "acme"}, timeout=30).status_code)) for n in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: state_of(gateway)["waiting"] == 4, what="four waiting")
    assert state_of(gateway)["in_flight"] == 2
    go.set()
    for thread in threads:
        thread.join()
    assert results == [200] * 6 and most[0] == 2
    wait_for(lambda: state_of(gateway) is None or state_of(gateway)["in_flight"] == 0, what="all given back")


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_429_slows_its_tenant_and_no_other(make_gateway, origin, form):
    def answer(seen):
        if seen.headers["X-Rollout-Credential-Id"] == "cred-acme" and slow.is_set():
            after = "20" if form == "seconds" else email.utils.formatdate(time.time() + 20, usegmt=True)
            return 429, {"Retry-After": after}, b"slow down"
        return 200, {"Content-Type": "application/json"}, b"{}"
    slow = threading.Event()
    slow.set()
    origin.answer = answer
    gateway = limited(make_gateway, origin, rate="50/s", max_wait="1s")
    passed = gateway.get("/crm/people/1")
    assert passed.status_code == 429 and passed.content == b"slow down"
    assert passed.headers["RateLimit"].startswith('"tenant";r=0;t=')
    slow.clear()
    refused = gateway.get("/crm/people/2")
    problem_of(refused, 429, "rate-limited")
    after = int(refused.headers["Retry-After"])
    assert 15 <= after <= 20
    assert len(origin.seen) == 1
    told = state_of(gateway)
    assert told["learned"] and told["rate"] < told["configured_rate"] == 50 and told["paused_ms"] > 14000
    assert metric(gateway, "limit_slowed_total") == 1
    assert gateway.get("/crm/people/2", tenant="globex").status_code == 200
    gateway.jump(after)
    assert gateway.get("/crm/people/2").status_code == 200
    gateway.jump(120)
    assert gateway.get("/crm/people/3").status_code == 200
    assert not state_of(gateway)["learned"]


def test_stale_rather_than_429(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"tenant": {"rate": "1/h", "burst": 1, "max_wait": "0s"}},
                           cache={"default": {"ttl": "10s", "ttl_uncovered": "10s", "stale_while_revalidate": "0s", "stale_if_error": "1h"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    assert gateway.get("/crm/people/1").status_code == 200
    gateway.jump(60)
    answer = gateway.get("/crm/people/1")
    assert answer.status_code == 200 and "stale-if-error" in answer.headers["Cache-Status"]
    problem_of(gateway.get("/crm/people/2"), 429, "rate-limited")
    assert len(origin.seen) == 1


def test_refreshes_leave_the_allowance_to_requests(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"tenant": {"rate": "1/h", "burst": 5, "max_wait": "0s"}},
                           cache={"default": {"ttl": "10s", "ttl_uncovered": "10s", "stale_while_revalidate": "10m", "stale_if_error": "1h"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    for n in range(3):
        gateway.get(f"/crm/people/{n}")
    gateway.jump(30)
    for n in range(3):
        assert gateway.get(f"/crm/people/{n}").status_code == 200
    wait_for(lambda: metric(gateway, "limit_background_yielded_total") == 2, what="two refreshes not made")
    wait_for(lambda: len(origin.seen) >= 4, what="the refresh that was made")
    assert len(origin.seen) == 4  # the last place is kept
    assert gateway.get("/crm/people/9").status_code == 200
    problem_of(gateway.get("/crm/people/10"), 429, "rate-limited")


def test_shadow_refuses_nothing(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/m", burst=1, max_wait="0s", shadow=True)
    for n in range(5):
        answer = gateway.get(f"/crm/people/{n}")
        assert answer.status_code == 200 and "RateLimit" not in answer.headers
    assert metric(gateway, 'limit_shadow_refused_total{scope="tenant"}') == 4
    assert metric(gateway, 'limit_refused_total{scope="tenant"}') == 0


def test_a_reload_changes_the_limits(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/h", burst=1, max_wait="0s")
    gateway.get("/crm/people/0")
    problem_of(gateway.get("/crm/people/1"), 429, "rate-limited")
    gateway.config["limits"] = {"tenant": {"rate": "none"}}
    gateway.write_config()
    assert requests.post(gateway.admin + "/v1/reload", timeout=10).status_code == 200
    for n in range(5):
        answer = gateway.get(f"/crm/people/{n}")
        assert answer.status_code == 200 and "RateLimit" not in answer.headers


def test_a_reload_lets_go_who_waits(make_gateway, origin):
    gateway = limited(make_gateway, origin, rate="1/h", burst=1, max_wait="1h")
    gateway.get("/crm/people/0")
    with gateway.connect() as sock:
        sock.sendall(b"GET /crm/people/1 HTTP/1.1\r\nHost: x\r\nX-Tenant-Id: acme\r\n\r\n")
        wait_for(lambda: state_of(gateway)["waiting"] == 1, what="one waiting")
        gateway.config["limits"] = {"tenant": {"rate": "none"}}
        gateway.write_config()
        assert requests.post(gateway.admin + "/v1/reload", timeout=10).status_code == 200
        sock.settimeout(10)
        assert sock.recv(100).startswith(b"HTTP/1.1 200")


def test_who_joins_a_refresh_that_yields_goes_by_itself(make_gateway, origin):
    """Nothing a foreground request asks for is refused since a background one was."""
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"tenant": {"rate": "1/h", "burst": 4, "max_wait": "0s"}},
                           cache={"default": {"ttl": "10s", "ttl_uncovered": "10s", "stale_while_revalidate": "1m", "stale_if_error": "0s"}})
    gateway.map("acme", "cred-acme", apis=["crm"])
    for n in range(3):
        gateway.get(f"/crm/people/{n}")
    gateway.jump(30)
    gateway.get("/crm/people/0")  # its refresh yields
    gateway.jump(60)
    assert gateway.get("/crm/people/0").status_code == 200
    assert len(origin.seen) == 4


def test_limits_are_shown_of_a_tenant_that_has_sent_nothing_yet(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, limits={"tenant": {"rate": "7/s", "burst": 3}})
    state = state_of(gateway, "quiet")
    assert (state["key"], state["rate"], state["burst"], state["remaining"], state["waiting"]) == ("quiet", 7, 3, 3, 0)
    problem_of(requests.get(gateway.admin + "/v1/limits", params={"tenant": "a b"}, timeout=60), 400, "bad-request")


@pytest.mark.threads
def test_many_tenants_on_many_workers(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, workers=4,
                           limits={"tenant": {"rate": "20/s", "burst": 5, "concurrency": 3, "max_wait": "300ms"},
                                   "client": {"rate": "200/s", "burst": 20, "max_wait": "300ms"}})
    for n in range(6):
        gateway.map(f"t{n}", f"c{n}", apis=["crm"])
    statuses, lock = {}, threading.Lock()

    def ask(n):
        session = requests.Session()
        for i in range(60):
            try:
                answer = session.get(f"{gateway.data}/crm/people/{n}-{i}", headers={"X-Tenant-Id": f"t{n % 6}"}, timeout=0.2 if i % 7 == 0 else 30)
            except requests.exceptions.Timeout:
                continue
            with lock:
                statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
    threads = [threading.Thread(target=ask, args=(n,)) for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses) <= {200, 429} and statuses[200] > 100
    wait_for(lambda: metric(gateway, "limit_waiting") == 0, what="an empty queue")
    time.sleep(1)
    for n in range(6):
        assert gateway.get("/crm/people/last", tenant=f"t{n}").status_code == 200
