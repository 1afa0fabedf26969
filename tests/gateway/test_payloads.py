"""What callers ask and what models answer goes through, and into no column, file or log."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from apps.usage import rollups
from apps.usage.models import Entry, HourlyRollup, Refusal, RefusedCall
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.gateway.upstreams import EVENTS, START, upstream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

SAID = {
    name: f"{name}-{secrets.token_hex(8)}"
    for name in ("question", "system", "tool", "input", "answer", "thought", "person")
}
CONTENT = [
    {"type": "thinking", "thinking": SAID["thought"], "signature": "s"},
    {"type": "text", "text": SAID["answer"]},
    {"type": "tool_use", "id": "toolu_1", "name": SAID["tool"], "input": {"q": SAID["input"]}},
]


def whole() -> bytes:
    usage = {"input_tokens": 5, "output_tokens": 2}
    return json.dumps({**START, "content": CONTENT, "stop_reason": "tool_use", "usage": usage}).encode()


def streamed(*, ends: bool = True) -> bytes:
    deltas = [
        {"type": "text_delta", "text": SAID["answer"]},
        {"type": "text_delta", "text": SAID["thought"]},
        {"type": "text_delta", "text": SAID["input"]},
    ]
    events = [*EVENTS[:2], *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas)]
    events += EVENTS[3:] if ends else []
    return b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in events)


def refused() -> bytes:
    """A provider that repeats what it does not like."""
    message = f"messages.0.content: {SAID['question']} {SAID['answer']}"
    return json.dumps({"type": "error", "error": {"type": "invalid_request_error", "message": message}}).encode()


ANSWERS: dict[str, tuple[bool, bytes, bytes, bytes]] = {
    "whole": (False, whole(), b"", b"0\r\n\r\n"),
    "streamed": (True, streamed(), b"", b"0\r\n\r\n"),
    "broken off": (True, streamed(ends=False), b"", b""),
    "refused": (False, refused(), b"", b"0\r\n\r\n"),
}


def question(path: str, *, stream: bool) -> dict[str, Any]:
    tool = {"name": SAID["tool"], "description": SAID["input"], "input_schema": {"type": "object"}}
    asked = [{"role": "user", "content": SAID["question"]}]
    if path == ANTHROPIC:
        person = {"user_id": SAID["person"]}
        return {"messages": asked, "system": SAID["system"], "tools": [tool], "metadata": person, "stream": stream}
    function = {"name": SAID["tool"], "description": SAID["input"], "parameters": {"type": "object"}}
    return {
        "messages": [{"role": "system", "content": SAID["system"]}, *asked],
        "tools": [{"type": "function", "function": function}],
        "user": SAID["person"],
        "stream": stream,
    }


def columns() -> Iterator[tuple[str, str]]:
    for model in (Entry, HourlyRollup, Refusal, RefusedCall):
        for row in model.objects.values():
            for name, value in row.items():
                yield f"{model.__name__}.{name}", str(value)


def files() -> Iterator[tuple[str, str]]:
    """Journals, their write-ahead logs, and whatever else the process writes."""
    for path in Path(settings.VAR_DIR).rglob("*"):
        if path.is_file() and "static" not in path.parts:
            yield path.name, path.read_bytes().decode("latin-1")


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("kind", ANSWERS)
def test_no_prompt_and_no_answer_gets_into_the_ledger(gateway, world, capfd, path, kind):
    stream, answer, head, end = ANSWERS[kind]
    with upstream(answer, head=head, end=end) as url:
        world.deploy("claude-told", upstream="told", url=url)
        gateway.refresh()
        response = ask(gateway, path, model="claude-told", change=question(path, stream=stream))
        expected = "question" if kind == "refused" else "answer"
        assert SAID[expected] in response.text, "the caller gets it"
        in_flight = list(files())
        gateway.settle()
    rollups.roll_up()
    assert Entry.objects.count() == 1
    logged = [("log", line) for line in "".join(capfd.readouterr()).splitlines()]
    places = [*columns(), *in_flight, *files(), *logged]
    assert {"Entry.error_code", "Entry.stop_reason", "Entry.trail", "HourlyRollup.hour"} <= {name for name, _ in places}
    assert [(place, name) for place, text in places for name, said in SAID.items() if said in text] == []
