"""What the cache remembers over a restart, and what it never does with it."""
import os
import shutil
import threading
import time

import pytest
import requests

from conftest import problem_of, wait_for
from test_caching import counting, status_of
from test_operation import run


def disk(gateway):
    return requests.get(gateway.admin + "/v1/cache", timeout=10).json()["disk"]


def written(gateway, count=1):
    """Waits until so many answers are on disk: they are written behind."""
    wait_for(lambda: disk(gateway)["written"] >= count, what=f"{count} answers written")


def restart(gateway, kill):
    (gateway.kill if kill else gateway.stop)()
    gateway.start()


def validating(body=b"the body"):
    """An origin that answers 304 to its own validator."""
    def answer(seen):
        if seen.all("If-None-Match") == ['"v1"']:
            return 304, {"ETag": '"v1"'}, b""
        return 200, {"ETag": '"v1"', "Content-Type": "text/plain"}, body
    return answer


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
@pytest.mark.threads
def test_a_restored_entry_is_revalidated(gateway, origin, kill):
    body = os.urandom(30000)
    origin.answer = validating(body)
    first = gateway.get("/crm/people/1")
    assert first.content == body and "hit" in status_of(gateway.get("/crm/people/1"))
    written(gateway)
    restart(gateway, kill)
    again = gateway.get("/crm/people/1")
    assert again.content == body and again.headers["ETag"] == '"v1"' and again.headers["Content-Type"] == "text/plain"
    assert "fwd=stale" in status_of(again) and "fwd-status=304" in status_of(again), status_of(again)
    assert "hit" in status_of(gateway.get("/crm/people/1"))
    assert [len(seen.all("If-None-Match")) for seen in origin.seen] == [0, 1]
    assert disk(gateway)["restored"] == 1


@pytest.mark.parametrize("kill", [True, False], ids=["killed", "stopped"])
def test_a_changed_resource_is_seen_after_a_restart(gateway, origin, kill):
    origin.answer = counting(**{"Cache-Control": "max-age=100000, stale-while-revalidate=100000"})
    assert gateway.get("/crm/people/1").content == b'{"n":1}'
    written(gateway)
    restart(gateway, kill)
    for more in ({}, {"headers": {"Cache-Control": "max-stale"}}):
        assert gateway.get("/crm/people/1", **more).content == b'{"n":2}'
    assert len(origin.seen) == 2


def test_stale_if_error_after_a_restart_tells_the_true_age(gateway, origin):
    origin.answer = counting(ETag='"v1"')
    assert gateway.get("/crm/people/1").content == b'{"n":1}'
    written(gateway)
    gateway.kill()
    gateway.jump(600)
    origin.stop()
    gateway.start()
    before = time.monotonic()
    answer = gateway.get("/crm/people/1")
    assert (answer.status_code, answer.content) == (200, b'{"n":1}')
    assert "hit" in status_of(answer) and "stale-if-error" in status_of(answer), status_of(answer)
    assert 600 <= int(answer.headers["Age"]) <= 700 and time.monotonic() - before < 30
    problem_of(gateway.get("/crm/people/1", headers={"Cache-Control": "only-if-cached"}), 504, "cache-only-miss")
    gateway.jump(40 * 86400)
    assert gateway.get("/crm/people/1").status_code >= 500


def test_stale_if_error_after_a_restart_when_upstream_answers_5xx(gateway, origin):
    origin.answer = counting()
    assert gateway.get("/crm/people/1").content == b'{"n":1}'
    written(gateway)
    restart(gateway, True)
    origin.answer = lambda seen: (503, {}, b"down")
    answer = gateway.get("/crm/people/1")
    assert (answer.status_code, answer.content) == (200, b'{"n":1}') and "stale-if-error" in status_of(answer)


def test_an_event_just_before_a_kill_is_never_forgotten(gateway, origin):
    path = requests.get(gateway.admin + "/v1/tenants/acme/credentials/cred-acme", timeout=10).json()["webhook_path"]
    origin.answer = counting()
    for n in range(1, 6):
        before = gateway.get("/crm/people/1").content
        wait_for(lambda: disk(gateway)["written"] >= 1, what="an answer written")
        assert gateway.event(path, "personUpdated", ids=["1"]).status_code == 204
        restart(gateway, True)
        assert gateway.get("/crm/people/1").content != before
    assert len(origin.seen) == 6


def test_tenants_never_share_what_comes_back(gateway, origin):
    origin.answer = lambda seen: (200, {"ETag": '"same"'}, seen.all("X-Rollout-Credential-Id")[0].encode()) \
        if not seen.all("If-None-Match") else (304, {"ETag": '"same"'}, b"")
    for tenant in ("acme", "globex"):
        assert gateway.get("/crm/people/1", tenant=tenant).content == b"cred-" + tenant.encode()
    written(gateway, 2)
    restart(gateway, True)
    for tenant in ("globex", "acme"):
        answer = gateway.get("/crm/people/1", tenant=tenant)
        assert answer.content == b"cred-" + tenant.encode() and "fwd-status=304" in status_of(answer)


