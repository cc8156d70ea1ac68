"""The relay: what subscribers get, in which order, what happens when they are slow, wrong or gone, and what a crash may not lose."""
import base64
import hashlib
import hmac
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time

import pytest
import requests

from conftest import BINARY, Origin, problem_of, wait_for
from test_caching import counting

PLAIN = "a secret of plain bytes"
WHSEC = "whsec_" + base64.b64encode(b"k" * 32).decode()
ENV = {"HOOK_SECRET": PLAIN, "WHSEC": WHSEC}


def subscriber(name, url, **more):
    return {"name": name, "url": url, "secret": {"env": "HOOK_SECRET"}, **more}


class Receiver(Origin):
    """A subscriber: says 204 unless `verdict(event, seen)` says otherwise."""

    def __init__(self):
        self.verdict = lambda event, seen: 204
        super().__init__(self.take)

    def take(self, seen):
        seen.event = json.loads(seen.body)
        seen.at = time.monotonic()
        verdict = self.verdict(seen.event, seen)
        return verdict if isinstance(verdict, tuple) else (verdict, {}, b"")

    def events(self):
        with self.lock:
            return [seen.event for seen in self.seen if hasattr(seen, "event")]

    def ids(self, credential=None):
        return [event["eventId"] for event in self.events() if credential in (None, event["credential_id"])]


@pytest.fixture
def receivers():
    made = []

    def make():
        made.append(Receiver())
        return made[-1]
    yield make
    for one in made:
        one.stop()


@pytest.fixture
def start(make_gateway, origin):
    """start(subscribers, **webhooks) -> gateway with acme/cred-acme, acme/cred-2, globex/cred-globex and their hooks."""

    def go(subscribers, running=True, limits=None, relay=None, **webhooks):
        relay = {"timeout": "1h", **(relay or {})}  # a jump of the clock while something is on its way is no slowness
        gateway = make_gateway({"crm": {"url": origin.url + "/api"}}, env=ENV, start=running, limits=limits or {},
                               webhooks={"subscribers": subscribers, "relay": relay, **webhooks})
        if running:
            map_all(gateway)
        return gateway
    return go


def map_all(gateway):
    gateway.hooks = {name: gateway.map(tenant, name, app_key=key, apis=["crm"])["webhook_path"] for tenant, name, key in (
        ("acme", "cred-acme", "followupboss"), ("acme", "cred-2", "lofty"), ("globex", "cred-globex", "lofty"))}


def tell(gateway, event="peopleUpdated", credential="cred-acme", event_id=None, ids=("1",)):
    event_id = event_id or os.urandom(6).hex()
    assert gateway.event(gateway.hooks[credential], event, ids, event_id=event_id).status_code == 204
    return event_id


def shown(gateway, name=None):
    answer = requests.get(gateway.admin + "/v1/webhooks", timeout=60).json()
    return answer if name is None else next(one for one in answer["subscribers"] if one["name"] == name)


