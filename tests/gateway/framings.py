"""Requests that two parsers on one way may read differently: HAProxy's table (reg-tests/http-messaging) and what llhttp
and others have got wrong.

Each stands before a `GET /smuggled` on the same connection, and `hello` is a body or what is meant to be taken for one.
"""

from __future__ import annotations

REQUEST = b"POST /a HTTP/1.1\r\nhost: x\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
EMPTY = b"0\r\n\r\n"
HELLO = b"5\r\nhello\r\n" + EMPTY


def coded(value: bytes, *, head: bytes = REQUEST, rest: bytes = b"") -> bytes:
    return head + b"transfer-encoding:" + value + b"\r\n" + rest + b"\r\n" + EMPTY


def long(value: bytes) -> bytes:
    return REQUEST + b"content-length:" + value + b"\r\n\r\nhello"


def chunks(body: bytes) -> bytes:
    return REQUEST + b"transfer-encoding: chunked\r\n\r\n" + body


def said(line: bytes) -> bytes:
    """A header line, in a request that is good but for it."""
    return REQUEST + line + b"\r\ncontent-length: 5\r\n\r\nhello"


def asked(target: bytes, *, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    return method + b" " + target + b" " + version + b"\r\nhost: x\r\n\r\n"


def upgrade(*, to: bytes, method: bytes = b"POST", body: bytes = b"hello") -> bytes:
    key = b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    length = b"content-length: %d\r\n" % len(body) if body else b""
    asking = b"connection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\nupgrade: " + to + b"\r\n"
    return method + b" /a HTTP/1.1\r\nhost: x\r\n" + asking + key + length + b"\r\n" + body


CODINGS = (
    *(b" chunked, chunked", b" chunked, gzip, chunked", b" chunked, gzip", b" gzip", b" gzip, chunked"),
    *(b" identity", b" identity, chunked", b" xchunked", b" chunkedx", b" chunked;a=b", b" chunked,", b" ,chunked"),
    *(b"", b" ", b' "chunked"', b" x, chunked", b" \x0bchunked", b" chunked\x0b", b" \x0cchunked", b" chun\0ked"),
    *(b"\r\n chunked", b" chunked\r\n ,gzip", b" \xc2\xa0chunked", b" chunked\xff", b" ch\xc5\xabnked"),
)
LENGTHS = (
    *(b" +5", b" -5", b" 0x5", b" 5, 5", b" 5,6", b" 5 5", b"", b" ", b" 5.0", b" 5e0", b" 5;", b' "5"', b" five"),
    *(b" 5\x0b", b" \x0b5", b" 5\0", b" 5_0", b" \xef\xbc\x95", b" \xb2", b"\r\n 5", b" 5\r\n 6"),
    *(b" 18446744073709551615", b" 18446744073709551621", b" 4294967301" + b"0" * 20, b" " + b"0" * 30 + b"5"),
)
CHUNKS = {
    "a quoted line end in an extension": b'5;a="b\r\n"\r\nhello\r\n0\r\n\r\n',
    "an extension that ends at LF": b"5;a\nhello\r\n0\r\n\r\n",
    "an extension with CR": b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "an extension after a space": b"5 ;a=b\r\nhello\r\n0\r\n\r\n",
    "an extension that is none": b"5;\r\nhello\r\n0\r\n\r\n",
    "control characters in an extension": b"5;a=\x01\r\nhello\r\n0\r\n\r\n",
    "no text in an extension": b"5;\xff=\xff\r\nhello\r\n0\r\n\r\n",
    "a length below nothing": b"-5\r\nhello\r\n0\r\n\r\n",
    "a sign": b"+5\r\nhello\r\n0\r\n\r\n",
    "a prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a length beyond 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a space before": b" 5\r\nhello\r\n0\r\n\r\n",
    "a space after": b"5 \r\nhello\r\n0\r\n\r\n",
    "a tab after": b"5\t\r\nhello\r\n0\r\n\r\n",
    "no length": b"\r\nhello\r\n0\r\n\r\n",
    "no digit": b"g\r\nhello\r\n0\r\n\r\n",
    "a digit of another script": b"\xd9\xa5\r\nhello\r\n0\r\n\r\n",
    "too short": b"4\r\nhello\r\n0\r\n\r\n",
    "too long": b"6\r\nhello\r\n0\r\n\r\n",
    "LF after the length": b"5\nhello\r\n0\r\n\r\n",
    "LF after the data": b"5\r\nhello\n0\r\n\r\n",
    "nothing after the data": b"5\r\nhello0\r\n\r\n",
    "CR after the length": b"5\rhello\r\n0\r\n\r\n",
    "LF at the end": b"0\n\n",
    "CR LF and LF at the end": b"0\r\n\n",
    "less than nothing at the end": b"-0\r\n\r\n",
    "a length behind": b"0\r\ncontent-length: 50\r\n\r\n",
    "a coding behind": b"0\r\ntransfer-encoding: chunked\r\n\r\n",
    "a folded line behind": b"0\r\na: b\r\n c\r\n\r\n",
    "a line behind that begins with a space": b"0\r\n x: y\r\n\r\n",
    "a line behind that is no header": b"0\r\njunk\r\n\r\n",
}
LINES = {
    "a folded line": b"x-a: b\r\n c",
    "a line that ends at LF": b"x-a: b\ncontent-type: x",
    "CR in a value": b"x-a: b\rc",
    "CR for a line's end": b"x-a: b\rcontent-length: 9",
    "CR CR LF": b"x-a: b\r",
    "NUL in a value": b"x-a: b\0c",
    "NUL in a name": b"x\0a: b",
    "a control character in a value": b"x-a: \x01",
    "escapes in a value": b"x-a: \x1b[31m",
    "DEL in a value": b"x-a: b\x7fc",
    "no text in a name": b"x-\xe9: b",
    "a space before the colon": b"x-a : b",
    "a space before the colon of a length": b"content-length : 5",
    "a tab before the colon": b"content-length\t: 5",
    "a space before the name": b" x-a: b",
    "no name": b": b",
    "no colon": b"x-a",
    "a length twice": b"content-length: 5",
    "a length twice, another one": b"content-length: 6",
    "a length for who takes `_` for `-`": b"content_length: 50",
    "a coding for who takes `_` for `-`": b"Transfer_Encoding: chunked",
    "a coding beside a length": b"transfer-encoding: chunked",
    "another coding beside a length": b"transfer-encoding: identity",
    "a host twice": b"host: y",
    "the same host twice": b"host: x",
    **{
        f"{name!r} of the connection": b"connection: close, " + name for name in (b"Content-Length", b"host", b"cookie")
    },
    "the caller's address of the connection": b"connection: x-forwarded-for",
    "a key of the connection": b"connection: x-api-key",
}
HOSTS = (b"x y", b"x/y", b"u@x", b"x,y", b"x#", b"x?y", b"a\\b", b"x:y", b"[::1", b"::1", b"\xff", b"x:80:80", b"x%00")
TARGETS = (
    *(b"*", b"x:80", b"admin", b"admin/a", b"?", b"\\a", b"http://x/a", b"http://y/a", b"https://x/a", b"http://x"),
    *(b"http://x:80/a", b"http://u:p@x/a", b"http://", b"ftp://x/a", b"/a#b", b"/a#/../b", b"/a b", b"/a\tb", b"/a\0b"),
    *(b"/\xff", b"/\xc3\xa4", b"/a\x01b", b"/a\x7fb", b"/a?\xff", b"/a?b\x0bc"),
)
METHODS = (b"get", b"G\0T", b"GET\xff", b"FOO", b"PRI", b"GE", b"", b" GET", b"GET\t", b"CONNECT")
VERSIONS = (b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.10", b"HTTP/01.1", b"HTTP/1", b"HTTP/2", b"")
VERSIONS += (b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/1.\xb9", b"ICE/1.0")

REFUSED: dict[str, bytes] = {
    **{f"coding {value!r}": coded(value) for value in CODINGS},
    **{f"coding {value!r} and a length": coded(value, rest=b"content-length: 5\r\n") for value in CODINGS},
    **{f"length {value!r}": long(value) for value in LENGTHS},
    **{f"chunks: {name}": chunks(body) for name, body in CHUNKS.items()},
    **{f"line: {name}": said(line) for name, line in LINES.items()},
    **{f"host {value!r}": b"GET /a HTTP/1.1\r\nhost: " + value + b"\r\n\r\n" for value in HOSTS},
    **{f"target {value!r}": asked(value) for value in TARGETS},
    **{f"method {value!r}": asked(b"/a", method=value) for value in METHODS},
    **{f"version {value!r}": asked(b"/a", version=value) for value in VERSIONS},
    **{f"tunnel to {value!r}": asked(value, method=b"CONNECT") for value in (b"x:80", b"x", b"http://x:80/")},
    "HAProxy's: a coding and a length": coded(b" chunked", rest=b"content-length: 31\r\n"),
    "a coding and no length": coded(b" chunked", rest=b"content-length: 0\r\n"),
    "a length and a coding": REQUEST + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n" + EMPTY,
    "a coding twice": coded(b" chunked", rest=b"transfer-encoding: chunked\r\n"),
    "two codings": coded(b" identity", rest=b"transfer-encoding: chunked\r\n"),
    "two codings, the other way": coded(b" chunked", rest=b"transfer-encoding: identity\r\n"),
    "a coding and a length, of HTTP/1.0": coded(
        b" chunked", head=b"POST /a HTTP/1.0\r\n", rest=b"content-length: 5\r\n"
    ),
    "a coding whose name ends in a space": REQUEST + b"transfer-encoding : chunked\r\n\r\n" + EMPTY,
    "a coding whose line begins with a space": REQUEST + b" transfer-encoding: chunked\r\n\r\n" + EMPTY,
    "a first header that begins with a space": b"POST /a HTTP/1.1\r\n host: x\r\ncontent-length: 5\r\n\r\nhello",
    "no host": b"GET /a HTTP/1.1\r\n\r\n",
    "no host, of what has a body": b"POST /a HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello",
    "LF for all line ends": long(b" 5").replace(b"\r\n", b"\n"),
    "LF for the request line's end": long(b" 5").replace(b"\r\n", b"\n", 1),
    "LF for the head's end": REQUEST + b"content-length: 5\r\n\nhello",
    "CR for the head's end": REQUEST + b"content-length: 5\r\n\rhello",
    "a target of OPTIONS that only begins well": asked(b"*/a", method=b"OPTIONS"),
    "a tab in the request line": b"GET\t/a\tHTTP/1.1\r\nhost: x\r\n\r\n",
    "HTTP/2's first words": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a WebSocket with a body": upgrade(to=b"websocket"),
    "a WebSocket by another method": upgrade(to=b"websocket", body=b""),
    "a WebSocket with a body, by GET": upgrade(to=b"websocket", method=b"GET"),
    "a WebSocket with a length and a coding": upgrade(to=b"websocket").replace(
        b"content-length", b"transfer-encoding: chunked\r\ncontent-length"
    ),
}
# What is read, and with which body; what comes behind is read from where it ends.
READ: dict[str, tuple[bytes, bytes]] = {
    **{f"coding {value!r}": (coded(value), b"") for value in (b" chunked", b"chunked", b" Chunked", b"  CHUNKED  ")},
    **{f"length {value!r}": (long(value), b"hello") for value in (b" 5", b"5", b"\t5\t", b" 05")},
    "chunks": (chunks(HELLO), b"hello"),
    "chunks with an extension": (chunks(b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n'), b"hello"),
    "chunks with a long extension": (chunks(b"5;" + b"a" * 9_000 + b"\r\nhello\r\n" + EMPTY), b"hello"),
    "chunks with zeros": (chunks(b"0005\r\nhello\r\n000\r\n\r\n"), b"hello"),
    "chunks that hold a request": (chunks(b"%x\r\n%b\r\n" % (len(SMUGGLED), SMUGGLED) + EMPTY), SMUGGLED),
    "a length of a request": (REQUEST + b"content-length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED, SMUGGLED),
    "HAProxy's: what may come behind the chunks": (coded(b" chunked", rest=b"TE: trailers, gzip\r\n"), b""),
    "a header behind the chunks": (chunks(b"5\r\nhello\r\n0\r\nx-api-key: k\r\nhost: y\r\nx-a: b\r\n\r\n"), b"hello"),
    "a body of GET": (b"GET /a HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello", b"hello"),
    "chunks of GET": (b"GET /a HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + HELLO, b"hello"),
    "lines before a request": (b"\r\n\r\n" + long(b" 5"), b"hello"),
    "a line behind a request": (long(b" 5") + b"\r\n", b"hello"),
    "a host of no name": (b"GET /a HTTP/1.1\r\nhost:\r\n\r\n", b""),
    "a host that is an address": (b"GET /a HTTP/1.1\r\nhost: [::1]:80\r\n\r\n", b""),
    "no text in a value": (said(b"x-a: \xe9\xff"), b"hello"),
    "what is expected": (said(b"expect: 100-continue"), b"hello"),
    "what nobody knows is expected": (said(b"expect: 200-ok"), b"hello"),
    "another header of the connection": (said(b"connection: x-a\r\nx-a: b"), b"hello"),
    "HAProxy's: the target of OPTIONS": (asked(b"*", method=b"OPTIONS"), b""),
    "an upgrade to what is not spoken": (upgrade(to=b"h2c"), b"hello"),
    "an upgrade with another request for its body": (upgrade(to=b"h2c", body=SMUGGLED), SMUGGLED),
    "an upgrade with chunks": (coded(b" chunked", head=upgrade(to=b"x", body=b"")[:-2]), b""),
    "an upgrade of nothing": (upgrade(to=b"TLS/1.0", method=b"GET", body=b""), b""),
    "an upgrade that the connection does not name": (said(b"upgrade: h2c"), b"hello"),
}
# What is read, and is the last.
LAST: dict[str, tuple[bytes, bytes]] = {
    "HAProxy's: a coding of HTTP/1.0": (coded(b" chunked", head=b"POST /a HTTP/1.0\r\n"), b""),
    "HTTP/1.0": (b"GET /a HTTP/1.0\r\n\r\n", b""),
    "HTTP/1.0 that would stay": (b"GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b""),
    "a protocol that llhttp takes for HTTP/1.0": (asked(b"/a", version=b"RTSP/1.0"), b""),
    "the end": (said(b"connection: close"), b"hello"),
    "the end, among others": (said(b"connection: x-b, close"), b"hello"),
    "the end and no end": (said(b"connection: keep-alive\r\nconnection: close"), b"hello"),
    "the end and an upgrade": (said(b"connection: upgrade, close\r\nupgrade: h2c"), b"hello"),
}
COUNT = len(REFUSED) + len(READ) + len(LAST)
