"""The gateway's own subscriptions at Rollout: a stand-in of our own that keeps webhooks, and nothing of the gateway's."""
import json
import threading
import time
import urllib.parse

import pytest
import requests

from conftest import Origin, json_of, problem_of, wait_for

PUBLIC = "https://hooks.example.com"
PEOPLE = {"peopleCreated", "peopleUpdated", "peopleDeleted", "peopleTagsCreated"}
WANTED = [{"api": "crm", "event": "people*"}]


class Rollout:
    """Webhooks by credential and API, and one list of people whose text can be changed."""

    def __init__(self):
        self.lock = threading.RLock()
        self.hooks = {}  # (credential, api) -> {id: hook}
        self.count = 0
        self.page = 100
        self.unready, self.forbidden, self.unknown = set(), set(), set()
        self.broken = False
        self.accounts = []
        self.people = 1
        self.reads = 0
        self.calls = []
        self.on_create = None
        self.held = threading.Event()  # answers to lists of webhooks wait for it
        self.held.set()
        self.waiting = 0
        self.origin = Origin(self.answer)

    def stop(self):
        self.origin.stop()

    def of(self, credential, api="crm"):
        with self.lock:
            return [dict(hook) for hook in self.hooks.get((credential, api), {}).values()]

    def events(self, credential, api="crm"):
        return sorted(hook["event"] for hook in self.of(credential, api))

    def add(self, credential, event, url, api="crm", **more):
        with self.lock:
            self.count += 1
            hook = {"id": f"hook-{self.count:06}", "event": event, "url": url, "status": "Active", "filters": {}, **more}
            self.hooks.setdefault((credential, api), {})[hook["id"]] = hook
            return hook

    def change(self, credential, event, api="crm", **fields):
        with self.lock:
            for hook in self.hooks[credential, api].values():
                if hook["event"] == event:
                    hook.update(fields)

    def looks(self, credential=None):
        with self.lock:
            return sum(method == "GET" and credential in (None, who) for method, who, _ in self.calls)

    def answer(self, seen):
        path, _, query = seen.target.partition("?")
        _, api, _, *rest = path.split("/")
        who = seen.headers.get("X-Rollout-Credential-Id", "")
        if seen.method == "GET" and rest[0] == "webhooks":
            self.waiting += 1
            self.held.wait(60)
        with self.lock:
            if rest[0] == "credentials":
                found = self.accounts if seen.method == "GET" else {}
                return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
            if rest[0] != "webhooks":
                self.reads += 1
                return 200, {"Content-Type": "application/json"}, json.dumps({"people": self.people}).encode()
            self.calls.append((seen.method, who, seen.target))
            status, value = self.webhooks(seen, who, api, rest[1:], dict(urllib.parse.parse_qsl(query)))
        return status, {"Content-Type": "application/json"}, json.dumps(value).encode()

    def webhooks(self, seen, who, api, rest, query):
        hooks = self.hooks.setdefault((who, api), {})
        if self.broken:
            return 500, {"errorMessage": "broken"}
        if who in self.forbidden:
            return 403, {"errorMessage": "not yours"}
        if who in self.unready:
            return 409, {"errorMessage": "Data for this credential is not ready yet. Please try again."}
        if seen.method == "GET":
            first = int(query.get("next", 0))
            page = list(hooks.values())[first:first + self.page]
            more = first + self.page if first + self.page < len(hooks) else None
            return 200, {"_metadata": {"collection": "webhooks", "offset": first, "limit": self.page, "total": len(hooks),
                                       "next": str(more) if more else None, "nextLink": None}, "webhooks": page}
        if seen.method == "POST":
            body = json.loads(seen.body)
            if body["event"] in self.unknown:
                return 422, {"errors": [{"path": "/event", "message": "unknown"}]}
            if self.on_create:
                self.on_create(body)
            return 201, self.add(who, body["event"], body["url"], api)
        hook = hooks.get(rest[0])
        if not hook:
            return 404, {"errorMessage": "Requested resource was not found."}
        if seen.method == "PUT":
            hook.update(json.loads(seen.body))
            return 200, hook
        del hooks[rest[0]]
        return 200, []