def signatures(seen, *keys):
    text = f"{seen.headers['webhook-id']}.{seen.headers['webhook-timestamp']}.".encode() + seen.body
    return " ".join("v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode() for key in keys)


# --- what is sent


def test_what_a_subscriber_gets(start, receivers):
    one = receivers()
    gateway = start([subscriber("search", one.url + "/hook?from=gateway")])
    before = int(time.time())
    event_id = tell(gateway, ids=["1", "2"])
    wait_for(lambda: one.ids() == [event_id], what="the delivery")
    seen = one.seen[0]
    assert (seen.method, seen.target) == ("POST", "/hook?from=gateway")
    assert seen.event["tenant"] == "acme" and seen.event["credential_id"] == "cred-acme"
    assert seen.event["app_key"] == "followupboss" and seen.event["resourceIds"] == ["1", "2"]
    assert seen.event["event"] == "peopleUpdated" and seen.event["uri"] == "https://crm.universal.rollout.com/people"
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["webhook-id"].startswith("evt_") and before <= int(seen.headers["webhook-timestamp"]) <= time.time() + 1
    assert seen.headers["webhook-signature"] == signatures(seen, PLAIN.encode())
    wait_for(lambda: shown(gateway, "search")["backlog"] == 0)
    assert shown(gateway, "search")["delivered"] == 1 and shown(gateway)["outbox"]["events"] == 1
    metrics = requests.get(gateway.admin + "/metrics", timeout=60).text
    assert "rollout_gateway_relay_delivered_total 1\n" in metrics
    assert 'rollout_gateway_relay_backlog{subscriber="search"} 0\n' in metrics
    assert not gateway.events("not-in-force")


def test_patterns_of_events_and_tenants(start, receivers):
    people, notes, acme = receivers(), receivers(), receivers()
    gateway = start([subscriber("people", people.url, events=["people*"]), subscriber("notes", notes.url, events=["notesCreated"]),
                     subscriber("acme", acme.url, tenants=["ac*", "other"])])
    sent = [tell(gateway, name, credential) for name, credential in (
        ("peopleUpdated", "cred-acme"), ("peopleCreated", "cred-globex"), ("notesCreated", "cred-2"), ("notesUpdated", "cred-2"))]
    wait_for(lambda: len(people.ids()) == 2 and len(notes.ids()) == 1 and len(acme.ids()) == 3)
    assert sorted(people.ids()) == sorted(sent[:2]) and notes.ids() == [sent[2]]
    assert sorted(acme.ids()) == sorted([sent[0], sent[2], sent[3]])


def test_rotation_of_a_secret(start, receivers):
    one = receivers()
    gateway = start([subscriber("a", one.url, secret={"env": "WHSEC"}, previous_secret={"env": "HOOK_SECRET"})])
    tell(gateway)
    wait_for(lambda: one.ids())
    assert one.seen[0].headers["webhook-signature"] == signatures(one.seen[0], b"k" * 32, PLAIN.encode())


def test_a_secret_that_is_none_is_refused(start):
    gateway = start([subscriber("a", "http://127.0.0.1:1/", secret={"env": "BROKEN"})], running=False)
    done = subprocess.run([BINARY, "serve", "-c", gateway.path], env={**gateway.env, "BROKEN": "whsec_***"}, capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 1 and re.search(r"webhooks.subscribers\[0\].secret: .*base64", done.stderr), done.stderr


def test_large_events(start, receivers):
    one = receivers()
    gateway = start([subscriber("a", one.url)])
    ids = [f"0190-{i:060}" for i in range(10000)]
    event_id = tell(gateway, ids=ids)
    wait_for(lambda: one.ids() == [event_id])
    assert one.events()[0]["resourceIds"] == ids
    assert one.seen[0].headers["webhook-signature"] == signatures(one.seen[0], PLAIN.encode())


# --- order, slowness, failure


@pytest.mark.threads
def test_order_is_kept_for_each_credential_through_failures(start, receivers):
    one, lock, tries = receivers(), threading.Lock(), {}

    def sometimes(event, seen):
        with lock:
            tries[event["eventId"]] = tries.get(event["eventId"], 0) + 1
            return 500 if int(event["eventId"].split("-")[-1]) % 4 == 0 and tries[event["eventId"]] == 1 else 204
    one.verdict = sometimes
    gateway = start([subscriber("a", one.url)])
    credentials = ("cred-acme", "cred-2", "cred-globex")
    sent = {name: [tell(gateway, credential=name, event_id=f"{name}-{i}") for i in range(12)] for name in credentials}

    def taken(name):
        return [event["eventId"] for event, seen in zip(one.events(), list(one.seen)) if event["credential_id"] == name]
    for _ in range(600):
        if shown(gateway, "a")["delivered"] == 36:
            break
        gateway.jump(2)
        time.sleep(0.02)
    for name in credentials:
        expected = []
        for event_id in sent[name]:
            expected += [event_id] * (2 if int(event_id.split("-")[-1]) % 4 == 0 else 1)
        assert taken(name) == expected
    ids = {}
    for seen in one.seen:  # the same webhook-id on every try, another one for each event
        ids.setdefault(seen.event["eventId"], set()).add(seen.headers["webhook-id"])
    assert all(len(of_one) == 1 for of_one in ids.values()) and len(set.union(*ids.values())) == 36


def test_a_failing_credential_holds_up_no_other(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 500 if event["credential_id"] == "cred-2" else 204
    gateway = start([subscriber("a", one.url, events=["people*"])], relay={"concurrency": 1})
    stuck = tell(gateway, credential="cred-2")
    wait_for(lambda: stuck in one.ids())
    tell(gateway, credential="cred-2")
    fine = [tell(gateway) for _ in range(5)]
    wait_for(lambda: one.ids("cred-acme") == fine)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 2)
    assert set(one.ids("cred-2")) == {stuck}


def test_a_slow_subscriber_delays_no_other(start, receivers):
    slow, quick, go_on = receivers(), receivers(), threading.Event()
    slow.verdict = lambda event, seen: go_on.wait(30) and 204
    gateway = start([subscriber("slow", slow.url + "/slow"), subscriber("same-host", slow.url + "/quick"), subscriber("quick", quick.url)],
                    relay={"concurrency": 1})
    slow.verdict = lambda event, seen: 204 if seen.target == "/quick" else go_on.wait(30) and 204
    sent = [tell(gateway, credential=name) for name in ("cred-acme", "cred-2", "cred-globex") for _ in range(5)]
    wait_for(lambda: len(quick.ids()) == 15)
    wait_for(lambda: len([1 for seen in list(slow.seen) if seen.target == "/quick"]) == 15)
    assert len([1 for seen in list(slow.seen) if seen.target == "/slow"]) == 1
    go_on.set()
    wait_for(lambda: shown(gateway, "slow")["backlog"] == 0)
    assert sorted(sent) == sorted(seen.event["eventId"] for seen in slow.seen if seen.target == "/slow")


@pytest.mark.parametrize("verdict", [(302, {"Location": "/elsewhere"}, b""), 400, 404, 429, 500])
def test_whatever_is_not_2xx_is_repeated(start, receivers, verdict):
    one = receivers()
    one.verdict = lambda event, seen: verdict if seen.number == 1 else 200
    gateway = start([subscriber("a", one.url + "/hook")])
    event_id = tell(gateway)
    wait_for(lambda: shown(gateway, "a")["delivered"] == 1)
    assert one.ids() == [event_id] * 2 and {seen.target for seen in one.seen} == {"/hook"}
    assert shown(gateway, "a")["failed"] == 1 and gateway.events("relay-failing")


def test_answers_of_subscribers_are_bounded(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: (200, {}, b"x" * (8 << 20))
    gateway = start([subscriber("a", one.url)])
    sent = [tell(gateway) for _ in range(3)]
    wait_for(lambda: shown(gateway, "a")["delivered"] == 3)
    assert one.ids() == sent


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(start, receivers, status):
    one = receivers()
    one.verdict = lambda event, seen: (status, {"Retry-After": "600"}, b"") if seen.number == 1 else 204
    gateway = start([subscriber("a", one.url)])
    first = tell(gateway)
    wait_for(lambda: shown(gateway, "a")["state"] == "paused")
    second = tell(gateway, credential="cred-2")
    gateway.jump(580)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 2)
    time.sleep(0.3)  # nothing comes: there is no event that would say so
    assert one.ids() == [first]
    gateway.jump(30)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 0)
    assert sorted(one.ids()[1:]) == sorted([first, second])


def test_410_disables_until_a_reload(start, receivers):
    one, other = receivers(), receivers()
    one.verdict = lambda event, seen: 410
    gateway = start([subscriber("a", one.url), subscriber("b", other.url)])
    first = tell(gateway)
    wait_for(lambda: shown(gateway, "a")["state"] == "disabled")
    wait_for(lambda: any(line["message"].startswith("a ") for line in gateway.events("relay-disabled")))
    rest = [tell(gateway) for _ in range(3)]
    wait_for(lambda: other.ids() == [first, *rest])
    gateway.jump(100)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 4)
    assert one.ids() == [first] and shown(gateway, "a")["backlog"] == 4
    one.verdict = lambda event, seen: 204
    assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    gateway.jump(100)  # the backoff of the first
    wait_for(lambda: one.ids() == [first, first, *rest])
    wait_for(lambda: shown(gateway, "a")["state"] == "active")


