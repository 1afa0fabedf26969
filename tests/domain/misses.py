"""How far Weir's own count of an answer is from its provider's, over recorded answers that hold both.

What is booked for a stream that was broken off is counted like this. The whole answers stand for it: of a part of one
no provider tells.

    python -m tests.domain.misses
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

import msgspec

from apps.domain import estimate
from apps.domain.density import Density
from tests.domain.test_recordings import Recording, opened, recordings, said


class Answer(msgspec.Struct, frozen=True):
    """`kind`: tools, thinking or text, by what there is of it."""

    kind: str
    dialect: str
    stream: bool
    model: str
    has_pictures: bool
    prompt_bytes: int
    in_total: int
    output_bytes: int
    out_total: int


Pair = tuple[int, int]  # tokens: as estimated, and as the provider told


def answers() -> Iterator[Answer]:
    """Those whose provider told their usage."""
    for parameter in recordings():
        recording = parameter.values[0]
        if recording is not None and (found := _answer(recording)) is not None:
            yield found


def _answer(recording: Recording) -> Answer | None:
    relayed = measured = opened(recording, client=recording.protocol)
    if recording.stream:
        relayed.feed(recording.body)
        relayed.close()
    else:  # measured only where no usage comes
        relayed.answer(recording.body)
        measured = opened(recording, client=recording.protocol)
        measured.answer(_written({**json.loads(recording.body), "usage": None}))
    if relayed.seen.usage is None:
        return None
    told = said(recording)
    return Answer(
        kind="tools" if told.calls else "thinking" if told.thinking else "text",
        dialect=recording.dialect,
        stream=recording.stream,
        model=relayed.seen.model or "",
        has_pictures=not {"image", "document"}.isdisjoint(recording.tags),
        prompt_bytes=estimate.prompt_bytes(_written(recording.request["body"])),
        in_total=relayed.seen.usage.in_total,
        output_bytes=measured.seen.output_bytes,
        out_total=relayed.seen.usage.out_total,
    )


def _written(value: dict[str, Any]) -> bytes:
    """As SDKs write JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def learned(answer: Answer, found: Sequence[Answer]) -> Density | None:
    """From the other streams of the model; None: there are none. Of answers that do not stream nothing is learned."""
    density = Density()
    others = [other for other in found if other.model == answer.model and other.stream and other is not answer]
    for other in others:
        density.note(
            prompt_bytes=other.prompt_bytes,
            in_total=other.in_total,
            output_bytes=other.output_bytes,
            out_total=other.out_total,
        )
    return density if others else None


def table(found: Sequence[Answer]) -> Iterator[str]:
    yield f"{'':<28} {'of':>3}  median  the worst        all together"
    for kind in ("text", "thinking", "tools"):
        yield _row(f"answer, {kind}", [_output(one) for one in found if one.kind == kind])
    taught = [(one, density) for one in found if (density := learned(one, found)) is not None]
    yield _row("answer, not learned yet", [_output(one) for one, _ in taught])
    pairs = [(density.output_tokens(one.output_bytes), one.out_total) for one, density in taught]
    yield _row("the same, learned", pairs)
    for dialect in ("anthropic", "openai_chat"):
        own = [one for one in found if one.dialect == dialect]
        yield _row(f"prompt, {dialect}", [_input(one) for one in own if not one.has_pictures])
        yield _row("  with images or files", [_input(one) for one in own if one.has_pictures])


def _output(one: Answer) -> Pair:
    return estimate.output_tokens(one.output_bytes), one.out_total


def _input(one: Answer) -> Pair:
    return estimate.input_tokens(one.prompt_bytes), one.in_total


def _row(name: str, pairs: Sequence[Pair]) -> str:
    if not pairs:
        return f"{name:<28} {0:>3}"
    misses = [estimated / told - 1 for estimated, told in pairs]
    together = sum(estimated for estimated, _ in pairs) / sum(told for _, told in pairs) - 1
    middle, worst = median(map(abs, misses)), f"{min(misses):+.0%} … {max(misses):+.0%}"
    return f"{name:<28} {len(pairs):>3}  {middle:>6.0%}  {worst:<15}  {together:+.0%}"


if __name__ == "__main__":
    print("\n".join(table(list(answers()))))
