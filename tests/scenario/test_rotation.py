"""The client secret changes under load: two generations for webhooks, the present one alone for tokens."""
import threading

import jwt
import pytest
import requests

from conftest import CLIENT_ID, problem_of, wait_for

OLD, NEW = "o" * 64, "n" * 64


@pytest.fixture
def rotating(make_gateway, origin, directory):
    """With the secret in a file, and nothing from the cache."""
    origin.accepted = [OLD]

    def answer(seen):
        token = seen.headers["Authorization"].removeprefix("Bearer ")
        seen.secret = next((secret for secret in origin.accepted if signs(secret, token)), None)
        return (200, {"Content-Type": "application/json"}, b"{}") if seen.secret else (401, {"Content-Type": "application/json"}, b'{"e":1}')
    origin.answer = answer
    (directory / "secret").write_text(OLD + "\n")
    made = make_gateway({"crm": {"url": origin.url + "/api"}}, cache={"default": {"ttl": "0s"}},
                        rollout={"client_secret": {"file": str(directory / "secret")}})
    made.hook = made.map("acme", "cred-acme", apis=["crm"])["webhook_path"]
    return made


def signs(secret, token):
    try:
        return bool(jwt.decode(token, secret, algorithms=["HS512"], issuer=CLIENT_ID))
    except jwt.InvalidSignatureError:
        return False


def use(gateway, current, previous=None):
    """Writes the secrets and has them read. After this no token of another secret is given out."""
    (gateway.directory.parent / "secret").write_text(current + "\n")
    rollout = gateway.config["rollout"]
    rollout.pop("client_secret_previous", None)
    if previous:
        (gateway.directory.parent / "previous").write_text(previous)
        rollout["client_secret_previous"] = {"file": str(gateway.directory.parent / "previous")}
    gateway.write_config()
    answer = requests.post(gateway.admin + "/v1/reload", timeout=60)
    assert answer.status_code == 200, answer.text


def delivered(gateway, secret):
    return gateway.event(gateway.hook, "peopleUpdated", ["1"], secret=secret).status_code


def on_all_workers(gateway, secret, status):
    """Each delivery is a connection of its own, and the kernel spreads them over the workers."""
    wait_for(lambda: all(delivered(gateway, secret) == status for _ in range(24)), 60, f"{status} for a delivery")


@pytest.mark.threads
def test_a_rotation_under_load_fails_no_request(rotating, origin):
    gateway, stop, failures, signing = rotating, threading.Event(), [], {"by": (OLD,)}

    def read(n):
        session = requests.Session()
        while not stop.is_set():
            answer = session.get(f"{gateway.data}/crm/people/{n}", headers={"X-Tenant-Id": "acme"}, timeout=60)
            if answer.status_code != 200:
                failures.append((answer.status_code, answer.text))

    def deliver(n):
        while not stop.is_set():
            secrets = signing["by"]
            status = delivered(gateway, secrets[n % len(secrets)])
            if status != 204:
                failures.append((status, "delivery"))

    threads = [threading.Thread(target=what, args=(n,)) for what in (read, deliver) for n in range(2)]
    for thread in threads:
        thread.start()
    try:
        wait_for(lambda: len(origin.seen) > 20, 60, "load")
        # Rollout takes both for a while.
        origin.accepted = [OLD, NEW]
        use(gateway, NEW, OLD)
        on_all_workers(gateway, NEW, 204)
        signing["by"] = (OLD, NEW)
        for _ in range(8):
            assert gateway.get("/crm/users").status_code == 200
        mark = len(origin.seen)
        wait_for(lambda: len(origin.seen) > mark + 20, 60, "load")
        on_all_workers(gateway, OLD, 204)
        # The overlap is over.
        signing["by"] = (NEW,)
        origin.accepted = [NEW]
        wait_for(lambda: len(origin.seen) > mark + 40, 60, "load")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert failures == []
    assert all(seen.secret == NEW for seen in origin.seen if seen.target == "/api/users")
    use(gateway, NEW)
    on_all_workers(gateway, OLD, 401)
    assert delivered(gateway, NEW) == 204
    assert all(secret not in line for line in gateway.lines for secret in (OLD, NEW))


def test_tokens_of_the_old_secret_end_with_the_reload(rotating, origin):
    assert rotating.get("/crm/people").status_code == 200
    origin.accepted = [OLD, NEW]
    use(rotating, NEW, OLD)
    before = len(origin.seen)
    assert rotating.get("/crm/people").status_code == 200
    assert [seen.secret for seen in origin.seen[before:]] == [NEW]


def test_a_refused_reload_changes_neither_secret(rotating, origin, directory):
    use(rotating, OLD, NEW)
    on_all_workers(rotating, NEW, 204)
    (directory / "previous").unlink()
    (directory / "secret").write_text("x" * 64)
    answer = requests.post(rotating.admin + "/v1/reload", timeout=60)
    assert "rollout.client_secret_previous" in problem_of(answer, 409, "conflict")["detail"]
    assert delivered(rotating, OLD) == delivered(rotating, NEW) == 204
    before = len(origin.seen)
    assert rotating.get("/crm/people").status_code == 200
    assert [seen.secret for seen in origin.seen[before:]] == [OLD]


def test_the_previous_secret_mints_nothing_and_is_shown_to_nobody(rotating):
    use(rotating, OLD, NEW)
    shown = requests.get(rotating.admin + "/v1/config", timeout=60)
    assert "client_secret_previous" in shown.json()["rollout"] and NEW not in shown.text and OLD not in shown.text
