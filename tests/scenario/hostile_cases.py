"""Requests that nobody should send, as bytes, and the strict origin that records what became of them.

A case is (name, bytes, verdict). {id} in the bytes stands for the case's own path segment, so that whatever reaches the
origin names the case it came from. Verdicts:
  REFUSED   one answer of 4xx or 5xx, then the end of the connection; the origin hears nothing
  DECLINED  the message is framed beyond doubt but not taken: 4xx or 5xx; what comes behind it may be answered
  TAKEN     exactly one request reaches the origin
  CUT       it breaks off: at most one answer of 4xx or 5xx, and nothing whole at the origin
  EITHER    any of these: more than one reading is defensible, more than one request is not
"""
import re
import socket
import threading

REFUSED, DECLINED, TAKEN, CUT, EITHER = "refused", "declined", "taken", "cut", "either"
TOKEN = set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
SMUGGLED = b"GET /crm/smuggled HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: globex\r\n\r\n"


def head(fields=b"", method=b"POST", target=b"/crm/people/{id}", version=b"HTTP/1.1", host=b"Host: a\r\n", tenant=b"X-Tenant-Id: acme\r\n"):
    return method + b" " + target + b" " + version + b"\r\n" + host + tenant + fields + b"\r\n"


def framing():
    """Content-Length against Transfer-Encoding, each alone, doubled and disguised."""
    chunked = b"0\r\n\r\n"
    hidden = b"5\r\nhello\r\n0\r\n\r\n"
    yield "cl-te", head(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") + chunked + SMUGGLED, REFUSED
    yield "te-cl", head(b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n") + hidden + SMUGGLED, REFUSED
    yield "te-cl-0", head(b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n") + chunked, REFUSED
    for value in (b"", b"chunke", b"xchunked", b"chunked ,", b"chunked,", b",chunked", b"chunked, chunked", b"chunked;q=1", b'"chunked"',
                  b"'chunked'", b"chunked, identity", b"identity", b"\tchunked", b"chunked\t", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked",
                  b"\x00chunked", b"chunked\x00", b"\xa0chunked", b"chun\xe4ed", b"chunked\r", b"\rchunked", b"chunked\r\n x", b"\r\n chunked",
                  b"chunked\xe2\x80\x8b", b"chu nked", b"cow", b"x, y", b"none", b"chunked gzip", b"*"):
        yield f"te-{value!r}", head(b"Transfer-Encoding:" + (b" " if value[:1] not in (b"\t", b"\r") else b"") + value + b"\r\n") + hidden + SMUGGLED, REFUSED
    for value in (b"gzip, chunked", b"identity, chunked", b"deflate,chunked"):
        yield f"te-{value!r}", head(b"Transfer-Encoding: " + value + b"\r\n") + hidden, REFUSED
    for line in (b"Transfer-Encoding : chunked", b"Transfer-Encoding\t: chunked", b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked",
                 b"Transfer-Encoding", b"Transfer-Encoding\r\n : chunked", b"Transfer Encoding: chunked", b"X: y\nTransfer-Encoding: chunked",
                 b"X: y\rTransfer-Encoding: chunked", b"Transfer-Encoding\x00: chunked", b"\x00Transfer-Encoding: chunked",
                 b"Transfer-Encoding\xff: chunked", b"\xef\xbb\xbfTransfer-Encoding: chunked", b"(Transfer-Encoding: chunked", b"Transfer-Encoding=chunked"):
        yield f"te-line-{line!r}", head(line + b"\r\n") + hidden + SMUGGLED, REFUSED
        yield f"te-line-cl-{line!r}", head(b"Content-Length: 5\r\n" + line + b"\r\n") + chunked + SMUGGLED, REFUSED
    for two in ((b"chunked", b"chunked"), (b"chunked", b"identity"), (b"identity", b"chunked"), (b"chunked", b"x"), (b"", b"chunked")):
        yield f"te-twice-{two!r}", head(b"Transfer-Encoding: " + two[0] + b"\r\nTransfer-Encoding: " + two[1] + b"\r\n") + hidden + SMUGGLED, REFUSED
    # A twin with an underscore is a field like any other, and must not be seen as one by those behind us.
    yield "te-underscore", head(b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n") + b"hello", TAKEN
    yield "cl-underscore", head(b"Content_Length: 50\r\nContent-Length: 5\r\n") + b"hello", TAKEN
    yield "te-1.0", head(b"Transfer-Encoding: chunked\r\n", version=b"HTTP/1.0") + hidden, REFUSED
    yield "te-case", head(b"tRANSFER-eNCODING: CHUNKED\r\n") + hidden, TAKEN
    yield "te-ows", head(b"Transfer-Encoding:    chunked   \r\n") + hidden, EITHER
    yield "te-close", head(b"Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n") + hidden, EITHER
    yield "cl-close", head(b"Content-Length: 5\r\nConnection: Content-Length\r\n") + b"hello", EITHER
    for value in (b"+5", b"-5", b"5,5", b"5, 5", b"5 5", b"0x5", b"5.0", b"5e0", b"", b"five", b"5;", b'"5"', b"\t5", b"5\t", b"5\x00", b"\x005", b"5\r", b"5\x0b",
                  b"99999999999999999999", b"18446744073709551621", b"9223372036854775808", b"\xef\xbc\x95", b"5_0", b"5'", b"(5)", b"1" * 100, b"-0",
                  b"\r\n 5", b"5\r\n 5", b"5#", b"0b101", b"NaN"):
        yield f"cl-{value!r}", head(b"Content-Length: " + value + b"\r\n") + b"hello" + SMUGGLED, REFUSED
    for two in ((b"5", b"5"), (b"5", b"6"), (b"0", b"5"), (b"5", b"0"), (b"", b"5")):
        yield f"cl-twice-{two!r}", head(b"Content-Length: " + two[0] + b"\r\nContent-Length: " + two[1] + b"\r\n") + b"hello" + SMUGGLED, REFUSED
    for line in (b"Content-Length : 5", b"Content-Length\t: 5", b" Content-Length: 5", b"Content-Length", b"Content-Length\r\n : 5", b"X: y\nContent-Length: 5",
                 b"X: y\rContent-Length: 5", b"Content-Length\x00: 5", b"Content-Length\xa0: 5"):
        yield f"cl-line-{line!r}", head(line + b"\r\n") + b"hello" + SMUGGLED, REFUSED
    yield "cl-zeros", head(b"Content-Length: 0000000005\r\n") + b"hello", EITHER
    yield "cl-plain", head(b"Content-Length: 5\r\n") + b"hello", TAKEN
    yield "cl-0-body", head(b"Content-Length: 0\r\n"), TAKEN
    yield "fat-get", head(b"Content-Length: 5\r\n", method=b"GET") + b"hello", TAKEN
    yield "fat-get-smuggling", head(b"Content-Length: %d\r\n" % len(SMUGGLED), method=b"GET") + SMUGGLED, TAKEN
    yield "fat-head", head(b"Content-Length: 5\r\n", method=b"HEAD") + b"hello", EITHER
    yield "fat-delete", head(b"Transfer-Encoding: chunked\r\n", method=b"DELETE") + hidden, TAKEN
    yield "fat-options", head(b"Content-Length: 5\r\n", method=b"OPTIONS") + b"hello", TAKEN


def chunks():
    def chunked(body):
        return head(b"Transfer-Encoding: chunked\r\n") + body

    good = b"5\r\nhello\r\n0\r\n\r\n"
    for name, body in {
            "lf-size": b"5\nhello\r\n0\r\n\r\n", "lf-data": b"5\r\nhello\n0\r\n\r\n", "lf-last": b"5\r\nhello\r\n0\n\r\n", "lf-end": b"5\r\nhello\r\n0\r\n\n",
            "cr-size": b"5\rhello\r\n0\r\n\r\n", "cr-only-size": b"5\r5\r\nhello\r\n0\r\n\r\n", "no-crlf-data": b"5\r\nhello0\r\n\r\n", "data-xx": b"5\r\nhelloXX0\r\n\r\n",
            "data-short": b"6\r\nhello\r\n0\r\n\r\n", "data-long": b"4\r\nhello\r\n0\r\n\r\n", "size-empty": b"\r\nhello\r\n0\r\n\r\n", "size-x": b"x\r\nhello\r\n0\r\n\r\n",
            "size-0x": b"0x5\r\nhello\r\n0\r\n\r\n", "size-plus": b"+5\r\nhello\r\n0\r\n\r\n", "size-minus": b"-5\r\nhello\r\n0\r\n\r\n", "size-space": b" 5\r\nhello\r\n0\r\n\r\n",
            "size-trailing": b"5 \r\nhello\r\n0\r\n\r\n", "size-tab": b"5\t\r\nhello\r\n0\r\n\r\n", "size-vt": b"5\x0b\r\nhello\r\n0\r\n\r\n", "size-nul": b"5\x00\r\nhello\r\n0\r\n\r\n",
            "size-comma": b"5,5\r\nhello\r\n0\r\n\r\n", "size-underscore": b"0_5\r\nhello\r\n0\r\n\r\n", "size-17": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
            "size-20": b"f" * 20 + b"\r\nhello", "size-16-zero": b"00000000000000005\r\nhello\r\n0\r\n\r\n", 
            "size-wide": b"\xef\xbc\x95\r\nhello\r\n0\r\n\r\n", "ext-lf": b"5;a\nhello\r\n0\r\n\r\n", "ext-cr": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
            "ext-nul": b"5;a\x00\r\nhello\r\n0\r\n\r\n", "ext-empty": b"5;\r\nhello\r\n0\r\n\r\n", "ext-long": b"5;" + b"a" * 70000 + b"\r\nhello\r\n0\r\n\r\n",
            "ext-many": b"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n" * 400 + b"0\r\n\r\n", "ext-quoted-lf": b'5;a="\n"\r\nhello\r\n0\r\n\r\n',
            "double-crlf": b"5\r\nhello\r\n\r\n0\r\n\r\n", "lead-crlf": b"\r\n5\r\nhello\r\n0\r\n\r\n", "trailer-fold": b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n",
            "trailer-space": b"5\r\nhello\r\n0\r\nX : y\r\n\r\n", "trailer-lf": b"5\r\nhello\r\n0\r\nX: y\n\r\n", "trailer-nul": b"5\r\nhello\r\n0\r\nX: \x00\r\n\r\n",
            "trailer-no-colon": b"5\r\nhello\r\n0\r\nGET /crm/smuggled HTTP/1.1\r\n\r\n", "trailer-cr": b"5\r\nhello\r\n0\r\nX: y\rZ: z\r\n\r\n",
            "trailer-big": b"5\r\nhello\r\n0\r\n" + b"X: " + b"y" * 70000 + b"\r\n\r\n", "last-00-x": b"5\r\nhello\r\n00x\r\n\r\n", "end-crx": b"5\r\nhello\r\n0\r\n\rX\r\n",
            "ext-tab-before": b"5\t;a=b\r\nhello\r\n0\r\n\r\n", "ext-space-before": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
    }.items():
        yield f"chunk-{name}", chunked(body) + SMUGGLED, REFUSED
    yield "chunk-size-huge", chunked(b"ffffffffffffffff\r\nhello\r\n0\r\n\r\n") + SMUGGLED, CUT
    yield "chunk-cut-size", chunked(b"5"), REFUSED
    yield "chunk-cut-data", chunked(b"5\r\nhel"), REFUSED
    yield "chunk-cut-end", chunked(b"5\r\nhello\r\n"), REFUSED
    yield "chunk-cut-last", chunked(b"5\r\nhello\r\n0\r\n"), REFUSED
    yield "chunk-good", chunked(good), TAKEN
    yield "chunk-upper", chunked(b"A\r\nhellohello\r\n0\r\n\r\n"), TAKEN
    yield "chunk-zeros", chunked(b"005\r\nhello\r\n000\r\n\r\n"), EITHER
    yield "chunk-ext", chunked(b"5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n"), EITHER
    yield "chunk-ext-space", chunked(b"5; a = b\r\nhello\r\n0\r\n\r\n"), EITHER
    for name in (b"Authorization: Bearer evil", b"X-Rollout-Credential-Id: evil", b"Content-Length: 500", b"Transfer-Encoding: chunked", b"Host: evil", b"X-Tenant-Id: globex"):
        yield f"chunk-trailer-{name!r}", chunked(b"5\r\nhello\r\n0\r\n" + name + b"\r\n\r\n"), TAKEN
        yield f"chunk-trailer-told-{name!r}", head(b"Transfer-Encoding: chunked\r\nTrailer: " + name.split(b":")[0] + b"\r\n") + b"5\r\nhello\r\n0\r\n" + name + b"\r\n\r\n", TAKEN
    yield "chunk-many-small", chunked(b"1\r\nx\r\n" * 3000 + b"0\r\n\r\n"), TAKEN
    yield "chunk-holds-request", chunked(b"%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n"), TAKEN


def get(fields=b"", **more):
    return head(fields, method=more.pop("method", b"GET"), **more)


def fields():
    for byte in range(256):
        one = bytes([byte])
        yield f"name-{byte:02x}", get(b"X-A" + one + b"B: c\r\n"), TAKEN if byte in TOKEN or byte == 0x3a else REFUSED
        safe = byte == 9 or 0x20 <= byte != 0x7f
        yield f"value-{byte:02x}", get(b"X-A: b" + one + b"c\r\n"), TAKEN if safe else REFUSED
    for name, text in {
            "fold": b"X-A: b\r\n c\r\n", "fold-tab": b"X-A: b\r\n\tc\r\n", "fold-empty": b"X-A:\r\n \r\n", "first-space": b" X-A: b\r\n", "empty-name": b": b\r\n", "no-colon": b"X-A\r\n",
            "space-colon": b"X-A : b\r\n", "tab-colon": b"X-A\t: b\r\n", "lf": b"X-A: b\nX-B: c\r\n", "lf-end": b"X-A: b\n", "cr": b"X-A: b\rX-B: c\r\n", "crcrlf": b"X-A: b\r\r\n",
            "cr-x": b"X-A: b\r\n\rX: y\r\n", "nul-line": b"\x00\r\n", "only-space": b" \r\n", "only-tab": b"\t\r\n", "lfcr": b"X-A: b\n\r", "brace": b"{X: b\r\n", "lf-lf": b"X-A: b\n\n",
            "lf-crlf": b"X-A: b\n\r\n", "request-line": b"GET /crm/smuggled HTTP/1.1\r\n", "http2": b"PRI * HTTP/2.0\r\n",
    }.items():
        yield f"field-{name}", get(text) + SMUGGLED, REFUSED
    for count, verdict in ((90, TAKEN), (97, EITHER), (101, REFUSED), (1000, REFUSED), (20000, REFUSED)):
        yield f"fields-{count}", get(b"".join(b"X-%d: y\r\n" % i for i in range(count))), verdict
    yield "empty-values", get(b"X-A:\r\nX-B: \r\n"), TAKEN
    for one in (b"Host", b"Content-Length", b"X-Tenant-Id", b"X-App-Key", b"X-Rollout-Credential-Id", b"Content-Type"):
        value = {b"Content-Length": b"0", b"X-Rollout-Credential-Id": b"cred-acme", b"X-Tenant-Id": b"acme", b"X-App-Key": b"followupboss"}.get(one, b"a")
        yield f"twice-{one!r}", get(b"".join(one + b": " + value + b"\r\n" for _ in range(1 if one in (b"Host", b"X-Tenant-Id") else 2))), REFUSED
    yield "tenant-twice", get(b"X-Tenant-Id: globex\r\n"), REFUSED
    yield "tenant-both", get(target=b"/t/globex/crm/people/{id}"), DECLINED
    for value in (b"", b"a b", b"acme,globex", b"../x", b"acme/", b"%61cme", b"ac\xe9", b"a" * 129, b'"acme"', b"acme;globex", b"acme\\x", b"*"):
        yield f"tenant-{value!r}", get(tenant=b"X-Tenant-Id: " + value + b"\r\n"), DECLINED
    yield "tenant-underscore", get(b"X_Tenant_Id: globex\r\n"), TAKEN
    yield "tenant-none", get(tenant=b""), DECLINED
    for value in (b"a, b c", b'"close, x"', b"close\x0b", b"x@y", b"a;b"):
        yield f"connection-{value!r}", get(b"Connection: " + value + b"\r\n"), REFUSED
    for value in (b"200-ok", b"100-continue, x", b"100-continue;q=1", b"x", b""):
        yield f"expect-{value!r}", head(b"Expect: " + value + b"\r\nContent-Length: 5\r\n") + b"hello", REFUSED
    yield "upgrade", get(b"Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"), EITHER
    yield "websocket", get(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), EITHER


def identities():
    for line in (b"Authorization: Bearer evil", b"authorization: evil", b"Authorization: Bearer evil\r\nAuthorization: Basic evil", b"Proxy-Authorization: evil",
                 b"X_Rollout_Credential_Id: evil", b"X-Rollout_Credential-Id: evil", b"X.Rollout.Credential.Id: evil", b"X-Rollout-Credential!Id: evil", b"authorization_: evil",
                 b"X_Authorization: evil", b"HTTP_AUTHORIZATION: evil", b"Cookie: evil=1", b"Connection: Authorization", b"Connection: X-Rollout-Credential-Id",
                 b"Connection: close, authorization, x-rollout-credential-id, host, content-type", b"Connection: X-Tenant-Id", b"Connection: Via, X-Request-Id, traceparent",
                 b"X-Forwarded-Host: evil", b"X-Forwarded-For: evil", b"Forwarded: for=evil", b"X-Original-URL: /evil", b"X-Rewrite-URL: /evil", b"X-HTTP-Method-Override: DELETE",
                 b"X-Real-IP: evil", b"X-Host: evil", b"X-Forwarded-Prefix: /evil", b"TE: trailers, evil", b"Trailer: Authorization", b"Keep-Alive: evil", b"Proxy-Connection: evil",
                 b"X-Rollout-Signature: evil", b"X-Fanout-Evil_: evil"):
        yield f"identity-{line!r}", get(line + b"\r\n"), TAKEN
    for line in (b"X-Gateway-Key: evil", b"X-Gateway-Key: rgk_evil", b"Authorization: Bearer rgk_evil", b"X-Fanout: evil", b"X-Fanout: all", b"Idempotency-Key: x"):
        yield f"identity-{line!r}", get(line + b"\r\n"), EITHER
    for line in (b"X-Rollout-Credential-Id: cred-globex", b"X-Rollout-Credential-Id: evil", b"X-Rollout-Credential-Id: ", b"X-Rollout-Credential-Id: cred-acme,cred-globex",
                 b"X-App-Key: lofty", b"X-Rollout-Credential-Id: cred-acme\xff"):
        yield f"selector-{line!r}", get(line + b"\r\n"), DECLINED if line.split(b": ")[1] else EITHER


def targets():
    for target in (b"/crm/../admin", b"/crm/people/../../x", b"/crm/..", b"/crm/.", b"/crm/./x", b"/crm/%2e%2e/x", b"/crm/%2E%2e/x", b"/crm/.%2e/x", b"/crm/..%2fx", b"/crm/..%5cx",
                   b"/crm/%2e%2e%2fx", b"/crm/x%2fy", b"/crm/x%5cy", b"/crm/x%00y", b"/crm/x%0ay", b"/crm/x%0d%0aX:y", b"/crm/x%7f", b"/crm//x", b"//crm/x", b"/crm/..;/x", b"/crm/..;a=b/x",
                   b"/crm/.;/x", b"/crm/%252e%252e/x", b"/crm/%25%32%65%25%32%65/x", b"/crm/%c0%ae%c0%ae/x", b"/crm/%c0%af", b"/crm/%e0%80%af", b"/crm/%u002e%u002e/x", b"/crm/%",
                   b"/crm/%2", b"/crm/%zz", b"/crm/x%2", b"/CRM/x", b"/crmx/x", b"/crm%2fx", b"/%2fcrm/x", b"/t/acme/../globex/crm/x", b"/t//crm/x", b"/t/acme//crm/x",
                   b"/t/ac%6de%2f/crm/x", b"/t/%2e%2e/crm/x", b"/t/acme%00/crm/x", b"/", b"*", b"/crm%00/x", b"/crm/%2e", b"/crm/x/..", b"/crm/x/.", b"/crm/x/%2e%2e", b"/admin", b"/v1/config",
                   b"/metrics", b"/crm/%ed%a0%80", b"/crm/%ff", b"/crm/%252f", b"/crm/%255c", b"/crm/%2500", b"/crm/a%3b/..", b"/crm/;/x", b"/webhooks/rollout/x"):
        yield f"target-{target!r}", get(target=target), DECLINED
    for target in (b"", b"crm/x", b"\\crm\\x", b"/crm/\\..\\x", b"/crm\\x", b"http:/crm/x", b"http://", b"http:///crm/x", b"ftp://a/crm/x", b"http://b/crm/x", b"http://a@b/crm/x", b"http://a:99999/crm/x",
                   b"http://a\\@b/crm/x", b"//a@b/../x", b"@b/crm/x", b":80/crm/x", b"?x", b"#x", b"/crm/x#y", b"/crm/x\x00", b"/crm/x\x7f", b"/crm/\xe9", b"/crm/x\ty", b"/crm/x y", b"/crm/<x>",
                   b"/crm/\"x\"", b"/crm/x|y", b"/crm/x^y", b"/crm/{x}", b"/crm/`x`", b"a:80", b"http://a b/crm/x", b"javascript:x", b"/crm/x\x0b", b"/crm/x?\x01", b"/crm/x?a#b", b"/crm/x?%", b"/crm/x?%0",
                   b"/crm/x?a\xff", b"/" + b"a" * 100000):
        yield f"target-{target[:40]!r}", get(target=target), DECLINED if target.startswith(b"//a@b") else REFUSED
    for target in (b"http://a/crm/people/{id}", b"HTTP://A/crm/people/{id}", b"/crm/people/{id}?a=%2f..%2f", b"/crm/people/{id}?a=../../x", b"/crm/people/{id}?", b"/crm/people/{id}?a=b&a=c&&",
                   b"/crm/people/{id}/", b"/crm/people/%41{id}", b"/crm/people/{id};v=1", b"/crm/people/{id}~", b"/crm/people/{id}...", b"/crm/people/{id}%20x", b"/crm/people/{id}%3f", b"/crm/people/{id}%23",
                   b"/crm/people/{id}?%00", b"/crm/people/{id}?x=%0d%0aAuthorization:%20evil", b"/t/acme/crm/people/{id}", b"/t/%61cme/crm/people/{id}", b"/crm/people/{id}?[a]=b", b"/crm/people/{id}%c3%a9"):
        yield f"target-{target!r}", get(target=target), EITHER
    # with dots all over: what stays inside stays as one path
    yield "target-dots-inside", get(target=b"/crm/people/{id}/a.b/c..d/...x"), EITHER
    yield "target-long-query", get(target=b"/crm/people/{id}?" + b"a=" + b"b" * 20000), TAKEN


def starts():
    for value in (b"", b" ", b"a b", b"a,b", b"a/b", b"a@b", b"a:b", b"a:0", b"a:99999", b"a:-1", b"a:", b"[::1", b"[::g]", b"::1", b"a\tb", b"a;b", b"a%2fb", b"a\\b", b"<a>", b"\xe9", b"a:80:80", b"a\"", b"'a'",
                  b"a#b", b"a?b", b"http://a", b"[::1]x", b"[]", b"a:8a", b"*", b"a|b", b"(a)"):
        yield f"host-{value!r}", get(host=b"Host: " + value + b"\r\n"), REFUSED
    yield "host-none", get(host=b""), REFUSED
    yield "host-two-differ", get(host=b"Host: a\r\nHost: b\r\n"), REFUSED
    yield "host-fold", get(host=b"Host: a\r\n b\r\n"), REFUSED
    yield "host-1.0-none", get(host=b"", version=b"HTTP/1.0"), EITHER
    for value in (b"a", b"A:80", b"127.0.0.1:8080", b"[::1]:80", b"a_b", b"a.b-c.", b"[2001:db8::1]"):
        yield f"host-{value!r}", get(host=b"Host: " + value + b"\r\n"), TAKEN
    for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/2.0", b"HTTP/2", b"HTTP/3", b"HTTP/1", b"HTTP/1.", b"HTTP/.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1.01", b"http/1.1", b"Http/1.1", b"HTTP /1.1",
                    b"HTTP/ 1.1", b"HTTP/1 .1", b"HTTP/1.1x", b"HTTP/-1.1", b"HTTP/1,1", b"HTTPS/1.1", b"HTTP//1.1", b"RTSP/1.0", b"ICE/1.0", b"HTTP/1.1 ", b"HTTP/1.1\t", b"", b"HTTP/\xff.1", b"HTTP/1.1\x00", b"HTTP/1.1\r",
                    b"x HTTP/1.1", b"HTTP/1.1 HTTP/1.1", b"SIP/2.0"):
        yield f"version-{version!r}", get(version=version), REFUSED
    yield "version-1.0", get(version=b"HTTP/1.0"), EITHER
    for method in (b"CONNECT", b"TRACE", b"get", b"GeT", b"", b"GET\t", b" GET", b"G ET", b"GET\x00", b"GE\xff", b"(GET)", b"GET,POST", b"GET:", b"X" * 70000, b"PRI", b"SOURCE", b"FOO", b"M-FOO", b"GETGET", b"{", b"\"GET\"",
                   b"DESCRIBE", b"\r\n\r\n\r\nGET", b"\nGET", b"\rGET", b"\x16\x03\x01GET", b"\xef\xbb\xbfGET"):
        yield f"method-{method[:20]!r}", get(method=method), EITHER if method in (b"SOURCE", b"DESCRIBE", b"PRI", b"FOO", b"M-FOO", b"GETGET") else REFUSED
    for method in (b"OPTIONS", b"PUT", b"PATCH", b"DELETE", b"SEARCH", b"REPORT", b"MKCOL"):
        yield f"method-{method!r}", get(method=method), EITHER if method in (b"SEARCH", b"REPORT", b"MKCOL") else TAKEN
    yield "line-two-spaces", b"GET  /crm/people/{id} HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-two-spaces-2", b"GET /crm/people/{id}  HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-tab", b"GET\t/crm/people/{id}\tHTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-lf", b"GET /crm/people/{id} HTTP/1.1\nHost: a\nX-Tenant-Id: acme\n\n", REFUSED
    yield "line-lf-one", b"GET /crm/people/{id} HTTP/1.1\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-cr", b"GET /crm/people/{id} HTTP/1.1\rHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-0.9", b"GET /crm/people/{id}\r\n\r\n", REFUSED
    yield "line-fold", b"GET /crm/people/{id}\r\n HTTP/1.1\r\nHost: a\r\nX-Tenant-Id: acme\r\n\r\n", REFUSED
    yield "line-empty-one", b"\r\n" + get(), EITHER
    yield "garbage", b"\x00" * 50 + b"\r\n\r\n", REFUSED
    yield "tls", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n", REFUSED
    yield "h2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REFUSED
    yield "ssh", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", REFUSED
    yield "proxy-protocol", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n" + get(), REFUSED
    yield "answer", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", REFUSED
    yield "head-40k", get(b"X-A: " + b"b" * 40000 + b"\r\n"), REFUSED
    yield "head-endless", b"GET /crm/people/{id} HTTP/1.1\r\nX-A: " + b"b" * 200000, REFUSED
    yield "name-endless", b"GET /crm/people/{id} HTTP/1.1\r\n" + b"b" * 200000, REFUSED
    yield "body-11m", head(b"Content-Length: 11534336\r\n") + b"x" * 65536, REFUSED
    yield "body-huge", head(b"Content-Length: 9223372036854775807\r\n") + b"x" * 100, REFUSED
    yield "body-short", head(b"Content-Length: 500\r\n") + b"x" * 100, CUT


def all_cases():
    out = []
    for family in (framing, chunks, fields, identities, targets, starts):
        out += [(f"{family.__name__}:{name}", data, verdict) for name, data, verdict in family()]
    return out


# --- the origin ---------------------------------------------------------------------------------------------------

class Heard:
    """One request, as a reader without any tolerance understood it."""

    def __init__(self, line, lines, body):
        self.method, self.target, self.version = line
        self.fields = lines
        self.body = body

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]


class Strict:
    """Reads raw bytes from sockets. What is not HTTP/1.1 to the letter lands in `faults` and ends the connection.
    answer(heard) returns the bytes to send, or None to close."""

    LINE = re.compile(rb"([A-Z][A-Z-]*) (/[!-~]*|\*) HTTP/1\.1\Z")
    FIELD = re.compile(rb"([A-Za-z0-9-]+): ?([\t -~\x80-\xff]*)\Z")

    def __init__(self, answer=None):
        self.heard, self.faults, self.lock = [], [], threading.Lock()
        self.connections = 0
        self.answer = answer or self.echo
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    @staticmethod
    def echo(heard):
        owner = ",".join(value.decode("latin-1") for value in heard.all(b"X-Rollout-Credential-Id"))
        body = heard.target + b" " + owner.encode("latin-1")
        return b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: %d\r\n\r\n" % len(body) + (
            b"" if heard.method == b"HEAD" else body)

    def accept(self):
        while True:
            try:
                sock, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        file = sock.makefile("rb")
        try:
            while True:
                heard = self.read(file)
                if heard is None:
                    return
                with self.lock:
                    self.heard.append(heard)
                    heard.number = len(self.heard)
                heard.sock = sock
                answer = self.answer(heard)
                if answer is None:
                    return
                sock.sendall(answer)
        except OSError:
            pass
        finally:
            file.close()
            sock.close()

    def fault(self, what):
        with self.lock:
            self.faults.append(what)

    def line(self, file):
        line = file.readline(1 << 20)
        if not line.endswith(b"\r\n") or b"\r" in line[:-2] or b"\0" in line:
            if line:
                self.fault(("line", line[:200]))
            raise OSError("damaged")
        return line[:-2]

    def read(self, file):
        first = file.peek(1)
        if not first:
            return None
        start = self.line(file)
        match = self.LINE.match(start)
        if not match:
            self.fault(("start", start[:200]))
            raise OSError("damaged")
        fields = []
        while True:
            line = self.line(file)
            if not line:
                break
            field = self.FIELD.match(line)
            if not field:
                self.fault(("field", line[:200]))
                raise OSError("damaged")
            fields.append((field[1], field[2]))
        heard = Heard((match[1], match[2], b"HTTP/1.1"), fields, b"")
        lengths, codings, hosts = heard.all(b"Content-Length"), heard.all(b"Transfer-Encoding"), heard.all(b"Host")
        if len(lengths) + len(codings) > 1 or len(hosts) != 1:
            self.fault(("framing", lengths, codings, hosts))
            raise OSError("damaged")
        if lengths:
            heard.body = file.read(int(lengths[0]))
            if len(heard.body) < int(lengths[0]):
                return None  # cut: the gateway gave it up, which is its right
        elif codings:
            heard.body = self.chunks(file)
        return heard

    def chunks(self, file):
        out = b""
        while True:
            size = file.readline(100)
            if not re.match(rb"[0-9a-fA-F]+\r\n\Z", size):
                if size.strip():
                    self.fault(("chunk", size))
                raise OSError("cut")
            n = int(size, 16)
            data = file.read(n + 2)
            if len(data) < n + 2 or not data.endswith(b"\r\n"):
                if len(data) == n + 2:
                    self.fault(("chunk end", data[-20:]))
                raise OSError("cut")
            out += data[:-2]
            if n == 0:
                return out

    def clear(self):
        with self.lock:
            self.heard.clear()
            self.faults.clear()

    def stop(self):
        self.socket.close()


class Reader:
    """Answers from a socket, one after the other, with no tolerance either."""

    def __init__(self, sock):
        self.sock, self.buffer, self.ended, self.reset = sock, b"", False, False

    def more(self):
        if self.ended:
            return False
        try:
            piece = self.sock.recv(65536)
        except ConnectionResetError:
            piece, self.reset = b"", True
        self.ended = not piece
        self.buffer += piece
        return not self.ended

    def take(self, n):
        while len(self.buffer) < n and self.more():
            pass
        out, self.buffer = self.buffer[:n], self.buffer[n:]
        return out

    def until(self, mark):
        while mark not in self.buffer:
            if not self.more():
                return None
        at = self.buffer.index(mark) + len(mark)
        return self.take(at)

    def answer(self, method=b"GET"):
        """(status, {name: value}, body, whole) or None at the end of the connection."""
        raw = self.until(b"\r\n\r\n")
        if raw is None:
            assert not self.buffer, f"half an answer: {self.buffer[:200]!r}"
            return None
        lines = raw[:-4].split(b"\r\n")
        match = re.match(rb"HTTP/1\.1 (\d{3}) [ -~]*\Z", lines[0])
        assert match, lines[0]
        status = int(match[1])
        fields = {}
        for line in lines[1:]:
            name, colon, value = line.partition(b": ")
            assert colon or line.endswith(b":"), line
            assert all(b in TOKEN for b in name) and not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value), line
            fields.setdefault(name.lower().rstrip(b":"), []).append(value)
        if status < 200:
            return self.answer(method)
        if method == b"HEAD" or status in (204, 304):
            return status, fields, b"", True
        if b"content-length" in fields:
            assert b"transfer-encoding" not in fields and len(fields[b"content-length"]) == 1, raw
            length = int(fields[b"content-length"][0])
            body = self.take(length)
            return status, fields, body, len(body) == length
        if b"transfer-encoding" in fields:
            return (status, fields, *self.chunks())
        while self.more():
            pass
        return status, fields, self.take(len(self.buffer)), not self.reset

    def chunks(self):
        body = b""
        while True:
            size = self.until(b"\r\n")
            if size is None:
                return body, False
            n = int(size, 16)
            data = self.take(n + 2)
            if len(data) < n + 2:
                return body + data, False
            assert data.endswith(b"\r\n")
            if n == 0:
                return body, True
            body += data[:-2]


