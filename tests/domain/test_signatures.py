"""Signatures by their digests: found in any JSON, told as they stream by, and dropped with what they sign."""

from __future__ import annotations

import itertools
import json
import tracemalloc

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import signatures
from apps.domain.chat import RedactedThinking, Thinking
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target
from apps.domain.protocols.openai_responses import names

MINE, THEIRS, OURS = "EqQBCgIYAhIM/mine+signature==", "f00dbeef" * 8, "gw1.AAAAAAAAAAAAAAAAAAAA"
SEALED = "c2VhbGVkIHRob3VnaHRzIG9mIHRoZWlycw=="


def thinking(signature: str, text: str = "Hm.") -> dict[str, str]:
    return {"type": "thinking", "thinking": text, "signature": signature}


def said(*blocks: dict) -> dict:
    return {"role": "assistant", "content": list(blocks)}


def body(*messages: dict, **fields: object) -> bytes:
    asked = {"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "hi"}, *messages], **fields}
    return json.dumps(asked).encode()


def opened(raw: bytes, *foreign: str, protocol: str = "anthropic_messages", **target: object):
    call = registry.CLIENTS["anthropic_messages"].read_request(raw)
    marks = frozenset(map(signatures.mark, foreign))
    return exchange.open(call, Target(protocol=protocol, model="m", max_output_tokens=4096, foreign=marks, **target))


def sent(raw: bytes, *foreign: str, **target: object):
    return json.loads(opened(raw, *foreign, **target).body)


def test_every_signature_of_a_history_is_found_in_order_but_ours():
    raw = body(
        said(thinking(MINE), {"type": "text", "text": 'he wrote "signature": "not one of mine"'}),
        said({"data": SEALED, "type": "redacted_thinking"}, thinking(OURS)),
        said({"type": "redacted_thinking", "data": SEALED}, thinking(THEIRS)),
    )
    assert signatures.marks(raw) == [signatures.mark(text) for text in (MINE, SEALED, SEALED, THEIRS)]


@pytest.mark.parametrize("text", [b"A", b'\\"', b"A\\\\"])
@pytest.mark.parametrize("end", [b'"}', b""])
def test_a_text_of_a_megabyte_is_looked_at_in_little_memory(text, end):
    raw = b'{"signature":"' + text * (1_000_000 // len(text)) + end
    assert len(signatures.marks(raw)) == len(end[:1])
    tracemalloc.start()
    try:
        signatures.marks(raw)
        assert tracemalloc.get_traced_memory()[1] < 12 * len(raw)
    finally:
        tracemalloc.stop()


def test_a_short_field_of_that_name_is_no_signature():
    assert signatures.marks(b'{"signature": "", "encrypted_content": "short"}') == []


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", " :\t")])
def test_spacing_and_escapes_of_other_encoders_do_not_hide_one(separators):
    raw = json.dumps(thinking(MINE), separators=separators).replace("/", "\\/").encode()
    assert signatures.marks(raw) == [signatures.mark(MINE)]


@given(st.binary(max_size=200))
def test_nothing_breaks_the_search(noise):
    assert isinstance(signatures.marks(b'{"signature": "' + noise), list)
    assert signatures.marks(noise + b'{"signature":""}') == [] or b'"' in noise


def test_what_nobody_else_signed_is_relayed_to_the_byte():
    raw = body(said(thinking(MINE), {"type": "text", "text": "yes"}), {"role": "user", "content": "go on"})
    assert opened(raw, THEIRS).body == raw


def test_what_another_has_signed_is_dropped_and_nothing_else_touched():
    raw = body(
        said(thinking(MINE), {"type": "text", "text": "one"}),
        {"role": "user", "content": "go on"},
        said(thinking(THEIRS), {"type": "redacted_thinking", "data": SEALED}, {"type": "text", "text": "two"}),
        {"role": "user", "content": "and on"},
        odd={"signature": THEIRS},
    )
    found = sent(raw, THEIRS, SEALED)
    assert found["messages"][1]["content"] == [thinking(MINE), {"type": "text", "text": "one"}]
    assert found["messages"][3]["content"] == [{"type": "text", "text": "two"}]
    assert found["odd"] == {"signature": THEIRS}


def test_an_answer_of_nothing_else_does_not_become_an_empty_one():
    raw = body(said(thinking(THEIRS)), {"role": "user", "content": "go on"})
    assert sent(raw, THEIRS)["messages"][1]["content"] == [{"type": "text", "text": "(no content)"}]


def test_a_tool_turn_that_loses_its_thinking_is_asked_without():
    call = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "42"}]}
    thinks = {"type": "enabled", "budget_tokens": 1024}
    raw = body(said(thinking(THEIRS), call), result, thinking=thinks)
    assert sent(raw, THEIRS)["thinking"] == {"type": "disabled"}
    assert sent(raw, MINE)["thinking"] == thinks
    kept = body(said(thinking(MINE), thinking(THEIRS), call), result, thinking=thinks)
    assert sent(kept, THEIRS)["thinking"] == thinks, "it still begins with thinking"


