"""Which traces are recorded: the standard samplers, by `OTEL_TRACES_SAMPLER`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from apps.runtime.traces import Parent

_RANDOM_DIGITS = 14  # the last 56 bits of a trace id are random, its first tell the time in ours (W3C, level 2)


class Sampler(NamedTuple):
    """`share` of the traces that begin here; with `follows`, a caller's flag decides of a trace that it began."""

    share: float
    follows: bool

    def samples(self, trace_id: str, parent: Parent | None) -> bool:
        if parent is not None and self.follows:
            return parent.is_sampled
        if self.share >= 1:
            return True
        return int(trace_id[-_RANDOM_DIGITS:], 16) < self.share * 16**_RANDOM_DIGITS


def sampler(name: str, share: float) -> Sampler:
    """`name` is a standard one; `share` counts for those that end in `ratio`."""
    shares = {"always_on": 1.0, "always_off": 0.0}
    return Sampler(shares.get(name.removeprefix("parentbased_"), share), follows=name.startswith("parentbased_"))
