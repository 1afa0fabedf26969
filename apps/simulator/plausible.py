"""Values that fit a JSON schema, taken from the prompt where that is easy."""

from __future__ import annotations

import re
from typing import Any

from apps.simulator.ask import Object

_NAME = re.compile(r"[A-Z][\w'’-]+(?: [A-Z][\w'’-]+)*")
_NUMBER = re.compile(r"-?\d+")
_DEPTH = 12

Value = Any  # JSON of any shape: the schema says which


class Hints:
    """What can be picked out of a prompt: names (runs of capitalised words) and whole numbers."""

    def __init__(self, said: str, *, turn: int = 0) -> None:
        tail = said[1:] if said[:1].isupper() else said  # the capital that begins the sentence is no name
        names = _NAME.findall(tail)
        numbers = _NUMBER.findall(said)
        self.name = names[turn % len(names)] if names else f"example {turn + 1}"
        self.number = int(numbers[turn % len(numbers)]) if numbers else turn + 1


def value(schema: Object, *, hints: Hints, root: Object | None = None, depth: int = 0) -> Value:
    """A value that satisfies a simple schema: types, enum, const, default, bounds, $ref, anyOf, allOf."""
    root = root if root is not None else schema
    if depth > _DEPTH:
        return None
    if reference := schema.get("$ref"):
        return value(_resolve(root, str(reference)), hints=hints, root=root, depth=depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return value(_first_real(schema[key]), hints=hints, root=root, depth=depth + 1)
    if schema.get("allOf"):
        merged = {key: item for part in schema["allOf"] for key, item in part.items()}
        return value(merged, hints=hints, root=root, depth=depth + 1)
    return _typed(schema, hints=hints, root=root, depth=depth)


def _typed(schema: Object, *, hints: Hints, root: Object, depth: int) -> Value:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((each for each in kind if each != "null"), "null")
    if kind == "object":
        properties: Object = schema.get("properties") or {}
        return {
            name: value(part, hints=hints, root=root, depth=depth + 1)
            for name, part in properties.items()
            if isinstance(part, dict)
        }
    if kind == "array":
        item = schema.get("items")
        size = max(int(schema.get("minItems", 1)), 1)
        one = value(item if isinstance(item, dict) else {}, hints=hints, root=root, depth=depth + 1)
        return [one] * size
    if kind in ("integer", "number"):
        return _number(schema, wish=hints.number)
    if kind == "boolean":
        return True
    return None if kind == "null" else _text(schema, wish=hints.name)


def _number(schema: Object, *, wish: int) -> int | float:
    number: int | float = wish
    if "minimum" in schema or "exclusiveMinimum" in schema:
        number = max(number, schema["minimum"] if "minimum" in schema else schema["exclusiveMinimum"] + 1)
    if "maximum" in schema or "exclusiveMaximum" in schema:
        number = min(number, schema["maximum"] if "maximum" in schema else schema["exclusiveMaximum"] - 1)
    return number


def _text(schema: Object, *, wish: str) -> str:
    formats = {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "email": "ada@example.com"}
    text = formats.get(str(schema.get("format")), wish)
    text = text.ljust(int(schema.get("minLength", 0)), "x")
    return text[: int(schema.get("maxLength", len(text)))]


def _first_real(options: list[Object]) -> Object:
    return next((each for each in options if each.get("type") != "null"), options[0])


def _resolve(root: Object, reference: str) -> Object:
    target: Value = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(step, {}) if isinstance(target, dict) else {}
    return target if isinstance(target, dict) and target is not root else {}