# --- answers ------------------------------------------------------------------------------------------------------

def answers():
    """(name, bytes, good): what an origin sends for a GET before it closes; good: the body a client may have, None for none."""
    ok = b"HTTP/1.1 200 OK\r\n"
    ten = b"Content-Length: 4\r\n\r\nevil"
    for name, head_lines in {
            "cl-differ": b"Content-Length: 4\r\nContent-Length: 6\r\n\r\nevil", "cl-list": b"Content-Length: 4, 4\r\n\r\nevil", "cl-x": b"Content-Length: 4x\r\n\r\nevil",
            "cl-huge": b"Content-Length: 18446744073709551620\r\n\r\nevil", "cl-negative": b"Content-Length: -4\r\n\r\nevil", "cl-plus": b"Content-Length: +4\r\n\r\nevil",
            "cl-empty": b"Content-Length: \r\n\r\nevil", "cl-hex": b"Content-Length: 0x4\r\n\r\nevil", "cl-2-63": b"Content-Length: 9223372036854775808\r\n\r\nevil",
            "cl-space": b"Content-Length : 4\r\n\r\nevil", "cl-fold": b"Content-Length:\r\n 4\r\n\r\nevil", "cl-te": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
            "te-cl": b"Transfer-Encoding: chunked\r\nContent-Length: 400\r\n\r\n4\r\nevil\r\n0\r\n\r\n", "te-x": b"Transfer-Encoding: xchunked\r\n\r\nevil", "te-gzip": b"Transfer-Encoding: gzip, chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
            "te-identity": b"Transfer-Encoding: identity\r\n\r\nevil", "te-twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
            "te-empty": b"Transfer-Encoding:\r\n\r\nevil", "te-vt": b"Transfer-Encoding: \x0bchunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
            "bare-cr": b"X-A: b\rX-Evil: c\r\n" + ten, "bare-lf": b"X-A: b\nX-Evil: c\r\n" + ten, "nul": b"X-A: b\x00c\r\n" + ten, "control": b"X-A: b\x01c\r\n" + ten, "del": b"X-A: b\x7f\r\n" + ten,
            "fold": b"X-A: b\r\n X-Evil: c\r\n" + ten, "space-colon": b"X-Evil : c\r\n" + ten, "empty-name": b": evil\r\n" + ten, "no-colon": b"evil\r\n" + ten, "name-space": b"X Evil: c\r\n" + ten,
            "name-high": b"X-\xe9vil: c\r\n" + ten, "name-paren": b"(Evil): c\r\n" + ten, "many": b"".join(b"X-%d: evil\r\n" % i for i in range(20000)) + ten, "big": b"X-A: " + b"evil" * 600000 + b"\r\n" + ten,
            "endless": b"X-A: " + b"evil" * 600000, "lf-only": b"X-A: b\n\nevil", "crcrlf": b"X-A: b\r\r\n" + ten, "type-twice": b"Content-Type: a/b\r\nContent-Type: text/html\r\n" + ten,
    }.items():
        yield f"head-{name}", ok + head_lines, None
    for line in (b"HTTP/1.1 000 x", b"HTTP/1.1 99999 x", b"HTTP/1.1 99 x", b"HTTP/1.1 600 x", b"HTTP/1.1 999 x", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200\tOK", b"HTTP/1.1", b"HTTP/1.1 ",
                 b"HTTP/2.0 200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.2 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 200 O\rK", b"HTTP/1.1 200\nX-Evil: y", b"ICY 200 OK", b"HTTP 200 OK", b"HTTP/1.1 20 0",
                 b"HTTP/1.1 200OK", b" HTTP/1.1 200 OK", b"HTTP/11 200 OK", b"\x00HTTP/1.1 200 OK", b"evil", b"<html>evil</html>", b"HTTP/1.1 101 Switching Protocols", b"GET / HTTP/1.1"):
        yield f"line-{line!r}", line + b"\r\n" + ten, None
    yield "empty-lines", b"\r\n\r\n" + ok + ten, None
    yield "0.9", b"evil evil evil", None
    yield "nothing", b"", None
    yield "half-line", b"HTTP/1.1 20", None
    yield "half-head", ok + b"X-A: evil\r\n", None
    yield "interim-body", b"HTTP/1.1 100 Continue\r\nContent-Length: 4\r\n\r\nevil" + ok + ten, None
    yield "interim-chunked", b"HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ok + ten, None
    yield "interim-flood", b"HTTP/1.1 100 Continue\r\n\r\n" * 50000 + ok + ten, None
    yield "interim-hints-flood", b"HTTP/1.1 103 Early Hints\r\nLink: </evil>\r\n\r\n" * 20000, None
    yield "interim-only", b"HTTP/1.1 100 Continue\r\n\r\n", None
    yield "interim-101-later", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: evil\r\n\r\nevil", None
    yield "te-1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n", None
    chunked = ok + b"Transfer-Encoding: chunked\r\n\r\n"
    for name, body in {
            "lf": b"4\nevil\r\n0\r\n\r\n", "x": b"x\r\nevil", "negative": b"-4\r\nevil\r\n0\r\n\r\n", "huge": b"ffffffffffffffffff\r\nevil", "space": b" 4\r\nevil\r\n0\r\n\r\n", "empty": b"\r\nevil", "end": b"4\r\nevilXX0\r\n\r\n",
            "short": b"9\r\nevil", "no-last": b"4\r\nevil\r\n", "no-end": b"4\r\nevil\r\n0\r\n", "last-lf": b"4\r\nevil\r\n0\r\n\n", "ext-endless": b"4;" + b"a" * 3000000, "ext-many": b"1;aaaaaaaaaaaaaaaaaaaaaaaa\r\ne\r\n" * 2000 + b"0\r\n\r\n",
            "ext-cr": b"4;a\rb\r\nevil\r\n0\r\n\r\n", "trailers-endless": b"4\r\nevil\r\n0\r\n" + b"X-A: b\r\n" * 50000 + b"\r\n", "trailer-nul": b"4\r\nevil\r\n0\r\nX: \x00\r\n\r\n", "0x": b"0x4\r\nevil\r\n0\r\n\r\n",
            "zeros-endless": b"0" * 1000000,
    }.items():
        yield f"chunk-{name}", chunked + body, None
    yield "body-short", ok + b"Content-Length: 400\r\n\r\nevil", None
    yield "body-none", ok + b"Content-Length: 400\r\n\r\n", None
    yield "good-length", ok + b"Content-Length: 4\r\n\r\ngood", b"good"
    yield "good-close", ok + b"\r\ngood", b"good"
    yield "good-1.0", b"HTTP/1.0 200 OK\r\n\r\ngood", b"good"
    yield "good-chunked", chunked + b"4;a=b\r\ngood\r\n0\r\nX-Evil: y\r\n\r\n", b"good"
    yield "good-hints", b"HTTP/1.1 103 Early Hints\r\nX-Evil: y\r\n\r\n" + ok + b"Content-Length: 4\r\n\r\ngood", b"good"
    yield "good-surplus", ok + b"Content-Length: 4\r\n\r\ngood" + ok + ten, b"good"
    yield "good-connection", ok + b"Connection: X-Evil\r\nX-Evil: y\r\nKeep-Alive: evil\r\nProxy-Authenticate: evil\r\nUpgrade: evil\r\nContent-Length: 4\r\n\r\ngood", b"good"
    yield "good-no-reason", b"HTTP/1.1 200\r\nContent-Length: 4\r\n\r\ngood", b"good"


