"""Bytes from enemies on both sides of the gateway: nothing smuggled, spoofed, crossed, poisoned or leaked (design threats)."""
import concurrent.futures
import json
import os
import random
import re
import resource
import socket
import subprocess
import threading
import time

import pytest
import requests

import hostile_cases as cases
from conftest import BINARY, SECRET, configuration, sign, wait_for
from hostile_cases import CUT, DECLINED, REFUSED, TAKEN, Reader, Strict

# Freed memory that a sanitizer keeps back is not the gateway's.
LEAN = {"ASAN_OPTIONS": ":".join(filter(None, [os.environ.get("ASAN_OPTIONS"), "quarantine_size_mb=1", "thread_local_quarantine_size_kb=16"]))}
# Limits are not what is tried here.
WIDE = {"tenant": {"rate": "100000/s", "burst": 100000, "concurrency": 10000, "max_wait": "60s"}}
EVIL = re.compile(rb"evil|smuggled", re.I)


@pytest.fixture
def strict():
    made = Strict()
    yield made
    made.stop()


@pytest.fixture
def front(make_gateway, strict):
    made = make_gateway({"crm": {"url": strict.url + "/api"}}, env=LEAN, limits=WIDE)
    made.map("acme", "cred-acme", app_key="followupboss", apis=["crm"])
    made.map("globex", "cred-globex", app_key="lofty", apis=["crm"])
    return made


# --- requests -----------------------------------------------------------------------------------------------------

def pieces(data, how):
    """The same bytes in one segment, or in a few that end at awkward places."""
    if how == "whole":
        return [data]
    dice = random.Random(data)
    marks = [at for at in range(1, min(len(data), 4000)) if data[at - 1:at] in (b"\r", b"\n", b":", b" ")]
    cuts = sorted(set(dice.sample(marks, min(4, len(marks))))) if marks else []
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]


def play(gateway, number, how, data):
    """Sends a case with a probe behind it; returns the answers, bodies and all."""
    mark = f"c{number}{how[0]}".encode()
    data = data.replace(b"{id}", mark)
    probe = b"GET /t/globex/crm/probe/" + mark + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    method = data.split(b" ", 1)[0]
    answers = []
    with gateway.connect() as sock:
        try:
            for piece in pieces(data + probe, how):
                sock.sendall(piece)
                if how != "whole":
                    time.sleep(0.001)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # refused while we were still talking
        reader = Reader(sock)
        answer = reader.answer(method)
        while answer:
            answers.append(answer)
            answer = reader.answer()
    return mark, answers


def judge(name, verdict, mark, answers, heard):
    """What is wrong with a case, or None."""
    own = [h for h in heard if mark in h.target and b"/probe/" not in h.target]
    probes = [h for h in heard if h.target == b"/api/probe/" + mark]
    if len(answers) > 2 or len(own) > 1 or len(probes) > 1:
        return f"{len(answers)} answers, {len(own)} requests, {len(probes)} probes"
    if verdict == CUT:
        return f"a cut message was taken: {answers}" if own or probes or any(a[0] < 400 for a in answers) else None
    if not answers:
        return "no answer at all"
    status = answers[0][0]
    if len(answers) == 2 and answers[1][2] != b"/api/probe/" + mark + b" cred-globex":
        return f"the probe's answer is {answers[1]}"
    if len(answers) != 1 + len(probes):
        return f"{len(answers)} answers, but {len(probes)} probes arrived"
    if verdict == REFUSED and (status < 400 or len(answers) != 1):
        return f"not refused: {status}, {len(answers)} answers"
    if verdict == DECLINED and (status < 400 or own):
        return f"not declined: {status}"
    if verdict == TAKEN and (status != 200 or len(own) != 1):
        return f"not taken: {answers[0]}"
    if status == 200 and len(own) != 1 and b"OPTIONS" not in name.encode():
        return "answered without the origin"
    return None


def spoofed(h):
    """What of a request at the origin is not the gateway's own, or None."""
    tokens, ids = h.all(b"Authorization"), h.all(b"X-Rollout-Credential-Id")
    if len(tokens) != 1 or not re.fullmatch(rb"Bearer [\w-]+\.[\w-]+\.[\w-]+", tokens[0]):
        return f"Authorization {tokens}"
    if len(ids) != 1 or ids[0] != (b"cred-globex" if b"/probe/" in h.target else b"cred-acme"):
        return f"credential {ids}"
    if not h.target.startswith(b"/api/") or b"/smuggled" in h.target:
        return f"target {h.target}"
    for name, value in h.fields:
        if b"_" in name or EVIL.search(value) or name.lower() in (b"cookie", b"x-tenant-id", b"x-app-key", b"connection", b"te", b"upgrade", b"trailer", b"expect"):
            return f"{name}: {value}"
    return None


@pytest.mark.parametrize("how", ["whole", "segments"])
def test_hostile_requests(front, strict, how):
    """F1, F2: every case, with a probe behind it that must get its own answer or none."""
    wanted = cases.all_cases()
    assert len(wanted) > 900
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        played = list(pool.map(lambda job: play(front, job[0], how, job[1][1]), enumerate(wanted)))
    heard = {}
    for h in strict.heard:
        mark = re.search(rb"c\d+[ws]", h.target)
        heard.setdefault(mark[0] if mark else b"", []).append(h)
    wrong = [(name, what) for (name, _, verdict), (mark, answers) in zip(wanted, played)
             if (what := judge(name, verdict, mark, answers, heard.get(mark, [])))]
    wrong += [(h.target, what) for h in strict.heard if (what := spoofed(h))]
    wrong += [("nobody's", h.target) for h in heard.get(b"", [])]
    assert not wrong and not strict.faults, "\n".join(map(str, wrong + strict.faults))
    assert front.get("/crm/after").status_code == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"], ids=["", "expect"])
