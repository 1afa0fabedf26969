"""An answer that was given before, given again: in the caller's own dialect, as it wants it delivered now.

It is read as an upstream's of that dialect would be, or by the dialect itself where no provider speaks it, so that a
stream becomes a whole answer and a whole one a stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from apps.domain import chat, events
from apps.domain.protocols import registry
from apps.domain.protocols.contract import ClientCall, ClientFormat, UpstreamFormat
from apps.domain.tokens import NOTHING, TokenUsage

# A string, number, or the like; no more than its level's own id is to be found behind it.
_PLAIN = rb'"\w+":\s*(?:"(?:[^"\\]|\\.)*"|[-+.\w]+|\[\s*\])\s*,\s*'
_ID = re.compile(
    rb'(?:\A|^data:)\s*\{\s*(?:%b)*(?:"(?:message|response)":\s*\{\s*(?:%b)*)?' % (_PLAIN, _PLAIN)
    + rb'"id":\s*("[A-Za-z]+[-_][^"\\]+")',
    re.MULTILINE,
)
_FIRST = 2_000  # bytes in which an answer tells its id
_PREFIX = re.compile(rb'"[A-Za-z]+[-_]')


def renamed(answer: bytes, *, former: str, request_id: str) -> bytes:
    """The same bytes under another id. `former` and `request_id`: ours of the two calls, `req_<hex>`."""
    fresh = request_id.removeprefix("req_").encode()
    answer = answer.replace(former.removeprefix("req_").encode(), fresh)
    found = _ID.search(answer, 0, _FIRST)
    prefix = _PREFIX.match(found[1]) if found is not None else None
    if found is None or prefix is None:
        return answer
    return answer.replace(found[1], prefix[0] + fresh + b'"')


def whole(stream: bytes, *, call: ClientCall, usage: TokenUsage, created: int) -> bytes:
    """Of a stream. `usage`: what was counted, which a stream need not tell. Raises UpstreamBroken."""
    client = _client(call)
    if client.rereader is not None:
        response = client.rereader.stream(stream, call=call)
    else:
        decoder = _upstream(call).decoder()
        response = _gathered([*decoder.feed(stream), *decoder.close()])
    answer: bytes = client.write_response(
        msgspec.structs.replace(response, id="", usage=usage), call=call, created=created
    )
    return answer


def streamed(body: bytes, *, call: ClientCall, usage: TokenUsage, created: int) -> bytes:
    """Of a whole answer. Raises UpstreamBroken."""
    client = _client(call)
    if client.rereader is not None:
        response = client.rereader.whole(body, call=call)
    else:
        response = _upstream(call).read_response(body)
    encoder = client.encoder(call=call, created=created)
    return b"".join(map(encoder.encode, _told(msgspec.structs.replace(response, id="", usage=usage))))


def _client(call: ClientCall) -> ClientFormat:
    client = registry.CLIENTS[call.protocol]
    assert isinstance(client, ClientFormat)
    return client


def _upstream(call: ClientCall) -> UpstreamFormat:
    upstream = registry.UPSTREAMS[call.protocol]
    assert isinstance(upstream, UpstreamFormat)
    return upstream


def _told(response: chat.ChatResponse) -> Iterator[events.Event]:
    """As the events of a stream, a block in one piece."""
    usage = response.usage
    yield events.Started(response.id, response.model, msgspec.structs.replace(usage, out_total=0, out_reasoning=0))
    for index, block in enumerate(response.content):
        yield from _block(index, block)
        yield events.BlockStopped(index)
    reason = response.stop_reason or "end_turn"
    yield events.Finished(reason, stop_sequence=response.stop_sequence, usage=usage, tier=response.tier)


def _block(index: int, block: chat.Block) -> Iterator[events.Event]:
    match block:
        case chat.Text(text=text, logprobs=logprobs):
            yield events.BlockStarted(index, chat.Text(""))
            yield events.TextDelta(index, text, logprobs)
        case chat.Thinking(text=text, signature=signature):
            yield events.BlockStarted(index, chat.Thinking(""))
            yield events.ThinkingDelta(index, text)
            if signature:
                yield events.SignatureDelta(index, signature)
        case chat.ToolUse(arguments=arguments):
            yield events.BlockStarted(index, msgspec.structs.replace(block, arguments=""))
            yield events.ArgumentsDelta(index, arguments)
        case _:
            yield events.BlockStarted(index, block)


@dataclass(slots=True)
class _Open:
    """A block that is being told."""

    block: chat.Block
    pieces: list[str] = field(default_factory=list)
    logprobs: list[chat.Likely] = field(default_factory=list)
    signature: str = ""

    def closed(self) -> chat.Block:
        said = "".join(self.pieces)
        match self.block:
            case chat.Text(text=text):
                return chat.Text(text + said, logprobs=tuple(self.logprobs))
            case chat.Thinking(text=text, signature=signature):
                return chat.Thinking(text + said, self.signature or signature)
            case chat.ToolUse(arguments=arguments):
                return msgspec.structs.replace(self.block, arguments=arguments + said)
        return self.block


def _gathered(told: Iterable[events.Event]) -> chat.ChatResponse:
    """Raises what the stream failed with."""
    model, usage = "", NOTHING
    finished = events.Finished("end_turn")
    blocks: list[_Open] = []
    for event in told:
        match event:
            case events.Started():
                model = event.model
            case events.BlockStarted(block=block):
                blocks.append(_Open(block))
            case events.TextDelta(text=text, logprobs=logprobs):
                blocks[-1].pieces.append(text)
                blocks[-1].logprobs += logprobs
            case events.ThinkingDelta(text=text) | events.ArgumentsDelta(json=text):
                blocks[-1].pieces.append(text)
            case events.SignatureDelta(signature=signature):
                blocks[-1].signature = signature
            case events.Finished():
                finished = event
            case events.Failed(error=error):
                raise error
    return chat.ChatResponse(
        id="",
        model=model,
        content=tuple(block.closed() for block in blocks),
        stop_reason=finished.stop_reason,
        stop_sequence=finished.stop_sequence,
        usage=finished.usage or usage,
        tier=finished.tier,
    )
