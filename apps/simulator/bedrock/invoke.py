"""InvokeModel for Claude: Anthropic's answers, each event of a stream in a frame."""

from __future__ import annotations

import base64

import msgspec

from apps.simulator import anthropic, ids
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object
from apps.simulator.bedrock import eventstream, invoke_request, service, signature
from apps.simulator.dialect import Dialect, Frame, Headers, Reported
from apps.simulator.usage import Counters

LATENCY_MS = 738
FIRST_BYTE_MS = 378


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    return _named(anthropic.message(answer, ask=ask, reported=reported), ask=ask)


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    """Anthropic's events without its pings, and with metrics that are not to be billed from."""
    out = []
    for document, tokens in anthropic.events(answer, ask=ask, reported=reported):
        kind = document["type"]
        if kind == "ping":
            continue
        if kind == "message_start":
            document["message"] = _named(document["message"], ask=ask)
        if kind == "message_stop" and reported is not None:
            document["amazon-bedrock-invocationMetrics"] = _metrics(reported)
        data = base64.b64encode(msgspec.json.encode(document)).decode()
        out.append(eventstream.event("chunk", {"bytes": data}, tokens=tokens))
    return out


def counts(usage: Counters) -> Headers:
    return [
        (b"x-amzn-bedrock-input-token-count", b"%d" % usage.fresh),
        (b"x-amzn-bedrock-output-token-count", b"%d" % usage.output),
        (b"x-amzn-bedrock-invocation-latency", b"%d" % LATENCY_MS),
        (b"x-amzn-bedrock-cache-read-input-token-count", b"%d" % usage.cache_read),
        (b"x-amzn-bedrock-cache-write-input-token-count", b"%d" % usage.cache_write),
    ]


def _named(message: Object, *, ask: Ask) -> Object:
    """With Bedrock's sort of id, and Anthropic's own name of the model."""
    return message | {"id": ids.new("msg_bdrk_01"), "model": service.named(ask.model).name}


def _metrics(reported: Counters) -> Object:
    """The output without its thinking: in life, too, it is not what `usage` says."""
    metrics = {
        "inputTokenCount": reported.fresh,
        "outputTokenCount": reported.output - reported.reasoning,
        "invocationLatency": LATENCY_MS,
        "firstByteLatency": FIRST_BYTE_MS,
    }
    if reported.cache_read or reported.cache_write:
        metrics["cacheReadInputTokenCount"] = reported.cache_read
        metrics["cacheWriteInputTokenCount"] = reported.cache_write
    return metrics


DIALECT = Dialect(
    name="bedrock_invoke",
    head=service.head,
    authenticate=signature.authenticate,
    read=invoke_request.read,
    message=message,
    frames=frames,
    failure=service.failure,
    failure_frames=service.failure_frames,
    headers=service.headers,
    new_request_id=service.new_request_id,
    events_around_text=lambda ask: 5,
    overflow=service.overflow,
    stream_type=eventstream.MEDIA_TYPE,
    stream_headers=((b"x-amzn-bedrock-content-type", b"application/json"),),
    has_lines=False,
    counts=counts,
)
