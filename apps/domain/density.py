"""How many bytes a token has, as providers counted: for answers that were cut before anybody did.

Every tokenizer has its own, every language, and a short prompt's JSON weighs more than its words. What is new counts
more than what is old.
"""

from __future__ import annotations

import math

from apps.domain import estimate

# So many tokens of the usual density stand for what is not known yet.
_BELIEVED = 20
_KEPT = 0.98
# What lies beyond is no tokenizer's doing: hidden thoughts, or a provider that lies.
_FEWEST, _MOST = 0.5, 32.0


class Density:
    """Of one deployment, in one process."""

    __slots__ = ("_in_bytes", "_in_tokens", "_out_bytes", "_out_tokens")

    def __init__(self) -> None:
        self._in_tokens = self._out_tokens = float(_BELIEVED)
        self._in_bytes = self._out_bytes = float(_BELIEVED * estimate.BYTES_PER_TOKEN)

    def note(self, *, prompt_bytes: int, in_total: int, output_bytes: int, out_total: int) -> None:
        """A call that its provider counted to the end."""
        if _FEWEST * in_total <= prompt_bytes <= _MOST * in_total:
            self._in_bytes = self._in_bytes * _KEPT + prompt_bytes
            self._in_tokens = self._in_tokens * _KEPT + in_total
        if _FEWEST * out_total <= output_bytes <= _MOST * out_total:
            self._out_bytes = self._out_bytes * _KEPT + output_bytes
            self._out_tokens = self._out_tokens * _KEPT + out_total

    def input_tokens(self, size: int) -> int:
        """An estimate for a prompt of `size` bytes."""
        return math.ceil(size * self._in_tokens / self._in_bytes)

    def output_tokens(self, size: int) -> int:
        """An estimate for an answer of `size` bytes of text, thinking and arguments."""
        return math.ceil(size * self._out_tokens / self._out_bytes)


USUAL = Density()
