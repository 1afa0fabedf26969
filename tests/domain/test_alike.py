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


@given(st.lists(st.tuples(EVENTS, st.integers(1, 4)), max_size=12), st.lists(st.integers(0, 4000), max_size=12))
def test_it_is_the_same_however_it_is_read(rows, cuts):
    whole = event(b"begin") + b"".join(one * times for one, times in rows) + DONE
    places = sorted({0, *(cut for cut in cuts if cut < len(whole)), len(whole)})
    split = relayed([whole[start:end] for start, end in itertools.pairwise(places)])
    assert split == relayed([whole]) == relayed([whole[at : at + 1] for at in range(len(whole))])
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
        event(b"first").replace(b"\n", b"\r"),
        event(b"first", pad=b"z")[:-4] + b"\n\n",
    ],
)
def test_nothing_is_learned_from_an_event_that_may_be_mistaken(example):
    assert learned(example, b"first").run(example * 2) == (0, 0)


def test_lines_may_end_as_in_windows():
    row = event(b"first").replace(b"\n", b"\r\n") * 3
    assert learned(row[: len(row) // 3], b"first").run(row + event(b"first")) == (len(row), 15)


def test_who_learned_often_in_vain_stops():
    alike = Alike()
    for index in range(100):
        if not alike.is_curious:
            break
        one = event(b"text", index=index)
        assert alike.run(one) == (0, 0)
        alike.learn(one, at := one.index(b"text"), at + 4)
    assert 1 < index < 10


def test_what_is_forgotten_is_like_nothing():
    alike = learned(event(b"first"), b"first")
    alike.forget()
    assert alike.run(event(b"first")) == (0, 0)