@pytest.mark.parametrize("target", [b"/crm/early", b"/nope/x", b"/crm//x", b"/crm/../x", b"/crm/closes"])
def test_a_body_that_comes_late_is_no_request(front, strict, target, expect, framing):
    """Answered before its body came: what comes then is the body, or nothing; it is not looked into for requests."""
    data = cases.SMUGGLED * 3

    def answer(heard):
        if b"closes" in heard.target or not hasattr(heard, "file"):
            return None if b"closes" in heard.target else Strict.echo(heard)
        heard.sock.sendall(Strict.echo(heard))
        if framing == "length":
            heard.file.read(len(data))
        else:
            strict.chunks(heard.file)
        return b""

    real = strict.read

    def read_head_only(file):
        first = file.peek(1)
        if b"/early" not in first and b"/closes" not in first:
            return real(file)
        lines = []
        while (line := file.readline()) not in (b"\r\n", b""):
            lines.append(line)
        heard = cases.Heard((b"POST", lines[0].split(b" ")[1], b"HTTP/1.1"), [], b"")
        heard.file = file
        return heard

    strict.read, strict.answer = read_head_only, answer
    fields = expect + (b"Content-Length: %d\r\n" % len(data) if framing == "length" else b"Transfer-Encoding: chunked\r\n")
    body = data if framing == "length" else b"%x\r\n" % len(data) + data + b"\r\n0\r\n\r\n"
    for pause in (0, 0.05):
        with front.connect() as sock:
            sock.sendall(cases.head(fields, target=target))
            time.sleep(pause)
            try:
                sock.sendall(body)
                time.sleep(pause)
                sock.sendall(b"GET /t/globex/crm/probe/late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            except OSError:
                pass
            reader, statuses = Reader(sock), []
            while got := reader.answer():
                statuses.append((got[0], got[2]))
        assert len(statuses) <= 2 and (len(statuses) < 2 or statuses[1][1] == b"/api/probe/late cred-globex"), statuses
    assert not [h for h in strict.heard if b"smuggled" in h.target]


def test_a_refused_head_gets_no_body(front):
    """Who asked by HEAD takes bytes behind the head for the next answer's."""
    for bad in (b"HEAD /crm/people HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", b"\r\nHEAD /crm/x HTTP/1.1\r\n\r\n", b"HEAD /crm/x HTTP/9.9\r\nHost: a\r\n\r\n", b"HEAD /crm/x HTTP/1.1\r\nX: " + b"y" * 40000, b"HEAD /crm//x HTTP/1.1\r\nHost: a\r\n\r\n"):
        head, _, body = front.raw(bad).partition(b"\r\n\r\n")
        assert int(head.split(b" ")[1]) >= 400 and not body


# --- answers ------------------------------------------------------------------------------------------------------

def ask(gateway, target, tenant="acme", fields=b"", method=b"GET", version=b"HTTP/1.1"):
    """One request on a connection of its own: (status, fields, body, whole) or None."""
    with gateway.connect() as sock:
        sock.sendall(method + b" " + target + b" " + version + b"\r\nHost: a\r\nConnection: close\r\nX-Tenant-Id: " + tenant.encode() + b"\r\n" + fields + b"\r\n")
        return Reader(sock).answer(method)


def ask_closed(gateway, target, tenant):
    """The same, once the circuit is closed again."""
    for _ in range(60):
        got = ask(gateway, target, tenant)
        if not got or b"circuit-open" not in got[2]:
            break
        time.sleep(0.1)
    return got


def says(data):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(data) + data


@pytest.mark.parametrize("keep", [False, True], ids=["closes", "stays"])
@pytest.mark.parametrize("half", [0, 1])
def test_hostile_answers(make_gateway, keep, half):
    """T8: what is no answer is never one; what broke off is cut; what came too much goes to nobody."""
    wanted = list(cases.answers())
    assert len(wanted) > 100
    wanted = wanted[half::2]

    def answer(heard):
        number = re.search(rb"/case/(\d+)", heard.target)
        if not number:
            return says(heard.target)
        name, data, good = wanted[int(number[1])]
        complete = good is not None and name not in ("good-close", "good-1.0")
        if not keep or not complete:
            heard.sock.sendall(data)
            if keep and name.startswith(("head-", "line-", "chunk-")):
                return b""  # the rest of the connection is the gateway's to end
            heard.sock.shutdown(socket.SHUT_WR)
            return None
        return data

    origins = [Strict(answer) for _ in wanted]  # one each: what one does must not open the circuit for the next
    gateway = make_gateway({f"case{i}": {"url": origin.url + "/api"} for i, origin in enumerate(origins)}, timeouts={"idle": "2s", "first_byte": "2s"})
    gateway.map("acme", "cred-acme", app_key="a")
    gateway.map("globex", "cred-globex", app_key="b")

    def play_answer(number):
        name, _, good = wanted[number]
        got = ask(gateway, b"/case%d/case/%d" % (number, number))
        after = [ask_closed(gateway, b"/case%d/after/%d/%d" % (number, number, i), "globex") for i in range(2)]
        again = ask(gateway, b"/case%d/case/%d" % (number, number), "globex", version=b"HTTP/1.0")
        for i, one in enumerate(after):
            if not one or one[2] != b"/api/after/%d/%d" % (number, i):
                return name, "the next answer", one
        for one in (got, again):
            if good is not None and (not one or one[0] != 200 or one[2] != good or not one[3]):
                return name, "not passed on", one
            if good is None and one and one[0] < 500 and one[3]:
                return name, "passed on as good", one
            if one and any(EVIL.search(k) or EVIL.search(b"".join(v)) for k, v in one[1].items()):
                return name, "fields", one[1]
        return None

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        wrong = [w for w in pool.map(play_answer, range(len(wanted))) if w]
    for origin in origins:
        origin.stop()
    assert not wrong, "\n".join(str(w)[:600] for w in wrong)


@pytest.mark.parametrize("first", [
    (b"GET", says(b"good"), b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
    (b"GET", says(b"good"), b"\r\n"),
    (b"GET", says(b"good"), b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"),
    (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", says(b"evil").ljust(100)),
    (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", says(b"evil")),
    (b"GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 80\r\n\r\n", says(b"evil")),
    (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 80\r\n\r\n", says(b"evil")),
    (b"POST", says(b"good"), says(b"evil")),
], ids=lambda v: v[0].decode() + str(len(v[1] + v[2])))
@pytest.mark.parametrize("wait", [0, 0.05])
def test_late_bytes_go_to_nobody(make_gateway, strict, first, wait):
    method, head, late = first

    def answer(heard):
        if b"/first" not in heard.target:
            return says(heard.target)
        if wait == 0:
            return head + late
        heard.sock.sendall(head)
        time.sleep(wait)
        return late

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE, workers=1)
    gateway.map("acme", "cred-acme", app_key="a", apis=["crm"])
    gateway.map("globex", "cred-globex", app_key="b", apis=["crm"])
    for i in range(5):
        got = ask(gateway, b"/crm/first/%d" % i, method=method, fields=b"Content-Length: 0\r\n" if method == b"POST" else b"")
        assert got is None or b"evil" not in got[2]
        time.sleep(2 * wait)
        assert ask(gateway, b"/crm/next/%d" % i, "globex")[2] == b"/api/next/%d" % i


def test_cut_means_cut_and_is_kept_by_nobody(make_gateway, strict):
    """A body that broke off is seen as such by every client, those who waited for it included, and never stored."""
    gate = threading.Event()

    def answer(heard):
        body = b"x" * 5000
        if b"length" in heard.target:
            data = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nETag: \"e\"\r\nContent-Length: 9000\r\n\r\n" + body
        else:
            data = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nETag: \"e\"\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + body + b"\r\n"
        heard.sock.sendall(data)
        gate.wait(10)
        return None

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="a", apis=["crm"])
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for how in (b"length", b"chunked"):
            for version in (b"HTTP/1.1", b"HTTP/1.0"):
                gate.clear()
                jobs = [pool.submit(ask, gateway, b"/crm/cut/" + how + version[-1:], version=version) for _ in range(8)]
                wait_for(lambda: any(how in h.target for h in strict.heard), what="the origin being asked")
                time.sleep(0.1)
                gate.set()
                for got in [job.result(30) for job in jobs] + [ask(gateway, b"/crm/cut/" + how + version[-1:], version=version)]:
                    assert got is None or got[0] >= 500 or not got[3], got
                    assert got is None or b"hit" not in got[1][b"cache-status"][0]


def test_dripping_answers_end_at_the_total_time(make_gateway, strict):
    """Each byte comes in time, the whole does not."""
    stop = threading.Event()

    def answer(heard):
        if b"/body" in heard.target:
            heard.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        else:
            heard.sock.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
        while not stop.wait(0.02):
            heard.sock.sendall(b"x")
        return None

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE, timeouts={"total": "60s"})
    gateway.map("acme", "cred-acme", app_key="a", apis=["crm"])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        jobs = [pool.submit(ask, gateway, b"/crm/%s/%d" % (part, i)) for part in (b"head", b"body") for i in range(3)]
        wait_for(lambda: len(strict.heard) == 6, what="the origin being asked")
        time.sleep(0.2)
        assert not any(job.done() for job in jobs)
        for _ in range(7):
            gateway.jump(10)
            time.sleep(0.1)
        started = time.monotonic()
        for job in jobs:
            got = job.result(20)
            assert got is None or got[0] == 504 or not got[3]
        assert time.monotonic() - started < 10
    stop.set()


# --- tenants ------------------------------------------------------------------------------------------------------

TENANTS = ["a", "ab", "abc", "a.b", "a:b", "a@b", "a_b", "a-b", "A", "AB", "t", "crm", "tms", "core", "people", "1", "11", "0", "x" * 127, "x" * 128, "a.", ".a", "..", ".", "-", "@", ":", "_", "a%b"[:1] + "..b"]


def credential_of(tenant, app):
    return f"c.{tenant[-100:]}.{len(tenant)}.{app}".replace("@", "~")


def owner_answer(heard):
    """Every body says whose it is, and of what."""
    body = json.dumps({"credential": heard.all(b"X-Rollout-Credential-Id")[0].decode(), "target": heard.target.decode(),
                       "lang": [v.decode() for v in heard.all(b"Accept-Language")], "sub": subject(heard)}).encode()
    extra = b"Vary: Accept-Language\r\n" if b"vary" in heard.target else b""
    if b"etag" in heard.target:
        extra += b'ETag: "same"\r\n'
        if b"\"same\"" in heard.all(b"If-None-Match"):
            return b'HTTP/1.1 304 Not Modified\r\nETag: "same"\r\n\r\n'
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) + (b"" if heard.method == b"HEAD" else body)


def subject(heard):
    import base64
    part = heard.all(b"Authorization")[0].split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))["sub"]


