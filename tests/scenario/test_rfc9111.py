"""RFC 9111, 9110 and 5861 through the whole gateway, where configuration adds no freshness of its own (`"ttl": "0s"`) and where it
does. The public caching tests (./dev conformance) cover the rest."""
import socket
import threading

import pytest

from conftest import wait_for

PLAIN = {"default": {"ttl": "0s"}}


def status_of(answer):
    return answer.headers["Cache-Status"]


class Numbered:
    """An origin's answer that numbers itself; `headers` may be changed on the way."""

    def __init__(self, **headers):
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.lock, self.count = threading.Lock(), 0

    def __call__(self, seen):
        with self.lock:
            self.count += 1
            return 200, dict(self.headers), b"%d" % self.count


@pytest.fixture
def plain(make_gateway, origin):
    made = make_gateway({"crm": {"url": origin.url + "/api"}}, cache=PLAIN)
    made.map("acme", "cred-acme", apis=["crm"])
    return made


# --- what "ttl": "0s" means

def test_upstreams_cache_control_goes_out_as_it_came(plain, origin):
    origin.answer = Numbered(Cache_Control="public, max-age=60, s-maxage=90")
    for _ in range(2):
        assert plain.get("/crm/people/1").headers["Cache-Control"] == "public, max-age=60, s-maxage=90"
    assert len(origin.seen) == 1
    origin.answer = Numbered(Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    assert plain.get("/crm/people/2").headers["Cache-Control"] == "private"


def test_a_ttl_makes_it_private(gateway, origin):
    origin.answer = Numbered(Cache_Control="public, max-age=60, s-maxage=90")
    for _ in range(2):
        assert gateway.get("/crm/people/1").headers["Cache-Control"] == "private, max-age=60"


def test_without_freshness_nothing_is_fresh(plain, origin):
    origin.answer = Numbered()
    assert plain.get("/crm/people").content != plain.get("/crm/people").content


def test_unknown_request_fields_are_varys_affair(plain, origin):
    origin.answer = Numbered(Cache_Control="max-age=60")
    answers = [plain.get("/crm/people/1", headers={"X-Foo": str(i)}).content for i in range(3)]
    assert answers == [b"1"] * 3
    origin.answer = Numbered(Cache_Control="max-age=60", Vary="X-Foo")
    answers = [plain.get("/crm/people/2", headers={"X-Foo": str(i % 2)}).content for i in range(4)]
    assert answers == [b"1", b"2", b"1", b"2"]


def test_expires_in_another_zone_is_in_the_past(plain, origin):
    origin.answer = Numbered(Expires="Thu, 18 Aug 2050 02:01:18 UTC")
    assert plain.get("/crm/people/1").content != plain.get("/crm/people/1").content


def test_pragma_counts_alone_and_only_when_it_says_no_cache(plain, origin):
    origin.answer = Numbered(Cache_Control="max-age=60")
    plain.get("/crm/people/1")
    for headers, want in (({"Pragma": "foo"}, b"1"), ({"Pragma": "no-cache", "Cache-Control": "x"}, b"1"), ({"Pragma": "no-cache"}, b"2")):
        assert plain.get("/crm/people/1", headers=headers).content == want, headers
    assert [seen.all("Cache-Control") for seen in origin.seen] == [[], ["no-cache"]]


# --- invalidation (RFC 9111 4.4)

@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_write_invalidates_when_it_succeeds(plain, origin, method):
    numbered = Numbered(Cache_Control="max-age=60")
    failing = True
    origin.answer = lambda seen: numbered(seen) if seen.method == "GET" else (500 if failing else 200, {}, b"")
    assert plain.get("/crm/people/1").content == b"1"
    plain.request(method, "/crm/people/1", data=b"{}")
    assert plain.get("/crm/people/1").content == b"1"
    failing = False
    plain.request(method, "/crm/people/1", data=b"{}")
    assert plain.get("/crm/people/1").content == b"2"
    assert plain.get("/crm/people/1").content == b"2"  # nothing settles: upstream said for how long it is fresh


@pytest.mark.parametrize("field", ["Location", "Content-Location"])
@pytest.mark.parametrize("place, goes", [("/api/notes/7", True), ("{origin}/api/notes/7?x=1", True), ("/notes/7", False), ("//elsewhere/api/notes/7", False),
                                         ("http://elsewhere/api/notes/7", False), ("/api/notes/../notes/8", False), ("/api/%zz", False)])
def test_what_the_answer_names_is_invalidated_on_the_same_origin(plain, origin, field, place, goes):
    numbered = Numbered(Cache_Control="max-age=60")
    place = place.format(origin=origin.url)
    origin.answer = lambda seen: numbered(seen) if seen.method == "GET" else (201, {field: place}, b"")
    assert plain.get("/crm/notes/7").content == b"1"
    assert plain.request("POST", "/crm/people", data=b"{}").status_code == 201
    assert plain.get("/crm/notes/7").content == (b"2" if goes else b"1")


def test_location_is_invalidated_under_a_ttl_too(gateway, origin):
    numbered = Numbered()
    origin.answer = lambda seen: numbered(seen) if seen.method == "GET" else (201, {"Location": "/api/notes/7"}, b"")
    assert gateway.get("/crm/notes/7").content == b"1"
    gateway.request("POST", "/crm/people", data=b"{}")
    assert gateway.get("/crm/notes/7").content == b"2"


def test_a_post_may_answer_later_gets(plain, origin):
    """RFC 9110 9.3.3: with explicit freshness and its own target in Content-Location."""
    numbered = Numbered(Cache_Control="max-age=60")

    def answer(seen):
        status, headers, body = numbered(seen)
        if seen.method == "POST":
            headers["Content-Location"] = "/api" + seen.target.removeprefix("/api").replace("other", "one")
        return status, headers, body
    origin.answer = answer
    plain.get("/crm/people/one")
    assert plain.request("POST", "/crm/people/one", data=b"{}").content == b"2"
    hit = plain.get("/crm/people/one")
    assert hit.content == b"2" and "hit" in status_of(hit)
    plain.request("POST", "/crm/people/other", data=b"{}")  # names another one: that is stale, and nothing is kept
    assert plain.get("/crm/people/one").content == b"4" and plain.get("/crm/people/other").content == b"5"


def test_a_posts_own_preconditions_are_upstreams(plain, origin):
    origin.answer = lambda seen: (200, {"Cache-Control": "max-age=60", "ETag": '"e"', "Content-Location": "/api/people/1"}, b"made")
    answer = plain.request("POST", "/crm/people/1", data=b"{}", headers={"If-None-Match": '"e"'})
    assert (answer.status_code, answer.content) == (200, b"made")
    assert origin.seen[0].all("If-None-Match") == ['"e"']


def test_under_a_ttl_no_post_is_kept(gateway, origin):
    numbered = Numbered(Cache_Control="max-age=60", Content_Location="/api/people/1")
    origin.answer = numbered
    gateway.request("POST", "/crm/people/1", data=b"{}")
    assert gateway.get("/crm/people/1").content == b"2"


# --- HEAD (RFC 9111 4.3.5)

def test_head_is_answered_from_a_stored_get(plain, origin):
    origin.answer = Numbered(Cache_Control="max-age=60")
    plain.get("/crm/people/1")
    head = plain.request("HEAD", "/crm/people/1")
    assert head.headers["Content-Length"] == "1" and "hit" in status_of(head) and len(origin.seen) == 1


@pytest.mark.parametrize("etag, kept", [('"1"', True), ('"2"', False)])
def test_head_freshens_or_removes(plain, origin, etag, kept):
    bodies = iter([b"first", b"other"])
    origin.answer = lambda seen: ((200, {"ETag": '"1"', "Cache-Control": "max-age=5"}, next(bodies)) if seen.method == "GET" else
                                  (200, {"ETag": etag, "Cache-Control": "max-age=60", "X-New": "1", "Content-Length": "5"}, b""))
    plain.get("/crm/people/1")
    plain.jump(10)
    plain.request("HEAD", "/crm/people/1")
    answer = plain.get("/crm/people/1")
    assert answer.content == (b"first" if kept else b"other")
    assert ("hit" in status_of(answer)) == kept and (answer.headers.get("X-New") == "1") == kept


# --- RFC 5861

def test_stale_while_revalidate_answers_at_once_and_refreshes_behind(plain, origin):
    hold = threading.Event()
    numbered = Numbered(Cache_Control="max-age=5, stale-while-revalidate=60")

    def answer(seen):
        if numbered.count > 0:
            hold.wait(30)
        return numbered(seen)
    origin.answer = answer
    plain.get("/crm/people/1")
    plain.jump(10)
    for _ in range(3):
        stale = plain.get("/crm/people/1")
        assert stale.content == b"1" and "hit" in status_of(stale) and "ttl=-" in status_of(stale) and int(stale.headers["Age"]) >= 10
    hold.set()
    wait_for(lambda: plain.get("/crm/people/1").content == b"2", what="the refreshed answer")
    assert len(origin.seen) == 2
    plain.jump(70)
    assert plain.get("/crm/people/1").content == b"3"  # behind the window it waits



def reset(seen):
    seen.handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    seen.handler.connection.close()
    seen.handler.close_connection = True


def shut(seen):
    seen.handler.connection.shutdown(socket.SHUT_RDWR)
    seen.handler.close_connection = True


def stay_silent(seen):
    threading.Event().wait(4)
    seen.handler.close_connection = True


TROUBLES = {"refused": None, "reset": reset, "closed": shut, "silent": stay_silent, "not HTTP": lambda seen: seen.handler.wfile.write(b"SSH-2.0\r\n"),
            **{str(status): (lambda seen, status=status: (status, {}, b"down")) for status in (500, 502, 503, 504)}}


@pytest.mark.parametrize("trouble", TROUBLES)
@pytest.mark.parametrize("control, stale", [("max-age=5", True), ("max-age=5, stale-if-error=0", False), ("max-age=5, must-revalidate", False),
                                            ("max-age=5, no-cache", False), ("s-maxage=5", False)])
def test_stale_if_error(make_gateway, origin, trouble, control, stale):
    plain = make_gateway({"crm": {"url": origin.url}}, cache=PLAIN, timeouts={"first_byte": "1s"})
    plain.map("acme", "cred-acme", apis=["crm"])
    origin.answer = Numbered(Cache_Control=control, ETag='"e"', Connection="close")
    plain.get("/crm/people/1")
    plain.jump(10)
    if TROUBLES[trouble]:
        origin.answer = TROUBLES[trouble]
    else:
        origin.stop()
    answer = plain.get("/crm/people/1")
    if stale:
        assert (answer.status_code, answer.content) == (200, b"1")
        assert "hit" in status_of(answer) and "stale-if-error" in status_of(answer) and int(answer.headers["Age"]) >= 10
    else:
        assert answer.status_code >= 500 and "hit" not in status_of(answer)


def test_stale_if_error_ends(plain, origin):
    origin.answer = Numbered(Cache_Control="max-age=5, stale-if-error=60")
    plain.get("/crm/people/1")
    plain.jump(30)
    origin.answer = lambda seen: (503, {}, b"down")
    assert plain.get("/crm/people/1").status_code == 200
    plain.jump(60)
    assert plain.get("/crm/people/1").status_code == 503


# --- methods we do not know

def test_unknown_methods_go_through_and_invalidate(plain, origin):
    numbered = Numbered(Cache_Control="max-age=60")
    origin.answer = lambda seen: numbered(seen) if seen.method == "GET" else (200, {}, b"brewed " + seen.body)
    plain.get("/crm/people/1")
    assert plain.request("BREW", "/crm/people/1", data=b"tea").content == b"brewed tea"
    assert origin.seen[-1].method == "BREW"
    assert plain.get("/crm/people/1").content == b"2"
    assert plain.raw(b"TRACE /t/acme/crm/people HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 501 ")


def test_a_known_but_uncommon_method_goes_through_and_invalidates(plain, origin):
    numbered = Numbered(Cache_Control="max-age=60")
    origin.answer = lambda seen: numbered(seen) if seen.method == "GET" else (200, {}, b"found")
    plain.get("/crm/people/1")
    assert plain.request("M-SEARCH", "/crm/people/1").content == b"found"
    assert plain.get("/crm/people/1").content == b"2"