@pytest.fixture
def rollout():
    made = Rollout()
    yield made
    made.stop()


@pytest.fixture
def start(make_gateway, rollout):
    def make(apis=("crm",), webhooks=None, **more):
        return make_gateway({api: {"url": f"{rollout.origin.url}/{api}/api"} for api in apis},
                            webhooks={"public_url": PUBLIC, "events": WANTED, "canary": "none", **(webhooks or {})}, **more)
    return make


def url_of(mapped):
    return PUBLIC + mapped["webhook_path"]


def settled(rollout, credential, mapped, events=PEOPLE, api="crm"):
    """Exactly these, each once, whole and leading here."""
    hooks = rollout.of(credential, api)
    return (sorted(hook["event"] for hook in hooks) == sorted(events) and
            all(hook["url"] == url_of(mapped) and hook["status"] == "Active" for hook in hooks))


def wait_settled(rollout, credential, mapped, events=PEOPLE, api="crm"):
    wait_for(lambda: settled(rollout, credential, mapped, events, api), 30, f"the subscriptions of {credential}")


def sync(gateway, tenant=None):
    answer = requests.post(gateway.admin + "/v1/webhooks/sync", json={"tenant": tenant} if tenant else {}, timeout=60)
    assert answer.status_code == 202, answer.text


def coverage(gateway, tenant="acme"):
    answer = requests.get(gateway.admin + f"/v1/webhooks?prefix={tenant}", timeout=60)
    return {credential["credential_id"]: credential["apis"] for credential in json_of(answer)["credentials"]}


def wait_covered(gateway, credential="cred", state="covered", api="crm"):
    wait_for(lambda: coverage(gateway).get(credential, {}).get(api, {}).get("state") == state, 30, f"{credential} {state}")


def stats(gateway):
    return json_of(requests.get(gateway.admin + "/v1/webhooks", timeout=60))["subscriptions"]


def test_a_credential_is_subscribed_to_each_event_of_each_api_with_its_own_url(start, rollout):
    gateway = start(apis=("crm", "tms"), webhooks={"events": WANTED + [{"api": "tms", "event": "transactions*"}]})
    acme = gateway.map("acme", "cred-a", apis=["crm", "tms"])
    globex = gateway.map("globex", "cred-g", apis=["crm"])
    wait_settled(rollout, "cred-a", acme)
    wait_settled(rollout, "cred-a", acme, {"transactionsCreated", "transactionsUpdated", "transactionsDeleted"}, "tms")
    wait_settled(rollout, "cred-g", globex)
    assert rollout.of("cred-g", "tms") == []
    assert url_of(acme) != url_of(globex)


def test_what_ships_is_subscribed_to_where_nothing_is_configured(start, rollout):
    gateway = start(webhooks={"events": []})
    gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: {"notesCreated", "tasksUpdated", "textMessagesDeleted", "customFieldsUpdated"} | PEOPLE <= set(rollout.events("cred")), 30)


