"""What docs/events promises of the data of each kind."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker

FOLDER = Path(__file__).resolve().parents[2] / "docs/events"


@functools.cache
def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{kind}.v1.json").read_text(encoding="utf-8"))
    return found


def faults(kind: str, data: Any) -> list[str]:
    """Where it is not as promised; also what is said and not promised."""
    promised = schema(kind)
    checker = Draft202012Validator(promised, format_checker=FormatChecker())
    found = [f"{kind}: {error.json_path}: {error.message}" for error in checker.iter_errors(data)]
    return found + [f"{kind}: {name} is not described" for name in set(data) - set(promised["properties"])]