def test_an_unreachable_subscriber_is_found_again(start, receivers):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    gateway = start([subscriber("a", f"http://127.0.0.1:{port}/")])
    sent = [tell(gateway, credential=name) for name in ("cred-acme", "cred-2", "cred-acme")]
    wait_for(lambda: shown(gateway, "a")["failed"] >= 2)
    late = receivers()
    late.server.server_close()
    import http.server
    late.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), late.server.RequestHandlerClass)
    threading.Thread(target=late.server.serve_forever, daemon=True).start()
    for _ in range(200):
        if shown(gateway, "a")["backlog"] == 0:
            break
        gateway.jump(10)
        time.sleep(0.02)
    assert late.ids("cred-acme") == [sent[0], sent[2]] and late.ids("cred-2") == [sent[1]]


def test_tls_is_verified(start, receivers, tmp_path):
    import ssl
    ca = make_certificate(tmp_path, "ca")
    one = receivers()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ca[0], ca[1])
    one.server.socket = context.wrap_socket(one.server.socket, server_side=True)
    url = one.url.replace("http:", "https:")
    gateway = start([subscriber("believed", url + "/good", ca=str(ca[0])), subscriber("not", url + "/bad")])
    event_id = tell(gateway)
    wait_for(lambda: one.ids() == [event_id])
    wait_for(lambda: shown(gateway, "not")["failed"] >= 1)
    assert one.seen[0].target == "/good" and len(one.seen) == 1


