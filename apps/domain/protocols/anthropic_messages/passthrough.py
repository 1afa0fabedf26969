"""Anthropic to Anthropic: what is spliced into the request, and what is watched in the answer."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.domain import errors, signatures, sse
from apps.domain.protocols import passthrough, refusal, splice
from apps.domain.protocols.alike import TEXT
from apps.domain.protocols.anthropic_messages import error, names, response, stops, usage, wire
from apps.domain.protocols.contract import ClientCall, Cut, Seen, Target

_OURS = b'"' + names.OUR_SIGNATURE.encode()
# What a delta brings. Never crosses a line end, so that it finds the same however the lines come.
_TEXT = re.compile(rb'_delta"[, ]+"(?:text|thinking|partial_json)"[: ]+"(' + TEXT + rb')"')
# One event, whole, that brings some text and nothing else, as nearly all do: nothing is to be looked for in it.
_ONE_TEXT = re.compile(
    rb'event: content_block_delta\ndata: \{"type":"content_block_delta","index":[0-9]+,"delta":'
    rb'\{"type":"[a-z_]+_delta","(?:text|thinking|partial_json)":"(' + TEXT + rb')"\} *\}\n\n'
).match
_TWO_DELTAS = 200  # bytes: what is shorter and holds a text holds no signature besides
_THINKING = ("thinking", "redacted_thinking")
_OFF = b'{"type":"disabled"}'
_EMPTY = b'{"type":"text","text":"(no content)"}'


class _Block(msgspec.Struct):
    type: str = ""
    signature: str = ""
    data: str = ""


class _Said(msgspec.Struct):
    type: str
    text: Any = ""
    thinking: Any = ""
    input: msgspec.Raw = msgspec.Raw(b"")

    def __len__(self) -> int:
        spoken = (text for text in (self.text, self.thinking) if isinstance(text, str))
        return sum(len(text.encode()) for text in spoken) + len(bytes(self.input))


class _Answer(msgspec.Struct):
    content: list[msgspec.Raw]
    type: str = "message"
    id: str = ""
    model: str = ""
    stop_reason: str | None = None
    usage: Any = None


class _Watched(msgspec.Struct):
    """What is read of the few events that are read."""

    type: str = ""
    message: Any = None
    delta: Any = None
    usage: Any = None
    error: Any = None


_answers = msgspec.json.Decoder(_Answer)
_said = msgspec.json.Decoder(_Said)
_watched = msgspec.json.Decoder(_Watched)
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_blocks = msgspec.json.Decoder(_Block)


class Anthropic:
    """The `Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> passthrough.Rewritten:
        """Only `model` differs, unless the history holds thinking of another vendor's."""
        changes: dict[str, bytes] = {}
        if call.model != target.model:
            changes["model"] = msgspec.json.encode(target.model)
        changes |= without_foreign(call, target)
        members: splice.Members = call.wire.members
        return passthrough.Rewritten(members.edit(changes) if changes else call.body)

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Tap:
        return Tap(seen, request_id=request_id, cut=cut)

    def read_usage(self, body: bytes, seen: Seen) -> None:
        try:
            answer = _answers.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
            raise response.instead(body) from garbled
        if answer.type != "message":
            raise response.instead(body)
        seen.response_id = answer.id or None
        seen.model = answer.model or None
        seen.stop_reason = stops.plain(answer.stop_reason)
        seen.usage = usage.read(answer.usage)
        if seen.usage is None:
            seen.output_bytes = _measure(body, answer.content)


class Tap:
    """Watches a stream for its beginning, its totals and its end. Text in between is only measured."""

    def __init__(self, seen: Seen, *, request_id: str, cut: Cut) -> None:
        self._seen = seen
        self._request_id = request_id
        self._cut = cut
        self._splitter = sse.Splitter()
        self._totals = usage.Totals()
        self._held = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        seen = self._seen
        if seen.error is not None:
            return b""
        if seen.started and not self._splitter.held and (said := _only_texts(chunk)) is not None:
            seen.output_bytes += said
            return chunk
        passed, whole = self._splitter.feed(chunk)
        if not seen.started:
            return self._begin(passed + whole)
        if (b"message_" in whole or b"error" in whole) and not seen.finished:
            whole = self._examine(whole)
        texts = _TEXT.findall(whole)
        for text in texts:
            seen.output_bytes += len(text)
        if seen.on_signed is not None and not (texts and len(whole) < _TWO_DELTAS) and signatures.may_sign(whole):
            seen.on_signed(signatures.marks(whole))
        return passed + whole if passed else whole

    def close(self) -> bytes:
        seen = self._seen
        if seen.error is not None:
            return b""
        rest = self._splitter.rest()
        if seen.finished:
            return rest
        if seen.started and not self._splitter.passing:
            self._read(rest)
            if seen.finished:  # the last event lacks only its blank line
                return rest.rstrip() + b"\n\n"
        seen.error = errors.UpstreamBroken("the provider's answer ended before it was complete")
        if not seen.started:
            return b""
        cut = rest + b"\n\n" if self._splitter.passing else b""
        return cut + self.fail(seen.error)

    def fail(self, failure: errors.GatewayError) -> bytes:
        return error.stream_error(failure, request_id=self._request_id)

    def _begin(self, whole: bytes) -> bytes:
        """Holds what comes until `message_start` is in: till then another deployment may be tried."""
        seen = self._seen
        whole = self._examine(whole)
        self._held += whole
        if not seen.started:
            if len(self._held) > sse.MAX_EVENT:
                self._refuse("has no beginning")
            return b""
        for text in _TEXT.findall(whole):
            seen.output_bytes += len(text)
        held = bytes(self._held)
        self._held.clear()
        if seen.on_signed is not None and signatures.may_sign(held):
            seen.on_signed(signatures.marks(held))
        return held

    def _examine(self, whole: bytes) -> bytes:
        """Reads those events that may matter; nothing goes on behind an error."""
        seen = self._seen
        length = 0
        for event in sse.events(whole):
            length += len(event)
            if not seen.started or b"message_" in event or b"error" in event:
                self._read(event)
            if seen.error is not None:
                return whole[: length - len(event)] + refusal.scrub(event, self._cut)
            if seen.finished:
                break
        return whole

    def _read(self, event: bytes) -> None:
        name, data = sse.parse(event)
        if not data:
            return
        try:
            watched = _watched.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._refuse("is garbled", even_now=name == "error")
            return
        self._note("error" if name == "error" or watched.error else watched.type or name, watched)

    def _note(self, type_: str, watched: _Watched) -> None:
        seen = self._seen
        if type_ == "error":
            seen.error = refusal.cleaned(error.read_stream_error({"error": watched.error}), self._cut)
        elif type_ == "message_start":
            seen.started = True
            message = watched.message if isinstance(watched.message, dict) else {}
            seen.response_id = _text(message.get("id"))
            seen.model = _text(message.get("model"))
            self._count(message.get("usage"))
        elif not seen.started:
            if type_ != "ping":
                self._refuse("has no beginning")
        elif type_ == "message_delta":
            if isinstance(watched.delta, dict):
                seen.stop_reason = stops.plain(_text(watched.delta.get("stop_reason"))) or seen.stop_reason
            self._count(watched.usage)
        elif type_ == "message_stop":
            seen.finished = True

    def _count(self, said: Any) -> None:
        self._totals.update(said)
        self._seen.usage = self._totals.usage

    def _refuse(self, how: str, *, even_now: bool = False) -> None:
        """Only before the beginning: later, garbage is the caller's to see as the provider sent it."""
        if even_now or not self._seen.started:
            self._seen.error = errors.UpstreamBroken(f"the provider's answer {how}")


def _only_texts(events: bytes) -> int | None:
    """The bytes of text in whole events that bring text and nothing else; None: there is something else in them."""
    size = place = 0
    while place < len(events):
        if (text := _ONE_TEXT(events, place)) is None:
            return None
        size += len(text[1])
        place = text.end()
    return size


def _measure(body: bytes, content: list[msgspec.Raw]) -> int:
    try:
        return sum(len(_said.decode(block)) for block in content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as garbled:
        raise response.instead(body) from garbled


def _text(raw: Any) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def without_foreign(call: ClientCall, target: Target) -> dict[str, bytes]:
    """The history without thinking that another vendor has signed, or we for one that signs nothing: a signature that
    is not its own is refused.

    What the newest answer then lacks, `enabled` thinking demands, so it is turned off for this call.
    """
    if _OURS not in call.body and not target.foreign:
        return {}
    messages = _raws.decode(call.wire.members.raw("messages"))
    stripped = [_strip(bytes(message), target.foreign) for message in messages]
    if all(message is None for message in stripped):
        return {}
    kept = [bytes(message) if new is None else new for message, new in zip(messages, stripped, strict=True)]
    changes = {"messages": b"[" + b",".join(kept) + b"]"}
    body: wire.Prompt = call.wire.body
    if body.thinking is not None and body.thinking.type == "enabled" and _is_answering(body.messages[-1]):
        answered = [new for message, new in zip(body.messages, stripped, strict=True) if message.role == "assistant"]
        if answered and answered[-1] is not None and not _begins_with_thinking(answered[-1]):
            changes["thinking"] = _OFF
    return changes


def _strip(message: bytes, foreign: frozenset[bytes]) -> bytes | None:
    """A message without such thinking; None: there is none in it."""
    if b"thinking" not in message:
        return None
    content = splice.read(message).raw("content") or b""
    if not content.startswith(b"["):
        return None
    written = _raws.decode(content)
    kept = [bytes(raw) for raw in written if not _is_foreign(raw, foreign)]
    if len(kept) == len(written):
        return None
    return splice.edit(message, {"content": b"[" + b",".join(kept or [_EMPTY]) + b"]"})


def _is_foreign(raw: msgspec.Raw, foreign: frozenset[bytes]) -> bool:
    if b"thinking" not in bytes(raw):
        return False
    try:
        block = _blocks.decode(raw)
    except msgspec.ValidationError:
        return False
    if block.type == "thinking":
        return block.signature.startswith(names.OUR_SIGNATURE) or signatures.mark(block.signature) in foreign
    return block.type == "redacted_thinking" and signatures.mark(block.data) in foreign


def _is_answering(message: wire.Message) -> bool:
    return isinstance(message.content, list) and any(block.type == "tool_result" for block in message.content)


def _begins_with_thinking(message: bytes) -> bool:
    written = _raws.decode(splice.read(message).raw("content") or b"[]")
    return bool(written) and _blocks.decode(written[0]).type in _THINKING


DIALECT: passthrough.Dialect = Anthropic()
