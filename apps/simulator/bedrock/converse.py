"""Converse: one shape of answers and streams for every family."""

from __future__ import annotations

import base64

import msgspec

from apps.simulator import signing
from apps.simulator.answer import Answer, Block
from apps.simulator.ask import Ask, Object
from apps.simulator.bedrock import converse_request, eventstream, invoke
from apps.simulator.dialect import Frame, Reported
from apps.simulator.usage import Counters

LATENCY_MS = 1176
SEALED = base64.b64encode(b"sealed thoughts of the simulated provider")
STOPS = {
    "end": "end_turn",
    "cap": "max_tokens",
    "stop": "stop_sequence",
    "tools": "tool_use",
    "refusal": "content_filtered",
    "declined": "end_turn",
}


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    content = [_content(block, ask=ask) for block in answer.blocks]
    document: Object = {
        "metrics": {"latencyMs": LATENCY_MS},
        "output": {"message": {"content": content, "role": "assistant"}},
        **_ending(answer, ask=ask),
    }
    if reported is not None:
        document["usage"] = _usage(reported, ask=ask)
    return document | _tier(ask)


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    """Neither text nor reasoning is opened: their first delta does that."""
    out = [eventstream.event("messageStart", {"role": "assistant"})]
    for index, block in enumerate(answer.blocks):
        out += _block(block, index=index, ask=ask)
    out.append(eventstream.event("messageStop", _ending(answer, ask=ask)))
    told: Object = {"metrics": {"latencyMs": LATENCY_MS}}
    if reported is not None:
        told["usage"] = _usage(reported, ask=ask)
    out.append(eventstream.event("metadata", told | _tier(ask)))
    return out


def _tier(ask: Ask) -> Object:
    """In which it was served: the one that was asked for."""
    asked = ask.asked.get("serviceTier")
    return {"serviceTier": asked} if asked else {}


def _ending(answer: Answer, *, ask: Ask) -> Object:
    stop = STOPS[answer.stop]
    if answer.stop == "refusal" and ask.asked.get("guardrailConfig"):
        stop = "guardrail_intervened"
    ending: Object = {"stopReason": stop}
    if answer.stop_string and "/stop_sequence" in (ask.asked.get("additionalModelResponseFieldPaths") or ()):
        ending["additionalModelResponseFields"] = {"stop_sequence": answer.stop_string}
    return ending


def _content(block: Block, *, ask: Ask) -> Object:
    if block.kind == "thinking":
        text = _shown(block, ask=ask)
        signature = {"signature": signing.sign(text)} if _is_claude(ask) else {}
        return {"reasoningContent": {"reasoningText": {**signature, "text": text}}}
    if block.kind == "redacted":
        return {"reasoningContent": {"redactedContent": _redacted()}}
    if block.kind == "call":
        return {"toolUse": {"input": block.input, "name": block.name, "toolUseId": block.id}}
    return {"text": block.text}


def _block(block: Block, *, index: int, ask: Ask) -> list[Frame]:
    out: list[Frame] = []
    if block.kind == "redacted":
        out.append(_delta(index, {"reasoningContent": {"redactedContent": _redacted()}}, tokens=block.hidden))
    elif block.kind == "thinking":
        text = _shown(block, ask=ask)
        out += [_delta(index, {"reasoningContent": {"text": piece}}, tokens=1) for piece in block.pieces if text]
        unseen = 0 if text else len(block.pieces)
        if _is_claude(ask):
            out.append(_delta(index, {"reasoningContent": {"signature": signing.sign(text)}}, tokens=unseen))
    elif block.kind == "call":
        start = {"toolUse": {"name": block.name, "toolUseId": block.id}}
        out.append(eventstream.event("contentBlockStart", {"contentBlockIndex": index, "start": start}))
        out += [_delta(index, {"toolUse": {"input": piece}}, tokens=1) for piece in block.pieces]
    else:
        out += [_delta(index, {"text": piece}, tokens=1) for piece in block.pieces] or [_delta(index, {"text": ""})]
    return [*out, eventstream.event("contentBlockStop", {"contentBlockIndex": index})]


def _delta(index: int, delta: Object, *, tokens: int = 0) -> Frame:
    return eventstream.event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}, tokens=tokens)


def _is_claude(ask: Ask) -> bool:
    """Whether thinking is signed. Claude alone speaks before it calls, too."""
    return ask.speaks_first


def _shown(block: Block, *, ask: Ask) -> str:
    return "" if ask.thinking == "omitted" and _is_claude(ask) else block.text


def _redacted() -> str:
    """A blob is base64 in JSON; what is in it is Anthropic's text, itself base64."""
    return base64.b64encode(SEALED).decode()


def _usage(reported: Counters, *, ask: Ask) -> Object:
    """`inputTokens` is without what was cached; the total is with it. Some counters come under two names.

    Claude tells of caches always, the others when there is something to tell.
    """
    usage: Object = {
        "inputTokens": reported.fresh,
        "outputTokens": reported.output,
        "totalTokens": reported.prompt + reported.output,
        "serverToolUsage": {},
    }
    if _is_claude(ask) or reported.cache_read or reported.cache_write:
        usage |= {
            "cacheReadInputTokenCount": reported.cache_read,
            "cacheReadInputTokens": reported.cache_read,
            "cacheWriteInputTokenCount": reported.cache_write,
            "cacheWriteInputTokens": reported.cache_write,
        }
    if reported.cache_write:
        written = {"5m": reported.cache_write_5m, "1h": reported.cache_write_1h}
        usage["cacheDetails"] = [{"ttl": ttl, "inputTokens": tokens} for ttl, tokens in written.items()]
    return usage


DIALECT = msgspec.structs.replace(
    invoke.DIALECT,
    name="bedrock_converse",
    read=converse_request.read,
    message=message,
    frames=frames,
    events_around_text=lambda ask: 4,
    terminators=2,  # a stream without `messageStop` ends without `metadata`, too
    stream_headers=(),
    counts=lambda usage: [],
)
