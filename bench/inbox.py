#!/usr/bin/env python3
"""What an event costs from its receipt to its durable 204, and on to subscribers: events per second on one core, CPU for each.

The gateway has one worker and is pinned to core 0; the senders and the subscriber are on core 1. The store is on --directory: there a
commit costs what that disk's fsync costs, and the more events share one the better."""
import argparse
import asyncio
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import types

import load
import servers

ROOT = pathlib.Path(__file__).parents[1]
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Subscriber(asyncio.Protocol):
    """Takes every POST, parses nothing but its length."""
    taken = 0

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        self.rest += data
        while (end := self.rest.find(b"\r\n\r\n")) >= 0:
            head = self.rest[:end]
            at = head.index(b"Content-Length: ") + 16
            size = end + 4 + int(head[at:].split(b"\r\n", 1)[0])
            if len(self.rest) < size:
                return
            self.rest = self.rest[size:]
            Subscriber.taken += 1
            self.transport.write(ANSWER)


def start_subscriber():
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(Subscriber, "127.0.0.1", 0))
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return server.sockets[0].getsockname()[1]


def storms(options, gateway, paths):
    """One process of senders for each credential, all at the same time; their sums."""
    command = ["taskset", "-c", str(load.LOAD_CORE), str(options.build / "bench/storm"), str(gateway.webhooks)]
    rate = str(options.rate // len(paths))
    running = [subprocess.Popen([*command, path, servers.SECRET, "people", rate, str(options.seconds)], stdout=subprocess.PIPE, text=True)
               for path in paths]
    told = [json.loads(process.communicate(timeout=300)[0]) for process in running]
    return {"events": sum(one["events"] for one in told), "per_s": sum(one["per_s"] for one in told),
            "p50_us": max(one["p50_us"] for one in told), "p99_us": max(one["p99_us"] for one in told)}


def measure(directory, options, origin, subscribers, port):
    env = {"BENCH_SECRET": "whsec_" + "QUJD" * 8}
    hooks = [{"name": f"s{i}", "url": f"http://127.0.0.1:{port}/", "secret": {"env": "BENCH_SECRET"}} for i in range(subscribers)]
    gateway = servers.Gateway(directory, options.build / "rollout-gateway", origin, f"inbox-{subscribers}", env, workers=1,
                              webhooks={"subscribers": hooks})
    try:
        paths = [gateway.map_tenant(f"tenant-{i}", f"cred-{i}")["webhook_path"] for i in range(options.credentials)]
        before, taken = load.cpu_seconds(gateway.pid), Subscriber.taken
        result = storms(options, gateway, paths)
        accepted = load.cpu_seconds(gateway.pid) - before
        end = time.monotonic() + 120
        while Subscriber.taken - taken < result["events"] * subscribers and time.monotonic() < end:
            time.sleep(0.05)
        whole = load.cpu_seconds(gateway.pid) - before
        return {**result, "subscribers": subscribers, "delivered": Subscriber.taken - taken,
                "cpu_us": accepted * 1e6 / result["events"], "cpu_with_delivery_us": whole * 1e6 / result["events"]}
    finally:
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--directory", help="where the store stands (a temporary directory in it)")
    parser.add_argument("--rate", type=int, default=5000, help="events per second to send")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--credentials", type=int, default=8, help="each with eight senders")
    options = parser.parse_args()
    port = start_subscriber()
    origin = types.SimpleNamespace(plain=1, tls=1)  # nobody reads here
    print(f"{'subscribers':>11}{'events/s':>11}{'p50':>11}{'p99':>11}{'CPU to the 204':>17}{'… and delivered':>17}")
    with tempfile.TemporaryDirectory(prefix="rollout-gateway-bench.", dir=options.directory) as directory:
        (pathlib.Path(directory) / "ca.pem").write_text("")
        for subscribers in (0, 1, 3):
            r = measure(pathlib.Path(directory), options, origin, subscribers, port)
            print(f"{subscribers:11}{r['per_s']:11,.0f}{r['p50_us']:8,.0f} us{r['p99_us']:8,.0f} us{r['cpu_us']:14,.1f} us"
                  f"{r['cpu_with_delivery_us']:14,.1f} us", flush=True)
            if r["delivered"] != r["events"] * subscribers:
                sys.exit(f"inbox: {r['delivered']:,} deliveries of {r['events'] * subscribers:,}")


if __name__ == "__main__":
    main()
