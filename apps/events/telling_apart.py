"""Whether a sink is away or does not want what it was sent: the events of others tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence, Set

from apps.events.sinks.contract import HELD, SECONDS, TAKEN, Fate, Message, Result, SinkAway, SinkGone, by_stream

Deliver = Callable[[Sequence[Message]], list[Result]]
_Results = dict[str, Result]


def told_apart(
    batch: Sequence[Message],
    away: SinkAway,
    *,
    deliver: Deliver,
    of_others: Callable[[Set[int]], Message | None],
) -> list[Result]:
    """What becomes of each message of a batch that was answered with `away`. If anything of anybody else is taken
    meanwhile, what is not taken has failed by itself; else raises `away`.

    Up to three streams of the batch are asked alone, the others are HELD. Where none is taken, or there is but one, the
    next event `of_others` is sent; that goes there again in its turn. One that says meanwhile that it is busy is
    believed, unless that is what `away` says: raises SinkAway, with what became of each.
    """
    groups = by_stream(batch)
    results: _Results = {}
    failed = [(groups[0], away)] if len(groups) == 1 else []
    busy: SinkAway | None = None
    until = time.monotonic() + SECONDS
    for group in _asked(groups):
        try:
            results |= _by_id(group, deliver(group))
        except SinkGone:
            raise
        except SinkAway as error:
            if time.monotonic() > until:
                raise away from None
            results |= _by_id(group, error.results)
            if error.is_busy and not away.is_busy:
                busy = error
            elif not error.results:
                failed.append((group, error))
    if TAKEN not in results.values():
        message = of_others({message.stream for message in batch})
        if message is None or deliver([message]) != [TAKEN]:
            raise away
    for group, error in failed:
        results |= dict.fromkeys((message.id for message in group), HELD)
        results[group[0].id] = Result(Fate.AGAIN, str(error))
    told = [results.get(message.id, HELD) for message in batch]
    if busy is not None:
        raise SinkAway(str(busy), after=busy.after, is_busy=True, results=told)
    return told


def _asked(groups: list[list[Message]]) -> list[list[Message]]:
    if len(groups) < 2:
        return []
    return groups if len(groups) <= 3 else [groups[0], groups[1], groups[-1]]


def _by_id(group: Iterable[Message], results: Sequence[Result]) -> _Results:
    return {message.id: result for message, result in zip(group, results, strict=False)}