def test_what_is_mapped_already_is_looked_at_on_start_and_nothing_is_done_twice(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    before = {hook["id"] for hook in rollout.of("cred")}
    gateway.stop()
    rollout.calls.clear()
    gateway.start()
    wait_for(lambda: stats(gateway)["walks"] >= 1, 30)
    assert {method for method, _, _ in rollout.calls} == {"GET"}
    assert {hook["id"] for hook in rollout.of("cred")} == before


def test_disabled_ones_are_replaced(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    rollout.change("cred", "peopleUpdated", status="Disabled")
    sync(gateway, "acme")
    wait_settled(rollout, "cred", mapped)


def test_filtered_ones_are_replaced(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    rollout.change("cred", "peopleUpdated", filters={"stage": "Lead"})
    sync(gateway)
    wait_for(lambda: settled(rollout, "cred", mapped) and not any(hook["filters"] for hook in rollout.of("cred")), 30)


def test_one_that_leads_elsewhere_on_our_url_is_led_here(start, rollout):
    rollout.add("cred", "peopleUpdated", PUBLIC + "/webhooks/rollout/" + "0" * 64)
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    wait_for(lambda: stats(gateway)["pointed"] == 1, 30)


def test_duplicates_and_orphans_are_removed_and_foreign_ones_are_not_touched(start, rollout):
    foreign = [rollout.add("cred", event, url) for event, url in (
        ("peopleUpdated", "https://elsewhere.example.com/hook"), ("peopleCreated", PUBLIC + "/other"),
        ("notesUpdated", "https://hooks.example.com.evil.example/webhooks/rollout/x"))]
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    ours = lambda: [hook for hook in rollout.of("cred") if hook["id"] not in {one["id"] for one in foreign}]
    good = lambda: sorted(hook["event"] for hook in ours()) == sorted(PEOPLE)
    wait_for(good, 30)
    for event in ("peopleUpdated", "peopleUpdated", "tasksUpdated", "nothingKnown"):
        rollout.add("cred", event, url_of(mapped))
    sync(gateway)
    wait_for(good, 30)
    assert [hook for hook in rollout.of("cred") if hook not in ours()] == foreign


def test_lists_of_many_pages_are_read_to_the_end(start, rollout):
    rollout.page = 2
    for number in range(9):
        rollout.add("cred", "peopleUpdated", f"https://elsewhere.example.com/{number}")
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    ours = lambda: sorted(hook["event"] for hook in rollout.of("cred") if hook["url"] == url_of(mapped))
    wait_for(lambda: ours() == sorted(PEOPLE), 30)
    sync(gateway)
    wait_for(lambda: stats(gateway)["walks"] >= 2 and not stats(gateway)["walking"], 30)
    assert ours() == sorted(PEOPLE)


def test_a_credential_that_is_not_ready_is_waited_for(start, rollout):
    rollout.unready.add("cred")
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: stats(gateway)["not_ready"] >= 1, 30)
    rollout.unready.clear()
    gateway.jump(61)
    wait_settled(rollout, "cred", mapped)


def test_who_gives_way_to_the_limits_has_not_failed(start, rollout):
    gateway = start(limits={"tenant": {"rate": "2/s", "burst": 2}})
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: json_of(requests.get(gateway.admin + "/v1/limits", timeout=60))["background_yielded"] >= 1, 30)

    def later():
        gateway.jump(20)
        return settled(rollout, "cred", mapped)
    wait_for(later, 30, "the subscriptions")
    assert stats(gateway)["failed"] == 0


def test_who_gets_further_each_time_is_not_put_off_longer_and_longer(start, rollout):
    gateway = start(webhooks={"events": []}, limits={"tenant": {"rate": "20/s", "burst": 5}})
    gateway.map("acme", "cred", apis=["crm"])
    jumps = 0
    while len(rollout.of("cred")) < 37:  # a minute and a half at most; with pauses that double it would be four
        before, end = len(rollout.of("cred")), time.monotonic() + 3
        while len(rollout.of("cred")) == before and time.monotonic() < end:
            time.sleep(0.02)
        jumps += 1
        assert jumps <= 30
        gateway.jump(3)


def test_what_is_forbidden_is_left_until_the_next_interval(start, rollout):
    rollout.forbidden.add("cred")
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: stats(gateway)["failed"] >= 1 and stats(gateway)["walks"] >= 1, 30)
    rollout.forbidden.clear()
    gateway.jump(120)
    asked = rollout.looks("cred")
    other = gateway.map("globex", "cred-2", apis=["crm"])
    wait_settled(rollout, "cred-2", other)
    assert rollout.looks("cred") == asked and rollout.of("cred") == []
    gateway.jump(2 * 3600)
    wait_settled(rollout, "cred", mapped)


