"""OpenAI's Responses dialect: answers, streams, errors."""

from __future__ import annotations

import time

import msgspec

from apps.simulator import ids, openai, prebuilt, responses_request
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.dialect import Broken, Dialect, Frame, Reported, Request
from apps.simulator.responses_output import Part, parts

ENDINGS = {"cap": "max_output_tokens", "refusal": "content_filter"}  # the others are whole
_PADDING = "s1mu1a7edpadd1ng"


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    return _ended(_envelope(ask), answer=answer, output=parts(answer, ask=ask), reported=reported)


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    stream = _Stream(is_padded=(ask.asked.get("stream_options") or {}).get("include_obfuscation") is not False)
    opening = _envelope(ask)
    stream.event("response.created", response=opening)
    stream.event("response.in_progress", response=opening)
    output = parts(answer, ask=ask)
    for index, part in enumerate(output):
        stream.part(part, index=index)
    ending = _ended(opening, answer=answer, output=output, reported=reported)
    stream.event(f"response.{ending['status']}", response=ending)
    return stream.frames


def read(request: Request, *, lenient: bool) -> Ask:
    return responses_request.read(request.body, lenient=lenient)


def count(request: Request) -> Object:
    """Of POST /v1/responses/input_tokens."""
    ask = responses_request.read(request.body, counting=True)
    return {"object": "response.input_tokens", "input_tokens": ask.tokens}


def overflow(tokens: int, model: str) -> Refused:
    return Refused(
        "Your input exceeds the context window of this model. Please adjust your input and try again.",
        param="input",
        code="context_length_exceeded",
    )


def failure_frames(broken: Broken) -> list[Frame]:
    """`response.failed` with what the stream began with; `error` where nothing has begun."""
    code = "rate_limit_exceeded" if broken.is_throttled else "server_error"
    text = openai.KINDS[429 if broken.is_throttled else 500][2]
    stream = _Stream(is_padded=False, number=broken.position)
    if not broken.sent:
        stream.event("error", code=code, message=text, param=None)
        return stream.frames
    opening: Object = msgspec.json.decode(broken.sent[0].data.partition(b"data: ")[2])["response"]
    error = {"code": code, "message": text}
    stream.event("response.failed", response={**opening, "status": "failed", "error": error})
    return stream.frames


class _Stream:
    """The frames of a stream, numbered as they are added."""

    def __init__(self, *, is_padded: bool, number: int = 0) -> None:
        self.frames: list[Frame] = []
        self._is_padded = is_padded
        self._number = number

    def event(self, kind: str, tokens: int = 0, **fields: object) -> None:
        data = msgspec.json.encode({"type": kind, "sequence_number": self._number, **fields})
        self.frames.append(Frame(b"event: %s\ndata: %s\n\n" % (kind.encode(), data), tokens))
        self._number += 1

    def part(self, part: Part, *, index: int) -> None:
        """One item: what it is, what it is made of bit by bit, and the whole of it. Unseen tokens are out with that."""
        self.event("response.output_item.added", output_index=index, item=part.opening)
        place: Object = {"item_id": part.item["id"], "output_index": index, **part.place}
        if part.opened is not None:
            self.event(f"response.{part.frame}.added", **place, part=part.opened)
        for name in part.steps:
            self.event(f"response.{name}", **place)
        for piece, extra in zip(part.pieces, part.extras or ({},) * len(part.pieces), strict=True):
            padding = {"obfuscation": _PADDING[: 16 - len(piece) % 16]} if self._is_padded else {}
            self.event(f"response.{part.delta}.delta", 1, **place, delta=piece, **extra, **padding)
        if part.delta:
            self.event(f"response.{part.delta}.done", **place, **part.done)
        if part.closed is not None:
            self.event(f"response.{part.frame}.done", **place, part=part.closed)
        self.event("response.output_item.done", part.unseen, output_index=index, item=part.item)


def _envelope(ask: Ask) -> Object:
    """The answer as it is before it is there: most of it repeats the request, with what holds where that is silent."""
    asked = ask.asked
    told = {name: asked.get(name) for name in ("instructions", "max_output_tokens", "max_tool_calls")}
    reasoning = asked.get("reasoning") or {}
    text = asked.get("text") or {}
    return {
        "id": ids.new("resp_", width=48),
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "background": asked.get("background") or False,
        "error": None,
        "incomplete_details": None,
        **told,
        "model": ask.model,
        "output": [],
        "parallel_tool_calls": ask.parallel,
        "previous_response_id": None,
        "prompt_cache_key": asked.get("prompt_cache_key"),
        "prompt_cache_retention": asked.get("prompt_cache_retention"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "safety_identifier": asked.get("safety_identifier"),
        "service_tier": asked.get("service_tier") or "auto",
        "store": asked.get("store") is not False,
        "temperature": asked.get("temperature", 1.0),
        "text": {"format": text.get("format") or {"type": "text"}, "verbosity": text.get("verbosity") or "medium"},
        "tool_choice": asked.get("tool_choice") or "auto",
        "tools": [_told(tool) for tool in asked.get("tools") or []],
        "top_logprobs": asked.get("top_logprobs") or 0,
        "top_p": asked.get("top_p", 1.0),
        "truncation": asked.get("truncation") or "disabled",
        "usage": None,
        "user": asked.get("user"),
        "metadata": asked.get("metadata") or {},
    }


def _told(tool: Object) -> Object:
    if tool["type"] != "function":
        return tool
    described = {"description": None, "parameters": None, "strict": True}
    return {"type": "function", **described, **tool}


def _ended(opening: Object, *, answer: Answer, output: list[Part], reported: Reported) -> Object:
    why = ENDINGS.get(answer.stop)
    return {
        **opening,
        "status": "incomplete" if why else "completed",
        "incomplete_details": {"reason": why} if why else None,
        "output": [part.item for part in output],
        "service_tier": "default" if opening["service_tier"] == "auto" else opening["service_tier"],
        "usage": None if reported is None else _usage(reported),
    }


def _usage(reported: Reported) -> Object:
    assert reported is not None
    return {
        "input_tokens": reported.prompt,
        "input_tokens_details": {"cached_tokens": reported.cache_read, "cache_write_tokens": reported.cache_write},
        "output_tokens": reported.output,
        "output_tokens_details": {"reasoning_tokens": reported.reasoning},
        "total_tokens": reported.prompt + reported.output,
    }


DIALECT = Dialect(
    name="responses",
    head=prebuilt.head,
    authenticate=openai.authenticate,
    read=read,
    message=message,
    frames=frames,
    failure=openai.failure,
    failure_frames=failure_frames,
    headers=openai.headers,
    new_request_id=openai.DIALECT.new_request_id,
    events_around_text=lambda ask: 8,
    overflow=overflow,
)
