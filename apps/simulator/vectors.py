"""Embeddings: vectors of length one that are the same for the same text, and near for texts that share words."""

from __future__ import annotations

import hashlib
import math
import random

from apps.simulator import tokens

WORDS = 32  # of a long text, so that it does not take long


def embed(text: str, *, dimensions: int) -> list[float]:
    """A sum of one direction per token, brought to length one."""
    words = {piece.strip().lower() for piece in tokens.pieces(text)} or {""}
    total = [0.0] * dimensions
    for word in sorted(words)[:WORDS]:
        # Not for secrets: the word is the seed, so that every process finds the same direction.
        dice = random.Random(hashlib.sha256(word.encode("utf-8", "surrogatepass")).digest())  # noqa: S311
        for position in range(dimensions):
            total[position] += dice.gauss(0.0, 1.0)
    length = math.sqrt(sum(number * number for number in total)) or 1.0
    return [round(number / length, 8) for number in total]
