"""Findings in streams: found however they are cut, stopped before they are out whole, and no byte changed else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain.guardrails.kinds import KINDS
from apps.domain.guardrails.stream import Watch
from apps.domain.sse import MAX_EVENT, frame

CARD = "4111111111111111"
FEW = settings(max_examples=150, deadline=None, derandomize=True)


def _anthropic(name):
    def event(piece):
        delta = {"type": f"{name}_delta", name: piece}
        data = {"type": "content_block_delta", "index": 0, "delta": delta}
        return frame("content_block_delta", json.dumps(data).encode())

    return event, lambda: frame("content_block_stop", b'{"type":"content_block_stop","index":0}')


def _openai(delta):
    def event(piece):
        return frame("", json.dumps({"id": "c1", "choices": [{"index": 0, "delta": delta(piece)}]}).encode())

    end = b'{"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    return event, lambda: frame("", end) + frame("", b"[DONE]")


def _responses(kind):
    def event(piece):
        return frame(kind, json.dumps({"type": kind, "output_index": 0, "content_index": 0, "delta": piece}).encode())

    return event, lambda: frame("response.completed", b'{"type":"response.completed","response":{"id":"r1"}}')


def _plainly():
    return lambda piece: frame("", json.dumps({"text": piece}).encode()), lambda: frame("", b'{"stop_reason":"x"}')


def _legacy():
    def event(piece):
        return frame("", json.dumps({"choices": [{"index": 0, "text": piece}]}).encode())

    return event, lambda: frame("", b"[DONE]")


STREAMS = {
    "Anthropic's text": _anthropic("text"),
    "Anthropic's thinking": _anthropic("thinking"),
    "Anthropic's arguments": _anthropic("partial_json"),
    "OpenAI's text": _openai(lambda piece: {"content": piece}),
    "OpenAI's reasoning": _openai(lambda piece: {"reasoning_content": piece}),
    "OpenAI's arguments": _openai(lambda piece: {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}),
    "Responses' text": _responses("response.output_text.delta"),
    "Responses' arguments": _responses("response.function_call_arguments.delta"),
    "Weir's own": _plainly(),
    "a legacy completion's": _legacy(),
}


def _told(name, out):
    """The text in what has gone out."""
    text = ""
    for block in out.decode().split("\n\n"):
        data = block.partition("data: ")[2]
        if not data.startswith("{"):
            continue
        read = json.loads(data)
        delta = read.get("delta") or (read.get("choices") or [{}])[0].get("delta") or (read.get("choices") or [read])[0]
        if isinstance(delta, dict):
            delta = (delta.get("tool_calls") or [{}])[0].get("function", {}).get("arguments") or next(
                (value for key, value in delta.items() if isinstance(value, str) and key != "type"), ""
            )
        text += delta
    return text


def _fed(watch, stream, chunk):
    out = b"".join(watch.feed(stream[place : place + chunk]) for place in range(0, len(stream), chunk))
    return out + watch.close()


@pytest.mark.parametrize("name", STREAMS)
def test_a_card_in_a_digit_an_event_is_found_and_does_not_get_out(name):
    event, end = STREAMS[name]
    stream = b"".join(map(event, ["It is ", *CARD, ", and so on. ", "More."])) + end()
    for chunk in (1, 7, len(stream)):
        watch = Watch({"card"}, stopping={"card"})
        out = _fed(watch, stream, chunk)
        assert (watch.found, watch.stopped) == ({"card": 1}, "card")
        told = _told(name, out)
        assert told.startswith("It is "), "what is clear has gone out"
        assert sum(map(str.isdigit, told)) < 5, "and hardly any of its digits"
    flagged = Watch(KINDS, stopping=())
    assert _fed(flagged, stream, 5) == stream
    assert flagged.found == {"card": 1}


@FEW
@given(
    st.lists(st.sampled_from([CARD, "4111 1111 1111 1111", "4111111111111112", "99 ", "text ", ".", "é", "x@y", "12"])),
    st.lists(st.integers(1, 9), min_size=1),
    st.integers(1, 60),
    st.sampled_from(sorted(STREAMS)),
)
def test_wherever_text_and_bytes_are_cut_the_same_is_found_and_nothing_else_is_lost(parts, cuts, chunk, name):
    event, end = STREAMS[name]
    text = " ".join(parts)
    pieces, place = [], 0
    while place < len(text):
        size = cuts[len(pieces) % len(cuts)]
        pieces.append(text[place : place + size])
        place += size
    stream = b"".join(map(event, pieces)) + end()
    whole = Watch({"card"}, stopping=())
    _fed(whole, event(text) + end(), 4096)
    cut = Watch({"card"}, stopping=())
    assert _fed(cut, stream, chunk) == stream
    assert cut.found == whole.found
    stopping = Watch({"card"}, stopping={"card"})
    out = _fed(stopping, stream, chunk)
    assert (stopping.stopped is None) == (not whole.found)
    assert stream.startswith(out)
    if whole.found:
        assert CARD not in _told(name, out).replace(" ", "").replace("99", "")
    else:
        assert out == stream


def test_what_is_escaped_in_arguments_is_found_though_an_escape_is_cut():
    event, end = STREAMS["Anthropic's arguments"]
    escaped = '{"card":"' + "".join(f"\\u{ord(digit):04x}" for digit in CARD) + '"}'
    for size in (1, 4, 5, 200):
        pieces = [escaped[place : place + size] for place in range(0, len(escaped), size)]
        watch = Watch({"card"}, stopping={"card"})
        watch.feed(b"".join(map(event, pieces)) + end())
        assert watch.stopped == "card"


def test_what_comes_whole_and_is_told_again_counts_once():
    event, _ = STREAMS["Responses' text"]
    again = {"type": "response.output_text.done", "text": f"It is {CARD}."}
    completed = {"type": "response.completed", "response": {"output": [{"content": [{"text": f"It is {CARD}."}]}]}}
    ends = frame("", json.dumps(again).encode()) + frame("", json.dumps(completed).encode())
    watch = Watch({"card"}, stopping=())
    assert _fed(watch, event(f"It is {CARD}.") + ends, 100) == event(f"It is {CARD}.") + ends
    assert watch.found == {"card": 1}
    only = Watch({"card"}, stopping={"card"})
    assert only.feed(ends) == b""
    assert only.stopped == "card"


def test_a_number_that_is_none_is_held_back_no_longer_than_until_it_is_known():
    event, _ = STREAMS["Weir's own"]
    watch = Watch({"card"}, stopping={"card"})
    assert watch.feed(event("In ")) == event("In ")
    assert watch.feed(event("2024")) == b""
    assert watch.feed(b": keep-alive\n\n") == b""
    assert watch.feed(event(", it")) == event("2024") + b": keep-alive\n\n" + event(", it")
    assert watch.close() == b""
    long = [event("1") for _ in range(80)]
    assert b"".join(map(watch.feed, long)) + watch.close() == b"".join(long)


def test_the_end_of_a_text_lets_go_what_was_held_and_begins_another():
    event, end = STREAMS["Anthropic's text"]
    watch = Watch({"card"}, stopping={"card"})
    assert watch.feed(event("4111 1111")) == b""
    assert watch.feed(end()) == event("4111 1111") + end()
    assert watch.feed(event(" 1111 1111") + end()) == event(" 1111 1111") + end()
    assert watch.stopped is None


def test_no_more_than_so_much_is_held_back():
    piece = frame("", json.dumps({"padding": "x" * 8_000, "text": "1"}).encode())
    watch = Watch({"card"}, stopping={"card"})
    held = 0
    for _ in range(20):
        held += len(piece) - len(watch.feed(piece))
        assert held <= 65_536 + len(piece)
    assert held > 60_000


def test_choices_that_come_in_turns_are_texts_of_their_own():
    def event(index, piece):
        return frame("", json.dumps({"choices": [{"index": index, "delta": {"content": piece}}]}).encode())

    stream = b"".join(event(index, piece) for piece in ("It is 4111 1111", " 1111 1111", ", so.") for index in (0, 1))
    watch = Watch({"card"}, stopping=())
    assert _fed(watch, stream, 4096) == stream
    assert watch.found == {"card": 2}


def test_what_is_left_of_a_longer_number_is_no_finding():
    event, end = STREAMS["Weir's own"]
    watch = Watch({"card"}, stopping={"card"})
    stream = b"".join(map(event, "9" + CARD + " and so on" * 40)) + end()
    assert _fed(watch, stream, len(stream)) == stream
    assert not watch.found


def test_an_event_that_is_cut_short_or_too_long_does_not_pass_unread():
    event, _ = STREAMS["OpenAI's text"]
    for cut in (event(CARD)[:-2], event(CARD)[:-1]):
        watch = Watch({"card"}, stopping={"card"})
        assert watch.feed(event("It is ") + cut) == event("It is ")
        assert (watch.close(), watch.stopped) == (b"", "card")
    for stopping in ((), ("card",)):
        watch = Watch({"card"}, stopping=stopping)
        out = watch.feed(b'data: {"text":"' + b"x" * MAX_EVENT) + watch.feed(b"y") + watch.feed(b'"}\n\n')
        assert (out == b"", watch.stopped is None) == (bool(stopping), not stopping)


IN_BETWEEN = {
    "a citation": '{"type":"content_block_delta","index":0,"delta":{"citation":{"cited_text":"so it is"}}}',
    "usage": '{"choices":[],"usage":{"completion_tokens":1}}',
    "what a filter says": '{"choices":[{"index":0,"delta":{},"content_filter_offsets":{"check_offset":1}}]}',
    "an event to come": '{"type":"response.output_text.annotation.added","annotation":{"title":"a title"}}',
}
NEW_DELTAS = (
    lambda piece: {"content": [{"type": "text", "text": piece}]},
    lambda piece: {"reasoning_details": [{"text": piece}]},
    lambda piece: {"audio": {"transcript": piece}},
    lambda piece: {"tool_calls": [{"index": 0, "custom": {"input": piece}}]},
)


def test_nothing_that_comes_in_between_parts_a_text_and_no_field_is_unheard_of():
    plain = _openai(lambda piece: {"content": piece})[0]
    for between in IN_BETWEEN.values():
        watch = Watch(KINDS, stopping=KINDS)
        for piece in ("It is 4111 ", "1111 1111", " 1111", ". "):
            watch.feed(plain(piece) + frame("", between.encode()))
        assert watch.stopped == "card", between
    for delta in NEW_DELTAS:
        watch, event = Watch(KINDS, stopping=KINDS), _openai(delta)[0]
        out = b"".join(watch.feed(event(piece)) for piece in ("It is 4111 ", "1111 1111", " 1111", ". "))
        assert (watch.stopped, b"4111" in out) == ("card", False)


def test_what_cannot_be_read_ends_what_may_be_stopped_and_passes_else():
    broken = b'data: {"choices":[{"delta":{"content":"4111"}}]},\n\n'
    for stopping in ((), ("card",)):
        watch = Watch(KINDS, stopping=stopping)
        assert (watch.feed(broken) == b"", watch.stopped is not None) == (bool(stopping), bool(stopping))


def test_of_a_secret_and_an_address_nothing_gets_out_behind_the_mark_and_of_a_number_nothing_behind_many_others():
    event, _ = _openai(lambda piece: {"content": piece})
    said = {
        "secret": ("ghp_" + "aB3d" * 9, "sk-ant-api03-" + "aB3_" * 8, "aws_secret_access_key = " + "aB3d" * 10),
        "email": ("someone@example.com",),
        "card": ("0 " * 700 + CARD,),
    }
    for kind, texts in said.items():
        for text in texts:
            watch = Watch(KINDS, stopping=KINDS)
            out = b"".join(watch.feed(event(letter)) for letter in f"It is {text}. So")
            assert watch.stopped == kind
            got = "".join(
                json.loads(line[6:])["choices"][0]["delta"]["content"] for line in out.decode().split("\n\n") if line
            )
            assert not got.endswith(("aB", "@e", "411")), (kind, got[-30:])
            assert CARD[:4] not in got


SAID = {
    "card": "4111 1111 1111 1111",
    "iban": "DE89 3704 0044 0532 0130 00",
    "email": "someone@example.com",
    "phone": "+49 30 123456789",
    "national_id": "123-45-6788",
    "secret": "AKIAIOSFODNN7EXAMPLE",
}


@pytest.mark.parametrize("kind", SAID)
@pytest.mark.parametrize("name", ["Anthropic's text", "OpenAI's arguments", "Responses' text", "Weir's own"])
def test_a_finding_that_is_split_at_any_border_is_found_as_in_one_piece_and_does_not_get_out(name, kind):
    event, end = STREAMS[name]
    said = SAID[kind]
    text = f"So: {said}, or not."
    assert _fed(whole := Watch(KINDS, stopping=()), event(text) + end(), 4096)
    assert whole.found == {kind: 1}
    for cut in range(1, len(text)):
        stream = event(text[:cut]) + event(text[cut:]) + end()
        watch = Watch(KINDS, stopping=())
        assert _fed(watch, stream, 4096) == stream
        assert watch.found == whole.found, text[:cut]
        stopping = Watch(KINDS, stopping=KINDS)
        out = _fed(stopping, stream, 4096)
        assert stopping.stopped == kind
        assert said not in _told(name, out)
    for first in range(5, 4 + len(said)):  # and in three pieces, the last one of a character
        pieces = (text[:first], text[first : 3 + len(said)], text[3 + len(said) :])
        watch = Watch(KINDS, stopping=KINDS)
        out = _fed(watch, b"".join(map(event, pieces)) + end(), 4096)
        assert watch.stopped == kind, pieces
        assert said[:-1] not in _told(name, out) or kind in ("email", "phone"), pieces
