"""What is told by its bytes alone is what reading it would have told."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import sse
from apps.domain.protocols.alike import Alike
from apps.domain.protocols.contract import Seen
from apps.domain.protocols.openai_chat.passthrough import DIALECT, spoken
from tests.domain.openai_calls import DONE, call

HEAD = b'data: {"id":"c-1","object":"chat.completion.chunk","model":"m%b","choices":[{"index":%d,"delta":{'
TEXTS = [
    b"",
    b"a",
    b" me",
    "é🌊".encode(),
    b'\\"',
    b"\\n",
    b"\\\\",
    b"\\u00e9 x",
    b"C:\\\\",
    b"[DONE]",
    b"data: ",
    b"error",
]
BROKEN = [
    b"\\", b'x\\"', b"a\nb", b"a\rb", b'"', b"\n\n", b"\\u0041",
    b"\n\ndata: [DONE]\n\n", b"\r\rdata: [DONE]\r\r", b'"}}]}\n\n',
]  # fmt: skip


def event(
    text: bytes, *, name: bytes = b"content", index: int = 0, pad: bytes | None = None, model: bytes = b""
) -> bytes:
    padding = b"" if pad is None else b',"obfuscation":"' + pad + b'"'
    said = b'"' + name + b'":"' + text + b'"},"finish_reason":null}],"usage":null' + padding + b"}\n\n"
    return HEAD % (model, index) + said


EVENTS = st.one_of(
    st.builds(event, st.sampled_from(TEXTS)),
    st.builds(event, st.sampled_from(TEXTS), pad=st.sampled_from([b"", b"xy1", b"abcdefgh"])),
    st.builds(event, st.sampled_from(TEXTS), name=st.sampled_from([b"content", b"reasoning", b"arguments", b"role"])),
    st.builds(event, st.sampled_from(TEXTS), index=st.integers(0, 1), model=st.sampled_from([b"", b"\\u0041"])),
    st.builds(event, st.sampled_from(BROKEN)),
    st.builds(event, st.sampled_from(TEXTS), pad=st.sampled_from(BROKEN)),
    st.builds(lambda text: event(text, pad=b"open")[:-4] + b"\n\n", st.sampled_from(TEXTS)),
    st.sampled_from([
        event(b"end").replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
        event(b"").replace(b'"usage":null', b'"usage":{"prompt_tokens":3,"completion_tokens":4}'),
        event(b"x").replace(b"\n", b"\r\n"),
        event(b"x").replace(b"\n", b"\r"),
        b": comment\n\n",
        b": of the next event\n",
        b'data: {"error":{"message":"no","code":500}}\n\n',
        DONE,
    ]),
)  # fmt: skip


def relayed(pieces: list[bytes]) -> tuple[bytes, Seen, str]:
    """What went out, what was seen, and how it failed."""
    seen = Seen()
    tap = DIALECT.tap(seen, call(stream=True), request_id="req_1", cut=bytes)
    out = b"".join(map(tap.feed, pieces)) + tap.close()
    error, seen.error = seen.error, None
    return out, seen, repr(error)


@given(
    st.lists(st.tuples(EVENTS, st.integers(1, 4)), max_size=12),
    st.lists(st.tuples(st.integers(0, 50), st.sampled_from([-2, -1, 0, 0, 0, 0, 1, 40])), max_size=12),
)
def test_it_is_the_same_however_it_is_read(rows, cuts):
    """Cut at an event's end or near it."""
    whole = event(b"begin") + b"".join(one * times for one, times in rows) + DONE
    events = sse.events(whole)
    ends = list(itertools.accumulate(map(len, events)))
    wanted = (ends[number % len(ends)] + aside for number, aside in cuts)
    places = sorted({0, *(place for place in wanted if 0 < place < len(whole)), len(whole)})
    split = relayed([whole[start:end] for start, end in itertools.pairwise(places)])
    assert split == relayed([whole]) == relayed(events) == relayed([whole[at : at + 1] for at in range(len(whole))])
    assert split[1].output_bytes == said(whole)


def said(whole: bytes) -> int:
    """By reading every event, up to the end or an error."""
    size = 0
    for one in sse.events(whole):
        data = sse.parse(one)[1]
        if data.startswith(b"[DONE]"):
            break
        size += spoken(one)
        if data.startswith(b'{"error"'):
            break
    return size


def learned(example: bytes, text: bytes) -> Alike:
    alike = Alike()
    at = example.index(text)
    alike.learn(example, at, at + len(text))
    return alike


def test_a_row_is_told_at_once_as_far_as_it_goes():
    alike = learned(event(b"first"), b"first")
    row = event(b"one") + event(b"") + event(b"\\u00e9")
    assert alike.run(row) == (len(row), 3 + 0 + 2)
    assert alike.run(row + DONE) == (len(row), 3 + 0 + 2)
    assert alike.run(row + event(b"half")[:-1]) == (len(row), 3 + 0 + 2)
    assert alike.run(DONE + row) == (0, 0)


