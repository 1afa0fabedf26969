"""Sends an answer: at a pace, in pieces, and broken where the script breaks it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec

from apps.simulator.answer import NOW
from apps.simulator.dialect import Broken, Dialect, Frame, Headers, Reported
from apps.simulator.meter import Tally
from apps.simulator.pace import Pace
from apps.simulator.script import Script
from apps.simulator.usage import Counters
from apps.simulator.wire import Wire

GARBAGE = b'\x00\xff\xfe{"id": [}]\n\x1b<<< not what was asked for'
PAGE = b"<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"
SLOW_HEADERS_SECONDS = 2.0
LATE_END_SECONDS = 0.5
JSON_TYPE = (b"content-type", b"application/json")


class Player(msgspec.Struct, kw_only=True):
    """One call being answered."""

    wire: Wire
    dialect: Dialect
    script: Script
    pace: Pace
    tally: Tally
    request_id: str

    async def stream(self, frames: list[Frame]) -> None:
        if await self._broken_from_the_start():
            return
        await self._first_byte(self.pace.first())
        await self._head([(b"content-type", self.dialect.stream_type), *self.dialect.stream_headers])
        if "garbage" in self.script.words:
            self.tally.fault = "garbage"
            return await self.wire.finish(GARBAGE)
        if "no-terminator" in self.script.words:
            frames = frames[: -self.dialect.terminators]
        ending, after = self.script.cut, self.script.after
        if ending == "corrupt" and after < len(frames):
            self.tally.fault = ending
            frames = [*frames[:after], _corrupted(frames[after]), *frames[after + 1 :]]
        ending = None if ending == "corrupt" else ending
        for position, frame in enumerate(frames if ending is None else frames[:after]):
            if position:
                await self._gap(position)
            await self._write(frame.data)
            self.tally.emitted += frame.tokens
        if ending is None or after >= len(frames):
            if "late-end" in self.script.words:
                await self.wire.pause(LATE_END_SECONDS)
            return await self.wire.finish()
        await self._break(ending, sent=frames[:after])

    async def whole(self, body: bytes, *, usage: Counters, reported: Reported) -> None:
        if await self._broken_from_the_start():
            return
        tokens = usage.output
        await self._first_byte(self.pace.whole(tokens))
        if "garbage" in self.script.words:
            self.tally.fault = "garbage"
            body, tokens = GARBAGE, 0
        counts = [] if reported is None else self.dialect.counts(reported)
        await self._head([JSON_TYPE, (b"content-length", b"%d" % len(body)), *counts])
        if self.script.cut in (None, "ends", "error", "corrupt"):  # none is possible within a JSON document
            await self._write(body)
            self.tally.emitted += tokens
            return await self.wire.finish()
        await self._write(body[: len(body) // 2])
        await self._break(self.script.cut)

    async def _broken_from_the_start(self) -> bool:
        """Answers that have nothing to do with what was asked."""
        words = self.script.words
        if "dies-before-headers" in words:
            self.tally.fault = "dies"
            self.tally.inputs = Counters()  # a call that was never looked at costs nothing
            await self.wire.close()
            return True
        if "stall" in words:
            self.tally.fault = "stall"
            await self.wire.hung_up()
            return True
        if "html-200" in words:
            self.tally.fault = "html"
            await self._head([(b"content-type", b"text/html"), (b"content-length", b"%d" % len(PAGE))])
            await self.wire.finish(PAGE)
            return True
        return False

    async def _first_byte(self, natural: float) -> None:
        wish = self.script.first_byte_ms
        await self.wire.pause(natural if wish is None else wish / 1000)

    async def _gap(self, position: int) -> None:
        wish = self.script.pace_ms
        await self.wire.pause(self.pace.gap(position) if wish is None else wish / 1000)

    async def _head(self, headers: Headers) -> None:
        self.tally.status = 200
        headers = [*headers, *self.dialect.headers(self.request_id)]
        if "slow-headers" in self.script.words:
            await self.wire.raw_head(200, headers, seconds=SLOW_HEADERS_SECONDS)
        else:
            await self.wire.head(200, headers)

    async def _write(self, data: bytes) -> None:
        if "crlf" in self.script.words and self.dialect.has_lines:
            data = data.replace(b"\n", b"\r\n")
        if "clock" in self.script.words and self.dialect.has_lines:
            data = data.replace(NOW.encode(), b"%019d" % time.monotonic_ns())
        if "trickle" not in self.script.words:
            return await self.wire.write(data)
        for position in range(len(data)):
            await self.wire.write(data[position : position + 1])
            await self.wire.pause(0)

    async def _break(self, ending: str, *, sent: Sequence[Frame] = ()) -> None:
        self.tally.fault = ending
        if ending == "dies":
            await self.wire.close()
        elif ending == "resets":
            await self.wire.reset()
        elif ending == "stall":
            await self.wire.hung_up()
        else:
            broken = Broken(self.request_id, self.script.after, "throttled" in self.script.words, sent)
            for frame in self.dialect.failure_frames(broken) if ending == "error" else []:
                await self._write(frame.data)
            await self.wire.finish()


def _corrupted(frame: Frame) -> Frame:
    """One byte in the middle is another."""
    middle = len(frame.data) // 2
    data = bytearray(frame.data)
    data[middle] ^= 0xFF
    return frame._replace(data=bytes(data))
