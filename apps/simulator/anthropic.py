"""Anthropic's Messages dialect: answers, streams, errors, headers."""

from __future__ import annotations

import base64
import time
from functools import lru_cache
from typing import NamedTuple

import msgspec

from apps.simulator import anthropic_request, ids, keys, prebuilt, signing
from apps.simulator.answer import Answer, Block
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.dialect import Broken, Dialect, Failure, Frame, Headers, Reported, Request

WINDOW_TOKENS = 200_000

KINDS = {
    400: ("invalid_request_error", "The request was refused by the simulator's script."),
    401: ("authentication_error", "invalid x-api-key"),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: no such model"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit. Please try again later."),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "Request timed out"),
    529: ("overloaded_error", "Overloaded"),
}
STOPS = {
    "end": "end_turn",
    "cap": "max_tokens",
    "stop": "stop_sequence",
    "tools": "tool_use",
    "refusal": "refusal",
    "declined": "end_turn",
}


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    document = _envelope(ask)
    document["content"] = [_content(block, thinking=ask.thinking) for block in answer.blocks]
    document.update(_ending(answer))
    if reported is not None:
        document["usage"] = _usage(reported)
    return document


class Event(NamedTuple):
    """An event before it is framed, and how many tokens are out once it is."""

    document: Object
    tokens: int = 0


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    return [_framed(event) for event in events(answer, ask=ask, reported=reported)]


def events(answer: Answer, *, ask: Ask, reported: Reported) -> list[Event]:
    opening = _envelope(ask)
    if reported is not None:
        opening["usage"] = _usage(msgspec.structs.replace(reported, output=1, reasoning=0))
    out = [_event("message_start", message=opening)]
    for index, block in enumerate(answer.blocks):
        out += _block(block, index=index, thinking=ask.thinking)
        if index == 0:
            out.insert(2, _event("ping"))
    closing: Object = {} if reported is None else {"usage": _final_usage(reported)}
    out.append(_event("message_delta", delta=_ending(answer), **closing))
    out.append(_event("message_stop"))
    return out


def failure(error: Refused, request_id: str) -> Failure:
    kind, message = KINDS.get(error.status, ("api_error" if error.status >= 500 else "invalid_request_error", "Error"))
    body = {"type": error.kind or kind, "message": error.message or message}
    return Failure(error.status, {"type": "error", "error": body, "request_id": request_id})


def failure_frames(broken: Broken) -> list[Frame]:
    kind, message = KINDS[429 if broken.is_throttled else 529]
    return [_framed(_event("error", error={"type": kind, "message": message}, request_id=broken.request_id))]


def headers(request_id: str) -> Headers:
    return [(b"request-id", request_id.encode()), *_limits(int(time.time()))]


def authenticate(request: Request) -> str:
    key = keys.given(request.headers)
    if key in ("", keys.BAD_KEY):
        raise Refused("" if key else "x-api-key header is required", status=401)
    return key


def read(request: Request, *, lenient: bool) -> Ask:
    return anthropic_request.read(request.body, headers=request.headers, lenient=lenient)


def count(request: Request) -> Object:
    ask = anthropic_request.read(request.body, headers=request.headers, counting=True)
    return {"input_tokens": ask.tokens}


def overflow(tokens: int, model: str) -> Refused:
    return Refused(f"prompt is too long: {tokens} tokens > {WINDOW_TOKENS} maximum")


def _envelope(ask: Ask) -> Object:
    return {
        "id": ids.new("msg_01"),
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _ending(answer: Answer) -> Object:
    ending: Object = {"stop_reason": STOPS[answer.stop], "stop_sequence": answer.stop_string}
    if answer.stop == "refusal":
        ending["stop_details"] = {"type": "refusal", "category": "general_harms", "explanation": None}
    return ending


def _content(block: Block, *, thinking: str) -> Object:
    if block.kind == "thinking":
        shown = _shown(block, thinking=thinking)
        return {"type": "thinking", "thinking": shown, "signature": signing.sign(shown)}
    if block.kind == "redacted":
        return {"type": "redacted_thinking", "data": _sealed()}
    if block.kind == "call":
        return {"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}
    return {"type": "text", "text": block.text}


def _block(block: Block, *, index: int, thinking: str) -> list[Event]:
    """Start, deltas and stop of one block. The tokens of what is not shown are out with the frame that ends it."""
    if block.kind == "redacted":
        start: Object = {"type": "redacted_thinking", "data": _sealed()}
        deltas: list[Event] = []
    elif block.kind == "call":
        start = {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        deltas = [_delta(index, type="input_json_delta", partial_json="")]
        deltas += [_delta(index, 1, type="input_json_delta", partial_json=piece) for piece in block.pieces]
    elif block.kind == "thinking":
        start = {"type": "thinking", "thinking": "", "signature": ""}
        shown = _shown(block, thinking=thinking)
        deltas = [_delta(index, 1, type="thinking_delta", thinking=piece) for piece in block.pieces if shown]
        unseen = 0 if shown else len(block.pieces)
        deltas.append(_delta(index, unseen, type="signature_delta", signature=signing.sign(shown)))
    else:
        start = {"type": "text", "text": ""}
        deltas = [_delta(index, 1, type="text_delta", text=piece) for piece in block.pieces]
    opened = _event("content_block_start", block.hidden, index=index, content_block=start)
    return [opened, *deltas, _event("content_block_stop", index=index)]


def _shown(block: Block, *, thinking: str) -> str:
    return "" if thinking == "omitted" else block.text


def _sealed() -> str:
    return base64.b64encode(b"sealed thoughts of the simulated provider").decode()


def _usage(reported: Reported) -> Object:
    assert reported is not None
    return {
        **_final_usage(reported),
        "cache_creation": {
            "ephemeral_5m_input_tokens": reported.cache_write_5m,
            "ephemeral_1h_input_tokens": reported.cache_write_1h,
        },
        "service_tier": "standard",
    }


def _final_usage(reported: Reported) -> Object:
    assert reported is not None
    usage: Object = {
        "input_tokens": reported.fresh,
        "cache_creation_input_tokens": reported.cache_write,
        "cache_read_input_tokens": reported.cache_read,
        "output_tokens": reported.output,
    }
    if reported.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": reported.reasoning}
    return usage


def _event(name: str, tokens: int = 0, **fields: object) -> Event:
    return Event({"type": name, **fields}, tokens)


def _framed(event: Event) -> Frame:
    data = msgspec.json.encode(event.document)
    return Frame(b"event: %s\ndata: %s\n\n" % (event.document["type"].encode(), data), event.tokens)


def _delta(index: int, tokens: int = 0, **delta: str) -> Event:
    return _event("content_block_delta", tokens, index=index, delta=delta)


@lru_cache(maxsize=2)
def _limits(now: int) -> Headers:
    reset = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + 1)).encode()
    limits = {b"requests": 4000, b"tokens": 480_000, b"input-tokens": 400_000, b"output-tokens": 80_000}
    out: Headers = []
    for name, limit in limits.items():
        out.append((b"anthropic-ratelimit-%s-limit" % name, b"%d" % limit))
        out.append((b"anthropic-ratelimit-%s-remaining" % name, b"%d" % (limit - 1)))
        out.append((b"anthropic-ratelimit-%s-reset" % name, reset))
    return out


DIALECT = Dialect(
    name="anthropic",
    head=prebuilt.head,
    authenticate=authenticate,
    read=read,
    message=message,
    frames=frames,
    failure=failure,
    failure_frames=failure_frames,
    headers=headers,
    new_request_id=lambda: ids.new("req_01"),
    events_around_text=lambda ask: 6,
    overflow=overflow,
)
