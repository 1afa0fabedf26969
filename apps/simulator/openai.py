"""OpenAI's Chat Completions dialect: answers, streams, errors, headers.

Reasoning is shown as `reasoning_content`, the field most compatible vendors use; OpenAI itself shows none.
"""

from __future__ import annotations

import time

import msgspec

from apps.simulator import ids, keys, openai_request, prebuilt
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.dialect import Broken, Dialect, Failure, Frame, Headers, Reported, Request
from apps.simulator.likelihood import logprobs

WINDOW_TOKENS = 200_000

KINDS: dict[int, tuple[str, str | None, str]] = {
    400: ("invalid_request_error", None, "The request was refused by the simulator's script."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided."),
    403: ("invalid_request_error", "permission_denied", "You are not allowed to use this resource."),
    404: ("invalid_request_error", "model_not_found", "The model does not exist or you do not have access to it."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for requests. Please try again in 1s."),
    500: ("server_error", None, "The server had an error while processing your request. Sorry about that!"),
    503: ("server_error", None, "The server is currently overloaded. Please try again later."),
}
STOPS = {
    "end": "stop",
    "cap": "length",
    "stop": "stop",
    "tools": "tool_calls",
    "refusal": "content_filter",
    "declined": "stop",
}
_SPOKEN = {"text": "content", "thinking": "reasoning_content", "refusal": "refusal"}
LIMITS: Headers = [
    (b"openai-organization", b"simulated"),
    (b"openai-processing-ms", b"12"),
    (b"openai-version", b"2020-10-01"),
    (b"x-ratelimit-limit-requests", b"10000"),
    (b"x-ratelimit-limit-tokens", b"2000000"),
    (b"x-ratelimit-remaining-requests", b"9999"),
    (b"x-ratelimit-remaining-tokens", b"1999900"),
    (b"x-ratelimit-reset-requests", b"6ms"),
    (b"x-ratelimit-reset-tokens", b"3ms"),
]


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    body = _message(answer)
    said = [piece for block in answer.blocks if block.kind == "text" for piece in block.pieces]
    likely = _likely(said, ask=ask) if said else None
    choices = [
        {"index": index, "message": body, "logprobs": likely, "finish_reason": _finish(answer, ask=ask)}
        for index in range(ask.copies)
    ]
    document = {**_envelope(ask, kind="chat.completion"), "choices": choices}
    if reported is not None:
        document["usage"] = _usage(reported)
    return document


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    envelope = _envelope(ask, kind="chat.completion.chunk")
    tail: Object = {"usage": None} if ask.include_usage else {}
    out: list[Frame] = []
    for index in range(ask.copies):
        for delta, tokens in _deltas(answer):
            likely = _likely([delta["content"]], ask=ask) if delta.get("content") else None
            choice = {"index": index, "delta": delta, "logprobs": likely}
            out.append(_chunk(envelope, tail, choice=choice, tokens=tokens))
        finish = {"index": index, "delta": {}, "finish_reason": _finish(answer, ask=ask)}
        out.append(_chunk(envelope, tail, choice=finish))
    if ask.include_usage and reported is not None:
        out.append(event({**envelope, "choices": [], "usage": _usage(reported)}))
    out.append(Frame(b"data: [DONE]\n\n"))
    return out


def failure(error: Refused, request_id: str) -> Failure:
    status = 503 if error.status == 529 else error.status
    default = "server_error" if status >= 500 else "invalid_request_error"
    kind, code, message = KINDS.get(status, (default, None, "Error"))
    body = {
        "message": error.message or message,
        "type": error.kind or kind,
        "param": error.param,
        "code": error.code or code,
    }
    return Failure(status, {"error": body})


def failure_frames(broken: Broken) -> list[Frame]:
    kind, code, message = KINDS[429 if broken.is_throttled else 500]
    error = {"message": message, "type": kind, "param": None, "code": code}
    return [event({"error": error}), Frame(b"data: [DONE]\n\n")]


def headers(request_id: str) -> Headers:
    return [(b"x-request-id", request_id.encode()), *LIMITS]


def authenticate(request: Request) -> str:
    key = keys.given(request.headers) or request.headers.get(b"api-key", b"").decode("latin-1")  # Azure's
    if not key:
        raise Refused("You didn't provide an API key.", status=401)
    if key == keys.BAD_KEY:
        raise Refused(f"Incorrect API key provided: {key[:2]}***{key[-2:]}.", status=401)
    return key


def read(request: Request, *, lenient: bool) -> Ask:
    return openai_request.read(request.body, headers=request.headers, lenient=lenient)


def overflow(tokens: int, model: str) -> Refused:
    return Refused(
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        param="messages",
        code="context_length_exceeded",
    )


def _envelope(ask: Ask, *, kind: str) -> Object:
    return {
        "id": ids.new("chatcmpl-"),
        "object": kind,
        "created": int(time.time()),
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_simulated",
    }


def _message(answer: Answer) -> Object:
    said = {kind: "".join(block.text for block in answer.blocks if block.kind == kind) for kind in _SPOKEN}
    calls = [
        {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": block.text}}
        for block in answer.blocks
        if block.kind == "call"
    ]
    silent = bool(calls or said["refusal"]) and not said["text"]
    body: Object = {"role": "assistant", "content": None if silent else said["text"]}
    body["refusal"] = said["refusal"] or None
    body["annotations"] = []
    if said["thinking"]:
        body["reasoning_content"] = said["thinking"]
    if calls:
        body["tool_calls"] = calls
    return body


def _likely(pieces: list[str], *, ask: Ask) -> Object | None:
    if ask.asked.get("logprobs") is not True:
        return None
    return {"content": logprobs(pieces, top=ask.asked.get("top_logprobs") or 0), "refusal": None}


def _deltas(answer: Answer) -> list[tuple[Object, int]]:
    """Every delta of one choice with its tokens; hidden reasoning is out with the first."""
    hidden = sum(block.hidden for block in answer.blocks)
    out: list[tuple[Object, int]] = [({"role": "assistant", "content": "", "refusal": None}, hidden)]
    position = 0
    for block in answer.blocks:
        if block.kind == "call":
            function: Object = {"name": block.name, "arguments": ""}
            first = {"index": position, "id": block.id, "type": "function", "function": function}
            out.append(({"tool_calls": [first]}, 0))
            out += [
                ({"tool_calls": [{"index": position, "function": {"arguments": piece}}]}, 1) for piece in block.pieces
            ]
            position += 1
        elif block.kind in _SPOKEN:
            out += [({_SPOKEN[block.kind]: piece}, 1) for piece in block.pieces]
    return out


def _finish(answer: Answer, *, ask: Ask) -> str:
    """A call of a tool that the request named ends in `stop`, as the vendor documents."""
    return "stop" if answer.stop == "tools" and ask.named is not None else STOPS[answer.stop]


def _usage(reported: Reported) -> Object:
    assert reported is not None
    return {
        "prompt_tokens": reported.prompt,
        "completion_tokens": reported.output,
        "total_tokens": reported.prompt + reported.output,
        "prompt_tokens_details": {
            "cached_tokens": reported.cache_read,
            "cache_write_tokens": reported.cache_write,
            "audio_tokens": 0,
        },
        "completion_tokens_details": {
            "reasoning_tokens": reported.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chunk(envelope: Object, tail: Object, *, choice: Object, tokens: int = 0) -> Frame:
    whole = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": None, **choice}
    return event({**envelope, "choices": [whole], **tail}, tokens)


def event(document: Object, tokens: int = 0) -> Frame:
    return Frame(b"data: %s\n\n" % msgspec.json.encode(document), tokens)


DIALECT = Dialect(
    name="openai",
    head=prebuilt.head,
    authenticate=authenticate,
    read=read,
    message=message,
    frames=frames,
    failure=failure,
    failure_frames=failure_frames,
    headers=headers,
    new_request_id=lambda: ids.new("req_", width=32),
    events_around_text=lambda ask: 4 if ask.include_usage else 3,
    overflow=overflow,
)
