"""The wishes of a caller who speaks OpenAI's legacy Completions: a prompt, a cap and stop strings, no more."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.domain import grammar
from tests.matrix.callers import openai_chat
from tests.matrix.said import Refused, Said
from tests.matrix.wishes import Stop, Wish

PATH = "/v1/completions"
OVERFLOW = openai_chat.OVERFLOW
OVERLOADED = openai_chat.OVERLOADED
_STOPS: dict[str, Stop] = {"stop": "end", "length": "cap", "content_filter": "refusal"}


def body(wish: Wish, *, model: str, stream: bool) -> dict[str, Any]:
    asked: dict[str, Any] = {"model": model, "prompt": wish.said, "max_tokens": wish.cap}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    if wish.stop:
        asked["stop"] = wish.stop
    return asked


def read(response: httpx2.Response, *, stream: bool, relayed: bool) -> Said:
    return _read_stream(response.content) if stream else _read_completion(response.json())


def _read_stream(raw: bytes) -> Said:
    frames = grammar.events(raw)
    assert frames[-1] == ("", "[DONE]")
    chunks = [json.loads(data) for name, data in frames[:-1] if name == ""]
    assert len(chunks) == len(frames) - 1
    said = Said()
    if "error" in chunks[-1]:
        said.error = chunks.pop()["error"]
    elif not chunks[-1]["choices"]:
        said.usage = _usage(chunks.pop()["usage"])
    assert len({(chunk["id"], chunk["created"], chunk["model"], chunk["object"]) for chunk in chunks}) == 1
    for chunk in chunks:
        assert said.stop is None, "nothing follows the end"
        _choice(chunk, said)
    assert (said.stop is None) == (said.error is not None)
    return said


def _read_completion(completion: dict[str, Any]) -> Said:
    said = Said(usage=_usage(completion["usage"]))
    _choice(completion, said)
    assert said.stop is not None
    return said


def _choice(completion: dict[str, Any], said: Said) -> None:
    assert completion["object"] == "text_completion"
    (choice,) = completion["choices"]
    assert choice["index"] == 0
    said.text += choice["text"]
    said.raw_stop = choice["finish_reason"]
    said.stop = _STOPS[said.raw_stop] if said.raw_stop else None


_usage = openai_chat._usage


def refused(response: httpx2.Response) -> Refused:
    return openai_chat.refused(response)