@pytest.mark.threads
def test_tenants_never_cross(make_gateway, strict):
    """F5: thousands of random requests over kept connections, tenants and credentials with names that run into each other."""
    strict.answer = owner_answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}, "tms": {"url": strict.url + "/tms/api"}}, limits=WIDE, cache={"memory": "2MiB", "default": {"ttl": "5s"}})
    tenants = [t for t in TENANTS if t not in (".", "..")]  # a client's library may resolve these in a path
    for tenant in tenants:
        for app in ("one", "two"):
            gateway.map(tenant, credential_of(tenant, app), app_key=app, apis=["crm", "tms"], default=app == "one")
    dice = random.Random(7)
    jobs = []
    for _ in range(10000):
        tenant, app, api = dice.choice(tenants), dice.choice(["one", "two"]), dice.choice(["crm", "tms"])
        path = dice.choice(["people", "people/1", "people/11", "b/people", "etag", "vary", "etag/vary", "people?x=a", "people?x=ab", "people?"])
        jobs.append((tenant, app, api, path, dice.choice(["", "de", "en"]), dice.random() < 0.5, dice.choice(["GET"] * 8 + ["HEAD", "POST"]),
                     dice.choice([""] * 6 + ["no-cache", "no-store", "max-age=0", "only-if-cached"]), dice.random() < 0.1))
    wrong = []

    def walk(part):
        with gateway.connect() as sock:
            reader = Reader(sock)
            for tenant, app, api, path, lang, in_path, method, control, condition in part:
                target = f"/t/{tenant}/{api}/{path}" if in_path else f"/{api}/{path}"
                head = f"{method} {target} HTTP/1.1\r\nHost: a\r\n" + ("" if in_path else f"X-Tenant-Id: {tenant}\r\n")
                head += f"X-App-Key: {app}\r\n" if app == "two" or len(path) % 2 else ""
                head += f"Accept-Language: {lang}\r\n" if lang else ""
                head += f"Cache-Control: {control}\r\n" if control else ""
                head += 'If-None-Match: "other"\r\n' if condition else ""
                head += "Content-Length: 0\r\n" if method == "POST" else ""
                sock.sendall(head.encode() + b"\r\n")
                status, fields, body, whole = reader.answer(method.encode())
                if status == 504 and control == "only-if-cached":
                    continue
                base = "/api/" if api == "crm" else "/tms/api/"
                told = json.loads(body) if body else None
                good = status == 200 and whole and (told is None or (
                    told["credential"] == credential_of(tenant, app) and told["sub"] == tenant and told["target"] == base + path and ("vary" not in path or told["lang"] == ([lang] if lang else []))))
                if not good:
                    wrong.append((tenant, app, target, lang, control, status, body[:200]))

    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        list(pool.map(walk, [jobs[i::20] for i in range(20)]))
    assert not wrong, "\n".join(map(str, wrong[:20]))
    assert not strict.faults
    assert len(strict.heard) < len(jobs)  # some were hits, or this tried nothing


@pytest.mark.threads
def test_collapsed_requests_stay_with_their_tenants(make_gateway, strict):
    """F10: many at once for the same path by several tenants; one fetch each, and each its own."""
    gate = threading.Event()

    def answer(heard):
        gate.wait(10)
        return owner_answer(heard)

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    tenants = ["a", "ab", "abc", "b"]
    for tenant in tenants:
        gateway.map(tenant, f"cred-{tenant}", app_key="x", apis=["crm"])
    with concurrent.futures.ThreadPoolExecutor(80) as pool:
        jobs = [(t, pool.submit(ask, gateway, b"/crm/people", t)) for _ in range(20) for t in tenants]
        wait_for(lambda: len(strict.heard) == len(tenants), what="one fetch for each tenant")
        time.sleep(0.3)
        gate.set()
        for tenant, job in jobs:
            told = json.loads(job.result(30)[2])
            assert (told["credential"], told["sub"]) == (f"cred-{tenant}", tenant)
    assert len(strict.heard) == len(tenants)


def test_one_tenants_validator_opens_nothing_of_anothers(make_gateway, strict):
    strict.answer = owner_answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    for tenant in ("a", "b"):
        gateway.map(tenant, f"cred-{tenant}", app_key="x", apis=["crm"])
    for fields in (b'If-None-Match: "same"\r\n', b"If-None-Match: *\r\n", b"Range: bytes=0-9\r\n", b"Cache-Control: only-if-cached\r\n"):
        ask(gateway, b"/crm/etag", "a")
        got = ask(gateway, b"/crm/etag", "b", fields + b"Connection: close\r\n")
        assert got[0] in (304, 504, 206, 200)
        assert b'"a"' not in got[2] and b"cred-a" not in got[2]
        if got[0] == 304:  # its own entry, or the origin's own word: never a's
            assert strict.heard[-1].all(b"X-Rollout-Credential-Id") == [b"cred-b"]


# --- poison -------------------------------------------------------------------------------------------------------

POISONS = ["X-Forwarded-Host", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-For", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Path", "X-Host", "X-HTTP-Host-Override",
           "X-Original-URL", "X-Original-Host", "X-Rewrite-URL", "X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "Forwarded", "X-Real-IP", "True-Client-IP", "Client-IP", "CF-Connecting-IP", "X-Client-IP",
           "X-Debug", "X-Custom", "User-Agent", "Referer", "Origin", "Cookie", "X-Wap-Profile", "Proxy-Host", "Base-Url", "X-Backend", "X-Timer", "X-Oversized", "X-Evil", "Accept-Encoding", "From", "Access-Control-Request-Method"]


def mirror(heard):
    """An origin that believes and repeats everything."""
    body = b"\n".join(k + b": " + v for k, v in heard.fields) + b"\n" + heard.method + b" " + heard.body
    status = b"400 Bad Request" if any(b"evil" in v for _, v in heard.fields) and b"/error" in heard.target else b"200 OK"
    return b"HTTP/1.1 " + status + b"\r\nX-Mirror: " + b",".join(v for _, v in heard.fields if b"," not in v)[:500] + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + (
        b"" if heard.method == b"HEAD" else body)


@pytest.mark.parametrize("path", [b"people", b"error"])
def test_what_one_client_says_is_in_no_others_answer(make_gateway, strict, path):
    """F7: unkeyed fields, bodies and methods leave nothing behind for the next client of the same tenant."""
    strict.answer = mirror
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    left = []
    for i, name in enumerate(POISONS):
        target = b"/crm/%s/%d" % (path, i)
        ask(gateway, target, fields=name.encode() + b": evil\r\n")
        got = ask(gateway, target)
        if got[0] != 200 or b"evil" in got[2] or any(b"evil" in b"".join(v) for v in got[1].values()):
            left.append(name)
    assert not left


