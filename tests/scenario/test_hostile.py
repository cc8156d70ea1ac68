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
