"""Load from wrk, and what it cost the server: CPU time and memory from /proc."""
import os
import pathlib
import re
import subprocess

SERVER_CORE, LOAD_CORE = 0, 1
TARGETS = pathlib.Path(__file__).with_name("targets.lua")
UNITS = {"us": 1.0, "ms": 1000.0, "s": 1e6, "m": 6e7}


class LoadFailed(Exception):
    pass


def children_of(pid):
    found = []
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        try:
            found += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            pass  # the thread ended meanwhile
    return found


def tree_of(pid):
    return [pid] + [each for child in children_of(pid) for each in tree_of(child)]


def cpu_seconds(pid):
    """User and system time so far of a process, its threads and its children."""
    ticks = 0
    for each in tree_of(pid):
        fields = pathlib.Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def memory_kib(pid):
    """Of smaps_rollup: Rss, Pss and what is the process' alone."""
    values = {}
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value = line.split(":")
        values[name] = int(value.split()[0])
    return {"rss_kib": values["Rss"], "pss_kib": values["Pss"], "anonymous_kib": values["Anonymous"]}


def microseconds(text):
    number, unit = re.fullmatch(r"([0-9.]+)([a-z]+)", text).groups()
    return float(number) * UNITS[unit]


def parse(output):
    """What wrk says. An answer that is no 2xx, or a broken connection, makes the figures worthless."""
    requests = re.search(r"(\d+) requests in", output)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", output)
    quantiles = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", output, re.MULTILINE))
    bad = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", output)
    if not requests or not rate or bad or int(requests[1]) == 0:
        raise LoadFailed(bad[0] if bad else output.strip())
    return {"requests": int(requests[1]), "per_s": float(rate[1]), "p50_us": microseconds(quantiles["50"]),
            "p99_us": microseconds(quantiles["99"])}


def run(port, path, seconds, connections=32, vary=False):
    command = ["taskset", "-c", str(LOAD_CORE), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
               "--timeout", "10s", "-H", "X-Tenant-Id: acme"]
    if vary:
        command += ["-s", str(TARGETS), f"http://127.0.0.1:{port}", "--", path]
    else:
        command += [f"http://127.0.0.1:{port}{path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise LoadFailed((done.stderr or done.stdout).strip())
    return parse(done.stdout)


def measure(pid, *args, **more):
    """One run of wrk against a server, with the CPU that each answer cost it."""
    before = cpu_seconds(pid)
    result = run(*args, **more)
    result["cpu_us"] = (cpu_seconds(pid) - before) * 1e6 / result["requests"]
    return result
