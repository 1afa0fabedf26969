"""The simulator's tokenizer.

One token is a run of at most 16 word characters, or a run of at most 16 other visible characters, together with the
white space before it; white space at the very end is one more. Concatenating the pieces gives the text back.
A picture or a document counts 100, a message 3 on top of its text.
"""

from __future__ import annotations

import re

ATTACHMENT = 100
PER_MESSAGE = 3

_PIECE = re.compile(r"\s*(?:\w{1,16}|[^\w\s]{1,16})|\s+")


def pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def count(text: str) -> int:
    return len(_PIECE.findall(text))