def test_variants_come_back(gateway, origin):
    def answer(seen):
        language = (seen.all("Accept-Language") or ["-"])[0]
        etag = f'"{language}"'
        if seen.all("If-None-Match") == [etag]:
            return 304, {"ETag": etag, "Vary": "Accept-Language"}, b""
        return 200, {"ETag": etag, "Vary": "Accept-Language"}, language.encode()
    origin.answer = answer
    for language in ("de", "fr"):
        gateway.get("/crm/people", headers={"Accept-Language": language})
    written(gateway, 2)
    restart(gateway, True)
    for language in ("fr", "de"):
        again = gateway.get("/crm/people", headers={"Accept-Language": language})
        assert again.content == language.encode() and "fwd-status=304" in status_of(again), status_of(again)


def test_a_purge_outlives_a_restart(gateway, origin):
    origin.answer = counting()
    gateway.get("/crm/people/1")
    written(gateway)
    assert gateway.request("PURGE", "/crm/people/1").status_code == 200
    restart(gateway, True)
    assert gateway.get("/crm/people/1").content == b'{"n":2}'


def damage_noise(path):
    (path / "data.mdb").write_bytes(os.urandom(65536))


def damage_cut(path):
    data = path / "data.mdb"
    os.truncate(data, data.stat().st_size // 2 // 4096 * 4096)


def damage_empty(path):
    (path / "data.mdb").write_bytes(b"")


def damage_foreign(path):
    shutil.copy(path.parent / "state" / "data.mdb", path / "data.mdb")


def damage_mark(path):
    (path / "mark").write_text("open of-another-boot\n")


def damage_to_a_file(path):
    shutil.rmtree(path)
    path.write_text("not a directory")


@pytest.mark.parametrize("damage", [damage_noise, damage_cut, damage_empty, damage_foreign, damage_mark, damage_to_a_file])
def test_a_damaged_copy_is_set_aside_with_one_warning(gateway, origin, damage):
    origin.answer = validating()
    path = gateway.directory / "cache"
    for n in range(50):
        gateway.get(f"/crm/people/{n}")
    written(gateway, 50)
    for _ in range(2):  # twice: one of them is kept
        gateway.kill()
        damage(path)
        gateway.start()
        warnings = [line for line in gateway.events("store_set_aside") if line["level"] == "warn"]
        assert len(warnings) == 1 and str(path) in warnings[0]["message"], gateway.lines
        assert not [line for line in gateway.lines if '"level":"error"' in line]
        assert len(list(gateway.directory.glob("cache.damaged-*"))) == 1
        answer = gateway.get("/crm/people/1")
        assert answer.content == b"the body" and "fwd=uri-miss" in status_of(answer)
        written(gateway)
    restart(gateway, True)
    assert gateway.events("store_set_aside") == []
    assert "fwd-status=304" in status_of(gateway.get("/crm/people/1"))


def test_a_place_that_cannot_be_used_is_said_and_no_more(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, start=False)
    other = make_gateway({"crm": {"url": origin.url}}, start=False)
    other.config["data_dir"] = gateway.config["data_dir"]
    other.write_config()
    gateway.start()
    gateway.map("acme", "cred-acme")
    origin.answer = counting()
    gateway.get("/crm/people/1")
    written(gateway)
    other.start()  # a second process on the same directory
    assert len(other.events("cache_copy_missing")) == 1
    assert disk(other)["limit"] == 0
    assert other.get("/crm/people/1").content == other.get("/crm/people/1").content
    other.stop()
    assert disk(gateway)["limit"] > 0 and "hit" in status_of(gateway.get("/crm/people/1"))


def test_the_copy_has_the_size_that_is_configured_or_is_not_there(gateway, origin):
    origin.answer = counting()
    gateway.get("/crm/people/1")
    written(gateway)
    gateway.stop()
    copy = gateway.directory / "cache"
    assert (copy / "data.mdb").exists()
    for size, limit in (("3MiB", 3 << 20), ("0B", 0), ("2MiB", 2 << 20)):
        gateway.config["cache"] = {"disk": size}
        gateway.write_config()
        gateway.start()
        assert disk(gateway)["limit"] == limit
        assert copy.exists() == (limit > 0)
        gateway.get("/crm/people/2")
        assert "hit" in status_of(gateway.get("/crm/people/2"))
        assert gateway.events("cache_copy_missing") == []
        gateway.stop()


@pytest.mark.threads
def test_a_deleted_credential_leaves_nothing_behind(gateway, origin):
    """Neither in memory nor on disk; what others have stays."""
    origin.answer = lambda seen: (200, {"ETag": '"v1"', "Vary": "Accept-Language"} if "vary" in seen.target else {"ETag": '"v1"'}, os.urandom(10000).hex().encode())
    for n in range(300):
        gateway.get(f"/crm/people/{n}")
    for language in ("de", "en"):
        gateway.get("/crm/people/vary", headers={"Accept-Language": language})
    kept = gateway.get("/crm/people/1", tenant="globex")
    written(gateway, 303)
    assert requests.delete(gateway.admin + "/v1/tenants/acme/credentials/cred-acme", timeout=10).status_code in (200, 204)
    wait_for(lambda: gateway.events("cache_swept"), what="the sweep")
    assert requests.get(gateway.admin + "/v1/cache", timeout=10).json()["entries"] == 1
    swept = int(gateway.events("cache_swept")[0]["message"].split()[0])
    assert 600 <= swept <= 604  # 302 in either place; the last ones may be gone before they came to disk
    assert "hit" in status_of(gateway.get("/crm/people/1", tenant="globex"))
    restart(gateway, False)
    again = gateway.get("/crm/people/1", tenant="globex")
    assert disk(gateway)["restored"] == 1 and "fwd=stale" in status_of(again) and kept.status_code == 200
    gateway.map("acme", "cred-acme", apis=["crm"])  # the same again finds nothing
    assert "fwd=uri-miss" in status_of(gateway.get("/crm/people/1")) and disk(gateway)["restored"] == 1


def test_what_the_command_line_deleted_is_swept_at_the_start(gateway, origin):
    origin.answer = validating()
    gateway.get("/crm/people/1")
    gateway.get("/crm/people/1", tenant="globex")
    written(gateway, 2)
    gateway.stop()
    done = run("credentials", "delete", "acme", "cred-acme", "-c", str(gateway.path))
    assert done.returncode == 0, done.stderr
    gateway.start()
    wait_for(lambda: gateway.events("cache_swept"), what="the sweep")
    assert gateway.events("cache_swept")[0]["message"].startswith("1 ")
    gateway.map("acme", "cred-acme", apis=["crm"])
    assert "fwd=uri-miss" in status_of(gateway.get("/crm/people/1"))
    assert "fwd=stale" in status_of(gateway.get("/crm/people/1", tenant="globex"))


def test_a_full_copy_evicts(make_gateway, origin):
    gateway = make_gateway({"crm": {"url": origin.url}}, cache={"memory": "1MiB", "entry_max": "64KiB"})
    gateway.map("acme", "cred-acme")
    body = bytes(16000)
    origin.answer = lambda seen: (200, {"ETag": '"e"'}, body)

    def handled():
        told = disk(gateway)
        return told["written"] + told["dropped"]

    for n in range(600):
        assert gateway.get(f"/crm/people/{n}").content == body
        if n % 4 == 3:  # the queue may hold an eighth of the memory: eight of these
            wait_for(lambda n=n: handled() > n, what="the queue empty")
    told = disk(gateway)
    assert told["limit"] == 4 << 20 and 0 < told["bytes"] <= 4 << 20 and told["evicted"] > 0 and told["damaged"] == 0, told
    assert told["dropped"] < 30, told
    assert (gateway.directory / "cache" / "data.mdb").stat().st_size <= 4 << 20
    restart(gateway, True)
    for n in reversed(range(400, 600)):  # what came last, first
        assert gateway.get(f"/crm/people/{n}").content == body
    assert disk(gateway)["restored"] > 30 and disk(gateway)["damaged"] == 0
    assert not [line for line in gateway.lines if '"level":"error"' in line]


@pytest.mark.threads
def test_a_gateway_that_is_killed_again_and_again(gateway, origin):
    """Under load, at any moment: it starts, says nothing of damage, and never serves as fresh what it remembers."""
    origin.answer = counting(lambda n: b"%d" % n)
    for _ in range(6):
        stop = threading.Event()

        def ask():
            n = 0
            while not stop.is_set():
                try:
                    gateway.get(f"/crm/people/{n % 300}")
                except requests.RequestException:
                    return
                n += 1
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait_for(lambda: disk(gateway)["written"] >= 150, 30, "answers written")
        gateway.kill()
        stop.set()
        for thread in threads:
            thread.join()
        last = origin.answer.count[0]
        gateway.start()
        assert gateway.events("store_set_aside") == []
        for n in (0, 7, 100):
            assert int(gateway.get(f"/crm/people/{n}").content) > last
    assert disk(gateway)["damaged"] == 0


def test_metrics_tell_of_the_copy(gateway, origin):
    gateway.get("/crm/people/1")
    written(gateway)
    text = requests.get(gateway.admin + "/metrics", timeout=10).text
    assert "rollout_gateway_cache_disk_written_total 1" in text
    for name in ("bytes", "restored_total", "dropped_total", "evicted_total", "damaged_total"):
        assert f"\nrollout_gateway_cache_disk_{name} " in text
