"""What a target is: a decoder, what may come of any bytes, and where the search for bad ones begins."""

from __future__ import annotations

import binascii
import itertools
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Run = Callable[[bytes], None]


@dataclass(frozen=True)
class Target:
    """`run` takes any bytes: it returns where they are read or refused by the decoder's own errors, and raises what is
    left: a fault, or a promise that is broken. `seeds` are good input; `words` what such input is made of. `is_json`:
    it is changed as a tree, too."""

    name: str
    run: Run
    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    is_json: bool = False


def target(
    name: str, run: Run, *, seeds: Iterable[bytes], words: Iterable[bytes] = (), is_json: bool = False
) -> Target:
    return Target(name, run, tuple(seeds), tuple(words), is_json)


def pieces(data: bytes) -> list[list[bytes]]:
    """The bytes in several splits, the same for the same bytes: by one, and by chance."""
    dice = random.Random(binascii.crc32(data))
    found = [[data[at : at + 1] for at in range(len(data))]] if len(data) < 2_000 else []
    for most in (3, 40):
        edges = sorted({0, len(data), *(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, most)))})
        found.append([data[start:stop] for start, stop in itertools.pairwise(edges)])
    return found


def text(data: bytes) -> str:
    """What a header's bytes, or a field's, are as text: latin-1, or UTF-8 with what is none of it left out."""
    return data.decode("utf-8", "ignore")


def check_words(refused: Exception) -> None:
    """An error that says nothing helps nobody."""
    assert str(refused), repr(refused)


def encoded(value: Any) -> bytes:
    return json.dumps(value).encode()