def test_a_translated_history_is_without_it_too():
    raw = body(
        said(thinking(THEIRS, "secret plan"), {"type": "text", "text": "one"}), {"role": "user", "content": "on"}
    )
    assert b"secret plan" not in opened(raw, THEIRS, protocol="openai_chat").body


SIGNED = (
    {"type": "message_start", "message": {"id": "msg", "type": "message", "model": "m", "usage": {"input_tokens": 1}}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": MINE}},
    {"type": "content_block_stop", "index": 0},
    {"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": SEALED}},
    {"type": "content_block_stop", "index": 1},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
STREAM = b"".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in SIGNED)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
@pytest.mark.parametrize("client", ["anthropic_messages", "openai_chat"])
def test_signatures_are_told_once_each_however_the_stream_is_split(client, cuts):
    asked = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    call = registry.CLIENTS[client].read_request(json.dumps(asked).encode())
    one = exchange.open(call, Target(protocol="anthropic_messages", model="m", max_output_tokens=9))
    told: list[bytes] = []
    one.seen.on_signed = told.extend
    places = [0, *sorted(cuts), len(STREAM)]
    for begin, end in itertools.pairwise(places):
        one.feed(STREAM[begin:end])
    one.close()
    assert one.seen.error is None
    assert told == [signatures.mark(MINE), signatures.mark(SEALED)]


def test_a_vendors_own_is_known_whichever_way_it_travels():
    assert signatures.mark(names.seal(Thinking("Hm.", MINE))) == signatures.mark(MINE)
    assert signatures.mark(names.seal(RedactedThinking(SEALED))) == signatures.mark(SEALED)
    assert signatures.mark(names.sign("gAAAAencrypted.reasoning", item="rs_1")) == signatures.mark(
        "gAAAAencrypted.reasoning"
    )
    item = {"type": "reasoning", "id": "rs_1", "encrypted_content": names.seal(Thinking("Hm.", MINE))}
    assert signatures.marks(json.dumps(item).encode()) == [signatures.mark(MINE)]
    assert signatures.marks(json.dumps(item | {"encrypted_content": "gw1.s.tampered-with"}).encode()) == []


def test_reasoning_that_another_responses_provider_encrypted_is_dropped_from_the_input():
    theirs, mine = "gAAAAtheirs-encrypted", "gAAAAmine-encrypted"
    items = [
        {"role": "user", "content": "hi"},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": theirs},
        {"type": "reasoning", "id": "rs_2", "summary": [], "encrypted_content": mine},
        {"role": "user", "content": "go on"},
    ]
    raw = json.dumps({"model": "m", "input": items, "max_output_tokens": 99}).encode()
    call = registry.CLIENTS["openai_responses"].read_request(raw)
    foreign = frozenset([signatures.mark(theirs)])
    target = Target(protocol="openai_responses", model="m", max_output_tokens=99, foreign=foreign)
    assert json.loads(exchange.open(call, target).body)["input"] == [items[0], *items[2:]]


@pytest.mark.parametrize("client", ["anthropic_messages", "openai_chat"])
def test_signatures_of_a_whole_answer_are_told(client):
    asked = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    call = registry.CLIENTS[client].read_request(json.dumps(asked).encode())
    one = exchange.open(call, Target(protocol="anthropic_messages", model="m", max_output_tokens=9))
    told: list[bytes] = []
    one.seen.on_signed = told.extend
    answer = {
        "id": "msg", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [thinking(MINE), {"type": "text", "text": "yes"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    one.answer(msgspec.json.encode(answer))
    assert told == [signatures.mark(MINE)]