# --- mutations ----------------------------------------------------------------------------------------------------

SEEDS = [
    get(b"Accept: */*\r\nUser-Agent: a\r\n"), get(b"X-Rollout-Credential-Id: cred-acme\r\nX-App-Key: followupboss\r\n"), head(b"Content-Length: 5\r\nContent-Type: a/b\r\n") + b"hello",
    head(b"Transfer-Encoding: chunked\r\nTrailer: X-A\r\n") + b"5;a=b\r\nhello\r\n3\r\nabc\r\n0\r\nX-A: b\r\n\r\n", get(target=b"/t/acme/crm/people/{id}?limit=5&x=%20y", tenant=b""), get(b"Connection: close, X-A\r\nX-A: b\r\n"),
    get(b"Expect: 100-continue\r\nContent-Length: 5\r\n", method=b"PUT") + b"hello", get(b"If-None-Match: \"a\", W/\"b\"\r\nRange: bytes=0-4\r\nCache-Control: max-age=5\r\n"), get(target=b"http://a/crm/people/{id}"),
    get(b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX-Request-Id: abc\r\n", version=b"HTTP/1.0"), get(b"Accept-Language: de;q=0.5, en\r\nX-Odd: 1\r\n", method=b"HEAD"),
]
SPARKS = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"%2e", b"%2f", b"%00", b"..", b"../", b"/", b"//", b"\\", b"?", b"#", b"@", b"*", b"0", b"-", b"+", b"_", b"\x7f", b"\x80", b"\xff", b"0\r\n\r\n", b"chunked", b"Content-Length: 3\r\n",
          b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: x\r\n", b"Host: b\r\n", b"X-Tenant-Id: globex\r\n", b"Authorization: Bearer evil\r\n", b"X-Rollout-Credential-Id: evil\r\n", b"Connection: X-Rollout-Credential-Id\r\n", b"GET /crm/smuggled HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0",
          b"X-App-Key: lofty\r\n", b" HTTP/1.1\r\n", b"X_Rollout_Credential_Id: evil\r\n", b"t/globex/", b"crm/", b"99999999999999999999", b"ffffffff", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n"]


def mutated(dice):
    """A good request with one to four hurts."""
    data = dice.choice(SEEDS)
    for _ in range(dice.choice((1, 1, 1, 2, 2, 3, 4))):
        at = dice.randrange(len(data))
        what = dice.randrange(7)
        if what == 0:
            data = data[:at] + bytes([dice.randrange(256)]) + data[at + 1:]
        elif what == 1:
            data = data[:at] + data[at + dice.choice((1, 1, 2, 5, 20)):]
        elif what == 2:
            data = data[:at] + dice.choice(SPARKS) + data[at:]
        elif what == 3:
            data = data[:at] + dice.choice(SPARKS) + data[at + 1:]
        elif what == 4:
            end = min(len(data), at + dice.choice((1, 4, 20)))
            data = data[:end] + data[at:end] + data[end:]
        elif what == 5:
            data = data[:at] + bytes([data[at] ^ (1 << dice.randrange(8))]) + data[at + 1:]
        else:
            other = dice.choice(SEEDS)
            data = data[:at] + other[dice.randrange(len(other)):]
        data = data or b"\r\n"
    return data
