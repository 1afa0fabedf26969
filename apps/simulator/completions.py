"""OpenAI's legacy Completions dialect: prompts that are continued."""

from __future__ import annotations

import time
from typing import Any

from apps.simulator import ids, openai, prebuilt
from apps.simulator.answer import Answer
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.dialect import Dialect, Frame, Reported, Request
from apps.simulator.openai_messages import expect, refuse
from apps.simulator.openai_request import (
    RANGES,
    REASONING_MODEL,
    check_range,
    include_usage,
    read_stops,
    whole_document,
)

# fmt: off
FIELDS = {
    "model", "prompt", "best_of", "echo", "frequency_penalty", "logit_bias", "logprobs", "max_tokens", "n",
    "presence_penalty", "seed", "stop", "stream", "stream_options", "suffix", "temperature", "top_p", "user",
}
# fmt: on
DEFAULT_CAP = 16
WINDOW_TOKENS = 200_000


def read(request: Request, *, lenient: bool) -> Ask:
    """Raises Refused. Tokens by number stand for a word each: there is no table to look them up in."""
    document = whole_document(request.body)
    if not isinstance(document.get("model"), str):
        refuse("you must provide a model parameter")
    unknown = sorted(document.keys() - FIELDS)
    if unknown and not lenient:
        refuse(f"Unrecognized request argument supplied: {unknown[0]}")
    model = document["model"]
    if REASONING_MODEL.match(model) or model.startswith("gpt-4"):
        raise Refused(
            "This is a chat model and not supported in the v1/completions endpoint. Did you mean to use "
            "v1/chat/completions?",
            status=404,
            param="model",
        )
    for name, (low, high) in RANGES.items():
        number = expect(document, name, float)
        if number is not None:
            check_range(name, number, low=low, high=high)
    stream = expect(document, "stream", bool) is True
    prompts = texts_of(document.get("prompt", "<|endoftext|>"), name="prompt")
    return Ask(
        model=model,
        stream=stream,
        cap=_cap(document),
        stops=read_stops(document),
        texts=tuple(prompts),
        said=prompts[-1],
        copies=_copies(document, stream=stream) * len(prompts),
        include_usage=include_usage(document, stream=stream),
        asked={"prefix": prompts if expect(document, "echo", bool) else [""]},
    )


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    text = "".join(block.text for block in answer.blocks if block.kind in ("text", "refusal"))
    choices = [
        {"text": _prefix(ask, index) + text, "index": index, "logprobs": None, "finish_reason": _finish(answer)}
        for index in range(ask.copies)
    ]
    document = {**_envelope(ask), "choices": choices}
    return document if reported is None else {**document, "usage": _usage(reported)}


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    envelope = _envelope(ask)
    tail: Object = {"usage": None} if ask.include_usage else {}
    hidden = sum(block.tokens for block in answer.blocks if block.kind not in ("text", "refusal"))
    pieces = [piece for block in answer.blocks if block.kind in ("text", "refusal") for piece in block.pieces]
    out: list[Frame] = []
    for index in range(ask.copies):
        before = [(_prefix(ask, index), 0)] if _prefix(ask, index) else []
        for text, tokens in [*before, *((piece, 1) for piece in pieces)]:
            choice = {"text": text, "index": index, "logprobs": None, "finish_reason": None}
            out.append(openai.event({**envelope, "choices": [choice], **tail}, tokens))
        finish = {"text": "", "index": index, "logprobs": None, "finish_reason": _finish(answer)}
        out.append(openai.event({**envelope, "choices": [finish], **tail}, hidden))
    if ask.include_usage and reported is not None:
        out.append(openai.event({**envelope, "choices": [], "usage": _usage(reported)}))
    return [*out, Frame(b"data: [DONE]\n\n")]


def overflow(tokens: int, model: str) -> Refused:
    return too_long(tokens, window=WINDOW_TOKENS)


def too_long(tokens: int, *, window: int) -> Refused:
    return Refused(
        f"This model's maximum context length is {window} tokens, however you requested {tokens} tokens ({tokens} in "
        "your prompt; 0 for the completion). Please reduce your prompt; or completion length.",
        code="context_length_exceeded",
    )


def texts_of(given: Any, *, name: str) -> list[str]:  # Any: nothing is known of it yet
    """A text, several, the numbers of tokens, or several such lists. Raises Refused."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if all(isinstance(each, str) for each in given):
            return given
        if _are_tokens(given):
            return [_words(given)]
        if all(_are_tokens(each) for each in given):
            return [_words(each) for each in given]
    refuse(
        f"Invalid type for '{name}': expected one of a string, an array of strings, an array of integers, or an "
        "array of integer arrays.",
        param=name,
        code="invalid_type",
    )


def _are_tokens(given: Any) -> bool:  # Any: nothing is known of it yet
    return isinstance(given, list) and bool(given) and all(type(each) is int and each >= 0 for each in given)


def _words(numbers: list[int]) -> str:
    return " ".join(f"t{number}" for number in numbers)


def _cap(document: Object) -> int:
    cap = expect(document, "max_tokens", int)
    if cap is None:
        return DEFAULT_CAP
    check_range("max_tokens", cap, low=0, high=10**9)
    return int(cap)


def _copies(document: Object, *, stream: bool) -> int:
    copies = expect(document, "n", int) or 1
    check_range("n", copies, low=1, high=128)
    best = expect(document, "best_of", int) or copies
    if best < copies:
        refuse("You requested that the server return more choices than it will generate.", param="best_of")
    if stream and best > copies:
        refuse("Cannot stream results with best_of greater than n.", param="best_of")
    return int(copies)


def _prefix(ask: Ask, index: int) -> str:
    prefixes = ask.asked.get("prefix") or [""]
    return str(prefixes[index * len(prefixes) // ask.copies])


def _finish(answer: Answer) -> str:
    return "stop" if answer.stop == "tools" else openai.STOPS[answer.stop]


def _usage(reported: Reported) -> Object:
    assert reported is not None
    return {
        "prompt_tokens": reported.prompt,
        "completion_tokens": reported.output,
        "total_tokens": reported.prompt + reported.output,
    }


def _envelope(ask: Ask) -> Object:
    return {"id": ids.new("cmpl-"), "object": "text_completion", "created": int(time.time()), "model": ask.model}


DIALECT = Dialect(
    name="completions",
    head=prebuilt.head,
    authenticate=openai.authenticate,
    read=read,
    message=message,
    frames=frames,
    failure=openai.failure,
    failure_frames=openai.failure_frames,
    headers=openai.headers,
    new_request_id=openai.DIALECT.new_request_id,
    events_around_text=lambda ask: 3 if ask.include_usage else 2,
    overflow=overflow,
)