def make_certificate(directory, name):
    cert, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True,
                   capture_output=True, timeout=60)
    return cert, key


# --- age, dead letters


def test_dead_letters_are_kept_listed_and_replayed(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("a", one.url)], relay={"give_up": "1h"})
    sent = [tell(gateway), tell(gateway, "notesCreated"), tell(gateway, credential="cred-globex")]
    for _ in range(300):
        if shown(gateway)["dead_letters"] == 3:
            break
        gateway.jump(1200)
        time.sleep(0.02)
    gateway.kill()  # they survive
    gateway.start()
    dead = requests.get(gateway.admin + "/v1/relay/dead", timeout=60).json()
    assert dead["next"] is None and len(dead["dead"]) == 3
    by_event = {(one["event"], one["tenant"]): one for one in dead["dead"]}
    first = by_event["peopleUpdated", "acme"]
    assert first["subscriber"] == "a" and first["credential_id"] == "cred-acme" and first["attempts"] >= 1
    assert first["webhook_id"] == one.seen[0].headers["webhook-id"] and first["reason"]
    page = requests.get(gateway.admin + "/v1/relay/dead?limit=2", timeout=60).json()
    assert [one["id"] for one in page["dead"]] == [one["id"] for one in dead["dead"]][:2]
    page = requests.get(gateway.admin + "/v1/relay/dead?limit=2&cursor=" + page["next"], timeout=60).json()
    assert [one["id"] for one in page["dead"]] == [dead["dead"][2]["id"]]
    one.clear()
    one.verdict = lambda event, seen: 204
    answer = requests.post(f"{gateway.admin}/v1/relay/dead/{first['id']}/replay", timeout=60)
    assert answer.status_code == 202 and answer.json()["replayed"] == first["id"]
    wait_for(lambda: one.ids() == [sent[0]])
    assert one.seen[0].headers["webhook-id"] == first["webhook_id"]
    problem_of(requests.post(f"{gateway.admin}/v1/relay/dead/{first['id']}/replay", timeout=60), 404, "not-found")
    problem_of(requests.post(f"{gateway.admin}/v1/relay/dead/x/replay", timeout=60), 404, "not-found")
    done = command(gateway, "webhooks", "replay", "--all")
    assert done.returncode == 0 and "replayed 2 dead letters" in done.stdout, done.stdout + done.stderr
    wait_for(lambda: sorted(one.ids()) == sorted(sent))
    assert shown(gateway)["dead_letters"] == 0