def test_an_event_that_rollout_does_not_know_does_not_stop_the_others(start, rollout):
    rollout.unknown.add("peopleTagsCreated")
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped, PEOPLE - {"peopleTagsCreated"})
    wait_for(lambda: stats(gateway)["refused"] >= 1, 30)


def test_killed_in_the_middle_the_next_run_brings_it_to_an_end(start, rollout):
    gateway = start(webhooks={"events": []})
    mapped = gateway.map("acme", "cred", apis=["crm"])
    for stop_after in (2, 5, 9, 17):
        reached, killed = threading.Event(), threading.Event()

        def on_create(body, n=stop_after, reached=reached, killed=killed):
            if len(rollout.of("cred")) >= n:
                reached.set()
                killed.wait(30)  # or the rest might be there before the kill is
        rollout.on_create = on_create
        if not gateway.process:
            gateway.start()
        assert reached.wait(30)
        gateway.kill()
        killed.set()
    rollout.on_create = None
    gateway.start()
    wait_for(lambda: stats(gateway)["walks"] >= 1 and len(rollout.of("cred")) == 37, 30)
    assert len(set(rollout.events("cred"))) == 37
    assert all(hook["url"] == url_of(mapped) for hook in rollout.of("cred"))


def test_a_removed_credential_takes_its_subscriptions_along(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    foreign = rollout.add("cred", "peopleUpdated", "https://elsewhere.example.com/hook")
    wait_for(lambda: len(rollout.of("cred")) == 5, 30)
    assert requests.delete(f"{gateway.admin}/v1/tenants/acme/credentials/cred", timeout=60).status_code == 204
    wait_for(lambda: rollout.of("cred") == [foreign], 30)
    wait_for(lambda: stats(gateway)["removed_credentials"] == 1, 30)
    again = gateway.map("acme", "cred", apis=["crm"])
    assert again["webhook_path"] != mapped["webhook_path"]
    wait_for(lambda: {hook["url"] for hook in rollout.of("cred")} == {foreign["url"], url_of(again)}, 30)


def test_what_a_removed_credential_left_behind_is_not_forgotten_by_a_kill(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    rollout.broken = True
    assert requests.delete(f"{gateway.admin}/v1/tenants/acme/credentials/cred", timeout=60).status_code == 204
    gateway.kill()
    rollout.broken = False
    gateway.start()
    wait_for(lambda: rollout.of("cred") == [], 30)


def test_a_removed_credential_that_rollout_does_not_know_either_is_forgotten(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    rollout.forbidden.add("cred")
    assert requests.delete(f"{gateway.admin}/v1/tenants/acme/credentials/cred", timeout=60).status_code == 204
    wait_for(lambda: stats(gateway)["removed_credentials"] == 1, 30)
    asked = rollout.looks("cred")
    gateway.jump(60)
    other = gateway.map("globex", "cred-2", apis=["crm"])
    wait_settled(rollout, "cred-2", other)
    assert rollout.looks("cred") <= asked + 1  # one may have been on its way


def test_a_reload_adds_and_takes_away_events_and_moves_the_url(start, rollout):
    gateway = start()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    gateway.config["webhooks"]["events"] = [{"api": "crm", "event": "peopleUpdated"}, {"api": "crm", "event": "notes*"}]
    gateway.config["webhooks"]["public_url"] = "https://moved.example.com/in/"
    gateway.write_config()
    assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    wanted = sorted(["peopleUpdated", "notesCreated", "notesUpdated", "notesDeleted"])
    wait_for(lambda: rollout.events("cred") == wanted, 30)
    wait_for(lambda: {hook["url"] for hook in rollout.of("cred")} == {"https://moved.example.com/in" + mapped["webhook_path"]}, 30)


def test_a_reload_while_rollout_is_being_asked(start, rollout):
    gateway = start()
    rollout.held.clear()
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: rollout.waiting > 0, 30, "the list of webhooks to be asked for")
    for _ in range(2):
        assert requests.post(gateway.admin + "/v1/reload", timeout=60).status_code == 200
    rollout.held.set()
    wait_settled(rollout, "cred", mapped)


def test_a_credential_that_a_front_end_has_connected_is_subscribed_without_a_read(start, rollout):
    rollout.accounts = [{"id": "cred", "appKey": "follow-up-boss", "createdAt": "2026-01-01T00:00:00Z"}]
    gateway = start(apis=("core", "crm"))
    answer = gateway.request("POST", "/link/credentials", json={"credential_id": "cred"})
    assert answer.status_code == 201, answer.text
    wait_for(lambda: set(rollout.events("cred")) == PEOPLE, 30)
    assert gateway.request("DELETE", "/link/credentials/cred").status_code == 204
    wait_for(lambda: rollout.of("cred") == [], 30)


# --- coverage

RULES = {"default": {"ttl": "1h", "ttl_uncovered": "5s", "stale_while_revalidate": "0s"}}


def read(gateway, path="/crm/people"):
    answer = gateway.get(path)
    assert answer.status_code == 200
    return answer.json()["people"], "hit" in answer.headers["Cache-Status"].split(";")[1]


def covered_gateway(start, rollout, **more):
    gateway = start(cache=RULES, **more)
    mapped = gateway.map("acme", "cred", apis=["crm"])
    wait_settled(rollout, "cred", mapped)
    read(gateway)
    wait_covered(gateway)
    gateway.jump(6)  # past ttl_uncovered: what was read before somebody had looked is read anew
    read(gateway)
    return gateway, mapped


def test_ttl_holds_while_subscriptions_do_and_ttl_uncovered_once_one_is_lost_and_back(start, rollout):
    gateway, mapped = covered_gateway(start, rollout)
    rollout.people = 2
    for _ in range(4):  # longer than ttl_uncovered each time, looked after in between
        looked = rollout.looks()
        gateway.jump(50)
        wait_for(lambda: rollout.looks() > looked, 30)
        wait_covered(gateway)
        assert read(gateway) == (1, True)
    rollout.unknown.add("peopleUpdated")  # it cannot be mended
    rollout.change("cred", "peopleUpdated", status="Disabled")
    gateway.jump(50)
    wait_covered(gateway, state="uncovered")
    assert read(gateway) == (2, False)
    rollout.people = 3
    assert read(gateway) == (2, True)
    gateway.jump(6)
    assert read(gateway) == (3, False)
    lost = []
    wait_for(lambda: lost.extend(line for line in gateway.events("coverage") if line["level"] == "warn") or lost, 30)
    assert lost[-1]["covered"] == 0 and lost[-1]["api"] == "crm" and "cred" not in json.dumps(lost[-1]["credential"])
    rollout.unknown.clear()
    sync(gateway)
    wait_settled(rollout, "cred", mapped)
    wait_covered(gateway)
    rollout.people = 4
    assert read(gateway)[0] == 4  # nothing that may have missed an event
    gateway.jump(20)
    rollout.people = 5
    wait_covered(gateway)
    assert read(gateway) == (4, True)


def test_an_entity_without_all_of_its_events_is_not_covered_and_the_others_are(start, rollout):
    rollout.unknown.add("notesDeleted")
    gateway = start(cache=RULES, webhooks={"events": WANTED + [{"api": "crm", "event": "notes*"}]})
    gateway.map("acme", "cred", apis=["crm"])
    wait_for(lambda: len(rollout.of("cred")) == 6, 30)
    read(gateway), read(gateway, "/crm/notes"), read(gateway, "/crm/lists")
    wait_covered(gateway, state="partial")
    gateway.jump(6)
    read(gateway), read(gateway, "/crm/notes"), read(gateway, "/crm/lists")
    assert coverage(gateway)["cred"]["crm"]["covered"] == ["people"]
    gateway.jump(10)
    assert read(gateway) == (1, True)
    assert read(gateway, "/crm/notes")[1] is False
    assert read(gateway, "/crm/lists")[1] is False


def test_coverage_ends_when_nobody_can_look_and_comes_back(start, rollout):
    gateway, _ = covered_gateway(start, rollout)
    rollout.broken = True
    gateway.jump(61)
    assert read(gateway)[1] is False
    wait_for(lambda: gateway.events("coverage-lapsed"), 30)
    rollout.broken = False
    gateway.jump(40)
    wait_covered(gateway)


def test_after_a_restart_nothing_is_covered_before_somebody_looked(start, rollout):
    gateway, _ = covered_gateway(start, rollout)
    gateway.stop()
    rollout.broken = True
    gateway.start()
    read(gateway)
    gateway.jump(6)
    assert read(gateway)[1] is False
    rollout.broken = False
    gateway.jump(40)
    wait_covered(gateway)


def test_a_credential_that_is_gone_is_covered_no_more(start, rollout):
    gateway, _ = covered_gateway(start, rollout)
    rollout.forbidden.add("cred")
    gateway.jump(50)
    wait_covered(gateway, state="uncovered")
    assert read(gateway)[1] is False
    asked = rollout.looks("cred")
    for _ in range(3):  # and is not asked for again and again
        gateway.jump(60)
        assert read(gateway)[1] is False
    wait_settled(rollout, "cred-2", gateway.map("globex", "cred-2", apis=["crm"]))
    assert rollout.looks("cred") == asked


def test_the_gauge_counts_what_is_read_from(start, rollout):
    gateway, _ = covered_gateway(start, rollout)
    gateway.jump(10)
    wait_for(lambda: 'rollout_gateway_webhook_covered{state="all"} 1' in requests.get(gateway.admin + "/metrics", timeout=60).text, 30)


def canary(gateway):
    found = {}
    for line in requests.get(gateway.admin + "/metrics", timeout=60).text.splitlines():
        if line.startswith("rollout_gateway_canary_total{"):
            found[line.split('"')[1]] = int(line.rsplit(" ", 1)[1])
    return found


def hit_until(gateway, condition):
    """Hits, a while apart, until the canary has sung."""
    for _ in range(5):
        gateway.jump(1.1)
        read(gateway)
        try:
            wait_for(condition, 5)
            return
        except AssertionError:
            pass
    raise AssertionError("the canary did not sing")


def test_the_canary_finds_a_silent_feed(start, rollout):
    gateway, _ = covered_gateway(start, rollout, webhooks={"canary": "60/m"})
    hit_until(gateway, lambda: canary(gateway)["same"] > 0)
    rollout.people = 2  # and no event
    asked = rollout.reads
    hit_until(gateway, lambda: rollout.reads > asked)
    assert read(gateway) == (1, True)
    gateway.jump(31)
    wait_for(lambda: gateway.events("coverage-drift"), 30)
    assert read(gateway) == (2, False)
    assert canary(gateway)["drift"] >= 1
    rollout.people = 3
    gateway.jump(6)
    wait_covered(gateway, state="uncovered")
    assert read(gateway) == (3, False)
    gateway.jump(15 * 60)
    read(gateway)
    wait_covered(gateway)


def test_a_difference_whose_event_comes_late_is_none(start, rollout):
    gateway, mapped = covered_gateway(start, rollout, webhooks={"canary": "60/m"})
    rollout.people = 2
    asked = rollout.reads
    hit_until(gateway, lambda: rollout.reads > asked)
    assert gateway.event(mapped["webhook_path"], "peopleUpdated", ["p1"]).status_code == 204
    gateway.jump(31)
    wait_for(lambda: canary(gateway)["late"] >= 1, 30)
    assert canary(gateway)["drift"] == 0
    assert read(gateway)[0] == 2


# --- by hand

def test_sync_is_refused_without_a_public_url(make_gateway, rollout):
    gateway = make_gateway({"crm": {"url": rollout.origin.url + "/crm/api"}})
    answer = requests.post(gateway.admin + "/v1/webhooks/sync", json={}, timeout=60)
    problem_of(answer, 409, "conflict")
    assert stats(gateway)["managed"] is False
