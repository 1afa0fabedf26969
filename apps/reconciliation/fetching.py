"""Reports asked of providers' admin APIs, page by page, through the guarded way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from apps.catalog import selectors as catalog
from apps.catalog import vault
from apps.outbound import documents
from apps.reconciliation.models import ReportSource, Shape, Vendor
from apps.reconciliation.shapes import pages, registry
from apps.reconciliation.shapes.lines import Read, Unreadable

MOST_PAGES = 100
MOST_PAGE_BYTES = 8 * 1024 * 1024
MOST_BYTES = 64 * 1024 * 1024
SECONDS = 30.0
DAYS_A_PAGE = 31
MOST_WORDS = 120
SHAPES: dict[str, tuple[Shape, ...]] = {
    Vendor.ANTHROPIC: (Shape.ANTHROPIC_COST, Shape.ANTHROPIC_USAGE),
    Vendor.OPENAI: (Shape.OPENAI_COSTS, Shape.OPENAI_USAGE),
}
_PATHS = {
    Shape.ANTHROPIC_COST: ("/v1/organizations/cost_report",),
    Shape.ANTHROPIC_USAGE: ("/v1/organizations/usage_report/messages",),
    Shape.OPENAI_COSTS: ("/v1/organization/costs",),
    Shape.OPENAI_USAGE: ("/v1/organization/usage/completions", "/v1/organization/usage/embeddings"),
}
_GROUPS = {
    Shape.ANTHROPIC_COST: ("workspace_id", "description"),
    Shape.ANTHROPIC_USAGE: ("model", "api_key_id", "workspace_id"),
    Shape.OPENAI_COSTS: ("line_item", "project_id"),
    Shape.OPENAI_USAGE: ("model", "api_key_id", "project_id"),
}


class Failed(Exception):
    """Why there is no report, in words for whoever asked for it."""


def fetch(source: ReportSource, shape: str, *, first: date, last: date, progress: Callable[[int], object]) -> Read:
    """`progress` hears how many pages have been read. Raises Failed."""
    kind = Shape(shape)
    found: list[dict[str, Any]] = []
    size = 0
    try:
        secret = vault.open_one(source.ciphertext, place=source.place)
    except vault.SecretUnreadable:
        raise Failed("Its admin key does not open any more: set it anew.") from None
    for path in _PATHS[kind]:
        for body in _pages(source, path, _query(kind, first, last), secret=secret):
            size += len(body)
            if len(found) >= MOST_PAGES or size > MOST_BYTES:
                raise Failed(f"The provider has more than {MOST_PAGES} pages or {MOST_BYTES:,} bytes: ask for less.")
            found.append(_page(body))
            progress(len(found))
    try:
        pages.check(found)
        return registry.IN_PAGES[kind](found)
    except Unreadable as error:
        raise Failed(f"What it answers cannot be read. {error}") from None


def _pages(source: ReportSource, path: str, query: list[tuple[str, str]], *, secret: str) -> Iterator[bytes]:
    token, known = "", set[str]()
    networks = catalog.private_networks()
    while True:
        asked = urlencode([*query, *([("page", token)] if token else [])])
        try:
            reply = documents.ask(
                "GET",
                f"{source.address}{path}?{asked}",
                networks=networks,
                headers=_headers(source, secret),
                seconds=SECONDS,
                most=MOST_PAGE_BYTES,
            )
        except documents.Unavailable as error:
            raise Failed(f"{source.address} cannot be asked: {error.reason}.") from None
        if reply.status != 200:
            raise Failed(f"It answers {reply.status}{_words(reply.body, secret)}.")
        yield reply.body
        page = _page(reply.body)
        if not page.get("has_more"):
            return
        token = str(page.get("next_page") or "")
        if not token or token in known or len(token) > 2_000:
            raise Failed("It says that there is more, and not where.")
        known.add(token)


def _page(body: bytes) -> dict[str, Any]:
    try:
        return pages.one(body)
    except Unreadable as error:
        raise Failed(f"What it answers cannot be read. {error}") from None


def _query(kind: Shape, first: date, last: date) -> list[tuple[str, str]]:
    begin, end = (datetime.combine(day, time(), UTC) for day in (first, last + timedelta(days=1)))
    limit = [("bucket_width", "1d"), ("limit", str(DAYS_A_PAGE))]
    if kind in SHAPES[Vendor.ANTHROPIC]:
        span = [("starting_at", f"{begin:%Y-%m-%dT%H:%M:%SZ}"), ("ending_at", f"{end:%Y-%m-%dT%H:%M:%SZ}")]
        return [*span, *limit, *(("group_by[]", name) for name in _GROUPS[kind])]
    span = [("start_time", str(int(begin.timestamp()))), ("end_time", str(int(end.timestamp())))]
    return [*span, *limit, *(("group_by", name) for name in _GROUPS[kind])]


def _headers(source: ReportSource, secret: str) -> dict[str, str]:
    plain = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if source.vendor == Vendor.ANTHROPIC:
        return {**plain, "x-api-key": secret, "anthropic-version": "2023-06-01"}
    return {**plain, "Authorization": f"Bearer {secret}"}


def _words(body: bytes, secret: str) -> str:
    """The provider's own, if it says any, without the key."""
    try:
        told = json.loads(body[:64_000])["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    text = "".join(character for character in str(told).replace(secret, "•••") if character.isprintable())
    return f": {text[:MOST_WORDS]}" if text else ""