def test_bodies_and_methods_poison_nothing(make_gateway, strict):
    strict.answer = mirror
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])

    def poison(target, method, fields=b"", body=b""):
        with gateway.connect() as sock:
            sock.sendall(method + b" " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\nX-Tenant-Id: acme\r\n" + fields + b"\r\n" + body)
            return Reader(sock).answer(method)

    for i, (method, fields, body) in enumerate([
            (b"GET", b"Content-Length: 4\r\n", b"evil"), (b"GET", b"Transfer-Encoding: chunked\r\n", b"4\r\nevil\r\n0\r\n\r\n"), (b"HEAD", b"X-A: evil\r\n", b""), (b"OPTIONS", b"X-A: evil\r\n", b""),
            (b"POST", b"X-HTTP-Method-Override: GET\r\nContent-Length: 4\r\n", b"evil"), (b"GET", b"Range: bytes=0-1\r\nX-A: evil\r\nCache-Control: no-store\r\n", b""), (b"GET", b"If-None-Match: \"evil\"\r\n", b""),
            (b"GET", b"If-Range: \"evil\"\r\nRange: bytes=0-3\r\n", b""), (b"GET", b"Cache-Control: max-age=0, evil\r\n", b""), (b"GET", b"Pragma: evil\r\n", b"")]):
        target = b"/crm/notes%d/1" % i
        poison(target, method, fields, body)
        got = poison(target, b"GET")
        assert got[0] == 200 and got[3] and b"evil" not in got[2] and got[2].endswith(b"GET "), (method, fields, got)


def test_partial_failed_and_private_answers_are_not_kept(make_gateway, strict):
    """What an origin says to one is not said to the next: partial content nobody asked for, errors, cookies."""
    said = {
        b"206": b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/100\r\nContent-Length: 4\r\n\r\nevil", b"304": b"HTTP/1.1 304 Not Modified\r\nX-A: evil\r\n\r\n",
        b"400": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\nevil", b"409": b"HTTP/1.1 409 Conflict\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil", b"500": b"HTTP/1.1 500 x\r\nContent-Length: 4\r\n\r\nevil",
        b"401": b"HTTP/1.1 401 x\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil", b"416": b"HTTP/1.1 416 x\r\nContent-Range: bytes */4\r\nContent-Length: 4\r\n\r\nevil", b"412": b"HTTP/1.1 412 x\r\nContent-Length: 4\r\n\r\nevil",
        b"429": b"HTTP/1.1 429 x\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil", b"cookie": b"HTTP/1.1 200 OK\r\nSet-Cookie: evil=1\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil",
        b"star": b"HTTP/1.1 200 OK\r\nVary: *\r\nCache-Control: max-age=100\r\nContent-Length: 4\r\n\r\nevil", b"private": b"HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 4\r\n\r\nevil",
        b"no-store": b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\nevil",
    }
    seen = set()

    def answer(heard):
        key = heard.target.rsplit(b"/", 1)[1]
        times = 2 if key == b"401" else 1  # one goes into the new token
        with strict.lock:
            first = [h.target for h in strict.heard].count(heard.target) <= times
        return said[key] if first else says(b"good")

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    for key in said:
        first = ask(gateway, b"/crm/kept/" + key)
        assert first[0] == 502 if key in (b"206", b"304") else first[0] < 502, "a part, or nothing new, without having been asked for it"
        got = ask(gateway, b"/crm/kept/" + key)
        assert got[0] == 200 and got[2] == b"good" and b"set-cookie" not in got[1], (key, got)
        seen.add(first[0])


def test_queries_are_not_one_another(make_gateway, strict):
    strict.answer = lambda heard: says(heard.target)
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    for target in (b"/crm/q", b"/crm/q?", b"/crm/q?a", b"/crm/q?a=", b"/crm/q?a=1&a=2", b"/crm/q?a=2&a=1", b"/crm/q?a=1;a=2", b"/crm/q?A=1", b"/crm/q?a=%31", b"/crm/q?a=1&utm_source=x", b"/crm/q?a=1", b"/crm/q/", b"/crm/Q",
                   b"/crm/q?a=+", b"/crm/q?a=%20", b"/crm/q;a", b"/crm/q%3Fa", b"/crm/q?%61=1", b"/crm/q?_method=DELETE", b"/crm/q%23"):
        for _ in range(2):
            got = ask(gateway, target)
            assert got[0] == 200 and got[2] == b"/api" + target[4:], (target, got)


def test_unknown_fields_go_up_and_split_what_is_kept(make_gateway, strict):
    strict.answer = mirror
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    for fields, mark in ((b"X-Flavour: sweet\r\n", b"X-Flavour: sweet"), (b"X-Flavour: sour\r\n", b"X-Flavour: sour"), (b"X-Flavour: sweet\r\nX-Salt: y\r\n", b"X-Salt: y"), (b"", b"")):
        for hit in (False, True):
            got = ask(gateway, b"/crm/people", fields=fields)
            assert mark in got[2] and (b"hit" in got[1][b"cache-status"][0]) == hit
            assert mark or b"X-Flavour" not in got[2]
    assert len(strict.heard) == 4
    for agent in (b"one", b"two"):  # what only says who calls splits nothing
        assert b"hit" in ask(gateway, b"/crm/people", fields=b"User-Agent: " + agent + b"\r\nReferer: x\r\nX-Request-Id: " + agent + b"\r\n")[1][b"cache-status"][0]


@pytest.mark.parametrize("fields", [b"Cache-Control: no-cache\r\n", b"Cache-Control: max-age=0\r\n", b"Pragma: no-cache\r\n"])
def test_who_wants_a_new_answer_waits_for_no_older_request(make_gateway, strict, fields):
    """Contract 4: also while the cache has nothing yet that could be too old."""
    gate = threading.Event()

    def answer(heard):
        number = heard.number
        if number == 1:
            gate.wait(10)
        return says(b"answer %d" % number)

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, gateway, b"/crm/people")
        wait_for(lambda: len(strict.heard) == 1, what="the first fetch")
        second = pool.submit(ask, gateway, b"/crm/people", "acme", fields)
        try:
            assert second.result(5)[2] == b"answer 2"
        finally:
            gate.set()
        assert first.result(10)[2] == b"answer 1"


# --- webhooks and the operator's API ------------------------------------------------------------------------------

