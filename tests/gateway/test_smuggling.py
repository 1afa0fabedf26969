"""A data policy cannot be bypassed: every dialect, every way to write a finding, every detector; nobody without the tag
ever sees one, by the simulated provider's own log.

What reads a place knows of no detector, so that every writing is tried at every place, and every detector with every
writing at the first place of each dialect.
"""

from __future__ import annotations

import base64
import json
from itertools import product
from urllib.parse import quote

import pytest

from apps.policies import services as policies
from tests.gateway.calls import ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

DETECTED = {
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "email": "someone@example.com",
    "phone": "+49 30 123456789",
    "national_id": "123-45-6788",
    "secret": "AKIAIOSFODNN7EXAMPLE",
}
FULL_WIDTH = str.maketrans({chr(ord("0") + digit): chr(0xFF10 + digit) for digit in range(10)})
SEPARATORS = str.maketrans({" ": "\u2009", "-": "\u2011", "@": "\uff20"})


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


PACKED = ("JSON in a text", "a data URL", "a data URL's percents", "base64")  # where it is all of a text
MIDST = {  # where it is not: docs/policies.md tells what is not opened
    "/v1/messages": ("schema",),
    "/v1/messages/count_tokens": ("schema",),
    "/v1/chat/completions": ("schema", "file's name", "arguments"),
    "/v1/responses": ("schema", "arguments"),
}
WRITINGS = {
    "plain": lambda value: value,
    "full-width digits": lambda value: value.translate(FULL_WIDTH),
    "digits of another script": lambda value: "".join(
        chr(0x1E950 + int(each)) if each.isdigit() else each for each in value
    ),
    "nothing to see in between": lambda value: "\u200b".join(value),
    "other separators": lambda value: value.translate(SEPARATORS),
    "escapes in its words": lambda value: "".join(f"\\u{ord(each):04x}" for each in value),
    "JSON in a text": lambda value: json.dumps({"note": f'"{value}"'}),
    "a data URL": lambda value: f"data:text/plain;base64,{base64_of(value)}",
    "a data URL's percents": lambda value: f"data:text/plain,{quote(value)}",
    "base64": lambda value: base64_of(f"Some words, and then {value}"),
}


def blocks(*texts):
    return [{"type": "text", "text": text} for text in texts]


def user(content):
    return [{"role": "user", "content": content}]


def schema(value):
    return {"type": "object", "properties": {value: {"type": "string", "description": "A key."}}}


