"""Rollout is slow, limited or down: the gateway in front of an origin that misbehaves, with clients who want more than there is."""
import asyncio
import collections
import contextlib
import datetime
import itertools
import os
import time

import footprint
import lab
import servers

HEADER = "Cache-Control: no-store\r\n"


# --- hidden limits ---------------------------------------------------------------------------------------

class Tokens:
    """A token bucket that saves up so many seconds' worth, at least one request's."""

    def __init__(self, saved):
        self.saved, self.tokens, self.at = saved, 0.0, None

    def takes(self, rate, now):
        most = max(1.0, rate * self.saved)
        self.tokens = min(most, self.tokens + rate * (now - (self.at or now)))
        self.at = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Window:
    def __init__(self):
        self.number, self.count = 0, 0

    def takes(self, rate, now):
        if int(now) != self.number:
            self.number, self.count = int(now), 0
        self.count += 1
        return self.count <= rate


class Sliding:
    def __init__(self):
        self.taken = collections.deque()

    def takes(self, rate, now):
        while self.taken and self.taken[0] <= now - 1:
            self.taken.popleft()
        if len(self.taken) >= rate:
            return False
        self.taken.append(now)
        return True


SHAPES = {"token bucket": lambda: Tokens(1), "token bucket, 1/10 s": lambda: Tokens(0.1), "fixed window": Window, "sliding window": Sliding}
WAITS = {"": "", ", Retry-After": "Retry-After: 1\r\n"}
ADAPT_SECONDS, DEMAND = 10, 12


class Limited:
    """One tenant's limit: what came and what was taken, by the second since the start."""

    def __init__(self, shape, fields):
        self.shape, self.fields = shape, fields
        self.sent, self.refused = collections.Counter(), collections.Counter()

    def answer(self, rate, now, start):
        second = int(now - start)
        self.sent[second] += 1
        if self.shape.takes(rate, now):
            return lab.Answer(fields=HEADER, delay=0.03)
        self.refused[second] += 1
        return lab.Answer(429, HEADER + self.fields, delay=0.03)


async def keep_asking(client, tenant, until, numbers):
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        status, _, _ = await client.get(f"/crm/people/{next(numbers)}", tenant)
        if status != 200:
            await asyncio.sleep(0.2)


def summarise(limited, rates, seconds):
    """After the first ADAPT_SECONDS of each phase."""
    sent = refused = allowed = 0
    for phase, rate in enumerate(rates):
        for second in range(phase * seconds + ADAPT_SECONDS, (phase + 1) * seconds):
            sent += limited.sent[second]
            refused += limited.refused[second]
            allowed += rate
    return {"refused": refused / max(sent, 1), "used": (sent - refused) / allowed,
            "taken": [limited.sent[s] - limited.refused[s] for s in range(len(rates) * seconds)]}


