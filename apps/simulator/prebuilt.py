"""Answers as ready bytes, for measuring a gateway without measuring the simulator."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from apps.simulator import answer as answers
from apps.simulator import script as scripts
from apps.simulator.ask import Ask
from apps.simulator.dialect import Dialect, Frame
from apps.simulator.usage import Counters

EVENTS = 53
PROMPT = "Say something of a usual length about gateways."


class StreamOptions(msgspec.Struct):
    include_usage: bool = False


class Head(msgspec.Struct):
    """As much of a request as must be known before a prebuilt answer can be chosen."""

    model: str = ""
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


class Ready(msgspec.Struct, frozen=True):
    """`chunks` are the same events as `frames`, framed for HTTP."""

    body: bytes
    frames: list[Frame]
    chunks: list[bytes]
    usage: Counters


_read_head = msgspec.json.Decoder(Head).decode


def head(body: bytes) -> Head | None:
    """None: not a request that makes sense at first sight; the strict reading will say why."""
    try:
        return _read_head(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


@lru_cache(maxsize=64)
def ready(dialect: Dialect, model: str, wants_usage: bool) -> Ready:
    """An answer that streams in exactly EVENTS events, `data: [DONE]` counted."""
    ask = Ask(
        dialect="anthropic" if dialect.name == "anthropic" else "openai",
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