def command(gateway, *words):
    config = json.loads(gateway.path.read_text())
    config["listen"]["admin"] = gateway.admin.removeprefix("http://")
    path = gateway.directory / "command.json"
    path.write_text(json.dumps(config))
    return subprocess.run([BINARY, *words, "-c", path], env=gateway.env, capture_output=True, text=True, timeout=60)


def test_the_command_line_replays_one(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("a", one.url)], relay={"give_up": "1s"})
    event_id = tell(gateway)
    for _ in range(300):
        if shown(gateway)["dead_letters"] == 1:
            break
        gateway.jump(1200)
        time.sleep(0.02)
    listed = command(gateway, "webhooks", "dead")
    assert listed.returncode == 0 and "peopleUpdated" in listed.stdout and "acme" in listed.stdout
    one.clear()
    one.verdict = lambda event, seen: 204
    assert command(gateway, "webhooks", "replay", "77").returncode == 1
    for wrong in (("x",), (), ("1", "--all")):
        assert command(gateway, "webhooks", "replay", *wrong).returncode == 2
    done = command(gateway, "webhooks", "replay", str(json.loads(command(gateway, "webhooks", "dead", "--json").stdout)["dead"][0]["id"]))
    assert done.returncode == 0 and done.stdout == "replayed 1 dead letter\n"
    wait_for(lambda: one.ids() == [event_id])


def test_dead_letters_are_bounded(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("a", one.url)], relay={"give_up": "1s", "dead": 2})
    for _ in range(4):
        tell(gateway)
    for _ in range(600):
        if shown(gateway, "a")["dead"] == 4:
            break
        gateway.jump(1200)
        time.sleep(0.02)
    wait_for(lambda: shown(gateway)["dead_letters"] == 2)
    assert gateway.events("dead-letters-forgotten") and gateway.events("relay-dead")


def test_what_leaves_the_window_is_counted_and_told(start, receivers):
    one, go_on = receivers(), threading.Event()
    one.verdict = lambda event, seen: go_on.wait(30) and 204
    gateway = start([subscriber("a", one.url)], outbox={"events": 3})
    sent = [tell(gateway) for _ in range(10)]
    go_on.set()
    wait_for(lambda: shown(gateway, "a")["backlog"] == 0)
    assert one.ids() == [sent[0], *sent[-3:]] and shown(gateway)["outbox"]["events"] == 3
    wait_for(lambda: gateway.jump(1) or sum(line["count"] for line in gateway.events("relay-missed")) == 6)
    assert shown(gateway, "a")["missed"] == 6


@pytest.mark.threads
def test_who_takes_nothing_holds_no_more_than_the_window(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 410
    gateway = start([subscriber("a", one.url)], outbox={"events": 3})
    tell(gateway)
    wait_for(lambda: shown(gateway, "a")["state"] == "disabled")
    rest = [tell(gateway, credential=("cred-acme", "cred-globex")[i % 2]) for i in range(300)]
    wait_for(lambda: shown(gateway, "a")["backlog"] == 301)
    gateway.jump(601)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 3, 30)
    wait_for(lambda: gateway.jump(1) or sum(line["count"] for line in gateway.events("relay-missed")) == 298, 30)
    assert shown(gateway, "a")["missed"] == 298
    one.verdict = lambda event, seen: 204
    assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    wait_for(lambda: sorted(one.ids()[1:]) == sorted(rest[-3:]), 30)


