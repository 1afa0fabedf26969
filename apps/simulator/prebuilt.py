"""Answers as ready bytes, for measuring a gateway without measuring the simulator."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from apps.simulator import answer as answers
from apps.simulator import script as scripts
from apps.simulator.ask import Ask
from apps.simulator.dialect import Dialect, Frame, Head, Request
from apps.simulator.usage import Counters

EVENTS = 53
PROMPT = "Say something of a usual length about gateways."


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Beginning(msgspec.Struct):
    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None


class Ready(msgspec.Struct, frozen=True):
    """`chunks` are the same events as `frames`, framed for HTTP."""

    body: bytes
    frames: list[Frame]
    chunks: list[bytes]
    usage: Counters


_read_beginning = msgspec.json.Decoder(Beginning).decode


def head(request: Request) -> Head | None:
    """Of a body that has `model`, `stream` and perhaps OpenAI's `stream_options`."""
    try:
        found = _read_beginning(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    options = found.stream_options
    return Head(found.model, found.stream is True, options is not None and options.include_usage)


@lru_cache(maxsize=64)
def ready(dialect: Dialect, model: str, wants_usage: bool) -> Ready:
    """An answer that streams in exactly EVENTS events, `data: [DONE]` counted."""
    ask = Ask(
        model=model,
        texts=(PROMPT,),
        messages=1,
        said=PROMPT,
        include_usage=wants_usage,
    )
    size = EVENTS - dialect.events_around_text(ask)
    answer = answers.compose(ask, scripts.Script(), exactly=size)
    frames = dialect.frames(answer, ask=ask, reported=answer.usage)
    return Ready(
        body=msgspec.json.encode(dialect.message(answer, ask=ask, reported=answer.usage)),
        frames=frames,
        chunks=[b"%x\r\n%s\r\n" % (len(frame.data), frame.data) for frame in frames],
        usage=answer.usage,
    )
