"""The figures for people, with what has to be reached beside them."""
from statistics import median

import freshness
import simulate
import locks

HIT_TO_NGINX, HIT_TO_BARE, PLAIN_TO_NGINX, TLS_TO_NGINX = 0.8, 1.5, 1.1, 1.0
RSS_KIB, HEAP_BYTES = 16 * 1024, 4 * 1024
ALLOCATIONS = 0.001  # timers of the process run between the hits, and may allocate
FIGURES = ("per_s", "p50_us", "p99_us", "cpu_us", "to_nginx", "to_bare")


def summarise(rounds):
    """rounds: a list of {row: figures}. Ratios are those of CPU per answer inside one round; then the medians are taken."""
    rows = {}
    for row in rounds[0]:
        group, name = row
        for one in rounds:
            figures = one[row]
            figures["to_nginx"] = figures["cpu_us"] / max(one[group, "nginx"]["cpu_us"], 1e-9)
            figures["to_bare"] = figures["cpu_us"] / max(one["hit", "bare_epoll"]["cpu_us"], 1e-9)
        rows.setdefault(group, {})[name] = {key: median(one[row][key] for one in rounds) for key in FIGURES}
    return rows


def target(what, value, limit, unit="", least=False):
    met = value >= limit if least else value <= limit
    return {"what": what, "value": round(value, 4), "limit": limit, "unit": unit, "side": "at least" if least else "at most", "met": met}


def row_targets(rows):
    out, hit = [], rows["hit"]["rollout-gateway"]
    out.append(target("cached hit: CPU per answer / nginx", hit["to_nginx"], HIT_TO_NGINX))
    out.append(target("cached hit: CPU per answer / bare epoll", hit["to_bare"], HIT_TO_BARE))
    if "plain" in rows:
        out.append(target("pass-through, plain: CPU per answer / nginx", rows["plain"]["rollout-gateway"]["to_nginx"], PLAIN_TO_NGINX))
    if "tls" in rows:
        out.append(target("pass-through, TLS: CPU per answer / nginx", rows["tls"]["rollout-gateway"]["to_nginx"], TLS_TO_NGINX))
    return out


def memory_targets(memory):
    return [target("RSS at rest", memory["rest"]["rss_kib"], RSS_KIB, "KiB"),
            target("heap per idle connection", memory["hit"]["heap_per_idle_connection"], HEAP_BYTES, "B"),
            target("allocations per hit", memory["hit"]["per_hit"], ALLOCATIONS)]


def targets(result):
    out = row_targets(result["rows"]) if "rows" in result else []
    out += memory_targets(result["memory"]) if "memory" in result else []
    out += freshness.targets(result["cache"], target) if "cache" in result else []
    for name in simulate.RUNS:
        out += simulate.targets(name, result[name], target) if name in result else []
    return out


TITLES = {"hit": "Cached hit, 1 KB of JSON", "plain": "Pass-through GET, upstream by plain HTTP",
          "tls": "Pass-through GET, upstream by TLS"}


def print_rows(rows):
    for group, servers in rows.items():
        print(f"\n{TITLES[group]}")
        print(f"  {'':26}{'requests/s':>11}{'p50 us':>9}{'p99 us':>9}{'CPU us each':>13}{'/ nginx':>9}{'/ bare':>8}")
        for name, row in servers.items():
            print(f"  {name:26}{row['per_s']:11,.0f}{row['p50_us']:9,.0f}{row['p99_us']:9,.0f}{row['cpu_us']:13.2f}"
                  f"{row['to_nginx']:9.2f}{row['to_bare']:8.2f}")


def print_memory(footprint):
    rest, connection, hit = footprint["rest"], footprint["connection"], footprint["hit"]
    print("\nMemory of the gateway")
    print(f"  at rest, defaults, {footprint['cores']} workers   RSS {rest['rss_kib'] / 1024:.1f} MiB, PSS {rest['pss_kib'] / 1024:.1f} MiB,"
          f" anonymous {rest['anonymous_kib'] / 1024:.1f} MiB")
    print(f"  each idle connection         {hit['heap_per_idle_connection']:,.0f} B of heap in {hit['blocks_per_idle_connection']:.1f}"
          f" blocks; RSS grows by {connection['rss_kib'] * 1024:,.0f} B")
    print(f"  {hit['hits']:,} hits                  {hit['calls']} calls of malloc and its kin, {hit['frees']} of free")


def print_costs(result):
    mint = result.get("mint")
    if mint:
        print(f"\nToken: minted {mint['mint_ns']:,.0f} ns, reused {mint['reuse_ns']:,.0f} ns")
    if result.get("mapping"):
        print("\nMapping: the credential of a tenant")
        for row in result["mapping"]:
            print(f"  {row['tenants']:>9,} tenants   look-up {row['lookup_ns']:,.0f} ns, imported at {row['import_per_s']:,.0f}/s,"
                  f" file {row['file_mib']:.1f} MiB")


def show(result):
    if "rows" in result:
        print_rows(result["rows"])
    if "memory" in result:
        print_memory(result["memory"])
    if "cost" in result:
        print_costs(result["cost"])
    if "cache" in result:
        freshness.show(result["cache"])
    for name in simulate.RUNS:
        if name in result:
            simulate.show(name, result[name])
    if "locks" in result:
        locks.show(result["locks"])
    if result["targets"]:
        print("\nTargets (nginx: the faster of its settings)")
    for one in result["targets"]:
        value = f"{one['value']:,.2f}" if one["unit"] == "" else f"{one['value']:,.1f} {one['unit']}"
        limit = f"{one['limit']:,} {one['unit']}".strip()
        print(f"  {'met   ' if one['met'] else 'MISSED'} {one['what']:55} {value:>12}   {one['side']} {limit}")
