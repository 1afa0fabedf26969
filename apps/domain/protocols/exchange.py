"""One upstream try, from the caller's bytes to the caller's bytes. What the gateway calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

import msgspec

from apps.domain import chat, errors, events, signatures
from apps.domain.protocols import attachments, embedding, fields, losses, passthrough, refusal, registry, tool_names
from apps.domain.protocols.contract import (
    NO_HEADERS,
    ClientCall,
    ClientFormat,
    Cut,
    EmbeddingClient,
    EmbeddingUpstream,
    Exchange,
    Seen,
    Target,
    UpstreamFormat,
)
from apps.domain.tokens import NOTHING

_Error = TypeVar("_Error", bound=errors.GatewayError)


def open(call: ClientCall, target: Target, *, request_id: str = "", created: int = 0, cut: Cut = bytes) -> Exchange:
    """Relays where `target` speaks the caller's dialect, translates where it does not.

    `request_id` and `created` (unix seconds) are what the caller's frames carry; `cut` is for errors. Raises
    InvalidRequest for a request that the target cannot be asked.
    """
    try:
        return _open(call, target, request_id=request_id, created=created, cut=cut)
    except RecursionError as error:
        raise errors.InvalidRequest("The request body is nested too deeply.") from error


def _open(call: ClientCall, target: Target, *, request_id: str, created: int, cut: Cut) -> Exchange:
    client, upstream = registry.CLIENTS[call.protocol], registry.UPSTREAMS[target.protocol]
    dialect = registry.DIALECTS.get((call.protocol, target.protocol))
    if dialect is not None:
        return passthrough.Passthrough(call, target, dialect=dialect, upstream=upstream, request_id=request_id, cut=cut)
    if isinstance(client, EmbeddingClient) and isinstance(upstream, EmbeddingUpstream):
        return embedding.Translated(call, target, client=client, upstream=upstream, cut=cut)
    if not isinstance(client, ClientFormat) or not isinstance(upstream, UpstreamFormat):
        raise errors.InvalidRequest(f"The model `{call.model[:200]}` cannot be asked for this.", param="model")
    return Translated(call, target, client=client, upstream=upstream, request_id=request_id, created=created, cut=cut)


def undownloaded(call: ClientCall, *, url: str, reason: attachments.Reason) -> errors.InvalidRequest:
    """What its caller is told of a URL that it gave, and that an upstream wants the bytes of."""
    client = registry.CLIENTS[call.protocol]
    assert isinstance(client, ClientFormat)
    told: errors.InvalidRequest = client.undownloaded(call, url=url, reason=reason)
    return told


class Translated:
    """An `Exchange` through the canonical form."""

    def __init__(
        self,
        call: ClientCall,
        target: Target,
        *,
        client: ClientFormat,
        upstream: UpstreamFormat,
        request_id: str,
        created: int,
        cut: Cut,
    ) -> None:
        self.seen = Seen()
        asked = client.to_chat(call)
        if target.foreign:
            asked = _without_foreign(asked, target.foreign)
        self._names = tool_names.table(asked)
        try:
            if target.fetched:
                asked = attachments.placed(asked, target.fetched, besides=upstream.fetches)
            body = upstream.write(tool_names.fitted(asked) if self._names else asked, target)
        except errors.Unfit as unfit:
            field = unfit.param or "messages"
            name = fields.told(field, client.words, given=call.fields) or field
            told = client.unfit(name, unfit.reason)
            if isinstance(unfit, errors.TakesNoURL):
                told = errors.Unfetched(told, urls=attachments.urls(asked, besides=upstream.fetches))
            raise told from unfit
        except attachments.Unusable as found:
            raise client.undownloaded(call, url=found.url, reason=found.kind) from None
        self.body = msgspec.json.encode(body)
        self.headers = upstream.headers(asked)
        sent = body | dict(self.headers)
        self.notes = losses.steps(call, asked, client=client, upstream=upstream, target=target, sent=sent)
        self._call = msgspec.structs.replace(call, request_id=request_id)
        self._client = client
        self._upstream = upstream
        self._created = created
        self._cut = cut
        self._decoder = upstream.decoder()
        self._encoder = client.encoder(call=self._call, created=created)

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
        error = self._told(self._upstream.read_error(status, headers, body))
        error.body = None  # written in the other dialect
        return error

    def _told(self, error: _Error) -> _Error:
        """Without a credential, and in the caller's words."""
        if isinstance(error, errors.UpstreamError):
            fields.retell(error, of=self._upstream.words, to=self._client.words, given=self._call.fields)
        return refusal.cleaned(error, self._cut)

    def answer(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        try:
            return self._translate(self._upstream.read_response(body))
        except errors.UpstreamError as error:
            self._told(error)
            raise

    def _translate(self, response: chat.ChatResponse) -> bytes:
        seen = self.seen
        seen.usage = response.usage if response.usage != NOTHING else None
        seen.stop_reason = response.stop_reason
        seen.response_id = response.id
        seen.model = response.model
        if seen.usage is None:
            seen.output_bytes = chat.size(response.content)
        if self._names:
            content = tuple(tool_names.restored(block, self._names) for block in response.content)
            response = msgspec.structs.replace(response, content=content)
        if seen.on_signed is not None:
            for block in response.content:
                self._tell(block)
        answer = self._client.write_response(response, call=self._call, created=self._created)
        seen.started = seen.finished = True
        return answer

    def feed(self, chunk: bytes) -> bytes:
        if self.seen.error is not None:
            return b""
        try:
            return self._encode(self._decoder.feed(chunk))
        except errors.UpstreamError as error:
            return self._fail(error)

    def close(self) -> bytes:
        if self.seen.error is not None:
            return b""
        try:
            last = self._encode(self._decoder.close())
        except errors.UpstreamError as error:
            return self._fail(error)
        if self.seen.finished or self.seen.error is not None:
            return last
        return last + self._fail(errors.UpstreamBroken("the provider's answer ended before it was complete"))

    def _encode(self, happened: Iterable[events.Event]) -> bytes:
        frames = []
        for event in happened:
            if isinstance(event, events.Failed):
                self.seen.usage = event.usage or self.seen.usage
                frames.append(self._fail(event.error))
                break
            self._watch(event)
            if self._names:
                event = tool_names.restored_event(event, self._names)
            frames.append(self._encoder.encode(event))
        return b"".join(frames)

    def _fail(self, error: errors.GatewayError) -> bytes:
        self.seen.error = self._told(error)
        if not self.seen.started:
            return b""
        return self.fail(error)

    def fail(self, error: errors.GatewayError) -> bytes:
        return self._encoder.encode(events.Failed(error))

    def _tell(self, block: chat.Block) -> None:
        signature = _signature(block)
        if signature and self.seen.on_signed is not None:
            self.seen.on_signed([signatures.mark(signature)])

    def _watch(self, event: events.Event) -> None:
        seen = self.seen
        match event:
            case events.TextDelta(text=text) | events.ThinkingDelta(text=text) | events.ArgumentsDelta(json=text):
                seen.output_bytes += _length(text)
            case events.Started():
                seen.started = True
                seen.response_id = event.id
                seen.model = event.model
                seen.usage = event.usage
            case events.SignatureDelta(signature=signature):
                self._tell(chat.Thinking("", signature))
            case events.BlockStarted(block=chat.RedactedThinking() as block):
                self._tell(block)
            case events.Finished():
                seen.finished = True
                seen.stop_reason = event.stop_reason
                seen.usage = event.usage or seen.usage


def _signature(block: chat.Block) -> str:
    match block:
        case chat.Thinking(signature=signature) | chat.RedactedThinking(data=signature):
            return signature
    return ""


def _without_foreign(asked: chat.ChatRequest, foreign: frozenset[bytes]) -> chat.ChatRequest:
    """The request without the thinking that others have signed."""
    messages = [
        chat.Message(turn.role, tuple(block for block in turn.content if not _is_foreign(block, foreign)))
        for turn in asked.messages
    ]
    return msgspec.structs.replace(asked, messages=tuple(turn for turn in messages if turn.content))


def _is_foreign(block: chat.Block, foreign: frozenset[bytes]) -> bool:
    signature = _signature(block)
    return bool(signature) and signatures.mark(signature) in foreign


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
