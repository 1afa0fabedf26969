"""What a wire format offers, and the shapes that pass between it and the gateway."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol

import msgspec

from apps.domain.chat import ChatRequest, ChatResponse, Fetched, StopReason
from apps.domain.embeddings import EmbeddingRequest, EmbeddingResponse
from apps.domain.errors import GatewayError, InvalidRequest, UpstreamError
from apps.domain.events import Event
from apps.domain.protocols.fields import Words
from apps.domain.tokens import TokenUsage

Headers = tuple[tuple[str, str], ...]
Operation = Literal["generate", "embed", "count"]
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
Cut = Callable[[bytes], bytes]
"""Takes out of what a provider says the credential that it was asked with. `bytes` takes nothing out."""


class ClientCall(msgspec.Struct, kw_only=True):
    """What a client's body says, read once: enough to admit and route it; `wire` is the dialect's own reading.
    `max_tokens` 0: the answer has none."""

    protocol: str
    body: bytes
    wire: Any
    model: str
    stream: bool
    max_tokens: int | None
    choices: int = 1  # OpenAI's `n`
    wants_usage: bool = True  # OpenAI's stream_options.include_usage
    user: str | None = None
    request_id: str = ""  # ours, for frames that carry it
    headers: Mapping[bytes, bytes] = {}  # the request's, by lower-case name: some of them travel in a provider's body
    fields: Mapping[str, msgspec.Raw] = {}  # the body's, as they were written

    def answer_id(self, foreign: str, *, prefix: str, created: int) -> str:
        """The provider's, or of our own id of the call where it gives none: Ollama and Converse do not."""
        return foreign or f"{prefix}{self.request_id.removeprefix('req_') or created}"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where a call goes, as far as its bytes are concerned. `quirks` are the vendor's (see `domain/providers`).
    `context_tokens` 0: nobody knows. `foreign`: marks of the signatures in the history that it has not made, so that it
    is not sent what they sign (see `domain/signatures`). `fetched`: what lies at URLs in the request, for who takes
    none."""

    protocol: str
    model: str
    max_output_tokens: int
    context_tokens: int = 0
    capabilities: frozenset[str] = frozenset()
    quirks: frozenset[str] = frozenset()
    foreign: frozenset[bytes] = frozenset()
    fetched: Mapping[str, Fetched] = {}


class Seen(msgspec.Struct, kw_only=True):
    """What has been learnt of an upstream's answer so far; filled while it is relayed, never in its way."""

    usage: TokenUsage | None = None
    stop_reason: StopReason | None = None
    response_id: str | None = None
    model: str | None = None
    output_bytes: int = 0  # of text, thinking and arguments: for an estimate, should no usage come
    started: bool = False  # the first whole event is in: the answer may be committed to
    finished: bool = False  # the upstream's own terminator was seen
    error: GatewayError | None = None
    on_signed: Callable[[list[bytes]], None] | None = None  # is told the marks of signatures as they come


class Exchange(Protocol):
    """One upstream try, from bytes to bytes. Pure; for one answer only; feed it in order."""

    body: bytes
    """What to send upstream."""

    headers: Headers
    """What to send with it besides what its provider gets anyway."""

    seen: Seen
    notes: tuple[str, ...]
    """What was done to the request, for the ledger, in a few words none of which are the caller's."""

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that a non-200 answer stands for. No error of an exchange holds a credential."""

    def answer(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """The client's answer to a call that does not stream. `headers` are the upstream's, by lower-case name.

        Raises UpstreamBroken on a garbled one, another UpstreamError on an error under status 200.
        """

    def feed(self, chunk: bytes) -> bytes:
        """Client bytes for these upstream bytes, whichever way they are split.

        A failure is not raised: `seen.error` is set, and the bytes returned end with the dialect's error frame
        (without it while `seen.started` is False, so that another deployment may still be tried).
        """

    def close(self) -> bytes:
        """At the upstream's end of file: the last client bytes. An answer cut short sets `seen.error` likewise."""

    def fail(self, error: GatewayError) -> bytes:
        """The last frames of a stream that somebody else ends, in the middle of an answer of which `seen.started`."""


class StreamEncoder(Protocol):
    def encode(self, event: Event) -> bytes:
        """Frames for one event; b"" where the dialect has none."""