CALLED = {"id": "call_1", "type": "function"}
ANTHROPIC = {
    "text": lambda value: {"messages": user(value)},
    "system": lambda value: {"system": blocks(value), "messages": user("Hello.")},
    "document": lambda value: {
        "messages": user(
            [
                {
                    "type": "document",
                    "source": {"type": "base64", "media_type": "text/plain", "data": base64_of(value)},
                }
            ]
        )
    },
    "document's title": lambda value: {
        "messages": user(
            [{"type": "document", "title": value, "source": {"type": "text", "media_type": "text/plain", "data": "x"}}]
        )
    },
    "arguments and result": lambda value: {
        "messages": [
            *user("Look."),
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {"a": [value]}}]},
            *user([{"type": "tool_result", "tool_use_id": "t1", "content": blocks("Nothing.")}]),
        ]
    },
    "result": lambda value: {
        "messages": [
            *user("Look."),
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "f", "input": {}}]},
            *user([{"type": "tool_result", "tool_use_id": "t1", "content": blocks(value)}]),
        ]
    },
    "schema": lambda value: {"tools": [{"name": "f", "input_schema": schema(value)}], "messages": user("Hello.")},
    "metadata": lambda value: {"metadata": {"user_id": value}, "messages": user("Hello.")},
}
OPENAI = {
    "text": ANTHROPIC["text"],
    "system": lambda value: {"messages": [{"role": "system", "content": value}, *user("Hello.")]},
    "file": lambda value: {
        "messages": user(
            [{"type": "file", "file": {"filename": "a.txt", "file_data": f"data:text/plain;base64,{base64_of(value)}"}}]
        )
    },
    "file's name": lambda value: {
        "messages": user([{"type": "file", "file": {"filename": f"{value} .txt", "file_data": base64_of("Words.")}}])
    },
    "arguments": lambda value: {
        "messages": [
            *user("Look."),
            {
                "role": "assistant",
                "tool_calls": [{**CALLED, "function": {"name": "f", "arguments": json.dumps({"a": value})}}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "Nothing."},
        ]
    },
    "result": lambda value: {
        "messages": [
            *user("Look."),
            {"role": "assistant", "tool_calls": [{**CALLED, "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": value},
        ]
    },
    "schema": lambda value: {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema(value)}}],
        "messages": user("Hello."),
    },
    "user": lambda value: {"user": value, "messages": user("Hello.")},
    "metadata": lambda value: {"metadata": {"who": value}, "store": True, "messages": user("Hello.")},
}
RESPONSES = {
    "text": lambda value: {"input": value},
    "instructions": lambda value: {"instructions": value, "input": "Hello."},
    "file": lambda value: {
        "input": user(
            [
                {
                    "type": "input_file",
                    "filename": "a.txt",
                    "file_data": f"data:text/plain;base64,{base64_of(value)}",
                }
            ]
        )
    },
    "arguments": lambda value: {
        "input": [
            *user("Look."),
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": json.dumps({"a": value})},
            {"type": "function_call_output", "call_id": "call_1", "output": "Nothing."},
        ]
    },
    "result": lambda value: {
        "input": [
            *user("Look."),
            {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": value},
        ]
    },
    "schema": lambda value: {
        "tools": [{"type": "function", "name": "f", "parameters": schema(value)}],
        "input": "Hello.",
    },
    "user": lambda value: {"user": value, "input": "Hello."},
}
PLACES = {
    ("/v1/messages", "claude-tagged"): ANTHROPIC,
    ("/v1/messages/count_tokens", "claude-tagged"): {
        place: ANTHROPIC[place] for place in ("text", "system", "result", "schema")
    },
    ("/v1/chat/completions", "gpt-tagged"): OPENAI,
    ("/v1/responses", "gpt-tagged"): RESPONSES,
    ("/v1/completions", "gpt-tagged"): {"prompt": lambda value: {"prompt": value}},
    ("/chat", "claude-tagged"): {"prompt": lambda value: {"prompt": value}},
}
SPLIT = {  # between two blocks, parts or items of one speaker
    "/v1/messages": lambda *parts: {"messages": user(blocks(*parts))},
    "/v1/chat/completions": lambda *parts: {"messages": user(blocks(*parts))},
    "/v1/responses": lambda *parts: {"input": user([{"type": "input_text", "text": part} for part in parts])},
}


@pytest.fixture
def public(world, gateway):
    """Posts a body for a model whose provider has not the tag."""
    for family in ("claude", "gpt"):
        model = world.model(f"{family}-tagged")
        world.deploy(f"{family}-tagged", upstream=f"{family}-public", model=model, priority=0)
    rules = dict.fromkeys(DETECTED, ("route", ""))
    made = policies.create_policy(actor=world.alice, name="private-only", rules=rules, route_tag="private")
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()

    def post(path, body):
        limit = {"max_tokens": 8} if path == "/v1/messages" else {}
        return ask(gateway, path, body=json.dumps({**limit, **body}).encode())

    return post


def findings(places, place):
    """Pairs of a detector and a writing."""
    if place == next(iter(places)):
        return list(product(DETECTED, WRITINGS))
    turn = list(places).index(place)
    return [(list(DETECTED)[(turn + number) % len(DETECTED)], name) for number, name in enumerate(WRITINGS)]


@pytest.mark.parametrize(("path", "model"), PLACES)
def test_no_provider_without_the_tag_is_ever_sent_a_finding(public, simulator, path, model):
    before, places = simulator.seen(), PLACES[path, model]
    for place, made in places.items():
        answer = public(path, {"model": model, **made("plain words")})
        assert answer.status_code == 200, f"{place}: {answer.text}"
        for kind, name in findings(places, place):
            if name in PACKED and place in MIDST.get(path, ()):
                continue
            answer = public(path, {"model": model, **made(WRITINGS[name](DETECTED[kind]))})
            assert answer.status_code == 403, f"{kind} as {name} in {place}: {answer.text}"
    assert simulator.seen() - before == len(places), "each was called once, with plain words"


@pytest.mark.parametrize("path", SPLIT)
def test_nor_one_that_is_split_between_two_parts(public, simulator, path):
    """tests/domain cuts everywhere."""
    model = "claude-tagged" if path == "/v1/messages" else "gpt-tagged"
    before = simulator.seen()
    for kind, value in DETECTED.items():
        for cut in (1, len(value) // 2, len(value) - 1):
            answer = public(path, {"model": model, **SPLIT[path](f"So: {value[:cut]}", f"{value[cut:]}, or not")})
            assert answer.status_code == 403, f"{kind} cut at {cut}: {answer.text}"
    assert simulator.seen() == before
