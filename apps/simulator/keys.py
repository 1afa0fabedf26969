"""The caller's key, wherever a dialect has it: any will do, except none and the bad one."""

from __future__ import annotations

from collections.abc import Mapping

BAD_KEY = "bad-key"


def bearer(headers: Mapping[bytes, bytes]) -> str:
    scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def given(headers: Mapping[bytes, bytes]) -> str:
    """`x-api-key` or a bearer's; "" for none."""
    return headers.get(b"x-api-key", b"").decode("latin-1") or bearer(headers)
