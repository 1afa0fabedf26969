"""What one line of the tables says."""

from __future__ import annotations

from typing import Any

import msgspec

ABSENT = "__absent__"
ALL = ("anthropic", "openai", "responses", "invoke", "converse", "ollama")


def but(*relayed: str) -> tuple[str, ...]:
    """Every upstream but those to which the caller's bytes are relayed, who judge for themselves."""
    return tuple(name for name in ALL if name not in relayed)


class Bad(msgspec.Struct, frozen=True, kw_only=True):
    """`change` is made to a good body. `names` is what the 400 blames; None: the field is ignored, or fitted to what
    the model takes, and the call is answered. `at` are the upstreams that this holds for. `told` is what the documents
    say of an ignored one."""

    what: str
    change: dict[str, Any]
    names: str | None
    at: tuple[str, ...] = ALL
    told: str = ""


def body(good: dict[str, Any], bad: Bad, *, model: str) -> dict[str, Any]:
    changed = {"model": model, **good, **bad.change}
    return {name: value for name, value in changed.items() if value != ABSENT}
