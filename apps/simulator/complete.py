"""One completion: read, refuse or answer, meter."""

from __future__ import annotations

import asyncio
import time

import msgspec

from apps.simulator import answer as answers
from apps.simulator import prebuilt
from apps.simulator import script as scripts
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Refused
from apps.simulator.dialect import Dialect, Head, Reported, Request
from apps.simulator.meter import Line, Meter, Tally, fingerprint
from apps.simulator.pace import Pace
from apps.simulator.play import JSON_TYPE, Player
from apps.simulator.script import Script
from apps.simulator.usage import ABSURD
from apps.simulator.wire import Gone, Wire

WINDOW_TOKENS = 200_000
REMEMBERED = 1000


class Call(msgspec.Struct, kw_only=True):
    """What the application knows of a call before its body is understood."""

    wire: Wire
    dialect: Dialect
    request: Request
    key: str
    request_id: str

    def header(self, name: bytes) -> str:
        return self.request.headers.get(name, b"").decode("latin-1")


class Desk:
    """Takes calls. `first_seen` remembers what has had the failure of its first call: a key, model and script.

    `burst` is how many events of a prebuilt stream leave in one packet. `moods`: scripts by model's name, for calls
    that bring none.
    """

    def __init__(self, *, meter: Meter, pace: Pace, burst: int) -> None:
        self.meter = meter
        self.pace = pace
        self.burst = burst
        self.first_seen: set[tuple[str, str, str]] = set()
        self.asks: dict[str, Ask] = {}
        self.moods: dict[str, str] = {}

    async def complete(self, call: Call) -> None:
        """Answers the call. Raises Refused for one that gets an error."""
        head = call.dialect.head(call.request)
        model = head.model if head else ""
        script = scripts.read(model, call.header(b"x-simulate") or self.moods.get(model, ""))
        if head and script.is_prebuilt:
            return await self._hand_out(call, head=head, script=script)
        try:
            self._refuse_as_scripted(call, script=script, model=model)
            ask = call.dialect.read(call.request, lenient="lenient" in script.words)
            self._remember(call, ask)
            if ask.tokens > WINDOW_TOKENS:
                raise call.dialect.overflow(ask.tokens, model)
        except Refused as error:
            tally = self._open(call, model=model, stream=bool(head and head.stream))
            tally.status = call.dialect.failure(error, call.request_id).status
            tally.close("end")
            raise
        await self._answer(call, ask=ask, script=script)

    def _remember(self, call: Call, ask: Ask) -> None:
        self.asks[call.request_id] = ask
        if len(self.asks) > REMEMBERED:
            del self.asks[next(iter(self.asks))]

    def _refuse_as_scripted(self, call: Call, *, script: Script, model: str) -> None:
        status = script.status
        caller = (call.key, model, call.header(b"x-simulate"))
        if script.first_status is not None and caller not in self.first_seen:
            self.first_seen.add(caller)
            status = script.first_status
        if status is not None:
            raise Refused("", status=status, retry_after=1 if status == 429 else None)
        if "overflow" in script.words:
            raise call.dialect.overflow(WINDOW_TOKENS + 15_432, model)
        if "leak" in script.words:
            raise Refused(f"The key {call.key} has a problem.")

    async def _answer(self, call: Call, *, ask: Ask, script: Script) -> None:
        size = prebuilt.EVENTS - call.dialect.events_around_text(ask) if "53" in script.words else None
        answer = answers.compose(ask, script, exactly=size)
        reported = _reported(answer, script=script)
        tally = self._open(call, model=ask.model, stream=ask.stream, texts=(*ask.texts, *ask.inputs))
        tally.inputs = answer.usage
        tally.reported = reported
        player = Player(
            wire=call.wire,
            dialect=call.dialect,
            script=script,
            pace=self.pace,
            tally=tally,
            request_id=call.request_id,
        )
        with _Closing(tally):
            if ask.stream:
                await player.stream(call.dialect.frames(answer, ask=ask, reported=reported))
            else:
                message = call.dialect.message(answer, ask=ask, reported=reported)
                await player.whole(msgspec.json.encode(message), usage=answer.usage, reported=reported)

    async def _hand_out(self, call: Call, *, head: Head, script: Script) -> None:
        ready = prebuilt.ready(call.dialect, head.model, head.wants_usage)
        tally = self._open(call, model=head.model, stream=head.stream)
        tally.inputs = tally.reported = ready.usage
        tally.status = 200
        identity = call.dialect.headers(call.request_id)[0]
        wire = call.wire
        with _Closing(tally):
            if not head.stream:
                await wire.pause(self.pace.whole(ready.usage.output))
                await wire.head(200, [JSON_TYPE, (b"content-length", b"%d" % len(ready.body)), identity])
                await wire.finish(ready.body)
                tally.emitted = ready.usage.output
                return
            await wire.head(200, [(b"content-type", call.dialect.stream_type), identity])
            for start in range(0, len(ready.chunks), self.burst):
                await wire.pause(self.pace.gap(start))
                wire.transport.write(b"".join(ready.chunks[start : start + self.burst]))
                tally.emitted += sum(frame.tokens for frame in ready.frames[start : start + self.burst])
            await wire.finish()

    def _open(self, call: Call, *, model: str, stream: bool, texts: tuple[str, ...] = ()) -> Tally:
        line = Line(
            event="open",
            id=call.request_id,
            at=time.time(),
            dialect=call.dialect.name,
            model=model,
            stream=stream,
            caller=call.header(b"x-weir-request"),
            prompt=fingerprint(texts) if texts else "",
        )
        return Tally(self.meter, opened=line)


class _Closing:
    """Writes the meter's last line of a call, whichever way it ends. A peer that left is no error."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self._tally.close("aborted" if isinstance(error, (Gone, asyncio.CancelledError)) else "end")
        return isinstance(error, Gone)


def _reported(answer: Answer, *, script: Script) -> Reported:
    if "nousage" in script.words:
        return None
    return ABSURD if "lies" in script.words else answer.usage