class StreamDecoder(Protocol):
    def feed(self, chunk: bytes) -> list[Event]: ...

    def close(self) -> list[Event]: ...


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider counts a prompt's tokens without answering it."""

    write: Callable[[ClientCall, Target], bytes]  # the question; raises InvalidRequest
    read: Callable[[bytes], int]  # of the answer; raises UpstreamBroken


class ErrorShape(msgspec.Struct, frozen=True):
    """An error as a client of a dialect gets it."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class AnyClient(msgspec.Struct, frozen=True, kw_only=True):
    """One folder of `protocols`, as callers speak it, whatever they ask for. `operation` says what that is."""

    name: str
    operation: Operation = "generate"
    request_id_header: str
    read_request: Callable[[bytes], ClientCall]
    above_cap: Callable[..., InvalidRequest]  # (ClientCall, *, cap: int): it asks for more tokens than the model gives
    write_error: Callable[..., ErrorShape]  # (GatewayError, *, request_id, trace_id="") -> ErrorShape
    stream_error: Callable[..., bytes]  # (GatewayError, *, request_id: str) -> bytes, the dialect's last frames
    keepalive: bytes  # a frame that every client of the dialect skips


class Rereader(msgspec.Struct, frozen=True):
    """How answers in a dialect that no provider speaks are read again, a whole one and a stream; `call` asked for it.
    Raises UpstreamBroken. The usage is told by others."""

    whole: Callable[..., ChatResponse]  # (bytes, *, call: ClientCall) -> ChatResponse
    stream: Callable[..., ChatResponse]  # likewise


class ClientFormat(AnyClient, frozen=True, kw_only=True):
    """Callers who want text. `reads` are the fields of which `to_chat` takes account; of some of those only `parts`."""

    words: Words
    reads: frozenset[str]
    parts: Mapping[str, frozenset[str]] = {}
    to_chat: Callable[[ClientCall], ChatRequest]
    unfit: Callable[[str, str], InvalidRequest]  # (field, reason): see errors.Unfit
    undownloaded: Callable[..., InvalidRequest]  # (ClientCall, *, url: str, reason: attachments.Reason)
    write_response: Callable[..., bytes]  # (ChatResponse, *, call: ClientCall, created: int) -> bytes
    encoder: Callable[..., StreamEncoder]  # (*, call: ClientCall, created: int) -> StreamEncoder
    rereader: Rereader | None = None


class EmbeddingClient(AnyClient, frozen=True, kw_only=True):
    """Callers who want vectors. Their answers never stream."""

    operation: Operation = "embed"
    to_embedding: Callable[[ClientCall], EmbeddingRequest]
    write_response: Callable[..., bytes]  # (EmbeddingResponse, *, call: ClientCall) -> bytes


class AnyUpstream(msgspec.Struct, frozen=True, kw_only=True):
    """One folder of `protocols`, as providers speak it. `accept` is the media type of its streams."""

    name: str
    accept: str = "text/event-stream"
    read_error: Callable[..., UpstreamError]  # (status, headers, body) -> UpstreamError, not yet `refusal.cleaned`


def no_headers(asked: ChatRequest) -> Headers:
    """Everything is in the body."""
    return ()


class UpstreamFormat(AnyUpstream, frozen=True, kw_only=True):
    """Providers who give text. `fetches`: the kinds of attachments that they take by URL; for the others `write` raises
    TakesNoURL."""

    words: Words
    fetches: frozenset[str] = frozenset({"image", "document"})
    write: Callable[[ChatRequest, Target], dict[str, Any]]  # the body to send; raises InvalidRequest
    headers: Callable[[ChatRequest], Headers] = no_headers  # to send with it
    read_response: Callable[[bytes], ChatResponse]
    decoder: Callable[[], StreamDecoder]

    def write_request(self, asked: ChatRequest, target: Target) -> bytes:
        return msgspec.json.encode(self.write(asked, target))


class EmbeddingUpstream(AnyUpstream, frozen=True, kw_only=True):
    """Providers who give vectors: as many, in the same order, as inputs were sent. Where the answer does not tell how
    many tokens they had, its header `counted_by` may."""

    write_request: Callable[[EmbeddingRequest, Target], bytes]
    read_response: Callable[[bytes], EmbeddingResponse]
    counted_by: str = ""
