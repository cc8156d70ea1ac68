"""The fence, against an oracle: no read that begins after the 204 of a webhook, or after the answer to a write, is given data from
before it as fresh. Seeded traffic of readers, writers, events, purges, evictions and restarts over two workers; the origin is slow on
both sides of reading its data, so that events fall into fills all the time, and some fills are held until what overtakes them is
acknowledged."""
import http.client
import random
import threading
import time

import pytest

from conftest import Origin, wait_for

RECORDS = 6
READERS = 6


class Versions:
    """The origin's data: a version for each record, changed under a lock. `told` is the oracle: what had been acknowledged."""

    def __init__(self, seed):
        self.lock = threading.Lock()
        self.now = [0] * RECORDS
        self.told = [0] * RECORDS
        self.random = random.Random(seed)
        self.held = {}

    def pause(self):
        with self.lock:
            return self.random.choice((0, 0, 0.001, 0.004))

    def hold(self, name):
        """An answer to ?held=NAME is made, and goes out when it is let go."""
        self.held[name] = made, let_go = threading.Event(), threading.Event()
        return made, let_go

    def answer(self, seen):
        record = int(seen.target.rsplit("/", 1)[1].split("?")[0])
        time.sleep(self.pause())
        with self.lock:
            if seen.method == "PUT":
                self.now[record] += 1
            version = self.now[record]
        if "held=" in seen.target:
            made, let_go = self.held[seen.target.partition("held=")[2]]
            made.set()
            let_go.wait(60)
        time.sleep(self.pause())
        return 200, {"Content-Type": "text/plain"}, b"%d" % version

    def bump(self, record):
        with self.lock:
            self.now[record] += 1
            return self.now[record]

    def tell(self, record, version):
        with self.lock:
            self.told[record] = max(self.told[record], version)

    def acknowledged(self, record):
        with self.lock:
            return self.told[record]


class Run:
    def __init__(self, gateway, hook, versions, seed, steps):
        self.gateway, self.hook, self.versions, self.seed, self.steps = gateway, hook, versions, seed, steps
        self.violations, self.reads, self.hits, self.overtaken = [], 0, 0, 0
        self.count = threading.Lock()
        self.stop = threading.Event()

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.gateway.data_port, timeout=30)

    def read(self, connection, record, query=""):
        least = self.versions.acknowledged(record)
        connection.request("GET", f"/crm/people/{record}{query}", headers={"X-Tenant-Id": "acme"})
        answer = connection.getresponse()
        version, status = int(answer.read()), answer.headers["Cache-Status"]
        with self.count:
            self.reads += 1
            self.hits += "; hit" in status
            if version < least:
                self.violations.append((record, version, least, status))

    def reader(self, number):
        dice = random.Random(f"{self.seed}/{number}")
        connection = self.connection()
        while not self.stop.is_set():
            try:
                self.read(connection, dice.randrange(RECORDS))
                if dice.random() < 0.02:
                    raise ConnectionError  # a new connection may go to the other worker
            except (OSError, http.client.HTTPException):
                connection.close()
                connection = self.connection()

    def event(self, record):
        version = self.versions.bump(record)
        if self.gateway.event(self.hook, "peopleUpdated", [str(record)]).status_code == 204:
            self.versions.tell(record, version)

    def write(self, record):
        answer = self.gateway.request("PUT", f"/crm/people/{record}", data=b"{}")
        if answer.status_code == 200:
            self.versions.tell(record, int(answer.content))
        self.gateway.jump(4)  # over write_settle: what follows may be stored again

    def purge(self, record):
        version = self.versions.bump(record)
        self.gateway.session.post(self.gateway.admin + "/v1/purge", json={"tenant": "acme", "api": "crm", "entity": "people", "ids": [str(record)]})
        self.versions.tell(record, version)

    def overtake(self, record):
        """A fill that an event or a purge overtakes, by no accident: its answer is held until that is acknowledged."""
        self.overtaken += 1
        name = f"{self.seed}.{self.overtaken}".replace("/", "-")
        made, let_go = self.versions.hold(name)
        asker = threading.Thread(target=lambda: self.gateway.get(f"/crm/people/{record}?held={name}"))
        asker.start()
        assert made.wait(60)
        (self.event, self.purge)[self.overtaken % 2](record)
        let_go.set()
        asker.join(60)
        self.read(self.connection(), record, f"?held={name}")

    def evict(self, record):
        for n in range(40):
            self.gateway.get(f"/crm/fill/{n % RECORDS}?x={record}{n}")

    def run(self):
        threads = [threading.Thread(target=self.reader, args=(n,)) for n in range(READERS)]
        for thread in threads:
            thread.start()
        dice = random.Random(self.seed)
        try:
            for _ in range(self.steps):
                act = dice.choices((self.event, self.overtake, self.write, self.purge, self.evict), (80, 10, 4, 5, 1))[0]
                act(dice.randrange(RECORDS))
        finally:
            self.stop.set()
            for thread in threads:
                thread.join(60)


def start(make_gateway, versions, env=None):
    origin = Origin(versions.answer)
    gateway = make_gateway({"crm": {"url": origin.url}}, env=env, cache={"memory": "2MiB", "default": {"ttl": "1h", "ttl_uncovered": "1h"}},
                           limits={"tenant": {"rate": "none", "concurrency": 0}}, log={"access": False})
    hook = gateway.map("acme", "cred-acme", apis=["crm"])["webhook_path"]
    return origin, gateway, hook


@pytest.mark.threads
@pytest.mark.parametrize("seed", [1, 2])
def test_no_read_gets_what_was_before(make_gateway, seed):
    versions = Versions(seed)
    origin, gateway, hook = start(make_gateway, versions)
    for round in range(2):
        run = Run(gateway, hook, versions, f"{seed}/{round}", 150)
        run.run()
        assert run.violations == []
        assert run.reads > 100 and run.hits > 10 and run.overtaken > 5, (run.reads, run.hits, run.overtaken)
        gateway.kill() if round == 0 else gateway.stop()
        if round == 0:
            gateway.start()
    origin.stop()


def test_the_same_traffic_fails_without_the_fence(make_gateway):
    """What the test above sees is the fence: a build that can take it out is caught."""
    versions = Versions(1)
    origin, gateway, hook = start(make_gateway, versions, env={"ROLLOUT_GATEWAY_TEST_NO_FENCE": "1"})
    run = Run(gateway, hook, versions, "1/0", 50)
    run.run()
    assert run.overtaken >= 2  # as the seed has it
    assert len(run.violations) >= run.overtaken, run.violations
    origin.stop()