def test_forged_webhooks_change_nothing(make_gateway, strict):
    """T10: no form of a wrong signature, a damaged body or a foreign path reaches the cache."""
    strict.answer = lambda heard: says(b"%d" % heard.number)
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE, sizes={"webhook_body": "4KiB"})
    path = gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])["webhook_path"]
    other = gateway.map("globex", "cred-globex", app_key="x", apis=["crm"])["webhook_path"]
    before = ask(gateway, b"/crm/people/1")[2]
    body = json.dumps({"eventId": "e1", "eventCreated": "2026-01-01T00:00:00+00:00", "event": "peopleUpdated", "resourceIds": ["1"], "uri": "https://crm.universal.rollout.com/people"}).encode()
    good = {form: sign(body, SECRET, form) for form in ("base64-body-hex", "base64-body-base64", "body-hex", "body-base64")}
    forged = []
    for form, right in good.items():
        forged += [sign(body, "x" * 64, form), sign(body, "", form), sign(body + b" ", SECRET, form), sign(b"", SECRET, form), right[:-1], right[1:], right + "0", right + "=", right[:32], right[::-1],
                   "sha256=" + right, right + "," + right, right + " " + right, '"' + right + '"', "\u00ff" + right, right[:-1] + ("0" if right[-1] != "0" else "1")]
        forged += [] if "base64" in form[-7:] else [right.upper() + "x", "0" * len(right)]
    forged += ["", "null", "undefined", "0", "a" * 64, "a" * 44, "a" * 5000, SECRET]
    statuses = set()
    for signature in forged:
        answer = requests.post(gateway.webhooks + path, data=body, headers={"X-Rollout-Signature": signature.encode("latin-1")}, timeout=30)
        statuses.add(answer.status_code)
        assert answer.status_code == 401, (signature, answer.text)
    plain = requests.post(gateway.webhooks + path, data=body, timeout=30)
    assert plain.status_code == 401
    two = b"X-Rollout-Signature: " + good["body-hex"].encode() + b"\r\n"
    port = int(gateway.webhooks.rsplit(":", 1)[1])

    def raw(head, data=b""):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            try:
                sock.sendall(head + data)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            return Reader(sock).answer()[0]

    start = b"POST " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n"
    assert raw(start % len(body) + two + two + b"\r\n", body) in (400, 401)
    assert raw(start % len(body) + two.replace(b"X-Rollout-S", b"X_Rollout_S") + b"\r\n", body) == 401
    assert raw(start % len(body) + two + b"Transfer-Encoding: chunked\r\n\r\n", body) == 400
    assert raw(start % 5000 + two + b"\r\n", b"x" * 5000) == 413
    for form, right in good.items():  # another's path: the event is another's
        for target in (path + "x", path[:-1], path.upper(), path + "/", path + "?a", path.replace("/rollout/", "/rollout//"), "/webhooks/rollout/", "/webhooks/rollout/%2e%2e%2frollout/" + path.rsplit("/", 1)[1],
                       "/webhooks/rollout/%2e%2e", "/", "/webhooks/rollout/" + "a" * 4000):
            assert gateway.event(target, "", body=body, signature=right).status_code in (400, 404), target
    for text in (b"", b"{", b"[]", b"null", b"1", b'"x"', b"{}", b'{"eventId":1}', b'{"eventId":"x","event":"peopleUpdated","resourceIds":"1"}', b'{"eventId":"x","event":1,"resourceIds":["1"]}',
                 b'{"eventId":"' + b"x" * 3000 + b'","event":"peopleUpdated","resourceIds":["1"]}', b"[" * 4000, b'{"a":' * 500 + b"1" + b"}" * 500, b'{"eventId":"x","event":"p\\u0000","resourceIds":["1"]}',
                 b'{"eventId":"\xff","event":"peopleUpdated","resourceIds":["1"]}', b'{"eventId":"x","eventId":"y","event":"peopleUpdated","resourceIds":["1"]}', b'{"eventId":"","event":"peopleUpdated","resourceIds":["1"]}'):
        assert gateway.event(path, "", body=text).status_code == 400, text
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"):
        assert requests.request(method, gateway.webhooks + path, data=body, headers={"X-Rollout-Signature": good["body-hex"]}, timeout=30).status_code == 405
    assert gateway.event(other, "peopleUpdated", ["1"], body=body).status_code == 204  # genuine, but globex': its own entries only
    assert ask(gateway, b"/crm/people/1")[2] == before
    assert gateway.event(path, "peopleUpdated", ["1"], body=body, signature=good["body-base64"]).status_code == 204
    assert ask(gateway, b"/crm/people/1")[2] != before


