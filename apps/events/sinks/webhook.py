"""Events by POST to one address, signed as Standard Webhooks has it: one a request, or several.

What an answer means, by its status alone: 2xx takes them; 410 wants no more, ever; 400, 413, 422 and 500 are about what
was sent, which is sent again, alone, until it is a dead letter. 429 and 503 say that the receiver is busy, and count
against no event. All else (no answer, 401, 404, 502 …) is about the receiver as long as it takes nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.events.sinks.contract import (
    CONTENT_TYPE,
    HELD,
    SECONDS,
    SPARE_SECONDS,
    TAKEN,
    Fate,
    Message,
    Opened,
    Result,
    SinkAway,
    SinkGone,
    by_stream,
)
from apps.outbound import documents, guard, webhooks
from apps.outbound.lines import Line

LABEL = "Webhook, signed"
BATCH = 50
SECRET = "signing secret"  # noqa: S105  # what it is called
BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"
OVERLAP = timedelta(hours=24)  # for which the secret before signs beside a new one
_OF_THE_EVENT = frozenset({400, 413, 422, 500})
_BUSY = frozenset({429, 503})
_EACH_SECONDS = 8.0  # a request
_LANES = 8  # tenants that are told of at one time
_MOST_AFTER = 3600.0  # seconds that a receiver may ask for

Results = dict[str, Result]


def clean(target: str, settings: Mapping[str, Any], *, networks: tuple[str, ...]) -> dict[str, Any]:
    try:
        guard.check_url(target, networks)
    except guard.AddressRefused as error:
        raise ValidationError({"target": str(error)}) from None
    if unknown := set(settings) - {"at_once"}:
        raise ValidationError({"settings": f"There is no {min(unknown)!r}; there is at_once."})
    at_once = settings.get("at_once", 1)
    if isinstance(at_once, bool) or not isinstance(at_once, int) or not 1 <= at_once <= BATCH:
        raise ValidationError({"settings": f"“at_once” is a whole number from 1 to {BATCH}."})
    return {"at_once": at_once}


def binding(target: str, settings: Mapping[str, Any]) -> str:
    """It signs and is shown to nobody, wherever that leads."""
    return "webhook"


def clean_secret(secret: str) -> str:
    """Raises ValueError, which repeats nothing of it."""
    webhooks.key_of(secret)
    return secret


def rotated(stored: str, *, now: datetime) -> tuple[str, str]:
    """A new secret, and what is to be stored: that one and, for a while, the one before."""
    new, ends = webhooks.new_secret(), int((now + OVERLAP).timestamp())
    return new, " ".join([new, *(f"{before}@{ends}" for before in stored.split()[:1])])


def keys_of(stored: str, *, now: datetime) -> list[bytes]:
    """What signs at this moment, the newest first. Raises ValueError."""
    newest, *before = stored.split()
    known = [word.rpartition("@") for word in before]
    return [webhooks.key_of(each) for each in (newest, *(old for old, _, end in known if now.timestamp() < int(end)))]


def open(sink: Opened) -> Sender:
    try:
        return Sender(sink, keys_of(sink.secret, now=timezone.now()))
    except ValueError:
        raise SinkAway("it has no secret to sign with") from None


class Sender:
    def __init__(self, sink: Opened, keys: list[bytes]) -> None:
        self._sink, self._keys = sink, keys
        self._at_once = int(sink.settings.get("at_once", 1))

    def deliver(self, batch: Sequence[Message]) -> list[Result]:
        """Raises SinkAway where nothing was taken, and where it is busy."""
        until = time.monotonic() + SECONDS - SPARE_SECONDS
        with Line(self._sink.networks) as line:
            lanes = [_Lane(self, line, chunks, until) for chunks in self._lanes(batch)]
            with ThreadPoolExecutor(max_workers=min(_LANES, len(lanes)), thread_name_prefix="webhook") as threads:
                results = {name: result for found in threads.map(_Lane.run, lanes) for name, result in found.items()}
        told = [results[message.id] for message in batch]
        away = [lane.away for lane in lanes if lane.away is not None]
        worst = max(away, key=lambda error: (isinstance(error, SinkGone), error.is_busy, error.after), default=None)
        if worst is not None and TAKEN not in told:
            raise worst
        if worst is not None and worst.is_busy:
            raise SinkAway(str(worst), after=worst.after, is_busy=True, results=told)
        return told

    def _lanes(self, batch: Sequence[Message]) -> Iterable[list[list[Message]]]:
        """What may be sent beside each other, each in requests that follow one another."""
        if self._at_once > 1:
            return [[[*batch[start : start + self._at_once]] for start in range(0, len(batch), self._at_once)]]
        return [[[message] for message in stream] for stream in by_stream(batch)]

    def post(self, line: Line, messages: Sequence[Message], *, seconds: float) -> documents.Reply:
        """Raises SinkAway. A request has the same id whenever the same events are sent in it."""
        if self._at_once == 1:
            name, body, kind = messages[0].id, messages[0].body, CONTENT_TYPE
        else:
            marks = hashlib.sha256(" ".join(message.id for message in messages).encode()).hexdigest()
            name, kind = f"batch_{marks[:32]}", BATCH_TYPE
            body = b"[" + b",".join(message.body for message in messages) + b"]"
        headers = webhooks.signed(name, body, keys=self._keys, now=timezone.now())
        headers |= {"content-type": kind, "user-agent": "weir-events"}
        try:
            return line.ask("POST", self._sink.target, headers=headers, body=body, seconds=seconds, most=0)
        except documents.Unavailable as error:
            raise SinkAway(error.reason) from None

    def close(self) -> None:
        """A batch has connections of its own."""


class _Lane:
    """Requests one after the other. What fails leaves out what comes after it in its stream."""

    def __init__(self, sender: Sender, line: Line, chunks: Iterable[list[Message]], until: float) -> None:
        self._sender, self._line, self._until = sender, line, until
        self._chunks = deque(chunks)
        self._stuck: set[int] = set()
        self._results: Results = {}
        self.away: SinkAway | None = None

    def run(self) -> Results:
        while self._chunks:
            chunk = self._chunks.popleft()
            held = [message for message in chunk if message.stream in self._stuck]
            self._results |= dict.fromkeys((message.id for message in held), HELD)
            if ready := [message for message in chunk if message.stream not in self._stuck]:
                self._send(ready)
        return self._results

    def _send(self, messages: list[Message]) -> None:
        left = self._until - time.monotonic()
        if self.away is not None or left <= 0:
            self._hold(messages)
            return
        try:
            reply = self._sender.post(self._line, messages, seconds=min(_EACH_SECONDS, left))
            told = f"answered {reply.status}"
            if 200 <= reply.status < 300:
                self._results |= dict.fromkeys((message.id for message in messages), TAKEN)
            elif reply.status == webhooks.GONE:
                raise SinkGone(f"{told}: it wants nothing any more")
            elif reply.status not in _OF_THE_EVENT:
                after = seconds_of(reply.retry_after, now=timezone.now())
                raise SinkAway(told, after=after, is_busy=reply.status in _BUSY)
            elif len(messages) == 1:
                self._fail(messages, told)
            else:  # which one it is about shows when each half is sent alone
                middle = len(messages) // 2
                self._chunks.extendleft([messages[middle:], messages[:middle]])
        except SinkAway as error:
            self.away = error
            if error.is_busy:
                self._hold(messages)
            else:
                self._fail(messages, str(error))

    def _hold(self, messages: Iterable[Message]) -> None:
        """They were not sent, which is none of their doing."""
        for message in messages:
            self._results[message.id] = HELD
            self._stuck.add(message.stream)

    def _fail(self, messages: Iterable[Message], why: str) -> None:
        """The first of each stream has failed, and the others were not sent."""
        for message in messages:
            is_first = message.stream not in self._stuck
            self._results[message.id] = Result(Fate.AGAIN, why) if is_first else HELD
            self._stuck.add(message.stream)


def seconds_of(retry_after: str, *, now: datetime) -> float:
    """What a receiver asks for, in seconds or as a date; 0: nothing that can be read."""
    try:
        found = (
            float(retry_after) if retry_after.isdigit() else (parsedate_to_datetime(retry_after) - now).total_seconds()
        )
    except (TypeError, ValueError):
        return 0.0
    return min(max(found, 0.0), _MOST_AFTER)
