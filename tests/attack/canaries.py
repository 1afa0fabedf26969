"""Words that are nowhere else, put where secrets, prompts and people are; and a sieve that finds them in any sink, also
cut short, in another case, or written in base64, hex, UTF-16 or as a URL has it."""

from __future__ import annotations

import base64
import json
import random
import string
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

ALPHABET = string.ascii_letters + string.digits
PIECE = 12  # characters: of what was cut short, at either end, so many tell it
_AROUND = 60


class Hit(NamedTuple):
    """`where`: the part of the sink; `around`: the text it stands in."""

    canary: str
    how: str
    sink: str
    where: str
    around: str


class Part(NamedTuple):
    """Of a sink, as a page or a table."""

    where: str
    data: bytes


class Coop:
    """Canaries by name. Those of one seed are the same in every run; `add` takes in what the installation has made."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.texts: dict[str, str] = {}

    def make(self, name: str, shape: str = "{}", *, length: int = 28) -> str:
        """The whole text; its random part is what is looked for. It begins with a letter."""
        word = "".join(self.dice.choices(string.ascii_letters, k=1) + self.dice.choices(ALPHABET, k=length - 1))
        self.add(name, word)
        return shape.format(word)

    def add(self, name: str, text: str) -> str:
        assert name not in self.texts, name
        assert len(text) >= PIECE, (name, "too short to be nobody else's")
        self.texts[name] = text
        return text


class Sieve:
    def __init__(self, texts: Mapping[str, str]) -> None:
        self._forms = [(name, how, form.lower()) for name, text in texts.items() for how, form in forms(text)]

    def search(self, sink: str, parts: Iterable[Part]) -> tuple[list[Hit], int]:
        """What was found, each once a part, and how many bytes were looked through. What stands in several parts of a
        sink, line by line, as the frame of pages does, is looked through once."""
        seen: set[bytes] = set()
        size, hits = 0, []
        for part in parts:
            size += len(part.data)
            written = part.data.replace(bytes(64), b"")  # a journal's room for more
            lines = [line for line in set(written.split(b"\n")) if line not in seen]
            seen.update(lines)
            found = self._found(b"\n".join(lines))
            if found:  # in their order again
                found = self._found(part.data)
            hits += [Hit(name, how, sink, part.where, around) for name, how, around in found]
        return hits, size

    def _found(self, data: bytes) -> list[tuple[str, str, str]]:
        lowered = data.lower()
        found = {}
        for name, how, form in self._forms:
            place = lowered.find(form)
            if place >= 0 and (name, how) not in found:
                found[name, how] = data[max(0, place - _AROUND) : place + _AROUND].decode("utf-8", "replace")
        return [(name, how, around) for (name, how), around in found.items()]


def forms(text: str) -> Iterator[tuple[str, bytes]]:
    """How, and what is looked for: of each end of the text."""
    for piece in dict.fromkeys((text[:PIECE], text[-PIECE:])):
        raw = piece.encode()
        yield "plain", raw
        yield "hex", raw.hex().encode()
        yield "UTF-16", piece.encode("utf-16-le")
        for written in {quote(piece, safe=""), json.dumps(piece)[1:-1]} - {piece}:
            yield "escaped", written.encode()
        for before in range(3):
            for line in _base64(raw, before=before):
                yield "base64", line


def _base64(raw: bytes, *, before: int) -> set[bytes]:
    """The characters that the text decides alone, however much stands before and behind it."""
    first = -(-before * 8 // 6)
    last = (before + len(raw)) * 8 // 6
    written = base64.b64encode(bytes(before) + raw)[first:last]
    return {written, written.translate(bytes.maketrans(b"+/", b"-_"))}
