"""Good input made bad: as bytes, and where it is JSON, as a tree. All chance comes from the dice that are given."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from tests.fuzz.contract import Target

MOST = 64 * 1024  # bytes of an input
# As they are written: some of them no JSON library writes.
HOSTILE = (
    *("null", "true", "false", "0", "-0", "-1", "1e400", "-1e400", "1E+2", "1e-400", "0.1", "1.0", "NaN", "Infinity"),
    *(
        "9" * 25,
        "9" * 5_000,
        "18446744073709551616",
        "9007199254740993",
        "-9223372036854775809",
        "0" * 9,
        "1" + "0" * 400,
    ),
    *('""', '"x"', '" "', '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\ud83c\\udf0a"', '"é🌊\u2028"', '"\\"'),
    *("[]", "{}", "[[]]", "[null]", '{"":{}}', '{"type":"text"}', '{"type":null}', '{"error":{"message":null}}'),
    *(
        "[" * 80 + "]" * 80,
        '{"a":' * 80 + "1" + "}" * 80,
        '{"a":1,"a":2}',
        '{"a":1,"\\u0061":2}',
        '"' + "x" * 9_000 + '"',
    ),
    *('"data:image/png;base64,AAAA"', '"data:,"', '"http://[::1]/x"', '"https://example.com/\\u0000"', '"=="'),
    *('"2026-01-01T00:00:00Z"', '"0001-01-01T00:00:00+23:59"', '"9999-12-31T23:59:59-23:59"', '"text"', '"user"'),
)
NOISE = (
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n\r\n",
    b"\n\n",
    b'"',
    b"\\",
    b"{",
    b"]",
)
_MARK = "\u0001hostile:"


def mutated(dice: random.Random, data: bytes, target: Target) -> bytes:
    """Another input, not far from this one."""
    if target.is_json and dice.random() < 0.75 and (changed := _as_tree(dice, data, target)) is not None:
        data = changed
        if dice.random() < 0.8:
            return data[:MOST]
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        data = _as_bytes(dice, data, target)
    return data[:MOST]


def _as_bytes(dice: random.Random, data: bytes, target: Target) -> bytes:
    at = dice.randrange(len(data) + 1)
    until = min(len(data), at + dice.choice((1, 1, 2, 4, 16, 200)))
    match dice.randrange(7):
        case 0:
            return data[:at] + bytes((dice.randrange(256),)) + data[at + 1 :]
        case 1:
            return data[:at] + data[until:]
        case 2:
            return data[:at] + data[at:until] * dice.choice((2, 3, 30)) + data[until:]
        case 3:
            return data[:at]
        case 4:
            other = dice.choice(target.seeds)
            return data[:at] + other[dice.randrange(len(other) + 1) :]
        case 5:
            return data[:at] + dice.choice(target.words or NOISE) + data[at:]
    return data[:at] + dice.choice(NOISE) + data[until if dice.random() < 0.5 else at :]


def _as_tree(dice: random.Random, data: bytes, target: Target) -> bytes | None:
    """None where it is no JSON."""
    try:
        tree: Any = json.loads(data)
        for _ in range(dice.choice((1, 1, 1, 2, 3))):
            tree = _changed(dice, tree, target)
        written = json.dumps(tree, ensure_ascii=dice.random() < 0.5)
    except (ValueError, RecursionError):
        return None
    for number, value in enumerate(HOSTILE):
        written = written.replace(json.dumps(f"{_MARK}{number};"), value)
    return written.encode("utf-8", "surrogatepass")


def _changed(dice: random.Random, tree: Any, target: Target) -> Any:
    places = list(_places(tree))
    if not places:
        return _hostile(dice)
    holder, key = dice.choice(places)
    match dice.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(key, json.loads(json.dumps(holder[key])))
        case 1:
            holder[_name(dice, key)] = holder[key]
        case 2:
            holder[key] = [holder[key]]
        case 3:
            holder[key] = {dice.choice(("type", "text", "x", "")): holder[key]}
        case 4:
            other, name = dice.choice(places)
            holder[key] = json.loads(json.dumps(other[name]))
        case 5:
            grafts = list(_places(_seed(dice, target)))
            if grafts:
                other, name = dice.choice(grafts)
                holder[key] = other[name]
        case _:
            holder[key] = _hostile(dice)
    return tree


def _seed(dice: random.Random, target: Target) -> Any:
    try:
        return json.loads(dice.choice(target.seeds))
    except ValueError:
        return None


def _name(dice: random.Random, key: str) -> str:
    return dice.choice((key.upper(), f"{key} ", f"{key}s", "type", "\ud800", ""))


def _hostile(dice: random.Random) -> str:
    """Stands for one of HOSTILE until all is written."""
    return f"{_MARK}{dice.randrange(len(HOSTILE))};"


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    keys: Sequence[Any] = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])