async def learning(directory, options):
    """Every shape is a tenant of its own; all change at once."""
    rates, seconds = ([30, 20], 16) if options.quick else ([30, 20, 35], 30)
    limits = {shape + wait: Limited(make(), WAITS[wait]) for shape, make in SHAPES.items() for wait in WAITS}
    names = {f"tenant-{number}": name for number, name in enumerate(limits)}
    start = None

    def answer(target, fields):
        now = origin.loop.time()
        limited = limits[names[fields["x-rollout-credential-id"]]]
        return limited.answer(rates[min(len(rates) - 1, int(now - start) // seconds)], now, start)

    origin = await lab.Origin(answer).listen()
    gateway = await asyncio.to_thread(servers.Gateway, directory, options.gateway, origin, "learning", workers=1,
                                      limits={"tenant": {"rate": "50/s", "burst": 50, "concurrency": 32}})
    client = lab.Client(gateway.port)
    try:
        for tenant in names:
            await asyncio.to_thread(gateway.map_tenant, tenant, tenant)
        start, numbers = origin.loop.time(), itertools.count()
        end = start + len(rates) * seconds
        await asyncio.gather(*(keep_asking(client, tenant, end, numbers) for tenant in names for _ in range(DEMAND)))
    finally:
        await client.close()
        await asyncio.to_thread(gateway.stop)
        await origin.stop()
    return {"rates": rates, "seconds": seconds, "shapes": {name: summarise(one, rates, seconds) for name, one in limits.items()}}


# --- a noisy tenant --------------------------------------------------------------------------------------

GREEDY, MODEST, CLIENT_RATE = 4, 4, 60


def jain(values):
    return sum(values) ** 2 / (len(values) * sum(value * value for value in values)) if any(values) else 0.0


async def ask_evenly(client, tenant, rate, until, numbers, done, entity="people"):
    """Open loop: whatever became of the last one, the next one is sent."""
    loop, pending = asyncio.get_running_loop(), set()
    at = loop.time()
    while at < until:
        await asyncio.sleep(max(0.0, at - loop.time()))
        task = asyncio.ensure_future(client.get(f"/crm/{entity}/{next(numbers)}", tenant))
        pending.add(task)
        task.add_done_callback(lambda task: (pending.discard(task), done.append(task.result()) if not task.cancelled() else None))
        at += 1 / rate
    await asyncio.gather(*list(pending))


async def fairness_run(directory, options, noisy, name):
    """Four tenants want three times their share of what the whole client id may ask, four want little; `noisy` asks a hundred times as
    much as those."""
    seconds, share = (6 if options.quick else 15), CLIENT_RATE / (GREEDY + (2 if noisy else 1))
    origin = await lab.Origin(lambda target, fields: lab.Answer(fields=HEADER, delay=0.02)).listen()
    gateway = await asyncio.to_thread(servers.Gateway, directory, options.gateway, origin, name, workers=1, log={"access": True},
                                      limits={"tenant": {"rate": "none", "burst": 0, "concurrency": 0, "max_wait": "2s"},
                                              "client": {"rate": f"{CLIENT_RATE}/s", "burst": 1, "max_wait": "2s"}})
    client = lab.Client(gateway.port)
    rates = {f"greedy-{n}": share * 2 for n in range(GREEDY)}
    rates.update({f"modest-{n}": 2 for n in range(MODEST)})
    if noisy:
        rates["noisy"] = 200
    try:
        for tenant in rates:
            await asyncio.to_thread(gateway.map_tenant, tenant, tenant)
        await client.open(50)
        numbers, end = itertools.count(), origin.loop.time() + seconds
        await asyncio.gather(*(ask_evenly(client, tenant, rate, end, numbers, []) for tenant, rate in rates.items()))
        await asyncio.sleep(0.5)
        lines = list(gateway.requests)
    finally:
        await client.close()
        await asyncio.to_thread(gateway.stop)
        await origin.stop()
    served = collections.Counter(line["tenant"] for line in lines if line["status"] == 200)
    modest = [line["duration_us"] / 1000 for line in lines if line["tenant"].startswith("modest")]
    wanting = [served[tenant] / seconds for tenant in rates if not tenant.startswith("modest")]
    return {"jain": jain(wanting), "modest_p50_ms": lab.quantile(modest, 0.5), "modest_p99_ms": lab.quantile(modest, 0.99),
            "modest_refused": sum(1 for line in lines if line["tenant"].startswith("modest") and line["status"] != 200),
            "per_s": {tenant: served[tenant] / seconds for tenant in rates}}


async def fairness(directory, options):
    return {"calm": await fairness_run(directory, options, False, "fair-calm"),
            "noisy": await fairness_run(directory, options, True, "fair-noisy")}


# --- outages ---------------------------------------------------------------------------------------------

FAULTS = ("killed", "black hole", "stalled body", "5xx", "reset")
PEOPLE, FIRST_BYTE, IDLE, SETTLED = 200, 0.4, 0.4, 1.0


class Patient:
    """The origin of the outages: well or ill, and it counts."""

    def __init__(self):
        self.fault, self.asked, self.first_good = None, 0, None

    def answer(self, target, fields):
        self.asked += self.fault is not None
        body = b"x" * 1024
        faults = {"black hole": lab.Answer(hang=True), "stalled body": lab.Answer(fields=HEADER, body=body, cut=True),
                  "5xx": lab.Answer(503, HEADER), "reset": lab.Answer(reset=True)}
        return faults.get(self.fault, lab.Answer(fields="Cache-Control: max-age=1\r\n" if "/kept/" in target else HEADER, body=body))


async def recovery(gateway, client, numbers, origin):
    """Seconds until an answer of upstream is seen again, and the interval between probes that was in force."""
    host = (await asyncio.to_thread(gateway.told, "/v1/status"))["hosts"][0]
    interval = min(30, 2 ** max(0, host["opened"] - 1)) * 1.2  # doubled at each failed probe, +-20 %
    start = origin.loop.time()
    while origin.loop.time() < start + 2 * interval + 5:
        status, _, _ = await client.get(f"/crm/people/{next(numbers)}", "acme")
        if status == 200:
            break
        await asyncio.sleep(0.01)
    return origin.loop.time() - start, interval


async def outage(directory, options, fault):
    seconds, rate = (3 if options.quick else 6), 40
    patient, numbers = Patient(), itertools.count()
    origin = await lab.Origin(patient.answer).listen()
    gateway = await asyncio.to_thread(
        servers.Gateway, directory, options.gateway, origin, f"outage-{fault.replace(' ', '-')}", workers=1, log={"access": True}, limits={},
        cache={"write_settle": "0s", "default": {"ttl": "1s", "ttl_uncovered": "1s", "stale_while_revalidate": "0s", "stale_if_error": "1h"}},
        timeouts={"connect": "400ms", "first_byte": f"{int(FIRST_BYTE * 1000)}ms", "idle": f"{int(IDLE * 1000)}ms"})
    client = lab.Client(gateway.port)
    try:
        await asyncio.to_thread(gateway.map_tenant)
        for number in range(PEOPLE):
            await client.get(f"/crm/kept/{number}")
        await asyncio.sleep(1.5)
        del gateway.requests[:]
        patient.fault, began = fault, time.time()
        if fault == "killed":
            await origin.stop()
        kept = itertools.cycle(range(PEOPLE))
        end = origin.loop.time() + seconds
        await asyncio.gather(ask_evenly(client, "acme", rate / 2, end, numbers, []),
                             ask_evenly(client, "acme", rate / 2, end, kept, [], "kept"))
        await asyncio.sleep(0.3)
        lines = list(gateway.requests)
        if fault == "killed":
            await origin.listen()
        patient.fault = None
        took, interval = await recovery(gateway, client, numbers, origin)
    finally:
        await client.close()
        await asyncio.to_thread(gateway.stop)
        await origin.stop()
    return summarise_outage(lines, began + SETTLED, took, interval)


def begun_at(line):
    ended = datetime.datetime.fromisoformat(line["time"].replace("Z", "+00:00")).timestamp()
    return ended - line["duration_us"] / 1e6


def summarise_outage(lines, settled, took, interval):
    """Of the answers that were begun once a first timeout is over and the breaker has opened; those that were a probe of upstream apart."""
    late = [line for line in lines if begun_at(line) >= settled]
    quick = [line["duration_us"] / 1000 for line in late if not line.get("tries")]
    statuses = collections.Counter(f"{line['status']} {line['cache']}" for line in late)
    return {"answers": len(quick), "probes": len(late) - len(quick), "p50_ms": lab.quantile(quick, 0.5), "p99_ms": lab.quantile(quick, 0.99),
            "max_ms": max(quick, default=0.0), "under_1ms": sum(ms < 1 for ms in quick) / max(len(quick), 1), "statuses": dict(statuses),
            "attempts": sum(line.get("tries", 0) for line in lines) / max(len(lines), 1), "recovery_s": took, "interval_s": interval}


async def outages(directory, options):
    return {fault: await outage(directory, options, fault) for fault in FAULTS}


# --- all of them -----------------------------------------------------------------------------------------

RUNS = {"learning": learning, "fairness": fairness, "outages": outages}


@contextlib.contextmanager
def in_front_of_others(by=15):
    """Little CPU is needed, but at once: who is kept waiting by other programs sends late and counts wrongly. Needs privileges."""
    before = os.getpriority(os.PRIO_PROCESS, 0)
    try:
        os.setpriority(os.PRIO_PROCESS, 0, before - by)
        privileged = True
    except PermissionError:
        privileged = False
    try:
        yield
    finally:
        if privileged:
            os.setpriority(os.PRIO_PROCESS, 0, before)


def measure(name, directory, options):
    footprint.raise_descriptors()
    (directory / "ca.pem").touch()
    with in_front_of_others():
        return asyncio.run(RUNS[name](directory, options))


def learning_targets(result, target):
    out = []
    for name, one in result["shapes"].items():
        out.append(target(f"hidden limit, {name}: 429s upstream", one["refused"] * 100, 1, "%"))
        out.append(target(f"hidden limit, {name}: used", one["used"] * 100, 90, "%", least=True))
    return out


def fairness_targets(result, target):
    ratio = result["noisy"]["modest_p99_ms"] / max(result["calm"]["modest_p99_ms"], 0.001)
    return [target("one tenant asks 100 x: Jain's index", result["noisy"]["jain"], 0.95, least=True),
            target("the modest ones' p99 wait / without it", ratio, 2)]


def outage_targets(result, target):
    out = []
    for fault, one in result.items():
        out.append(target(f"upstream {fault}: answers over 1 ms", 100 - one["under_1ms"] * 100, 1, "%"))
        out.append(target(f"upstream {fault}: recovery / probe interval", one["recovery_s"] / one["interval_s"], 1))
        out.append(target(f"upstream {fault}: attempts / requests", one["attempts"], 1.2))
    return out


TARGETS = {"learning": learning_targets, "fairness": fairness_targets, "outages": outage_targets}


def targets(name, result, target):
    return TARGETS[name](result, target)


def show_learning(result):
    print(f"\nA hidden limit of {', then '.join(map(str, result['rates']))} requests/s, {result['seconds']} s each; after"
          f" {ADAPT_SECONDS} s of adaptation to each")
    print(f"  {'':34}{'429 upstream':>14}{'used':>9}")
    for name, one in result["shapes"].items():
        print(f"  {name:34}{one['refused']:14.2%}{one['used']:9.1%}")


def show_fairness(result):
    print(f"\nFairness: {CLIENT_RATE} requests/s for the whole client id; four tenants want twice their share, four want 2/s, one asks 200/s")
    for name, one in result.items():
        print(f"  {'with the noisy one' if name == 'noisy' else 'without it':20} Jain's index {one['jain']:.4f}; the modest ones: p50"
              f" {one['modest_p50_ms']:.0f} ms, p99 {one['modest_p99_ms']:.0f} ms, {one['modest_refused']} refused")


def show_outages(result):
    print("\nUpstream fails: answers begun a second after that or later (timeouts are 0.4 s), by the gateway's clock (those that probed upstream apart)")
    print(f"  {'':14}{'answers':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}{'< 1 ms':>9}{'probes':>8}{'attempts':>10}{'recovery':>10}  of an interval of")
    for fault, one in result.items():
        print(f"  {fault:14}{one['answers']:9}{one['p50_ms']:9.2f}{one['p99_ms']:9.2f}{one['max_ms']:9.2f}{one['under_1ms']:9.1%}"
              f"{one['probes']:8}{one['attempts']:10.2f}{one['recovery_s']:8.1f} s  {one['interval_s']:.1f} s")


SHOW = {"learning": show_learning, "fairness": show_fairness, "outages": show_outages}


def show(name, result):
    SHOW[name](result)


# --- a plot ----------------------------------------------------------------------------------------------

WIDE, HIGH, LEFT, GAP = 420, 120, 50, 50


def polyline(points, colour, width):
    return f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}"/>'


def panel(left, top, name, one, result):
    """Taken upstream in each second, and the limit."""
    seconds, most = len(one["taken"]), 55.0

    def place(second, value):
        return left + second * WIDE / seconds, top + HIGH - min(value, most) * HIGH / most

    steps = [place(at, rate) for phase, rate in enumerate(result["rates"])
             for at in (phase * result["seconds"], (phase + 1) * result["seconds"])]
    taken = [place(second + 0.5, value) for second, value in enumerate(one["taken"])]
    out = [f'<rect x="{left}" y="{top}" width="{WIDE}" height="{HIGH}" fill="none" stroke="#ccc"/>',
           f'<text x="{left}" y="{top - 8}">{name}: {one["refused"]:.2%} refused, {one["used"]:.0%} used</text>']
    for value in (0, 25, 50):
        out.append(f'<text x="{left - 6}" y="{place(0, value)[1] + 4:.1f}" text-anchor="end">{value}</text>')
    for second in range(0, seconds + 1, result["seconds"]):
        out.append(f'<text x="{place(second, 0)[0]:.1f}" y="{top + HIGH + 14}" text-anchor="middle">{second} s</text>')
    return out + [polyline(steps, "#c33", 1.5), polyline(taken, "#246", 1.2)]


def plot(result):
    """The learning run as SVG text."""
    shapes = list(result["shapes"].items())
    rows = (len(shapes) + 1) // 2
    width, height = 2 * (LEFT + WIDE) + 30, 40 + rows * (HIGH + GAP)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
           f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{LEFT}" y="16" font-size="13">Requests taken upstream in each second (blue) under a hidden limit (red)</text>']
    for number, (name, one) in enumerate(shapes):
        out += panel(LEFT + number % 2 * (LEFT + WIDE), 50 + number // 2 * (HIGH + GAP), name, one, result)
    return "\n".join(out + ["</svg>", ""])
