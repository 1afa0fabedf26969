"""Embeddings: vectors of length one that are the same for the same text, and near for texts that share words."""

from __future__ import annotations

import hashlib
import math
from functools import lru_cache

from apps.simulator import tokens

WORDS = 32  # of a long text, so that it does not take long


def embed(text: str, *, dimensions: int) -> list[float]:
    """A sum of one direction per token, brought to length one."""
    words = {piece.strip().lower() for piece in tokens.pieces(text)} or {""}
    directions = [_direction(word, dimensions) for word in sorted(words)[:WORDS]]
    total = [sum(column) for column in zip(*directions, strict=True)]
    length = math.sqrt(sum(number * number for number in total)) or 1.0
    return [round(number / length, 8) for number in total]


@lru_cache(maxsize=512)
def _direction(word: str, dimensions: int) -> list[float]:
    digest = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest(dimensions)
    return [byte - 127.5 for byte in digest]
