/* Request heads: which ones are refused, and how. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "wire/wire.h"

#define H         "Host: a\r\n"
#define END       "\r\n\r\n"
#define GET       "GET / HTTP/1.1\r\nHost: a\r\n"
#define POST      "POST / HTTP/1.1\r\nHost: a\r\n"
#define TARGET(t) "GET " t " HTTP/1.1\r\nHost: a" END
#define HOST(h)   "GET / HTTP/1.1\r\nHost: " h END

struct row {
    const char *name;
    enum wire_verdict verdict;
    const char *text;
    size_t length;
};
#define ROW(verdict, name, text)                                                                             \
    {                                                                                                        \
        name, WIRE_##verdict, text, sizeof(text) - 1                                                         \
    }

static const struct row rows[] = {
    /* how a head begins and ends */
    ROW(OK, "the least request", GET "\r\n"),
    ROW(OK, "one empty line before", "\r\n" GET "\r\n"),
    ROW(OK, "two empty lines before", "\r\n\r\n" GET "\r\n"),
    ROW(BAD, "three empty lines before", "\r\n\r\n\r\n" GET "\r\n"),
    ROW(BAD, "a bare LF before", "\n" GET "\r\n"),
    ROW(BAD, "a bare CR before", "\r" GET "\r\n"),
    ROW(BAD, "a space before", " " GET "\r\n"),
    ROW(BAD, "NUL before", "\0" GET "\r\n"),
    ROW(BAD, "nothing", ""),
    ROW(BAD, "only an empty line", END),
    ROW(BAD, "three bytes", "\r\n\r"),
    ROW(BAD, "no empty line at the end", GET),
    ROW(BAD, "ends with LF LF", "GET / HTTP/1.1\nHost: a\n\n"),
    ROW(BAD, "ends with CRLF LF", GET "\n"),
    ROW(BAD, "ends with LF CRLF", "GET / HTTP/1.1\r\nHost: a\n\r\n"),
    ROW(BAD, "ends with CR CR", "GET / HTTP/1.1\r\nHost: a\r\r"),
    ROW(BAD, "bare CR before the last empty line", GET "\r\r\n\r\n"),
    ROW(BAD, "CRLF CR X, CVE-2025-23167", GET "\rX: y\r\n\r\n"),
    ROW(BAD, "CRLF CR NUL", GET "\r\0\r\n\r\n"),
    ROW(BAD, "an empty line inside", GET "\r\nX: y\r\n\r\n"),
    ROW(BAD, "a second request behind", GET "\r\n" GET "\r\n"),
    ROW(BAD, "a body behind", POST "Content-Length: 3\r\n\r\nabc"),
    ROW(BAD, "TLS hello", "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n"),
    ROW(BAD, "HTTP/2 frame", "\0\0\x12\x04\0\0\0\0\0\r\n\r\n"),

    /* request line */
    ROW(BAD, "HTTP/0.9", "GET /\r\n\r\n"),
    ROW(BAD, "HTTP/0.9 with a field", "GET /\r\nHost: a\r\n\r\n"),
    ROW(BAD, "version left out, space kept", "GET / \r\nHost: a\r\n\r\n"),
    ROW(BAD, "method alone", "GET\r\nHost: a\r\n\r\n"),
    ROW(BAD, "no method", " / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "two spaces before the target", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "two spaces before the version", "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "space behind the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ROW(BAD, "tab before the target", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "tab before the version", "GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "vertical tab between", "GET\v/\vHTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "form feed before the version", "GET /\f HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "space in the target", TARGET("/a b")),
    ROW(BAD, "two versions", TARGET("/ HTTP/1.1")),
    ROW(BAD, "bare CR in the request line", "GET / HTTP/1.1\rX: y\r\nHost: a\r\n\r\n"),
    ROW(BAD, "two CRs behind the version", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    ROW(BAD, "bare LF behind the version", "GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ROW(BAD, "LF alone as the request line", "\nHost: a\r\n\r\n"),
    ROW(BAD, "method with a colon", "GET: / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "method in brackets", "(GET) / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "method with a raw byte", "G\xc9T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "method with NUL", "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "small letters in the method", "get / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(OK, "unknown method", "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(OK, "method with a tail", "GETX / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(OK, "G", "G / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "TRACE", "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "an answer", "HTTP/1.1 200 OK\r\nHost: a\r\n\r\n"),
    ROW(OK, "a method that is only forwarded", "PROPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(OK, "PURGE", "PURGE / HTTP/1.1\r\nHost: a\r\n\r\n"),

    /* version */
    ROW(OK, "HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
    ROW(VERSION, "HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ROW(VERSION, "HTTP/1.9", "GET / HTTP/1.9\r\nHost: a\r\n\r\n"),
    ROW(VERSION, "HTTP/0.9 by name", "GET / HTTP/0.9\r\nHost: a\r\n\r\n"),
    ROW(VERSION, "HTTP/2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ROW(VERSION, "HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\n"),
    ROW(VERSION, "HTTP/9.9", "GET / HTTP/9.9\r\nHost: a\r\n\r\n"),
    ROW(VERSION, "HTTP/3.1", "GET / HTTP/3.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/2", "GET / HTTP/2\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1", "GET / HTTP/1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1.", "GET / HTTP/1.\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1.10", "GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/01.1", "GET / HTTP/01.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1,1", "GET / HTTP/1,1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/+.1", "GET / HTTP/+.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1.+", "GET / HTTP/1.+\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/A.1", "GET / HTTP/A.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTP/1.A", "GET / HTTP/1.A\r\nHost: a\r\n\r\n"),
    ROW(BAD, "http/1.1", "GET / http/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "HTTPS/1.1", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "RTSP/1.0", "GET / RTSP/1.0\r\nHost: a\r\n\r\n"),
    ROW(BAD, "ICE/1.0", "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n"),

    /* target */
    ROW(OK, "every byte of a path", TARGET("/AZaz09-._~!$&'()*+,;=:@/%41%5a")),
    ROW(OK, "query", TARGET("/a?b=c&d=/?:@")),
    ROW(OK, "brackets in the query", TARGET("/a?filter[name]=x")),
    ROW(OK, "an empty query", TARGET("/?")),
    ROW(OK, "escapes", TARGET("/%2f%2F%00?%20")),
    ROW(OK, "* of OPTIONS", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "* of GET", TARGET("*")),
    ROW(BAD, "PRI of HTTP/1.1", "PRI * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "** of OPTIONS", "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n"),
    ROW(BAD, "fragment", TARGET("/a#b")),
    ROW(BAD, "fragment in the query", TARGET("/a?b#c")),
    ROW(BAD, "raw byte in the path", TARGET("/\xc3\xa9")),
    ROW(BAD, "raw byte in the query", TARGET("/?\xff")),
    ROW(BAD, "quote", TARGET("/\"")),
    ROW(BAD, "less", TARGET("/<")),
    ROW(BAD, "greater", TARGET("/>")),
    ROW(BAD, "backslash", TARGET("/\\..\\")),
    ROW(BAD, "caret", TARGET("/^")),
    ROW(BAD, "backquote", TARGET("/`")),
    ROW(BAD, "opening brace", TARGET("/{")),
    ROW(BAD, "bar", TARGET("/|")),
    ROW(BAD, "closing brace", TARGET("/}")),
    ROW(BAD, "bar in the query", TARGET("/?|")),
    ROW(BAD, "bracket in the path", TARGET("/[a]")),
    ROW(BAD, "NUL in the target", TARGET("/\0a")),
    ROW(BAD, "DEL in the target", TARGET("/\x7f")),
    ROW(BAD, "tab in the target", TARGET("/a\tb")),
    ROW(BAD, "CR in the target", TARGET("/a\rb")),
    ROW(BAD, "a lone percent", TARGET("/%")),
    ROW(BAD, "half an escape", TARGET("/%4")),
    ROW(BAD, "first digit is none", TARGET("/%g1")),
    ROW(BAD, "second digit is none", TARGET("/%1g")),
    ROW(BAD, "an old unicode escape", TARGET("/%u002e")),
    ROW(BAD, "half an escape in the query", TARGET("/?%4")),
    ROW(BAD, "a relative path", TARGET("a/b")),
    ROW(BAD, "a query alone", TARGET("?a")),
    ROW(BAD, "authority-form", TARGET("a:80")),
    ROW(BAD, "authority-form, scheme-like", TARGET("http:80")),
    ROW(BAD, "user first", TARGET("@a/b")),
    ROW(OK, "absolute-form", TARGET("http://a/b?c")),
    ROW(OK, "absolute-form, https", TARGET("https://a/b")),
    ROW(OK, "absolute-form in other letters", TARGET("HTTP://A/b")),
    ROW(OK, "absolute-form without a path", TARGET("http://a")),
    ROW(OK, "absolute-form with a port", "GET http://a:81/ HTTP/1.1\r\nHost: a:81\r\n\r\n"),
    ROW(OK, "absolute-form, v6", "GET http://[::1]:81/ HTTP/1.1\r\nHost: [::1]:81\r\n\r\n"),
    ROW(OK, "absolute-form of HTTP/1.0 without Host", "GET http://a/b HTTP/1.0\r\n\r\n"),
    ROW(BAD, "absolute-form of HTTP/1.1 without Host", "GET http://a/b HTTP/1.1\r\n\r\n"),
    ROW(BAD, "absolute-form of another host", TARGET("http://b/")),
    ROW(BAD, "absolute-form of another port", TARGET("http://a:80/")),
    ROW(BAD, "absolute-form with a user", TARGET("http://u@a/")),
    ROW(BAD, "absolute-form with Host as the user", TARGET("http://a@b/")),
    ROW(BAD, "absolute-form with a password", TARGET("http://a:b@a/")),
    ROW(BAD, "absolute-form without a host", TARGET("http:///b")),
    ROW(BAD, "absolute-form, query without a path", TARGET("http://a?b")),
    ROW(BAD, "absolute-form, no slashes", TARGET("http:xxa/b")),
    ROW(BAD, "absolute-form of HTTP/1.0 with a user", "GET http://u@a/ HTTP/1.0\r\n\r\n"),
    ROW(BAD, "absolute-form of HTTP/1.0 with an escape", "GET http://%41/ HTTP/1.0\r\n\r\n"),
    ROW(BAD, "absolute-form, one slash", TARGET("http:/a/b")),
    ROW(BAD, "absolute-form, fragment", TARGET("http://a/#b")),
    ROW(BAD, "absolute-form, backslash", TARGET("http://a\\b/")),
    ROW(BAD, "absolute-form, other scheme", TARGET("ftp://a/")),
    ROW(BAD, "absolute-form, file", TARGET("file:///etc/passwd")),
    ROW(BAD, "absolute-form, scheme with a space", TARGET("ht tp://a/")),

    /* Host */
    ROW(BAD, "no Host", "GET / HTTP/1.1\r\n\r\n"),
    ROW(BAD, "no Host, but a twin", "GET / HTTP/1.1\r\nHost_: a\r\n\r\n"),
    ROW(BAD, "two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ROW(BAD, "the same Host twice", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n"),
    ROW(BAD, "two Hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    ROW(BAD, "empty Host", HOST("")),
    ROW(BAD, "empty Host in HTTP/1.0", "GET / HTTP/1.0\r\nHost:\r\n\r\n"),
    ROW(OK, "Host with a port", HOST("a.example:8080")),
    ROW(OK, "Host with an underscore", HOST("my_service")),
    ROW(OK, "Host of v4", HOST("127.0.0.1:1")),
    ROW(OK, "Host of v6", HOST("[2001:db8::1]")),
    ROW(OK, "Host of v6 with v4 in it", HOST("[::ffff:127.0.0.1]:65535")),
    ROW(OK, "the longest v6", HOST("[0000:0000:0000:0000:0000:ffff:255.255.255.255]")),
    ROW(BAD, "Host with a comma", HOST("a, b")),
    ROW(BAD, "Host with a comma only", HOST("a,b")),
    ROW(BAD, "Host with a path", HOST("a/b")),
    ROW(BAD, "Host with a user", HOST("u@a")),
    ROW(BAD, "Host with a query", HOST("a?b")),
    ROW(BAD, "Host with a fragment", HOST("a#b")),
    ROW(BAD, "Host with a space", HOST("a b")),
    ROW(BAD, "Host with a scheme", HOST("http://a")),
    ROW(BAD, "Host with an escape", HOST("a%41")),
    ROW(BAD, "Host with a backslash", HOST("a\\b")),
    ROW(BAD, "Host with a raw byte", HOST("\xc3\xa9")),
    ROW(BAD, "Host with a quote", HOST("\"a\"")),
    ROW(BAD, "Host with NUL", HOST("a\0b")),
    ROW(BAD, "port alone", HOST(":80")),
    ROW(BAD, "empty port", HOST("a:")),
    ROW(BAD, "port of letters", HOST("a:b")),
    ROW(BAD, "port with a sign", HOST("a:+80")),
    ROW(BAD, "port zero", HOST("a:0")),
    ROW(BAD, "port too large", HOST("a:65536")),
    ROW(BAD, "port too long", HOST("a:000080")),
    ROW(BAD, "two ports", HOST("a:80:80")),
    ROW(BAD, "v6 without brackets", HOST("::1")),
    ROW(BAD, "v6 not closed", HOST("[::1")),
    ROW(BAD, "v6 of letters", HOST("[::g]")),
    ROW(BAD, "v6 empty", HOST("[]")),
    ROW(BAD, "v6 with a zone", HOST("[fe80::1%25eth0]")),
    ROW(BAD, "v6 too long", HOST("[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]")),
    ROW(BAD, "v6 with NUL behind", HOST("[::1\0]")),
    ROW(BAD, "v6 with a tail", HOST("[::1]x")),
    ROW(BAD, "v6 with a tail and a port", HOST("[::1]x:80")),
    ROW(BAD, "IPvFuture", HOST("[v1.a]")),

    /* field lines */
    ROW(OK, "underscore in a name", GET "X_Tenant_Id: b\r\n\r\n"),
    ROW(OK, "every tchar in a name", GET "!#$%&'*+-.^_`|~09azAZ: b\r\n\r\n"),
    ROW(OK, "empty value", GET "X:\r\n\r\n"),
    ROW(OK, "blank value", GET "X: \t \r\n\r\n"),
    ROW(OK, "no space behind the colon", GET "X:y\r\n\r\n"),
    ROW(OK, "obs-text in a value", GET "X: \x80\xff\r\n\r\n"),
    ROW(OK, "tab in a value", GET "X: a\tb\r\n\r\n"),
    ROW(OK, "colons in a value", GET "X: :a:b:\r\n\r\n"),
    ROW(BAD, "space before the colon, CVE-2021-22959", GET "X : y\r\n\r\n"),
    ROW(BAD, "tab before the colon", GET "X\t: y\r\n\r\n"),
    ROW(BAD, "space before Host's colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    ROW(BAD, "space before the colon of a length, CVE-2024-27982", POST "Content-Length : 3\r\n\r\n"),
    ROW(BAD, "space before the first field, CVE-2024-27982", "GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ROW(BAD, "space in front of a length", POST " Content-Length: 3\r\n\r\n"),
    ROW(BAD, "folded with a space", GET "X: y\r\n z\r\n\r\n"),
    ROW(BAD, "folded with a tab", GET "X: y\r\n\tz\r\n\r\n"),
    ROW(BAD, "folded and empty", GET "X: y\r\n \r\n\r\n"),
    ROW(BAD, "folded coding, CVE-2022-32215", POST "Transfer-Encoding: chunked\r\n , identity\r\n\r\n"),
    ROW(BAD, "folded coding, value on the second line", POST "Transfer-Encoding:\r\n chunked\r\n\r\n"),
    ROW(BAD, "no colon", GET "Xy\r\n\r\n"),
    ROW(BAD, "no name", GET ": y\r\n\r\n"),
    ROW(BAD, "no name, a length", POST ": Content-Length: 3\r\n\r\n"),
    ROW(BAD, "name with a space", GET "X y: z\r\n\r\n"),
    ROW(BAD, "name with NUL", GET "X\0y: z\r\n\r\n"),
    ROW(BAD, "name with DEL", GET "X\x7f: z\r\n\r\n"),
    ROW(BAD, "name with a raw byte", GET "X\xe9: z\r\n\r\n"),
    ROW(BAD, "name with a quote", GET "\"X\": z\r\n\r\n"),
    ROW(BAD, "name with a bracket", GET "X[]: z\r\n\r\n"),
    ROW(BAD, "name with a slash", GET "X/y: z\r\n\r\n"),
    ROW(BAD, "name with a comma", GET "X,y: z\r\n\r\n"),
    ROW(BAD, "name with an at sign", GET "X@: z\r\n\r\n"),
    ROW(BAD, "name broken by CR", GET "X\ry: z\r\n\r\n"),
    ROW(BAD, "name broken by LF", GET "X\ny: z\r\n\r\n"),
    ROW(BAD, "value with NUL", GET "X: a\0b\r\n\r\n"),
    ROW(BAD, "value with a bell", GET "X: a\ab\r\n\r\n"),
    ROW(BAD, "value with DEL", GET "X: a\x7f\r\n\r\n"),
    ROW(BAD, "value with a vertical tab", GET "X: a\vb\r\n\r\n"),
    ROW(BAD, "value with an escape", GET "X: a\x1b[1m\r\n\r\n"),
    ROW(BAD, "value with a bare CR, CVE-2023-30589", GET "X: a\rY: b\r\n\r\n"),
    ROW(BAD, "value with a bare CR at its end", GET "X: a\r\r\n\r\n"),
    ROW(BAD, "value with a bare LF, CVE-2022-32214", GET "X: a\nY: b\r\n\r\n"),
    ROW(BAD, "length behind a bare CR", GET "X: a\rContent-Length: 3\r\n\r\n"),
    ROW(BAD, "coding behind a bare LF", POST "X: a\nTransfer-Encoding: chunked\r\n\r\n"),

    /* Content-Length */
    ROW(OK, "a length", POST "Content-Length: 5\r\n\r\n"),
    ROW(OK, "length zero", POST "Content-Length: 0\r\n\r\n"),
    ROW(OK, "leading zeros", POST "Content-Length: 0005\r\n\r\n"),
    ROW(OK, "the largest length", POST "Content-Length: 9223372036854775807\r\n\r\n"),
    ROW(BAD, "one more", POST "Content-Length: 9223372036854775808\r\n\r\n"),
    ROW(BAD, "twenty digits", POST "Content-Length: 00000000000000000005\r\n\r\n"),
    ROW(BAD, "over 2^64", POST "Content-Length: 18446744073709551617\r\n\r\n"),
    ROW(BAD, "plus", POST "Content-Length: +5\r\n\r\n"),
    ROW(BAD, "minus", POST "Content-Length: -5\r\n\r\n"),
    ROW(BAD, "minus zero", POST "Content-Length: -0\r\n\r\n"),
    ROW(BAD, "hex", POST "Content-Length: 0x5\r\n\r\n"),
    ROW(BAD, "empty length", POST "Content-Length:\r\n\r\n"),
    ROW(BAD, "blank length", POST "Content-Length:  \r\n\r\n"),
    ROW(BAD, "letters behind", POST "Content-Length: 5x\r\n\r\n"),
    ROW(BAD, "fraction", POST "Content-Length: 5.0\r\n\r\n"),
    ROW(BAD, "exponent", POST "Content-Length: 5e1\r\n\r\n"),
    ROW(BAD, "underscore between digits", POST "Content-Length: 5_0\r\n\r\n"),
    ROW(BAD, "space between digits", POST "Content-Length: 5 0\r\n\r\n"),
    ROW(BAD, "list of equal lengths", POST "Content-Length: 5, 5\r\n\r\n"),
    ROW(BAD, "list of two lengths", POST "Content-Length: 5,6\r\n\r\n"),
    ROW(BAD, "comma behind", POST "Content-Length: 5,\r\n\r\n"),
    ROW(BAD, "quoted length", POST "Content-Length: \"5\"\r\n\r\n"),
    ROW(BAD, "semicolon behind", POST "Content-Length: 5;\r\n\r\n"),
    ROW(BAD, "digits of another script", POST "Content-Length: \xd9\xa5\r\n\r\n"),
    ROW(BAD, "two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n"),
    ROW(BAD, "the same length twice", POST "Content-Length: 5\r\ncontent-length: 5\r\n\r\n"),
    ROW(BAD, "empty length first", POST "Content-Length:\r\nContent-Length: 5\r\n\r\n"),
    ROW(BAD, "tab before the length", POST "Content-Length:\t5\r\n\r\n"),
    ROW(BAD, "tab behind the length", POST "Content-Length: 5\t\r\n\r\n"),
    ROW(BAD, "vertical tab before the length", POST "Content-Length: \v5\r\n\r\n"),

    /* Transfer-Encoding */
    ROW(OK, "chunked", POST "Transfer-Encoding: chunked\r\n\r\n"),
    ROW(OK, "chunked in other letters", POST "TRANSFER-ENCODING: ChUnKeD\r\n\r\n"),
    ROW(OK, "chunked with more spaces", POST "Transfer-Encoding:   chunked  \r\n\r\n"),
    ROW(BAD, "CL.TE", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(BAD, "TE.CL", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"),
    ROW(BAD, "TE.CL zero", POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n"),
    ROW(BAD, "identity with a length", POST "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n"),
    ROW(BAD, "coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(BAD, "coding twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(BAD, "chunked, then identity",
        POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n"),
    ROW(BAD, "identity, then chunked",
        POST "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ROW(BAD, "empty coding", POST "Transfer-Encoding:\r\n\r\n"),
    ROW(BAD, "blank coding", POST "Transfer-Encoding:  \r\n\r\n"),
    ROW(BAD, "comma alone", POST "Transfer-Encoding: ,\r\n\r\n"),
    ROW(BAD, "comma before chunked", POST "Transfer-Encoding: ,chunked\r\n\r\n"),
    ROW(BAD, "comma behind chunked", POST "Transfer-Encoding: chunked,\r\n\r\n"),
    ROW(BAD, "xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n"),
    ROW(BAD, "chunkedx", POST "Transfer-Encoding: chunkedx\r\n\r\n"),
    ROW(BAD, "chunke", POST "Transfer-Encoding: chunke\r\n\r\n"),
    ROW(BAD, "x chunked", POST "Transfer-Encoding: x chunked\r\n\r\n"),
    ROW(BAD, "chunked x", POST "Transfer-Encoding: chunked x\r\n\r\n"),
    ROW(BAD, "identity", POST "Transfer-Encoding: identity\r\n\r\n"),
    ROW(BAD, "gzip", POST "Transfer-Encoding: gzip\r\n\r\n"),
    ROW(BAD, "chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n"),
    ROW(BAD, "chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
    ROW(BAD, "chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n"),
    ROW(NOT_IMPLEMENTED, "identity, chunked", POST "Transfer-Encoding: identity, chunked\r\n\r\n"),
    ROW(BAD, "gzip with a parameter", POST "Transfer-Encoding: gzip;q=1, chunked\r\n\r\n"),
    ROW(BAD, "chunked with a parameter", POST "Transfer-Encoding: chunked;q=1\r\n\r\n"),
    ROW(BAD, "double quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n"),
    ROW(BAD, "single quotes", POST "Transfer-Encoding: 'chunked'\r\n\r\n"),
    ROW(BAD, "tab before chunked", POST "Transfer-Encoding:\tchunked\r\n\r\n"),
    ROW(BAD, "tab behind chunked", POST "Transfer-Encoding: chunked\t\r\n\r\n"),
    ROW(BAD, "vertical tab before chunked",
        POST "Transfer-Encoding: \x0b"
             "chunked\r\n\r\n"),
    ROW(BAD, "form feed behind chunked", POST "Transfer-Encoding: chunked\f\r\n\r\n"),
    ROW(BAD, "NUL behind chunked", POST "Transfer-Encoding: chunked\0\r\n\r\n"),
    ROW(BAD, "CR behind chunked", POST "Transfer-Encoding: chunked\r\r\n\r\n"),
    ROW(BAD, "raw space before chunked",
        POST "Transfer-Encoding: \xa0"
             "chunked\r\n\r\n"),
    ROW(BAD, "raw letter in chunked",
        POST "Transfer-Encoding: chun\xe2\x84\xaa"
             "ed\r\n\r\n"),
    ROW(BAD, "space before the colon of the coding", POST "Transfer-Encoding : chunked\r\n\r\n"),
    ROW(BAD, "space in front of the coding", POST " Transfer-Encoding: chunked\r\n\r\n"),
    ROW(BAD, "coding behind the length's line end",
        POST "Content-Length: 5\rTransfer-Encoding: chunked\r\n\r\n"),

    /* other fields */
    ROW(OK, "tenant", GET "X-Tenant-Id: a\r\n\r\n"),
    ROW(BAD, "two tenants", GET "X-Tenant-Id: a\r\nx-tenant-id: b\r\n\r\n"),
    ROW(BAD, "the same tenant twice", GET "X-Tenant-Id: a\r\nX-Tenant-Id: a\r\n\r\n"),
    ROW(BAD, "two idempotency keys", POST "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n"),
    ROW(OK, "two Accepts", GET "Accept: a/b\r\nAccept: c/d\r\n\r\n"),
    ROW(OK, "two unknown fields", GET "X: a\r\nX: b\r\n\r\n"),
    ROW(OK, "Expect", POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\n"),
    ROW(BAD, "Expect something else", POST "Content-Length: 5\r\nExpect: 200-ok\r\n\r\n"),
    ROW(BAD, "Expect nothing", GET "Expect:\r\n\r\n"),
    ROW(BAD, "Expect twice", POST "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"),
    ROW(OK, "upgrade to h2c",
        GET "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n"),
    ROW(OK, "upgrade to WebSocket", GET "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
    ROW(OK, "upgrade with a body", POST "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n"),
    ROW(OK, "Connection with empty members", GET "Connection: , close,, x\r\n\r\n"),
    ROW(OK, "empty Connection", GET "Connection:\r\n\r\n"),
    ROW(BAD, "Connection quoted", GET "Connection: \"close, x\"\r\n\r\n"),
    ROW(BAD, "Connection with a space inside", GET "Connection: close x\r\n\r\n"),
    ROW(BAD, "second Connection broken", GET "Connection: close\r\nX: y\r\nConnection: @\r\n\r\n"),
};

static struct wire_result parse(struct slice head, struct http_request *out)
{
    static _Alignas(16) char storage[16384];
    static struct arena arena;

    arena_init(&arena, storage, sizeof(storage), sizeof(storage));
    return wire_parse_request(head, &arena, out);
}

/* What the guard must refuse, it refuses itself: that llhttp would have noticed too is no reason to pass. */
static bool is_as_expected(const struct row *row, struct wire_result result)
{
    if (result.verdict != row->verdict || (result.verdict == WIRE_OK) != (result.why[0] == '\0'))
        return false;
    return !strstr(result.why, "in two ways");
}

static void test_verdicts(void **state)
{
    size_t wrong = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct http_request request;
        struct wire_result result = parse(slice_of(rows[i].text, rows[i].length), &request);
        if (is_as_expected(&rows[i], result))
            continue;
        print_error("%s: verdict %d, expected %d (%s)\n", rows[i].name, result.verdict, rows[i].verdict,
                    result.why);
        wrong++;
    }
    assert_int_equal(wrong, 0);
}

/* Methods that llhttp reserves for other protocols: the only heads that the guard accepts and llhttp does
 * not. */
static void test_methods_of_other_protocols(void **state)
{
    static const char *const methods[] = {"DESCRIBE", "SETUP", "PLAY", "ANNOUNCE", "PRI"};

    (void)state;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        char text[64];
        struct http_request request;
        stpcpy(stpcpy(text, methods[i]), " / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_int_equal(parse(slice_from(text), &request).verdict, WIRE_BAD);
    }
}

/* What llhttp does not know goes through the same second reading. */
static void test_unknown_methods(void **state)
{
    static const char *const good[] = {"BREW", "QUERY", "GETX", "X-Y", "MY_OWN", "G"};

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[128];
        struct http_request request;
        stpcpy(stpcpy(text, good[i]), " /a?b HTTP/1.1\r\nHost: a\r\nX: y\r\nContent-Length: 3\r\n\r\n");
        assert_int_equal(parse(slice_from(text), &request).verdict, WIRE_OK);
        assert_int_equal(request.method, METHOD_OTHER);
        assert_true(slice_equal(request.method_name, slice_from(good[i])));
        assert_true(slice_equal(request.target, SLICE("/a?b")));
        assert_int_equal(request.fields.count, 3);
        assert_int_equal(request.length, 3);
        stpcpy(stpcpy(text, good[i]), " /a HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n");
        assert_int_equal(parse(slice_from(text), &request).verdict, WIRE_BAD);
    }
}

static void test_reasons(void **state)
{
    static const struct {
        const char *head, *why;
    } cases[] = {
        {GET " X: y\r\n\r\n", "a field line is folded"},
        {GET ": y\r\n\r\n", "a field has no name"},
        {GET "X : y\r\n\r\n", "white space stands before a colon"},
        {GET "X@: y\r\n\r\n", "a field name holds a byte that it must not hold"},
        {"GeT / HTTP/1.1\r\nHost: a\r\n\r\n", "no method looks like that"},
        {"+ET / HTTP/1.1\r\nHost: a\r\n\r\n", "no method looks like that"},
        {"helloGET / HTTP/1.1\r\nHost: a\r\n\r\n", "no method looks like that"},
        {GET "@: y\r\n\r\n", "a field name holds a byte that it must not hold"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_request request;
        assert_string_equal(parse(slice_from(cases[i].head), &request).why, cases[i].why);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_methods_of_other_protocols),
        cmocka_unit_test(test_unknown_methods),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
