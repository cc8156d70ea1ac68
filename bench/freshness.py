"""The cache while things happen to it: what events cost and spare, hits while events come in, and a crowd on one cold key."""
import asyncio
import json
import subprocess
from statistics import median

import footprint
import lab
import load
import servers

HIT, ENTITY = "/crm/cached/1", "cached"  # the events are about other records of the same entity
EVENTS_PER_S, WAITERS, UPSTREAM_SECONDS = 1000, 1000, 0.25


def run_program(program, *args):
    """A bench program that prints one JSON object a line."""
    done = subprocess.run(["taskset", "-c", str(load.SERVER_CORE), str(program), *map(str, args)], stdout=subprocess.PIPE, text=True,
                          timeout=900, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def measure_desk(programs, quick):
    rows = run_program(programs / "events", 20000 if quick else 200000)
    return {"events": rows, "eviction": run_program(programs / "eviction")}


class Storm:
    def __init__(self, programs, gateway, path, seconds):
        command = ["taskset", "-c", str(load.LOAD_CORE), str(programs / "storm"), str(gateway.webhooks), path, servers.SECRET, ENTITY,
                   str(EVENTS_PER_S), str(seconds)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def end(self):
        out, _ = self.process.communicate(timeout=120)
        if self.process.returncode != 0:
            raise RuntimeError("the events were not taken")
        return json.loads(out)


def measure_storm(directory, options, origin):
    """Hits without and with events beside them, in turn."""
    gateway = servers.Gateway(directory, options.gateway, origin, "storm", workers=1)
    try:
        path = gateway.map_tenant()["webhook_path"]
        load.run(gateway.port, HIT, 1)
        rounds = []
        for _ in range(options.rounds):
            calm = load.measure(gateway.pid, gateway.port, HIT, options.seconds)
            storm = Storm(options.programs, gateway, path, options.seconds + 1)
            busy = load.measure(gateway.pid, gateway.port, HIT, options.seconds)
            rounds.append({"calm": calm, "busy": busy, "events": storm.end()})
        before = load.cpu_seconds(gateway.pid)
        alone = Storm(options.programs, gateway, path, options.seconds).end()
        cpu_us = (load.cpu_seconds(gateway.pid) - before) * 1e6 / alone["events"]
    finally:
        gateway.stop()
    # What else the machine does can only add to a p99: the quietest round of each is the nearest to the truth.
    calm, busy = (min(one[name]["p99_us"] for one in rounds) for name in ("calm", "busy"))
    return {"p99_calm_us": calm, "p99_busy_us": busy, "p99_ratio": busy / calm,
            "throughput_ratio": median(one["busy"]["per_s"] / one["calm"]["per_s"] for one in rounds),
            "events_per_s": median(one["events"]["per_s"] for one in rounds),
            "event_p99_us": median(one["events"]["p99_us"] for one in rounds),
            "event_cpu_us": cpu_us, "rounds": rounds}


async def crowd(directory, options):
    """A thousand clients ask at once for what nobody has: how long the last of them waits."""
    footprint.raise_descriptors()
    asked = []

    def answer(target, fields):
        asked.append(target)
        return lab.Answer(fields="Cache-Control: max-age=3600\r\n", body=b"x" * 1024, delay=UPSTREAM_SECONDS)

    origin = await lab.Origin(answer).listen()
    gateway = await asyncio.to_thread(servers.Gateway, directory, options.gateway, origin, "crowd", workers=1, log={"access": True})
    client = lab.Client(gateway.port)
    try:
        await asyncio.to_thread(gateway.map_tenant)
        await client.get("/crm/cached/warm")
        await client.open(WAITERS - len(client.free))
        rounds = []
        for number in range(2 if options.quick else 5):
            asked.clear()
            del gateway.requests[:]
            start = origin.loop.time()
            answers = await asyncio.gather(*(client.get(f"/crm/cached/cold-{number}") for _ in range(WAITERS)))
            wall = origin.loop.time() - start
            if any(status != 200 for status, _, _ in answers):
                raise RuntimeError("a waiter was not answered")
            for _ in range(100):
                if len(gateway.requests) >= WAITERS:
                    break
                await asyncio.sleep(0.05)
            longest = max(one["duration_us"] for one in gateway.requests) / 1e6
            rounds.append({"asked_upstream": len(asked), "last": longest / UPSTREAM_SECONDS, "wall": wall / UPSTREAM_SECONDS})
    finally:
        await client.close()
        await asyncio.to_thread(gateway.stop)
        await origin.stop()
    return {"waiters": WAITERS, "upstream_s": UPSTREAM_SECONDS, "asked_upstream": max(one["asked_upstream"] for one in rounds),
            "last": median(one["last"] for one in rounds), "wall": median(one["wall"] for one in rounds)}


def measure(directory, options, origin):
    result = measure_desk(options.programs, options.quick)
    result["storm"] = measure_storm(directory, options, origin)
    result["crowd"] = asyncio.run(crowd(directory, options))
    return result


def rows_of(result, bench):
    return [row for row in result["events"] if row["bench"] == bench]


def targets(result, target):
    """`target` makes one of (what, value, limit, unit)."""
    cost = max(rows_of(result, "event-cost"), key=lambda row: row["entries"])
    worst = max(row["lru"] - row["cache"] for row in result["eviction"])
    storm, crowd_ = result["storm"], result["crowd"]
    return [target(f"event, {cost['entries']:,} entries cached: CPU", cost["event_ns"] / 1000, 5, "us"),
            target("overhead of an entry", rows_of(result, "overhead")[0]["bytes_each"], 160, "B"),
            target("hit ratio that LRU has more, worst trace", worst, 0),
            target(f"hits' p99 with {EVENTS_PER_S:,} events/s / without", storm["p99_ratio"], 1.1),
            target(f"{WAITERS:,} waiters: requests upstream", crowd_["asked_upstream"], 1),
            target(f"{WAITERS:,} waiters: the last / upstream's time", crowd_["last"], 1.5)]


def show(result):
    print("\nAn event: what it costs the cache, dependents included")
    for row in rows_of(result, "event-cost"):
        print(f"  {row['entries']:>9,} entries     {row['event_ns']:,.0f} ns; a record alone {row['invalidate_ns']:,.0f} ns")
    kept = rows_of(result, "kept")[0]
    print(f"\nAn event: what it leaves fresh of {kept['entries']:,} entries (purging everything leaves none)")
    print(f"  of all {kept['all']:.2%}, of its own credential's {kept['own']:.1%}, the usual mix of events; by collisions it takes"
          f" {kept['others_lost']:.1f} of others")
    print("  of its own: " + ", ".join(f"{name} {share:.0%}" for name, share in kept["kinds"].items()))
    print("\nHit ratio of a stream of reads (Zipf 0.9) and events, by what an event makes stale")
    print(f"  {'reads for each event':>22}{'what it is about':>18}{'the credential':>16}{'everything':>12}")
    for row in rows_of(result, "stream"):
        print(f"  {row['reads_per_event']:>22,}{row['precise']:18.1%}{row['credential']:16.1%}{row['everything']:12.1%}")
    print("\nHit ratio, 2,000 places for 20,000 objects (scan: a run of keys that come once after three runs that do not)")
    print(f"  {'':10}" + "".join(f"{'Zipf ' + str(skew):>20}" for skew in sorted({row['skew'] for row in result['eviction']})))
    print(f"  {'scan':10}" + f"{'LRU':>12}{'SIEVE':>8}" * 4)
    for scan in sorted({row["scan"] for row in result["eviction"]}):
        line = [row for row in result["eviction"] if row["scan"] == scan]
        print(f"  {scan or 'none':<10}" + "".join(f"{row['lru']:12.3f}{row['cache']:8.3f}" for row in line))
    print(f"\nOverhead of an entry: {rows_of(result, 'overhead')[0]['bytes_each']:.0f} B beside its key, fields and body")
    storm, crowd_ = result["storm"], result["crowd"]
    print(f"\nHits with {storm['events_per_s']:,.0f} webhooks/s beside them: p99 {storm['p99_calm_us']:,.0f} us without,"
          f" {storm['p99_busy_us']:,.0f} us with ({storm['p99_ratio']:.2f} x); {storm['throughput_ratio']:.2f} x the hits/s")
    print(f"  a webhook: {storm['event_cpu_us']:,.0f} us of CPU from its receipt to its durable 204; its answer's p99 {storm['event_p99_us']:,.0f} us")
    print(f"\n{crowd_['waiters']:,} clients ask at once for one cold key, upstream takes {crowd_['upstream_s'] * 1000:.0f} ms:"
          f" {crowd_['asked_upstream']} request upstream, the last client")
    print(f"  waits {crowd_['last']:.2f} x that by the gateway's clock, {crowd_['wall']:.2f} x by the clients'")