# --- reload and restart


def test_a_removed_subscribers_backlog_is_dropped_knowingly(start, receivers):
    one, other = receivers(), receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("gone", one.url), subscriber("stays", other.url)])
    sent = [tell(gateway, credential=name) for name in ("cred-acme", "cred-2") for _ in range(200)]
    wait_for(lambda: shown(gateway, "gone")["backlog"] == 400)
    gateway.config["webhooks"]["subscribers"] = [subscriber("stays", other.url), subscriber("new", one.url)]
    gateway.write_config()
    one.clear()
    one.verdict = lambda event, seen: 204
    assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    wait_for(lambda: gateway.events("relay-dropped"))
    assert gateway.events("relay-dropped")[0]["count"] == 400 and gateway.events("relay-dropped")[0]["subscriber"] == "gone"
    assert [one["name"] for one in shown(gateway)["subscribers"]] == ["stays", "new"] and shown(gateway)["dropped"] == 400
    last = tell(gateway)
    wait_for(lambda: one.ids() == [last])  # a new one starts now
    wait_for(lambda: sorted(other.ids()) == sorted([*sent, last]))


def test_a_subscriber_removed_while_the_gateway_was_down(start, receivers):
    one = receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("gone", one.url)])
    tell(gateway)
    gateway.stop()
    gateway.config["webhooks"]["subscribers"] = []
    gateway.write_config()
    gateway.start()
    wait_for(lambda: gateway.events("relay-dropped"))
    assert gateway.events("relay-dropped")[0]["count"] == 1


def test_a_reload_changes_where_and_how_it_is_sent(start, receivers):
    one, other = receivers(), receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("a", one.url)])
    event_id = tell(gateway)
    wait_for(lambda: one.ids())
    gateway.config["webhooks"]["subscribers"] = [subscriber("a", other.url, secret={"env": "WHSEC"})]
    gateway.write_config()
    assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    wait_for(lambda: gateway.jump(5) or other.ids() == [event_id])
    assert other.seen[0].headers["webhook-signature"] == signatures(other.seen[0], b"k" * 32)
    assert other.seen[0].headers["webhook-id"] == one.seen[0].headers["webhook-id"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_backlog_survives(start, receivers, how):
    one = receivers()
    one.verdict = lambda event, seen: 500
    gateway = start([subscriber("a", one.url)])
    sent = [tell(gateway) for _ in range(20)]
    gateway.stop(how)
    one.clear()
    one.verdict = lambda event, seen: 204
    gateway.start()
    assert shown(gateway, "a")["backlog"] + len(one.ids()) >= 20
    wait_for(lambda: gateway.jump(5) or shown(gateway, "a")["backlog"] == 0)
    assert one.ids() == sent


def test_a_slow_subscriber_does_not_hold_up_the_end(start, receivers):
    one, go_on = receivers(), threading.Event()
    one.verdict = lambda event, seen: go_on.wait(60) and 204
    gateway = start([subscriber("a", one.url)], relay={"timeout": "1h"})
    tell(gateway)
    wait_for(lambda: one.seen)
    begin = time.monotonic()
    gateway.stop()
    assert time.monotonic() - begin < 25
    go_on.set()


def test_a_full_disk_answers_503_and_says_why(start, receivers):
    one = receivers()
    gateway = start([subscriber("a", one.url)])
    first = tell(gateway)
    wait_for(lambda: one.ids() == [first])
    size = os.path.getsize(gateway.directory / "state" / "data.mdb")
    before = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    answer, event_id = None, None
    for i in range(400):
        event_id = f"full-{i}"
        answer = gateway.event(gateway.hooks["cred-acme"], "peopleUpdated", [str(n) for n in range(2000)], event_id=event_id)
        if answer.status_code != 204:
            break
    problem_of(answer, 503, "store-unavailable")
    assert "full" in answer.json()["detail"] and answer.headers["Retry-After"] == "5"
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, before)
    wait_for(lambda: shown(gateway, "a")["backlog"] == 0)
    assert event_id not in one.ids()
    assert gateway.event(gateway.hooks["cred-acme"], "peopleUpdated", ["1"], event_id=event_id).status_code == 204
    wait_for(lambda: one.ids()[-1] == event_id)