def test_the_operators_api_is_not_for_clients(make_gateway, strict):
    token = "admin-" + "t" * 40
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE, env={"ADMIN_TOKEN": token}, admin={"token": {"env": "ADMIN_TOKEN"}})
    paths = ["/metrics", "/v1/config", "/v1/status", "/v1/tenants", "/v1/reload", "/livez", "/", "/admin", "/crm/../v1/config", "/crm/%2e%2e/metrics", "/crm/..%2fv1/config", "/t/acme/../../v1/config", "//v1/config", "/v1/tenants/acme/credentials/x"]
    for base in (gateway.data, gateway.webhooks):
        for path in paths:
            for method in (b"GET", b"POST", b"PUT"):
                with socket.create_connection(("127.0.0.1", int(base.rsplit(":", 1)[1])), timeout=30) as sock:
                    sock.sendall(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\nX-Tenant-Id: acme\r\nAuthorization: Bearer " + token.encode() + b"\r\n\r\n")
                    assert 400 <= Reader(sock).answer()[0] < 500
    for credentials in (None, "", "Bearer", "Bearer ", "Bearer x", "Bearer " + token[:-1], "Bearer " + token + "x", "Basic " + token, token, "Bearer  " + token, "Bearer " + token + ", Bearer x", "Bearer " + token.upper()):
        for method, path in (("GET", "/metrics"), ("GET", "/v1/config"), ("PUT", "/v1/tenants/acme/credentials/x"), ("DELETE", "/v1/tenants/acme/credentials/x"), ("POST", "/v1/drain"), ("POST", "/v1/purge"), ("GET", "/"),
                             ("HEAD", "/v1/status"), ("GET", "/v1/tenants/%61cme/credentials"), ("GET", "//metrics"), ("GET", "/livez/../metrics"), ("GET", "/livez%2f..%2fmetrics"), ("GET", "/v1/../metrics")):
            request = requests.Request(method, gateway.admin + "/", headers={"Authorization": credentials} if credentials else {}).prepare()
            request.url = gateway.admin + path
            assert requests.Session().send(request, timeout=30).status_code in (400, 401, 404, 405), (credentials, path)
    told = requests.get(gateway.admin + "/v1/status", headers={"Authorization": "Bearer " + token}, timeout=30)
    assert told.status_code == 200
    assert not strict.heard


def test_damaged_admin_json(make_gateway, strict):
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    url = gateway.admin + "/v1/tenants/acme/credentials/x"
    bodies = [b"{", b"[]", b"null", b"{}x", b'{"app_key":1}', b'{"app_key":null}', b'{"app_key":"' + b"a" * 100000 + b'"}', b'{"app_key":"a","apis":"crm"}', b'{"app_key":"a","apis":[1]}', 
              b'{"app_key":"a","apis":["crm","crm"]}', b'{"app_key":"a","apis":' + json.dumps(["crm"] * 1000).encode() + b"}", b'{"app_key":"a","default":"yes"}', b'{"app_key":"a","unknown":1}', b'{"app_key":"\xff"}', b'{"app_key":"a\\u0000b"}',
              b'{"app_key":"\\ud800"}', b"[" * 100000, b'{"a":' * 10000, b'{"app_key":"a","label":{"x":1}}', b"\x00" * 100, b'{"app_key":"a","app_key":"b"}', b"x" * 2000000, b'{"app_key":1e999}', b'{"app_key":"a\r\nX: y"}']
    taken = []
    for body in bodies:
        for method in ("PUT", "POST"):
            target = url if method == "PUT" else gateway.admin + "/v1/purge"
            try:
                answer = requests.request(method, target, data=body, timeout=30)
            except requests.ConnectionError:
                continue  # told to go while still sending
            assert answer.status_code < 500, (body[:50], answer.text)
            if answer.status_code < 400 and method == "PUT":
                taken.append(body[:60])
    assert not taken
    for tenant in ("a%2fb", "%00", "..", "%2e%2e", "a%20b", "x" * 129, "%ff", "a;b", "*"):
        request = requests.Request("PUT", gateway.admin + "/", data=b'{"app_key":"a","apis":["crm"]}').prepare()
        request.url = gateway.admin + f"/v1/tenants/{tenant}/credentials/x"
        assert requests.Session().send(request, timeout=30).status_code in (400, 404) or tenant in ("..", "%2e%2e"), tenant
    assert requests.get(gateway.admin + "/livez", timeout=30).status_code == 200


# --- resources ----------------------------------------------------------------------------------------------------

def memory(gateway):
    """Resident bytes that are the process' own."""
    with open(f"/proc/{gateway.process.pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(("Private_Dirty:", "Private_Clean:")))


def descriptors(gateway):
    return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


def test_slow_heads_and_bodies_are_cut_in_time(front, strict):
    """F6: each within a second of its time, and nobody else is disturbed."""
    head = b"GET /crm/people HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n"
    kinds = {"nothing": b"", "one byte": b"G", "line": b"GET /crm/people HTTP/1.1\r\n", "head": head, "many": head + b"X: y\r\n" * 50}
    bodies = {"length": cases.head(b"Content-Length: 100\r\n") + b"x", "chunked": cases.head(b"Transfer-Encoding: chunked\r\n") + b"5\r\nhel", "none yet": cases.head(b"Content-Length: 100\r\n")}
    slow = {name: [front.connect() for _ in range(5)] for name in kinds}
    for name, socks in slow.items():
        for sock in socks:
            sock.sendall(kinds[name])
    stuck = {name: [front.connect() for _ in range(5)] for name in bodies}
    for name, socks in stuck.items():
        for sock in socks:
            sock.sendall(bodies[name])
    time.sleep(0.3)
    front.jump(7)  # client_header is 10 s, idle 30 s
    for name, socks in slow.items():
        for sock in socks:
            sock.settimeout(0.02)
            try:
                raise AssertionError((name, sock.recv(1000)))
            except TimeoutError:
                pass
    assert front.get("/crm/people/1").status_code == 200
    front.jump(4)
    for name, socks in slow.items():
        for sock in socks:
            sock.settimeout(10)
            answer = Reader(sock).answer()
            assert answer is None if name == "nothing" else answer[0] == 408, (name, answer)
    front.jump(20)
    for name, socks in stuck.items():
        for sock in socks:
            sock.settimeout(10)
            answer = Reader(sock).answer()
            assert answer is None or answer[0] in (400, 408, 502, 504), (name, answer)
    assert not [h for h in strict.heard if h.method == b"POST"]
    assert front.get("/crm/people/2").status_code == 200


def test_a_dripping_head_gains_no_time(front):
    """Bytes that keep coming do not move the end of a head's time."""
    socks = [front.connect() for _ in range(5)]
    for step in range(12):
        for sock in socks:
            try:
                sock.sendall(b"GET /crm/people HTTP/1.1\r\nHost: a\r\n"[step:step + 1])
            except OSError:
                assert step > 10
        front.jump(1)
        time.sleep(0.05)
    for sock in socks:
        try:
            answer = Reader(sock).answer()
            assert answer is None or answer[0] == 408
        except OSError:
            pass


def test_slow_readers_hold_little_and_are_cut(make_gateway, strict):
    """Clients that ask for much and read nothing: back-pressure, then their time is over."""
    size = 8 * 1024 * 1024
    strict.answer = lambda heard: b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % size + bytes(size) if b"/big" in heard.target else says(b"small")
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, env=LEAN, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    gateway.get("/crm/people")
    before, open_before = memory(gateway), descriptors(gateway)
    socks = []
    for i in range(30):
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("127.0.0.1", gateway.data_port))
        sock.sendall(b"GET /crm/big/%d HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n" % i)
        socks.append(sock)
    wait_for(lambda: len([h for h in strict.heard if b"/big" in h.target]) == 30, what="all of them upstream")
    time.sleep(1)
    assert memory(gateway) - before < 30 * 1.5 * 1024 * 1024
    assert gateway.get("/crm/other").text == "small"
    for _ in range(5):
        gateway.jump(31)
        time.sleep(0.1)
    wait_for(lambda: descriptors(gateway) < open_before + 15, what="the slow readers being let go")
    for sock in socks:
        sock.close()
    assert gateway.get("/crm/another").text == "small"


def test_idle_connections_cost_little(front):
    """F6: two thousand of them, each after a request of its own."""
    front.get("/crm/people")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    ask_one = b"GET /crm/people HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n"
    socks = [front.connect() for _ in range(100)]
    for sock in socks:
        sock.sendall(ask_one)
        assert Reader(sock).answer()[0] == 200
    before = memory(front)
    for _ in range(2000):
        sock = front.connect()
        sock.sendall(ask_one)
        assert Reader(sock).answer()[0] == 200
        socks.append(sock)
    assert (memory(front) - before) / 2000 < 16 * 1024
    for sock in socks:
        sock.close()
    wait_for(lambda: descriptors(front) < 100, what="the descriptors being given back")


def test_a_flood_of_connections_ends_with_the_flood(make_gateway, strict):
    """F7: more connections than descriptors; afterwards everything as before, and little work meanwhile."""
    import conftest
    made = make_gateway({"crm": {"url": strict.url + "/api"}}, start=False)
    wrapper = made.directory / "gateway"
    wrapper.write_text(f"#!/bin/sh\nulimit -n 128\nexec {BINARY} \"$@\"\n")
    wrapper.chmod(0o755)
    before = conftest.BINARY
    conftest.BINARY = str(wrapper)
    try:
        made.start()
    finally:
        conftest.BINARY = before
    made.map("acme", "cred-acme", app_key="x", apis=["crm"])
    assert ask(made, b"/crm/people")[0] == 200
    socks = []
    for _ in range(600):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", made.data_port))
        socks.append(sock)
    time.sleep(0.3)

    def cpu():
        fields = open(f"/proc/{made.process.pid}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    used, started = cpu(), time.monotonic()
    time.sleep(1)
    share = (cpu() - used) / (time.monotonic() - started)
    for sock in socks:
        sock.close()
    started = time.monotonic()
    wait_for(lambda: descriptors(made) < 60, 5, "the flood being over")
    good = sum(1 for i in range(30) if (got := ask(made, b"/crm/after/%d" % i)) and got[0] == 200)
    assert good == 30 and share < 0.25
    assert time.monotonic() - started < 5


def test_memory_follows_what_was_sent(front, strict):
    """F11: at most eight times the bytes of a client, and a little for each connection."""
    kinds = {
        "heads": b"GET /crm/people HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n" + b"X: y\r\n" * 90,
        "long": b"GET /crm/people HTTP/1.1\r\nHost: a\r\nX-A: " + b"y" * 30000,
        "body": cases.head(b"Content-Length: 1000000\r\n") + b"x" * 20000,
        "chunks": cases.head(b"Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n" * 3000,
        "pipeline": b"GET /crm/people/stall HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n" * 400,
    }
    gate = threading.Event()

    def answer(heard):
        if heard.target.endswith(b"/stall"):
            gate.wait(30)
        return says(b"x")

    strict.answer = answer
    # once for what is only needed once
    for data in kinds.values():
        with front.connect() as sock:
            sock.sendall(data)
            time.sleep(0.1)
    for name, data in kinds.items():
        before, count = memory(front), 40
        socks = [front.connect() for _ in range(count)]
        for sock in socks:
            sock.settimeout(2)
            try:
                sock.sendall(data)
            except OSError:
                pass
        time.sleep(0.5)
        each = (memory(front) - before) / count
        for sock in socks:
            sock.close()
        assert each < 8 * len(data) + 64 * 1024, (name, each, len(data))
    gate.set()
    assert front.get("/crm/after").status_code == 200


def test_large_uploads_to_a_slow_origin_are_bounded(make_gateway):
    """300 at once, of which the origin reads nothing for a while."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    held, reading = [], threading.Event()

    def drain(sock):
        reading.wait(60)
        sock.settimeout(30)
        data = b""
        try:
            while b"\r\n\r\n" not in data:
                data += sock.recv(65536)
            head, _, body = data.partition(b"\r\n\r\n")
            left = int(re.search(rb"Content-Length: (\d+)", head)[1]) - len(body)
            while left > 0:
                piece = sock.recv(262144)
                if not piece:
                    return
                left -= len(piece)
            sock.sendall(says(b"taken"))
        except OSError:
            pass

    def accept():
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            held.append(sock)
            threading.Thread(target=drain, args=(sock,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    gateway = make_gateway({"crm": {"url": f"http://127.0.0.1:{listener.getsockname()[1]}/api"}}, env=LEAN, limits=WIDE)
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    before, size = memory(gateway), 1024 * 1024
    results = []

    def upload(i):
        with gateway.connect() as sock:
            sock.settimeout(60)
            sock.sendall(cases.head(b"Connection: close\r\nContent-Length: %d\r\n" % size).replace(b"{id}", b"%d" % i))
            for _ in range(16):
                sock.sendall(bytes(size // 16))
            results.append(Reader(sock).answer())

    threads = [threading.Thread(target=upload, args=(i,), daemon=True) for i in range(300)]
    for thread in threads:
        thread.start()
    time.sleep(2)
    grown = memory(gateway) - before
    reading.set()
    for thread in threads:
        thread.join(60)
    listener.close()
    for sock in held:
        sock.close()
    assert grown < 300 * 400 * 1024, grown
    assert len(results) == 300 and all(r and r[0] == 200 and r[2] == b"taken" for r in results)


# --- secrets ------------------------------------------------------------------------------------------------------

def test_planted_secrets_are_nowhere(make_gateway, strict):
    """F15: client secret, admin token, webhook token, minted tokens, what clients sent, and whole credential ids. What is not looked at:
    /proc/PID/environ, which only root and the owner may read, and the owner not while the process is not dumpable."""
    planted = {"client secret": "planted-secret-" + "a" * 60, "admin token": "planted-admin-" + "b" * 40, "query": "planted-query-cccc", "body": "planted-body-dddd", "authorization": "planted-bearer-eeee",
               "cookie": "planted-cookie-ffff", "header": "planted-header-gggg", "credential": "planted-credential-hhhh-hhhh", "signature": "planted-signature-iiii", "upstream": "planted-upstream-jjjj"}

    def answer(heard):
        if b"/cut" in heard.target:
            return None
        if b"/bad" in heard.target:
            return b"HTTP/1.1 2x0 " + planted["upstream"].encode() + b"\r\n\r\n"
        if b"/401" in heard.target:
            return b"HTTP/1.1 401 x\r\nContent-Length: 0\r\n\r\n"
        if heard.target.startswith(b"/core/"):
            body = json.dumps([{"id": planted["credential"], "data": {"x": planted["upstream"]}, "currentData": planted["upstream"]}]).encode()
            return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        return says(b"fine")

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}, "core": {"url": strict.url + "/core"}}, env={"ROLLOUT_CLIENT_SECRET": planted["client secret"], "ADMIN_TOKEN": planted["admin token"]},
                           admin={"token": {"env": "ADMIN_TOKEN"}}, log={"level": "debug", "format": "json"})
    own = {"Authorization": "Bearer " + planted["admin token"]}
    mapped = requests.put(gateway.admin + "/v1/tenants/acme/credentials/" + planted["credential"], json={"app_key": "x", "apis": ["crm"]}, headers=own, timeout=30)
    assert mapped.status_code == 201
    webhook = mapped.json()["webhook_path"]
    told = []

    def keep(answer):
        told.append(("answer " + str(answer.status_code), answer.text + str(answer.headers)))

    fields = {"Authorization": "Bearer " + planted["authorization"], "Cookie": "a=" + planted["cookie"], "X-Odd": planted["header"], "X-Rollout-Signature": planted["signature"]}
    for path in ("/crm/people", "/crm/cut", "/crm/bad", "/crm/401", "/nope/x", "/crm/a//b", "/core/credentials", "/core/credentials/" + planted["credential"]):
        for method in ("GET", "POST", "DELETE"):
            answer = gateway.request(method, path + "?q=" + planted["query"], headers=fields, data=planted["body"] if method == "POST" else None)
            if not path.startswith("/core/"):
                keep(answer)
            else:
                assert planted["upstream"] not in answer.text
    keep(gateway.get("/crm/people", headers={"X-Rollout-Credential-Id": planted["header"]}))
    keep(gateway.get("/crm/people", tenant="nobody" + " " + planted["header"]))
    for data in (b"GET /crm/" + planted["query"].encode() + b"\x01 HTTP/1.1\r\n\r\n", b"X" + planted["header"].encode() + b"\r\n\r\n", cases.head(b"X-A: " + planted["header"].encode() + b"\x00\r\n"), cases.head(b"Transfer-Encoding: chunked\r\n") + planted["body"].encode()):
        told.append(("refusal", gateway.raw(data).decode("latin-1")))
    keep(gateway.event(webhook, "peopleUpdated", ["1"], signature=planted["signature"]))
    keep(gateway.event(webhook, "", body=planted["body"].encode(), secret=planted["client secret"]))
    keep(gateway.event(webhook, "peopleUpdated", [planted["body"]], secret=planted["client secret"]))
    keep(gateway.event(webhook + "x", "peopleUpdated", ["1"]))
    for path in ("/metrics", "/", "/v1/status", "/v1/config", "/v1/cache", "/v1/limits", "/v1/tenants", "/v1/keys", "/nope"):
        keep(requests.get(gateway.admin + path, headers=own, timeout=30))
        keep(requests.get(gateway.admin + path, headers={"Authorization": "Bearer " + planted["authorization"]}, timeout=30))
    keep(requests.post(gateway.admin + "/v1/purge", data=planted["body"], headers=own, timeout=30))
    limits = open(f"/proc/{gateway.process.pid}/limits").read()
    assert re.search(r"Max core file size +0 +0 ", limits)
    told.append(("command line", open(f"/proc/{gateway.process.pid}/cmdline").read()))
    minted = {value.decode().split(" ")[1] for h in strict.heard for value in h.all(b"Authorization")}
    assert minted
    gateway.stop()
    told.append(("log", "\n".join(gateway.lines)))
    found = [(name, where, text[max(0, text.find(value) - 150):][:400]) for where, text in told for name, value in {**planted, "webhook token": webhook.rsplit("/", 1)[1]}.items() if value in text]
    found += [("minted token", where) for where, text in told for token in minted for part in (token, token.split(".")[2]) if part in text]
    assert not found, "\n".join(map(str, found))


# --- mutations ----------------------------------------------------------------------------------------------------

MUTATIONS = int(os.environ.get("HOSTILE_MUTATIONS", "4000"))


def test_mutated_requests(front, strict):
    """F3: whatever comes out of chance, the origin sees only what the gateway means, and those behind get their own answers."""
    def play_one(number):
        dice = random.Random(f"{os.environ.get('HOSTILE_SEED', 'seed')} {number}")
        data = cases.mutated(dice).replace(b"{id}", b"m%d" % number)
        if data.count(b" HTTP/1.") > 1:  # which of the answers would have no body?
            data = data.replace(b"HEAD ", b"GET ")
        probe = b"GET /t/globex/crm/probe/m%d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % number
        with front.connect() as sock:
            try:
                if dice.random() < 0.5:
                    sock.sendall(data + probe)
                else:
                    at = dice.randrange(len(data))
                    sock.sendall(data[:at])
                    sock.sendall(data[at:] + probe)
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
            reader, answers = Reader(sock), []
            method = b"HEAD" if re.match(rb"(\r\n){0,2}HEAD ", data) else b"GET"
            while True:
                try:
                    answer = reader.answer(method)
                except AssertionError as error:
                    return number, data, "answers cannot be read", str(error)[:200]
                if not answer:
                    break
                answers.append(answer)
                method = b"GET"
        for status, fields, body, whole in answers:
            if status == 200 and b"cred-globex" in body and b"/api/probe/m%d cred-globex" % number != body and b"globex" not in data:
                return number, data, "globex' answer", body
        return None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        wrong = [w for w in pool.map(play_one, range(MUTATIONS)) if w]
    assert not wrong, "\n".join(map(str, wrong[:10]))
    assert not strict.faults, strict.faults[:10]
    odd = []
    for h in strict.heard:
        tokens, ids = h.all(b"Authorization"), h.all(b"X-Rollout-Credential-Id")
        if len(tokens) != 1 or not tokens[0].startswith(b"Bearer ey") or ids not in ([b"cred-acme"], [b"cred-globex"]) or not re.match(rb"/api[/?]|/api\Z", h.target) or re.search(rb"/\.\.?(/|$|;)|//|\\|%2[ef]|%5c|%00", h.target.split(b"?")[0], re.I):
            odd.append((h.target, tokens, ids))
        if ids != [b"cred-" + subject(h).encode()]:
            odd.append(("of another", h.target, subject(h), ids))
        if any(b"_" in name or name.lower() in (b"cookie", b"x-tenant-id", b"x-app-key", b"connection", b"upgrade", b"te", b"trailer") for name, _ in h.fields):
            odd.append((h.target, h.fields))
    assert not odd, "\n".join(map(str, odd[:10]))
    assert len(strict.heard) > MUTATIONS / 4
    assert front.get("/crm/after").status_code == 200


# --- the command line and the configuration -----------------------------------------------------------------------

def run(*arguments, env=None, data=None):
    done = subprocess.run([BINARY, *arguments], env={**os.environ, "ROLLOUT_CLIENT_SECRET": SECRET, **(env or {})}, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode >= 0 and b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr and b"Assertion" not in done.stderr, (arguments, done)
    return done


def test_damaged_configurations_are_refused(directory):
    """Exit 78 and words, for whatever stands in the file; never a crash, never a start."""
    path = directory / "gateway.json"
    good = configuration(directory, {"crm": {"url": "http://127.0.0.1:1/api"}})
    files = [b"", b"{", b"[]", b"null", b"1", b'"x"', b"\x00" * 100, b"\xff\xfe{}", b"{}" + b"\x00", b"[" * 200000, b'{"a":' * 100000, b"{" + b'"a":1,' * 100000 + b'"b":1}', b'{"workers":1,"workers":2}', b'{"workers":1e400}', b"// x\n{}", b"{'workers':1}", b'{"workers":1,}',
             b'\xef\xbb\xbf{"workers":"x"}', b'{"log":{"level":"\\ud800"}}', b'{"log":{"level":"a\\u0000b"}}', os.urandom(10000)]
    for key, values in {"workers": [-1, 1.5, "1", 10**30, True, None, [], {}], "data_dir": ["", 1, "\u0000", "x" * 100000, None], "listen": [1, {"data": "x"}, {"data": "127.0.0.1:99999"}, {"data": "[::1"}, {"data": ":"}, {"data": "unix:"}, {"data": "unix:" + "x" * 200}, {"dat": "127.0.0.1:0"}, {"data": 1}],
                        "upstreams": [[], {"crm": 1}, {"crm": {}}, {"crm": {"url": "ftp://x"}}, {"crm": {"url": "http://"}}, {"crm": {"url": "http://a@b/"}}, {"crm": {"url": "http://a/?q"}}, {"crm": {"url": "http://a:0/"}}, {"crm": {"url": "http://a/../b"}}, {"": {"url": "http://a/"}}, {"a/b": {"url": "http://a/"}},
                                      {"crm": {"url": "http://a\r\nX: y/"}}, {"crm": {"url": "http://a/#x"}}, {"crm": {"url": "http://a/ b"}}, {"t": {"url": 5}}],
                        "timeouts": [{"connect": "x"}, {"connect": "-1s"}, {"connect": "999999999999999999d"}, {"connect": 5}, {"conect": "1s"}, {"connect": ""}, {"connect": "1s "}], "sizes": [{"request_head": "1"}, {"request_head": "-1KiB"}, {"request_head": "99999999999TiB"}, {"request_body": None}],
                        "cache": [{"memory": "x"}, {"rules": {}}, {"rules": [1]}, {"rules": [{"api": "nope", "entity": "x", "ttl": "1h"}]}, {"rules": [{"ttl": 1}]}, {"dependencies": [{"event": "*"}]}, {"default": {"ttl": "1x"}}], "rollout": [{"client_id": ""}, {"client_id": 1}, {"client_secret": "plain"},
                        {"client_secret": {"env": "A", "file": "b"}}, {"client_secret": {}}, {"token_ttl": "0s"}], "admin": [{"token": "plain"}, {"token": {}}], "log": [{"level": "loud"}, {"format": "xml"}, {"access": "yes"}],
                        "webhooks": [{"signature": "md5"}, {"subscribers": 1}, {"subscribers": [{}]}], "unknown": [1]}.items():
        files += [json.dumps({**good, key: value}).encode() for value in values]
    accepted = []

    def check(job):
        number, data = job
        one = directory / f"{number}.json"
        one.write_bytes(data)
        done = run("check", "-c", str(one))
        if done.returncode != 78 or not done.stdout + done.stderr or b"plain" in done.stderr:
            accepted.append((data[-100:], done.returncode, (done.stdout + done.stderr)[:200]))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(check, enumerate(files)))
    assert not accepted, "\n".join(map(str, accepted))
    path.write_bytes(b'{"workers":-1}')
    done = run("serve", "-c", str(path))
    assert done.returncode == 78 and b"workers" in done.stderr
    for odd in (str(directory), "/dev/null", "/nonexistent", "", "/proc/self/mem"):
        assert run("check", "-c", odd).returncode in (1, 2, 78), odd


def test_damaged_command_lines_are_refused(directory):
    path = directory / "gateway.json"
    path.write_text(json.dumps(configuration(directory, {"crm": {"url": "http://127.0.0.1:1/api"}})))
    long = "x" * 100000
    for arguments in ((), ("nope",), ("--nope",), ("serve", "--nope"), ("serve", "-c"), ("check", "x", "y"), ("credentials",), ("credentials", "nope"), ("credentials", "get"), ("credentials", "get", "a"), ("credentials", "put", "a b", "c"), ("credentials", "put", "a", "c/d"),
                      ("credentials", "put", "a", long), ("credentials", "put", long, "a"), ("credentials", "put", "", ""), ("credentials", "put", "a", "b", "--apis"), ("credentials", "put", "a", "b", "--app-key", long), ("credentials", "put", "..", "b\n"), ("credentials", "delete", "nobody", "none"),
                      ("credentials", "import", "/nonexistent"), ("credentials", "import", "/"), ("explain",), ("explain", "a", "GET"), ("explain", "a", "G T", "/crm/x"), ("token",), ("token", "a b"), ("token", long), ("purge", "--nope"), ("keys",), ("keys", "revoke"), ("keys", "revoke", "../x"), ("help", "nope"),
                      ("version", "x"), (long,), ("\xff",), ("--log-format", "x", "serve"), ("status", "--json", "x"), ("sandbox", "--port", "99999"), ("sandbox", "--nope")):
        config = ("-c", str(path)) if arguments and arguments[0] in ("credentials", "explain", "token", "purge", "keys", "status") else ()
        done = run(*arguments, *config)
        assert done.returncode in (1, 2, 78) and done.stdout + done.stderr, (str(arguments)[:80], done.returncode, done.stderr[:300])
    lines = [b"{", b"[]", b"null", b"{}", b'{"tenant":"a"}', b'{"tenant":"a b","credential_id":"c"}', b'{"tenant":1,"credential_id":2}', b'{"tenant":"a","credential_id":"c","unknown":1}', b"\xff", b"\x00", b"[" * 100000, b"x" * 3000000, b'{"tenant":"a","credential_id":"c","apis":[1]}',
             b'{"tenant":"a","tenant":"b","credential_id":"c","app_key":"x"}']
    for line in lines:
        done = run("credentials", "import", "-c", str(path), data=b'{"tenant":"good","credential_id":"good-1","app_key":"x","apis":["crm"]}\n' + line + b"\n")
        assert done.returncode == 1 and b"2" in done.stderr, (line[:60], done.returncode, done.stderr[:300])


def test_a_page_behind_a_rebound_name_cannot_operate(make_gateway, strict):
    """DNS rebinding: evil.example points at loopback, so that Origin and Host agree."""
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, limits=WIDE)
    port = gateway.admin.rsplit(":", 1)[1]
    for host, status in (("evil.example", 403), (f"evil.example:{port}", 403), ("127.0.0.1.evil.example", 403), ("localhost.evil.example", 403), (f"127.0.0.1:{port}", 200), (f"localhost:{port}", 200), ("[::1]", 200)):
        for method, path in (("GET", "/v1/tenants"), ("GET", "/metrics"), ("GET", "/"), ("POST", "/v1/purge")):
            answer = requests.request(method, gateway.admin + path, headers={"Host": host, "Origin": "http://" + host}, json={"tenant": "x"} if method == "POST" else None, timeout=30)
            assert answer.status_code == status, (host, method, path, answer.text)
        assert requests.get(gateway.admin + "/livez", headers={"Host": host}, timeout=30).status_code == 200
