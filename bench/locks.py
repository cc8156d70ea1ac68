"""Which locks a hit takes, and what they cost when other workers fill the cache and raise generations beside it."""
import mmap
import os
import struct
import threading
import time

import footprint
import load
import servers

NAMES = ["mode", "locks", "waits", "wait_ns", "longest_wait_ns"]
BOUNDS = ["100 ns", "250 ns", "500 ns", "1 us", "2.5 us", "10 us", "100 us", "longer"]
ALL, LEARN, KNOWN = range(3)
HITS, WARM, KEYS, SETTLE_SECONDS = 20000, 500, 2000, 2
MISSING_CLIENTS, MISSES = 4, 5000


class Counters:
    """What count_lock writes."""

    def __init__(self, path):
        self.file = open(path, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 8 * (len(NAMES) + len(BOUNDS)))

    def read(self):
        values = struct.unpack_from(f"={len(NAMES) + len(BOUNDS)}Q", self.map)
        return {**dict(zip(NAMES, values)), "held": list(values[len(NAMES):])}

    def set_mode(self, mode):
        struct.pack_into("=Q", self.map, 0, mode)

    def close(self):
        self.map.close()
        self.file.close()


def start(directory, binary, origin, preload, name, **more):
    path = directory / f"count_lock-{name}"
    gateway = servers.Gateway(directory, binary, origin, f"locks-{name}", env={"LD_PRELOAD": str(preload), "COUNT_LOCK_FILE": str(path)},
                              **more)
    gateway.map_tenant()
    return gateway, Counters(path)


def measure_hit(directory, options, origin, preload):
    """One client, one worker: every lock is the hit's (or the log's, once a second)."""
    gateway, counters = start(directory, options.gateway, origin, preload, "alone", workers=1)
    try:
        client = footprint.Client(gateway.port)
        for _ in range(WARM):
            client.ask()
        before = counters.read()["locks"]
        for _ in range(HITS):
            client.ask()
        taken = counters.read()["locks"] - before
        client.close()
        return taken / HITS
    finally:
        counters.close()
        gateway.stop()


def miss(port, number, stop):
    client = footprint.Client(port)
    for i in range(MISSES):
        if stop.is_set():
            break
        client.request = f"GET /crm/cached/{number}-{i} HTTP/1.1\r\nHost: bench\r\nX-Tenant-Id: acme\r\n\r\n".encode()
        client.ask()
    client.close()


def learn(port, counters):
    """Hits of so many keys that each lock that hits take is known."""
    client = footprint.Client(port)
    for mode in (ALL, LEARN):  # the first round are misses
        counters.set_mode(mode)
        for i in range(KEYS):
            client.request = f"GET /crm/cached/key{i} HTTP/1.1\r\nHost: bench\r\nX-Tenant-Id: acme\r\n\r\n".encode()
            client.ask()
        time.sleep(SETTLE_SECONDS if mode == ALL else 0)  # what was stored is written behind by another thread
    client.close()
    counters.set_mode(KNOWN)


def measure_storm(directory, options, origin, preload):
    """Two workers: hits from wrk while others fill the cache beside them."""
    cache = {"memory": "8MiB", "rules": [{"api": "crm", "entity": "cached", "ttl": "1h", "ttl_uncovered": "1h"}]}
    gateway, counters = start(directory, options.gateway, origin, preload, "storm", workers=2, core="0,1", cache=cache)
    stop = threading.Event()
    threads = [threading.Thread(target=miss, args=(gateway.port, n, stop), daemon=True) for n in range(MISSING_CLIENTS)]
    try:
        learn(gateway.port, counters)
        before = counters.read()
        for thread in threads:
            thread.start()
        done = load.run(gateway.port, footprint.HIT, options.seconds)
        after = counters.read()
        stop.set()
        for thread in threads:
            thread.join(30)
        locks = after["locks"] - before["locks"]
        held = [b - a for a, b in zip(before["held"], after["held"])]
        return {"requests": done["requests"], "locks": locks, "waits": after["waits"] - before["waits"],
                "waited_ns": after["wait_ns"] - before["wait_ns"], "longest_wait_ns": after["longest_wait_ns"], "held": held,
                "up_to_1us": sum(held[:4]) / max(1, sum(held))}
    finally:
        stop.set()
        counters.close()
        gateway.stop()


def measure(directory, options, origin):
    preload = options.programs / "count_lock.so"
    return {"per_hit": measure_hit(directory, options, origin, preload), "storm": measure_storm(directory, options, origin, preload),
            "bounds": BOUNDS, "cores": os.cpu_count()}


def show(result):
    storm = result["storm"]
    print("\nLocks")
    print(f"  {'taken by a hit':<40} {result['per_hit']:.2f}")
    print(f"  {'these, two workers, fills beside hits':<40} {storm['locks']:,} taken, {storm['waits']:,} waited for "
          f"({100 * storm['waits'] / max(1, storm['locks']):.3f} %), {storm['waited_ns'] / max(1, storm['waits']) / 1000:.1f} us each")
    print(f"  {'held up to 1 us':<40} {100 * storm['up_to_1us']:.2f} %")
    print("  " + " · ".join(f"{bound}: {count:,}" for bound, count in zip(result["bounds"], storm["held"])))