# --- nobody is told too early


@pytest.mark.threads
def test_who_reads_when_told_never_gets_data_from_before(start, receivers, origin):
    """The origin's value goes up before each event is sent; the subscriber reads through the gateway inside its delivery."""
    lock, value, wrong = threading.Lock(), [0], []

    def answer(seen):
        with lock:
            return 200, {"Content-Type": "application/json"}, json.dumps({"value": value[0]}).encode()
    origin.answer = answer
    one = receivers()
    gateway = start([subscriber("a", one.url)], limits={"tenant": {"rate": "10000/s", "burst": 10000}})

    def read(event, seen):
        got = requests.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "globex"}, timeout=30).json()["value"]
        if got < int(event["eventId"].split("-")[1]):
            wrong.append((event["eventId"], got))
        return 204
    one.verdict = read
    stop = threading.Event()

    def load():
        with requests.Session() as session:
            session.trust_env = False
            while not stop.is_set():
                session.get(gateway.data + "/crm/people/1", headers={"X-Tenant-Id": "globex"}, timeout=30)
    readers = [threading.Thread(target=load) for _ in range(3)]
    for thread in readers:
        thread.start()
    for i in range(1, 41):
        with lock:
            value[0] = i
        tell(gateway, credential="cred-globex", event_id=f"v-{i}")
    try:
        wait_for(lambda: len(set(one.ids())) == 40, 60)
    finally:
        stop.set()
        for thread in readers:
            thread.join(30)
    assert wrong == []


# --- kill -9


def test_nothing_acknowledged_is_lost_by_kills(start, receivers):
    """kill -9 at random points: what was answered 204 reaches every subscriber, in order for each credential, and nothing else does."""
    cycles = int(os.environ.get("KILL_CYCLES", "10"))
    one, two = receivers(), receivers()
    gateway = start([subscriber("one", one.url), subscriber("two", two.url, events=["people*"])])
    credentials = ("cred-acme", "cred-2", "cred-globex")
    acknowledged = {name: [] for name in credentials}
    uncertain, counter = set(), {name: 0 for name in credentials}

    def send(name, stop):
        with requests.Session() as session:
            session.trust_env = False
            while not stop.is_set():
                counter[name] += 1
                event_id = f"{name}/{counter[name]}"
                try:
                    status = gateway.event(gateway.hooks[name], "peopleUpdated", ["1"], event_id=event_id).status_code
                except requests.RequestException:
                    uncertain.add(event_id)
                    return
                if status == 204:
                    acknowledged[name].append(event_id)
                else:
                    uncertain.add(event_id)
    for cycle in range(cycles):
        stop = threading.Event()
        threads = [threading.Thread(target=send, args=(name, stop)) for name in credentials]
        for thread in threads:
            thread.start()
        time.sleep(int.from_bytes(os.urandom(2), "big") / 65536 * 0.3)
        gateway.kill()
        stop.set()
        for thread in threads:
            thread.join(30)
        gateway.start()
    for receiver, name in ((one, "one"), (two, "two")):
        wait_for(lambda: gateway.jump(5) or shown(gateway, name)["backlog"] == 0, 60)
        got = receiver.ids()
        for credential in credentials:
            first_seen = list(dict.fromkeys(i for i in got if i.startswith(credential + "/")))
            sure = [i for i in first_seen if i not in uncertain]
            assert sure == acknowledged[credential], f"{name}, {credential}"
            numbers = [int(i.rsplit("/", 1)[1]) for i in first_seen]
            assert numbers == sorted(numbers)
            assert set(first_seen) <= set(acknowledged[credential]) | uncertain
    assert sum(map(len, acknowledged.values())) >= cycles
