"""Who calls is what the nearest proxy that is named says, and nobody else: not what was written left of it, not a name
that only looks like the header, not what comes from somebody who is no proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from gateway_site.connections import Bounds
from gateway_site.forwarded import HEADERS, Proxies
from gateway_site.server import configuration
from tests.gateway.framings import REQUEST, SMUGGLED, chunks
from tests.gateway.wire import Wire, statuses

pytestmark = [pytest.mark.attack("F20"), pytest.mark.once]
NAMED = ["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]
OUTSIDE = "203.0.113.9"
# What a proxy sends, and who calls: "" is the proxy itself.
HOPS = {
    OUTSIDE: OUTSIDE,
    f" {OUTSIDE} ": OUTSIDE,
    f"6.6.6.6, {OUTSIDE}": OUTSIDE,
    f"6.6.6.6, {OUTSIDE}, 10.0.0.1": OUTSIDE,
    f"10.0.0.1, {OUTSIDE}, 10.0.0.2,10.0.0.3": OUTSIDE,
    f"{', '.join(['6.6.6.6'] * 2_000)}, {OUTSIDE}": OUTSIDE,
    f"{OUTSIDE}, {', '.join(['10.0.0.1'] * 31)}": OUTSIDE,
    f"{OUTSIDE}, {', '.join(['10.0.0.1'] * 32)}": "10.0.0.1",
    f"{OUTSIDE}, 10.0.0.9, {', '.join(['10.0.0.1'] * 2_000)}": "10.0.0.1",
    "10.0.0.5, 10.0.0.6": "10.0.0.5",
    f"{OUTSIDE}:1234": OUTSIDE,
    f"::ffff:{OUTSIDE}": OUTSIDE,
    f"[::ffff:{OUTSIDE}]:1": OUTSIDE,
    "2001:4860:4860::8888": "2001:4860:4860::8888",
    "2001:4860:4860:0:0:0:0:8888": "2001:4860:4860::8888",
    "[2001:4860:4860::8888]": "2001:4860:4860::8888",
    "[2001:4860:4860::8888]:443": "2001:4860:4860::8888",
    "6.6.6.6, 2001:4860:4860::8888, 2001:db8::1": "2001:4860:4860::8888",
    f"unknown, {OUTSIDE}": OUTSIDE,
    f"6.6.6.6, unknown, {OUTSIDE}": OUTSIDE,
    "6.6.6.6, unknown": "",
    "6.6.6.6, unknown, 10.0.0.1": "10.0.0.1",
    "unknown": "",
    "": "",
    ",": "",
    f"{OUTSIDE},": "",
    "_hidden": "",
    "localhost": "",
    "999.1.1.1": "",
    "1.2.3": "",
    "0x7f.1": "",
    "010.0.0.1": "",
    "16909060": "",
    "127.0.0.1%0a": "",
    "fe80::1%eth0": "",
    "[::1": "",
    "::1]": "",
    "[::1]x": "",
    "1.2.3.4/8": "",
    "1.2.3.4;drop": "",
    '"1.2.3.4"': "",
    "\xff": "",
    "１.2.3.4".encode().decode("latin-1"): "",
    "a" * 10_000: "",
}


@pytest.fixture(scope="module", params=[NAMED, []], ids=["behind a proxy", "before nobody"])
def server(request: pytest.FixtureRequest) -> Iterator[Wire]:
    running = Wire(proxies=request.param)
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def stranger() -> Iterator[Wire]:
    """A server whose proxies are elsewhere, so that who calls it is none."""
    running = Wire(proxies=["10.0.0.0/8"])
    running.start()
    yield running
    running.stop()


def seen(wire: Wire, *lines: str) -> tuple[str, str, dict[bytes, bytes]]:
    """Who calls, by what, and the headers."""
    wire.asked.clear()
    head = REQUEST + b"".join(line.encode("latin-1") + b"\r\n" for line in lines)
    assert statuses(wire.exchange(head + b"\r\n" + SMUGGLED)) == [200, 200]
    (asked, _) = wire.asked
    assert asked.client is not None
    return asked.client[0], asked.scheme, dict(asked.headers)


def test_the_last_address_that_is_no_proxys_is_who_calls(server):
    for hops, caller in HOPS.items():
        client, _, _ = seen(server, f"X-Forwarded-For: {hops}")
        assert client == (caller if server.proxies and caller else "127.0.0.1"), hops


def test_lines_of_one_header_are_one_list(server):
    for lines, caller in {
        ("6.6.6.6", OUTSIDE): OUTSIDE,
        (OUTSIDE, "10.0.0.1"): OUTSIDE,
        ("6.6.6.6", "junk"): "",
    }.items():
        client, _, _ = seen(server, *(f"x-forwarded-for: {line}" for line in lines))
        assert client == (caller if server.proxies and caller else "127.0.0.1"), lines


def test_names_that_only_look_so_say_nothing(server):
    names = ("X_Forwarded_For", "X-Forwarded_For", "X_FORWARDED-FOR", "Forwarded-For", "X-Real-IP", "Client-IP", "Via")
    for line in (*(f"{name}: {OUTSIDE}" for name in names), f"Forwarded: for={OUTSIDE};proto=https"):
        client, scheme, headers = seen(server, line)
        assert (client, scheme) == ("127.0.0.1", "http"), line
        assert not any(b"_" in name for name in headers)


def test_what_comes_behind_a_body_says_nothing(server):
    server.asked.clear()
    server.exchange(chunks(f"0\r\nx-forwarded-for: {OUTSIDE}\r\nx-forwarded-proto: https\r\n\r\n".encode()) + SMUGGLED)
    asked = server.asked[0]
    assert (asked.client[0], asked.scheme) == ("127.0.0.1", "http")


def test_the_scheme_is_a_proxys_to_say(server):
    for said, scheme in {"https": "https", "http": "http", "wss": "wss", "ftp": "http", "https, http": "http"}.items():
        assert seen(server, f"x-forwarded-proto: {said}")[1] == (scheme if server.proxies else "http"), said


def test_of_who_is_no_proxy_nothing_is_passed_on(stranger):
    """Nor for Django, which would believe `X-Forwarded-Proto` of anybody."""
    lines = [f"{name.decode().title()}: {OUTSIDE}" for name in HEADERS]
    client, scheme, headers = seen(stranger, *lines, "x-forwarded-proto: https", "x-other: kept")
    assert (client, scheme) == ("127.0.0.1", "http")
    assert headers.keys() == {b"host", b"x-other"}


def test_uvicorn_holds_the_same_for_proxies_however_they_are_written():
    named = Bounds(proxies=("10.1.2.3/8", "192.0.2.7", "2001:db8::1/32"))
    theirs = configuration(None, host="", port=0, bounds=named).forwarded_allow_ips
    for found in (Proxies(named.proxies).hold, ProxyHeadersMiddleware(None, theirs).trusted_hosts.__contains__):
        for address in ("10.9.9.9", "::ffff:10.9.9.9", "192.0.2.7", "::ffff:192.0.2.7", "2001:db8:1::1"):
            assert found(address), address
        for address in ("11.0.0.1", "::ffff:11.0.0.1", "192.0.2.8", "::ffff:192.0.2.8", "2001:db9::1", "::10.0.0.1"):
            assert not found(address), address
    assert Proxies(["*", "10.0.0.0/8"]).spelled_out() == ["*"]


def test_proxies_are_known_by_ipv4s_addresses_too_where_one_socket_serves_both_families():
    named = Proxies(["10.0.0.0/8"])
    assert named.hold("::ffff:10.0.0.1")
    assert not named.hold("::ffff:11.0.0.1")
    assert not named.hold("::10.0.0.1")