def test_padding_may_be_of_any_length_and_hides_no_event():
    alike = learned(event(b"first", pad=b"zz"), b"first")
    row = event(b"one", pad=b"abc") + event(b"two", pad=b"")
    assert alike.run(row) == (len(row), 6)
    assert alike.run(row + event(b"one")) == (len(row), 6)
    for pad in (b"\n\ndata: [DONE]\n\n", b"\r\rdata: [DONE]\r\r", b"\\u0041"):
        assert alike.run(row + event(b"x", pad=pad)) == (len(row), 6)


@pytest.mark.parametrize(
    "example",
    [
        event(b"first", model=b"\\u0041"),
        event(b"first", pad=b"\\u0041"),
        event(b"first", pad=b"a\n\nb"),
        event(b"first", pad=b"z").replace(b"null}]", b'"\\\\"}]'),
        event(b"first").replace(b"\n", b"\r"),
        event(b"first", pad=b"z")[:-4] + b"\n\n",
    ],
)
def test_nothing_is_learned_from_an_event_that_may_be_mistaken(example):
    assert learned(example, b"first").run(example * 2) == (0, 0)


def test_lines_may_end_as_in_windows():
    row = event(b"first").replace(b"\n", b"\r\n") * 3
    assert learned(row[: len(row) // 3], b"first").run(row + event(b"first")) == (len(row), 15)


def test_who_learned_often_in_vain_stops_and_keeps_what_was_learned_last():
    alike = Alike()
    for index in range(100):
        one = event(b"text", index=index)
        assert alike.run(one) == (0, 0)
        if not alike.is_curious:
            break
        alike.learn(one, at := one.index(b"text"), at + 4)
    assert 1 < index < 10
    assert alike.run(event(b"other", index=index - 1))[1] == 5
    assert not alike.is_curious


def test_a_lesson_that_served_is_none_in_vain():
    alike = Alike()
    for index in range(100):
        one = event(b"text", index=index)
        assert alike.run(one) == (0, 0)
        alike.learn(one, at := one.index(b"text"), at + 4)
        assert alike.run(one * 2) == (2 * len(one), 8)
    assert alike.is_curious


def test_what_stands_between_text_and_padding_is_compared():
    row = [event(b"text", pad=b"xyz")] * 4
    stop = event(b"text", pad=b"xyz").replace(b'"finish_reason":null', b'"finish_reason":"length"')
    for pieces in ([*row, stop], [b"".join(row) + stop], [*row, row[0] + stop]):
        assert relayed([*pieces, DONE])[1].stop_reason == "max_tokens"


def test_as_long_is_not_alike():
    alike = learned(event(b"first", pad=b"zz"), b"first")
    for kind in (b'"no"', b"true"):
        assert alike.run(event(b"first", pad=b"zz").replace(b"null}]", kind + b"}]")) == (0, 0)


@pytest.mark.parametrize("one", [event(b"text"), event(b"text").replace(b'"text"', b'"","reasoning":"text"')])
def test_a_stream_is_known_by_its_first_text(one):
    for pieces in ([event(b""), one, one], [event(b"") + one + one], [event(b""), one, one * 3]):
        tap = DIALECT.tap(Seen(), call(stream=True), request_id="req_1", cut=bytes)
        for piece in pieces:
            tap.feed(piece)
        assert tap._alike.run(one * 2) == (2 * len(one), 8)


def test_what_is_held_goes_out_before_what_is_alike():
    pieces = [event(b""), event(b"text"), event(b"text"), b": of the next event\n", event(b"text"), event(b"text")]
    assert relayed([*pieces, DONE]) == relayed([b"".join(pieces) + DONE])


def test_who_answers_may_be_said_by_the_second_event():
    """Azure's first brings what its filters found in the prompt, and blanks."""
    first = b'data: {"id":"","model":"","choices":[],"prompt_filter_results":[]}\n\n'
    for pieces in ([first, event(b"text"), event(b"more")], [first + event(b"text") + event(b"more")]):
        _, seen, error = relayed(pieces)
        assert (seen.response_id, seen.model, "UpstreamBroken" in error) == ("c-1", "m", True)


def test_one_read_of_many_events_is_one_lesson():
    seen = Seen()
    tap = DIALECT.tap(seen, call(stream=True), request_id="req_1", cut=bytes)
    for row in (b"reasoning", b"content", b"arguments"):
        tap.feed(event(b"text", name=row) * 9)
        tap.feed((event(b"text", name=row) + event(b"error", name=row)) * 9)  # what may matter is read one by one
        assert tap._alike.is_curious
    assert seen.output_bytes == 3 * 9 * (4 + 4 + 5)


def test_what_is_forgotten_is_like_nothing():
    alike = learned(event(b"first"), b"first")
    alike.forget()
    assert alike.run(event(b"first")) == (0, 0)
