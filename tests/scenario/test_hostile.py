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

EVIL = re.compile(rb"evil|smuggled", re.I)


@pytest.fixture
def strict():
    made = Strict()
    yield made
    made.stop()


@pytest.fixture
def front(make_gateway, strict):
    made = make_gateway({"crm": {"url": strict.url + "/api"}})
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


# --- answers ------------------------------------------------------------------------------------------------------

def ask(gateway, target, tenant="acme", fields=b"", method=b"GET", version=b"HTTP/1.1"):
    """One request on a connection of its own: (status, fields, body, whole) or None."""
    with gateway.connect() as sock:
        sock.sendall(method + b" " + target + b" " + version + b"\r\nHost: a\r\nConnection: close\r\nX-Tenant-Id: " + tenant.encode() + b"\r\n" + fields + b"\r\n")
        return Reader(sock).answer(method)


def says(data):
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n" % len(data) + data


@pytest.mark.parametrize("keep", [False, True], ids=["closes", "stays"])
def test_hostile_answers(make_gateway, strict, keep):
    """T8: what is no answer is never one; what broke off is cut; what came too much goes to nobody."""
    wanted = list(cases.answers())
    assert len(wanted) > 100

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

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, timeouts={"idle": "2s", "first_byte": "2s"})
    gateway.map("acme", "cred-acme", app_key="a", apis=["crm"])
    gateway.map("globex", "cred-globex", app_key="b", apis=["crm"])

    def play_answer(number):
        name, _, good = wanted[number]
        got = ask(gateway, b"/crm/case/%d" % number)
        after = [ask(gateway, b"/crm/after/%d/%d" % (number, i), "globex") for i in range(2)]
        again = ask(gateway, b"/crm/case/%d" % number, "globex", version=b"HTTP/1.0")
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, workers=1)
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}}, timeouts={"total": "60s"})
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
        if heard.all(b"If-None-Match"):
            return b'HTTP/1.1 304 Not Modified\r\nETag: "same"\r\n\r\n'
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) + (b"" if heard.method == b"HEAD" else body)


def subject(heard):
    import base64
    part = heard.all(b"Authorization")[0].split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))["sub"]


def test_tenants_never_cross(make_gateway, strict):
    """F5: thousands of random requests over kept connections, tenants and credentials with names that run into each other."""
    strict.answer = owner_answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}, "tms": {"url": strict.url + "/tms/api"}}, cache={"memory": "2MiB", "default": {"ttl": "5s"}})
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


def test_collapsed_requests_stay_with_their_tenants(make_gateway, strict):
    """F10: many at once for the same path by several tenants; one fetch each, and each its own."""
    gate = threading.Event()

    def answer(heard):
        gate.wait(10)
        return owner_answer(heard)

    strict.answer = answer
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
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
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    for key in said:
        first = ask(gateway, b"/crm/kept/" + key)
        assert first[0] == 502 if key in (b"206", b"304") else first[0] < 502, "a part, or nothing new, without having been asked for it"
        got = ask(gateway, b"/crm/kept/" + key)
        assert got[0] == 200 and got[2] == b"good" and b"set-cookie" not in got[1], (key, got)
        seen.add(first[0])


def test_queries_are_not_one_another(make_gateway, strict):
    strict.answer = lambda heard: says(heard.target)
    gateway = make_gateway({"crm": {"url": strict.url + "/api"}})
    gateway.map("acme", "cred-acme", app_key="x", apis=["crm"])
    for target in (b"/crm/q", b"/crm/q?", b"/crm/q?a", b"/crm/q?a=", b"/crm/q?a=1&a=2", b"/crm/q?a=2&a=1", b"/crm/q?a=1;a=2", b"/crm/q?A=1", b"/crm/q?a=%31", b"/crm/q?a=1&utm_source=x", b"/crm/q?a=1", b"/crm/q/", b"/crm/Q",
                   b"/crm/q?a=+", b"/crm/q?a=%20", b"/crm/q;a", b"/crm/q%3Fa", b"/crm/q?%61=1", b"/crm/q?_method=DELETE", b"/crm/q%23"):
        for _ in range(2):
            got = ask(gateway, target)
            assert got[0] == 200 and got[2] == b"/api" + target[4:], (target, got)
