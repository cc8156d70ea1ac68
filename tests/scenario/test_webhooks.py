"""Rollout's events: which are believed, what they make stale, what a crash may not lose."""
import json
import threading

import pytest
import requests

from conftest import SECRET, problem_of, sign, wait_for
from test_caching import counting, status_of


@pytest.fixture
def hook(gateway):
    return gateway.session.get(f"{gateway.admin}/v1/tenants/acme/credentials/cred-acme").json()["webhook_path"]


def test_after_the_204_the_next_read_is_new(gateway, origin, hook):
    origin.answer = counting()
    for path in ("/crm/people/1", "/crm/people", "/crm/people?tags=x"):
        gateway.get(path)
    other = gateway.get("/crm/people/2").content
    assert gateway.event(hook, "peopleUpdated", ["1"]).status_code == 204
    for path in ("/crm/people/1", "/crm/people", "/crm/people?tags=x"):
        answer = gateway.get(path)
        assert "invalidated" in status_of(answer), path
    assert gateway.get("/crm/people/2").content == other


def test_an_event_is_for_one_credential(gateway, origin, hook):
    origin.answer = counting()
    before = gateway.get("/crm/people/1", tenant="globex").content
    gateway.event(hook, "peopleUpdated", ["1"])
    assert gateway.get("/crm/people/1", tenant="globex").content == before


def test_dependencies(gateway, origin, hook):
    origin.answer = counting()
    before = gateway.get("/crm/people/1").content
    users = gateway.get("/crm/users").content
    gateway.event(hook, "notesCreated", ["n1"])
    assert gateway.get("/crm/people/1").content != before
    assert gateway.get("/crm/users").content == users


@pytest.mark.parametrize("form", ["base64-body-hex", "base64-body-base64", "body-hex", "body-base64"])
def test_the_four_forms_of_signature(gateway, hook, form):
    body = b'{"eventId":"e1","event":"peopleUpdated","resourceIds":["1"],"uri":"https://crm.universal.rollout.com/people?ids=1"}'
    assert gateway.event(hook, None, body=body, signature=sign(body, SECRET, form)).status_code == 204


def test_bad_webhooks_change_nothing(gateway, origin, hook):
    origin.answer = counting()
    before = gateway.get("/crm/people/1").content
    good = b'{"eventId":"e1","event":"peopleUpdated","resourceIds":["1"]}'
    problem_of(gateway.event(hook, "peopleUpdated", ["1"], signature="00" * 32), 401, "unauthenticated")
    problem_of(gateway.event(hook, "peopleUpdated", ["1"], signature=""), 401, "unauthenticated")
    problem_of(gateway.event(hook, "peopleUpdated", ["1"], secret="another"), 401, "unauthenticated")
    problem_of(gateway.event(hook, "x", body=good, signature=sign(good)[:-1]), 401, "unauthenticated")
    problem_of(gateway.event("/webhooks/rollout/" + "0" * 64, "peopleUpdated", ["1"]), 404, "not-found")
    problem_of(gateway.event("/webhooks/rollout/", "peopleUpdated", ["1"]), 404, "not-found")
    for bad in (b"", b"{", b"[]", b'{"event":"peopleUpdated"}', good[:-1] + b',"eventId":"e2"}'):
        assert gateway.event(hook, "x", body=bad, signature=sign(bad)).status_code == 400, bad
    large = b'{"eventId":"e","event":"peopleUpdated","resourceIds":["' + b"x" * (1024 * 1024) + b'"]}'
    problem_of(gateway.event(hook, "x", body=large, signature=sign(large)), 413, "payload-too-large")
    assert gateway.session.get(gateway.webhooks + hook).status_code == 405
    assert gateway.get("/crm/people/1").content == before


