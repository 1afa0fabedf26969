"""What people's addresses, queries and headers say does not become a header of an answer, nor another host's page."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from tests.gateway.wire import ending, statuses

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F20", "F21")]
SPLIT = (
    "%0d%0aset-cookie:%20forged=1",
    "%0aset-cookie:%20forged=1",
    "%0d%0a%0d%0a<html>",
    "%E5%98%8A%E5%98%8Dset-cookie",
)
SPLIT += ("%00", "%ff", "%1b[2K", "%c2%85", "%e2%80%a8x")
HOSTS = ("//evil.example", "/\\evil.example", "//evil.example/%2e%2e", "/%5cevil.example", "/%2f/evil.example")
PAGES = (
    "/admin/login/?next=",
    "/sign-in/?next=",
    "/sign-in/?next=/",
    "/sign-out/?next=",
    "/admin/?q=",
    "/admin/catalog/model/?q=",
    "/live/",
)
PAGES += ("/", "/admin", "/t/", "/static/", "/api/v1/models?cursor=", "/health/", "/e/")


def asked(gateway, target: str, *lines: str) -> tuple[int, dict[str, str], bytes]:
    head = "\r\n".join([f"GET {target} HTTP/1.1", "host: localhost", "connection: close", *lines, "", ""])
    with socket.create_connection((gateway.host, gateway.port), timeout=30) as raw:
        raw.sendall(head.encode("latin-1"))
        answer = ending(raw)
    (status,) = statuses(answer)
    told, _, body = answer.partition(b"\r\n\r\n")
    headers = [line.partition(b": ") for line in told.split(b"\r\n")[1:]]
    return status, {name.decode().lower(): value.decode("ascii") for name, _, value in headers}, body


def test_a_line_end_in_an_address_or_query_ends_no_header(gateway, caplog):
    for page in PAGES:
        for junk in SPLIT:
            status, headers, body = asked(gateway, page + junk)
            assert status < 500, (page, junk)
            assert "forged" not in headers.get("set-cookie", ""), (page, junk)
            assert not set(body) & {0, 0x1B, 0xFF}, (page, junk)
            body.decode("utf-8")
    assert "Traceback" not in caplog.text


def test_no_address_or_query_leads_to_another_host(gateway, caplog):
    for page in (*PAGES, ""):
        for where in HOSTS:
            status, headers, _ = asked(gateway, page + where if page else where)
            assert status < 500, (page, where)
            place = headers.get("location", "/")
            assert urlsplit(place.replace("\\", "/")).netloc in ("", "localhost"), (page, where, place)
    assert "Traceback" not in caplog.text


def test_a_host_or_scheme_that_somebody_only_claims_is_in_no_redirect(gateway):
    lines = ("x-forwarded-host: evil.example", "forwarded: host=evil.example", "x_forwarded_host: evil.example")
    for page in ("/admin", "/admin/", "/sign-in", "/"):
        status, headers, body = asked(gateway, page, *lines, "x-original-url: /metrics")
        assert status < 500
        assert "evil.example" not in headers.get("location", "")
        assert b"evil.example" not in body
