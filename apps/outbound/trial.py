"""Trying a model at a provider: one call of one token, made and read as callers' calls are."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from apps.domain import errors
from apps.domain.protocols import exchange as exchanges
from apps.domain.protocols import registry
from apps.domain.protocols.contract import ClientCall, EmbeddingUpstream, Exchange, Target
from apps.domain.tokens import TokenUsage
from apps.outbound import asking
from apps.outbound.asking import Asked
from apps.outbound.client import Answer, Outbound

_LIMIT = 4 * 1024 * 1024
_MODEL_CAP = 4096  # of what the model could say; it is asked for less
_LEAST = {"openai_responses": 16}  # the fewest tokens that may be asked for, where one is refused
_CAPS = {"openai_responses": "max_output_tokens"}
_WORD = "Say “yes”."
# What OpenAI's thinking models say when a token is not enough to think: that the call came through.
_OUT_OF_ROOM = "model output limit was reached"


class TrialResult(msgspec.Struct, frozen=True, kw_only=True):
    """`status` 0: no answer. `message` is ours, `words` are the provider's own of a failure, without the secret.
    `usage` as the provider counted it; None: it told none. `is_in_doubt`: it may have worked without an answer."""

    ok: bool
    status: int
    milliseconds: int
    message: str
    words: str = ""
    usage: TokenUsage | None = None
    is_in_doubt: bool = False


class _Failed(Exception):
    def __init__(self, message: str, *, status: int = 0, words: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.words = words


def trial(asked: Asked, *, model: str, stream: bool, seconds: float = 60.0) -> TrialResult:
    """Costs a token, or what the provider takes for one. Never raises for what the provider does."""
    return asking.run(_trial(asked, model, stream, seconds))


async def _trial(asked: Asked, model: str, stream: bool, seconds: float) -> TrialResult:
    started = time.monotonic()
    outbound = Outbound(private_networks=asked.private_networks)
    status, ok, words, exchange, is_in_doubt = 0, False, "", None, False
    try:
        exchange = _exchange(asked, model=model, stream=stream)
        message = await _ask(outbound, asked, exchange, model=model, stream=stream, seconds=seconds)
        status, ok = 200, True
    except _Failed as failure:
        status, message, words = failure.status, str(failure), failure.words
        ok = status == 400 and _OUT_OF_ROOM in words
    except errors.GatewayError as error:
        message, is_in_doubt = error.message, isinstance(error, errors.UpstreamError) and error.reached
    finally:
        await outbound.close()
    return TrialResult(
        ok=ok,
        status=status,
        milliseconds=round((time.monotonic() - started) * 1000),
        message=asked.words(message.encode()),  # it may call the model what the provider calls it
        words=words,
        usage=None if exchange is None else exchange.seen.usage,
        is_in_doubt=is_in_doubt,
    )


async def _ask(
    outbound: Outbound, asked: Asked, exchange: Exchange, *, model: str, stream: bool, seconds: float
) -> str:
    vendor = asked.vendor
    url = vendor.url(asked.base_url, asked.protocol, model=model, stream=stream, options=asked.options)
    accept = registry.UPSTREAMS[asked.protocol].accept if stream else "application/json"
    headers = asked.headers(("content-type", "application/json"), ("accept", accept))
    headers = await asked.signed("POST", url, headers=headers, body=exchange.body)
    answer = await outbound.open("POST", url, headers=headers, body=exchange.body, timeouts=asking.patience(seconds))
    try:
        if answer.status != 200:
            told = asked.words(await answer.read(_LIMIT))
            raise _Failed(f"The provider answered with status {answer.status}.", status=answer.status, words=told)
        return await (_stream if stream else _whole)(exchange, answer, model=model)
    finally:
        await answer.close()


async def _whole(exchange: Exchange, answer: Answer, *, model: str) -> str:
    try:
        exchange.answer(await answer.read(_LIMIT))
    except errors.UpstreamError as error:
        raise _Failed("What the provider answered is not an answer.", status=200, words=error.message) from error
    return f"{exchange.seen.model or model} answers."


async def _stream(exchange: Exchange, answer: Answer, *, model: str) -> str:
    """To its end: a stream that only begins well is no good."""
    while chunk := await answer.chunk():
        exchange.feed(chunk)
    exchange.close()
    if (error := exchange.seen.error) is not None:
        raise _Failed("The stream failed.", status=200, words=error.message)
    return f"{exchange.seen.model or model} streams to the end."


def _exchange(asked: Asked, *, model: str, stream: bool) -> Exchange:
    call = _call(asked, model=model, stream=stream)
    quirks = asked.vendor.quirks if asked.quirks is None else asked.quirks
    target = Target(protocol=asked.protocol, model=model, max_output_tokens=_MODEL_CAP, quirks=quirks)
    return exchanges.open(call, target, cut=asked.cut)


def _call(asked: Asked, *, model: str, stream: bool) -> ClientCall:
    """In the provider's own protocol where callers speak it too; what only providers speak is asked by way of another.

    Relayed, a body goes as it is: so the cap has the name that the provider knows.
    """
    if isinstance(registry.UPSTREAMS[asked.protocol], EmbeddingUpstream):
        body: dict[str, Any] = {"model": model, "input": _WORD}
        return registry.CLIENTS["openai_embeddings"].read_request(msgspec.json.encode(body))
    client = asked.protocol if asked.protocol in registry.CLIENTS else "anthropic_messages"
    quirks = asked.vendor.quirks if asked.quirks is None else asked.quirks
    renamed = client == "openai_chat" and "max_completion_tokens" in quirks
    cap = "max_completion_tokens" if renamed else _CAPS.get(client, "max_tokens")
    body = {"model": model, cap: _LEAST.get(client, 1), "stream": stream}
    if client == "openai_responses":
        body |= {"input": _WORD, "store": False}
    else:
        body |= {"messages": [{"role": "user", "content": _WORD}]}
    return registry.CLIENTS[client].read_request(msgspec.json.encode(body))