def test_a_doubled_signature_is_refused(gateway, hook):
    body = b'{"eventId":"e1","event":"peopleUpdated","resourceIds":["1"]}'
    host = gateway.webhooks.removeprefix("http://")
    import socket
    name, port = host.rsplit(":", 1)
    with socket.create_connection((name, int(port)), timeout=10) as sock:
        line = f"X-Rollout-Signature: {sign(body)}\r\n"
        sock.sendall(f"POST {hook} HTTP/1.1\r\nHost: {host}\r\n{line}{line}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert sock.recv(1000).split(b" ")[1] in (b"400", b"401")


def test_duplicates_do_nothing_even_after_a_restart(gateway, origin, hook):
    origin.answer = counting()
    assert gateway.event(hook, "peopleUpdated", ["1"], event_id="once").status_code == 204
    before = gateway.get("/crm/people/1").content
    assert gateway.event(hook, "peopleUpdated", ["1"], event_id="once").status_code == 204
    assert gateway.get("/crm/people/1").content == before
    gateway.kill()
    gateway.start()
    before = gateway.get("/crm/people/1").content
    assert gateway.event(hook, "peopleUpdated", ["1"], event_id="once").status_code == 204
    assert gateway.get("/crm/people/1").content == before
    counts = gateway.session.get(gateway.admin + "/v1/webhooks").json()["received"]
    assert counts["duplicates"] == 1 and counts["accepted"] == 0


@pytest.mark.threads
def test_fence_an_event_during_a_slow_fill(gateway, origin, hook):
    """The answer that was under way when the event came is not served as fresh to anybody who asks later."""
    started, go_on, lock, values = threading.Event(), threading.Event(), threading.Lock(), [b"old"]

    def answer(seen):
        with lock:
            value = values[0]
        if value == b"old":
            started.set()
            go_on.wait(30)
        return 200, {}, value
    origin.answer = answer
    first, later = [], []
    thread = threading.Thread(target=lambda: first.append(gateway.get("/crm/people/1").content))
    thread.start()
    started.wait(10)
    with lock:
        values[0] = b"new"
    assert gateway.event(hook, "peopleUpdated", ["1"]).status_code == 204
    # Asked after the event, while the old fill is still under way: not collapsed onto it.
    later.append(requests.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "acme"}, timeout=30).content)
    go_on.set()
    thread.join(20)
    later.append(gateway.get("/crm/people/1").content)
    assert first == [b"old"] and later == [b"new", b"new"]


@pytest.mark.threads
def test_fence_the_old_fill_is_not_stored_as_fresh(gateway, origin, hook):
    started, go_on = threading.Event(), threading.Event()

    def answer(seen):
        if seen.number == 1:
            started.set()
            go_on.wait(30)
            return 200, {}, b"old"
        return 200, {}, b"new"
    origin.answer = answer
    thread = threading.Thread(target=lambda: gateway.get("/crm/people/1"))
    thread.start()
    started.wait(10)
    assert gateway.event(hook, "peopleUpdated", ["1"]).status_code == 204
    go_on.set()
    thread.join(20)
    assert gateway.get("/crm/people/1").content == b"new"
    assert gateway.session.get(gateway.admin + "/v1/cache").json()["fence_discarded"] >= 1


def test_nothing_secret_is_logged(gateway, origin, hook):
    token = hook.rsplit("/", 1)[1]
    gateway.get("/crm/people?email=planted%40secret", headers={"Authorization": "Bearer planted-secret"})
    gateway.event(hook, "peopleUpdated", ["planted-id"])
    bearer = origin.seen[0].all("Authorization")[0].removeprefix("Bearer ")
    gateway.stop()
    text = "\n".join(gateway.lines)
    for secret in (token, SECRET, bearer, "planted-secret", "planted%40secret", "cred-acme"):
        assert secret not in text, secret
    assert gateway.events("request") and gateway.events("webhook")


def test_coverage_decides_which_ttl_applies(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"default": {"ttl": "1h", "ttl_uncovered": "20s", "stale_while_revalidate": "0s"}},
                           webhooks={"coverage": "10m"})
    hook = gateway.map("acme", "cred-acme", apis=["crm"])["webhook_path"]
    origin.answer = counting()

    def is_kept_after(seconds):
        before = gateway.get("/crm/users/1").content
        gateway.jump(seconds)
        return gateway.get("/crm/users/1").content == before

    assert not is_kept_after(21)
    assert gateway.event(hook, "peopleUpdated", ["7"]).status_code == 204
    gateway.session.post(gateway.admin + "/v1/purge", json={"tenant": "acme"})  # what was fetched uncovered stays so
    assert is_kept_after(300)
    gateway.jump(600)  # no event for longer than the window
    gateway.session.post(gateway.admin + "/v1/purge", json={"tenant": "acme"})
    assert not is_kept_after(21)


@pytest.mark.threads
def test_events_come_while_the_configuration_is_read_again(gateway, hook):
    stop, statuses = threading.Event(), []

    def tell(name):
        count = 0
        while not stop.is_set():
            count += 1
            statuses.append(gateway.event(hook, "peopleUpdated", ["1"], event_id=f"{name}-{count}").status_code)
    threads = [threading.Thread(target=tell, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for _ in range(60):
        assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    stop.set()
    for thread in threads:
        thread.join()
    assert set(statuses) == {204}
