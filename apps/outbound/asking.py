"""A provider asked outside the data plane: by the admin and by the health check, for as long as one question takes.

For synchronous callers. The loop gets a thread of its own, so it matters not at all whether the caller's thread is
running one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec

from apps.domain.protocols import refusal
from apps.domain.providers.registry import vendor as vendor_of
from apps.domain.providers.vendor import Vendor
from apps.domain.snapshot import Secret, Timeouts
from apps.outbound import signing

HeaderList = list[tuple[str, str]]
_MOST_WORDS = 600
_Found = TypeVar("_Found")


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A provider as it is called. `secret` is bound to "": it is shown to nobody else. `quirks` None: its vendor's."""

    vendor_slug: str
    protocol: str
    base_url: str
    secret: Secret
    private_networks: Sequence[str]
    options: Mapping[str, str] = {}
    quirks: frozenset[str] | None = None

    @property
    def vendor(self) -> Vendor:
        return vendor_of(self.vendor_slug)

    def headers(self, *more: tuple[str, str]) -> HeaderList:
        return [*more, *self.vendor.headers(self.secret.reveal_for(""), client={})]

    async def signed(self, method: str, url: str, *, headers: HeaderList, body: bytes) -> HeaderList:
        """As far as the vendor wants it. Raises UpstreamAuth."""
        if not self.vendor.signer:
            return headers
        secret = self.secret.reveal_for("")
        return await signing.sign(method, url, headers=headers, body=body, secret=secret, options=self.options)

    def words(self, body: bytes) -> str:
        """The provider's own, without the credential and without what surrounds them in JSON."""
        return _shortened(_told(refusal.scrub(body[: 64 * 1024], self.cut)))

    def cut(self, told: bytes) -> bytes:
        """Takes the credential out of what the provider says."""
        return signing.cut_from(self.secret, told)


def asked(
    *,
    vendor: str,
    protocol: str,
    base_url: str,
    secret: str,
    private_networks: Sequence[str],
    options: Mapping[str, str] | None = None,
    quirks: frozenset[str] | None = None,
) -> Asked:
    return Asked(
        vendor_slug=vendor,
        protocol=protocol,
        base_url=base_url,
        secret=Secret(secret, host=""),
        private_networks=private_networks,
        options=options or {},
        quirks=quirks,
    )


def patience(seconds: float) -> Timeouts:
    """`seconds` bounds the whole."""
    return Timeouts(connect=min(5.0, seconds), first_byte=seconds, idle=seconds, total=seconds)


def run(question: Coroutine[Any, Any, _Found]) -> _Found:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="probe") as own:
        return own.submit(asyncio.run, question).result()


class _Error(msgspec.Struct):
    message: str


class _Nested(msgspec.Struct):
    error: _Error


class _Plain(msgspec.Struct):
    error: str


class _Bare(msgspec.Struct):
    message: str


def _told(body: bytes) -> str:
    for shape in (_Nested, _Plain, _Bare):
        try:
            read = msgspec.json.decode(body, type=shape)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        match read:
            case _Nested(error=error):
                return error.message
            case _Plain(error=text) | _Bare(message=text):
                return text
    return body.decode("utf-8", "replace")


def _shortened(text: str) -> str:
    line = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return line if len(line) <= _MOST_WORDS else f"{line[:_MOST_WORDS]}…"
