#!/usr/bin/env python3
"""Measures the gateway beside nginx, a bare epoll responder and a bare libcurl forwarder, in one run on this machine.

Every server has one worker, pinned to core 0; wrk and the origin are pinned to core 1; all is on loopback. The servers are measured in
turn, round after round, so that whatever else the machine does falls on all of them; what counts are the ratios inside a round.

Groups (--only): hit, plain, tls: CPU beside the others; cost: tokens and the mapping; memory; cache: events, eviction, a crowd on one key;
learning, fairness, outages: simulations of an upstream in trouble. learning is also plotted, into a file beside the figures."""
import argparse
import contextlib
import functools
import json
import os
import pathlib
import signal
import sys
import tempfile

import footprint
import freshness
import locks
import load
import report
import servers
import simulate

ROOT = pathlib.Path(__file__).parents[1]
ROWS, OTHERS = ("hit", "plain", "tls"), ("cost", "memory", "cache", "locks", *simulate.RUNS)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release", help="where the programs were built")
    parser.add_argument("--gateway", type=pathlib.Path, help="the gateway's binary, if it is elsewhere")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each row in each round")
    parser.add_argument("--only", help=f"groups, of {','.join(ROWS + OTHERS)}, and nothing else (with plain or tls, hit is measured as well)")
    parser.add_argument("--quick", action="store_true", help="short and few rounds, and no mapping of a million tenants")
    parser.add_argument("--json", type=pathlib.Path, default=ROOT / "build/bench.json", help="where the figures are written")
    options = parser.parse_args()
    options.groups = set(options.only.split(",")) if options.only else set(ROWS + OTHERS)
    if options.groups - set(ROWS + OTHERS):
        parser.error(f"--only: not a group: {', '.join(sorted(options.groups - set(ROWS + OTHERS)))}")
    if options.quick:
        options.rounds, options.seconds = min(options.rounds, 2), min(options.seconds, 2)
    options.gateway = options.gateway or options.build / "rollout-gateway"
    options.programs = options.build / "bench"
    return options


def temporary_base():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def start_rows(stack, directory, options, origin):
    """(group, name) → (pid, port, path, vary)"""
    def started(server):
        stack.callback(server.stop)
        return server

    gateway = started(servers.Gateway(directory, options.gateway, origin, workers=1))
    gateway.map_tenant()
    nginx = started(servers.start_proxy(directory, origin, "nginx-tuned", servers.TUNED))
    usual = started(servers.start_proxy(directory, origin, "nginx-usual", servers.USUAL))
    bare = started(servers.start_bare(directory, options.programs))
    plain, tls = (started(servers.start_forwarder(directory, options.programs, origin, tls)) for tls in (False, True))
    rows = {("hit", "rollout-gateway"): (gateway.pid, gateway.port, "/crm/cached/1", False),
            ("hit", "nginx"): (nginx.pid, nginx.cached, "/crm/cached/1", False),
            ("hit", "nginx as Debian sets it"): (usual.pid, usual.cached, "/crm/cached/1", False),
            ("hit", "bare_epoll"): (bare.pid, bare.port, "/crm/cached/1", False),
            ("plain", "rollout-gateway"): (gateway.pid, gateway.port, "/crm/people/1", True),
            ("plain", "nginx"): (nginx.pid, nginx.through, "/crm/people/1", True),
            ("plain", "curl_multi_forwarder"): (plain.pid, plain.port, "/people/1", True),
            ("tls", "rollout-gateway"): (gateway.pid, gateway.port, "/tms/loans/1", True),
            ("tls", "nginx"): (nginx.pid, nginx.through, "/tms/loans/1", True),
            ("tls", "curl_multi_forwarder"): (tls.pid, tls.port, "/loans/1", True)}
    return {row: how for row, how in rows.items() if row[0] in options.groups | {"hit"}}


def measure_rows(rows, options):
    for row, (_, port, path, vary) in rows.items():
        try:
            load.run(port, path, 1, vary=vary)
        except load.LoadFailed as error:
            raise SystemExit(f"bench: {'/'.join(row)} does not answer as it should: {error}") from None
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        rounds.append({row: load.measure(pid, port, path, options.seconds, vary=vary)
                       for row, (pid, port, path, vary) in rows.items()})
    return rounds


def measure_costs(options):
    run_program, result = freshness.run_program, {}
    if (options.programs / "mint").exists():
        result["mint"] = run_program(options.programs / "mint")[0]
    if (options.programs / "mapping").exists():
        sizes = [100, 10000] + ([] if options.quick else [1000000])
        with tempfile.TemporaryDirectory(prefix="rollout-gateway-bench.") as directory:
            result["mapping"] = run_program(options.programs / "mapping", directory, *sizes)
    return result


def measure_all(directory, options, origin):
    """The groups beside the rows: each stands in the result under its own name."""
    groups = {"cost": lambda: measure_costs(options),
              "memory": lambda: footprint.measure(directory, options.gateway, origin, options.programs / "count_alloc.so"),
              "cache": lambda: freshness.measure(directory, options, origin),
              "locks": lambda: locks.measure(directory, options, origin)}
    groups.update({name: functools.partial(simulate.measure, name, directory, options) for name in simulate.RUNS})
    result = {}
    for name, measure in groups.items():
        if name in options.groups:
            print(name, file=sys.stderr, flush=True)
            result[name] = measure()
    return result


def end(number, frame):
    raise SystemExit(128 + number)


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, end)
    if (os.cpu_count() or 1) < 2:
        sys.exit("bench: two cores are needed, one for the server and one for the load")
    if os.getloadavg()[0] > 0.7:
        print(f"bench: the machine is busy (load {os.getloadavg()[0]:.1f}); trust the ratios only", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rollout-gateway-bench.", dir=temporary_base())))
        origin = servers.start_origin(directory)
        stack.callback(origin.stop)
        result = {"rounds": options.rounds, "seconds": options.seconds}
        if options.groups & set(ROWS):
            with contextlib.ExitStack() as started:
                rounds = measure_rows(start_rows(started, directory, options, origin), options)
            result["rows"] = report.summarise(rounds)
            result["all_rounds"] = [{"/".join(row): figures for row, figures in one.items()} for one in rounds]
        result.update(measure_all(directory, options, origin))
    result["targets"] = report.targets(result)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(result, indent=1) + "\n")
    report.show(result)
    if "learning" in result:
        picture = options.json.with_suffix(".learning.svg")
        picture.write_text(simulate.plot(result["learning"]))
        print(f"\nPlot of the hidden limits: {picture}")
    print(f"\nAll figures: {options.json}")


if __name__ == "__main__":
    main()
