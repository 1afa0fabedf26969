"""What a doctor has to say."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """`about`: what was looked at, a word. `cure`: what to do; empty where all is well. Each is one line."""

    level: Level
    about: str
    told: str
    cure: str = ""


def fine(about: str, told: str) -> Finding:
    return Finding("ok", about, told)


def warning(about: str, told: str, cure: str) -> Finding:
    """Works, and will or may not."""
    return Finding("warning", about, told, cure)


def problem(about: str, told: str, cure: str) -> Finding:
    """Does not work, or guards nothing."""
    return Finding("problem", about, told, cure)
