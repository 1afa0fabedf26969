"""OpenAI to OpenAI: what is spliced into the request, what is watched and hidden in the answer."""

from __future__ import annotations

import json
import random
import time

import pytest

from apps.domain import errors, sse
from apps.domain.protocols.contract import Seen, Target
from apps.domain.protocols.openai_chat import CLIENT
from apps.domain.protocols.openai_chat.passthrough import DIALECT
from apps.domain.tokens import TokenUsage
from tests.domain.openai_calls import DONE, HELLO, TARGET, USAGE, call, chunk, part

ROLE = chunk({"role": "assistant", "content": ""}, usage=None)
TEXT = chunk({"content": "hello"}, usage=None)
STOP = chunk(finish="stop", usage=None)
COUNT = chunk(usage=USAGE)
ASKED = {"stream": True, "stream_options": {"include_usage": True}}


def rewritten(body: bytes, target: Target = TARGET) -> bytes:
    return DIALECT.rewrite(CLIENT.read_request(body), target).body


def relay(*pieces: bytes, **fields) -> tuple[bytes, Seen]:
    seen = Seen()
    tap = DIALECT.tap(seen, call(**({"stream": True} | fields)), request_id="req_1", cut=bytes)
    return b"".join(map(tap.feed, pieces)) + tap.close(), seen


def test_only_the_model_changes_in_a_body_that_says_all_the_rest():
    body = b'{ "model" : "a","max_tokens":5, "messages":[{"role":"user","content":"\\u00e9"}] , "new":1.0e0 }'
    assert rewritten(body) == body.replace(b'"a"', b'"gpt-up"')


def test_a_missing_cap_is_added_under_the_name_the_vendor_knows():
    body = json.dumps({"model": "a", "messages": HELLO}).encode()
    assert json.loads(rewritten(body))["max_tokens"] == 4096
    target = Target(protocol="openai_chat", model="b", max_output_tokens=9, quirks=frozenset({"max_completion_tokens"}))
    assert json.loads(rewritten(body, target))["max_completion_tokens"] == 9
    nulled = b'{"model":"a","messages":[{"role":"user","content":"x"}],"max_tokens":null}'
    assert rewritten(nulled).count(b"max_tokens") == 1


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ("absent", {"include_usage": True}),
        (None, {"include_usage": True}),
        ({}, {"include_usage": True}),
        ({"include_usage": False, "include_obfuscation": False}, {"include_usage": True, "include_obfuscation": False}),
    ],
)
def test_a_stream_always_asks_for_usage(options, sent):
    fields = {"model": "a", "messages": HELLO, "stream": True} | (
        {} if options == "absent" else {"stream_options": options}
    )
    assert json.loads(rewritten(json.dumps(fields).encode()))["stream_options"] == sent


def test_a_vendor_that_knows_no_stream_options_gets_none():
    target = Target(protocol="openai_chat", model="b", max_output_tokens=9, quirks=frozenset({"no_stream_usage"}))
    body = json.dumps({"model": "a", "messages": HELLO, "stream": True}).encode()
    assert b"stream_options" not in rewritten(body, target)


def test_usage_is_seen_and_hidden_from_who_did_not_ask():
    sent, seen = relay(ROLE + TEXT + STOP + COUNT + DONE)
    assert sent == ROLE + TEXT + STOP + DONE
    assert seen == Seen(
        usage=TokenUsage(in_fresh=10, out_total=5),
        stop_reason="end_turn",
        response_id="cmpl-1",
        model="up-1",
        output_bytes=5,
        started=True,
        finished=True,
    )


def test_usage_is_relayed_to_who_asked():
    whole = ROLE + TEXT + STOP + COUNT + DONE
    sent, seen = relay(whole, **ASKED)
    assert sent == whole
    assert seen.usage == TokenUsage(in_fresh=10, out_total=5)


def test_usage_beside_a_choice_is_seen_and_stays():
    whole = ROLE + TEXT + chunk(finish="length", usage=USAGE) + DONE
    sent, seen = relay(whole)
    assert sent == whole
    assert (seen.usage, seen.stop_reason) == (TokenUsage(in_fresh=10, out_total=5), "max_tokens")


@pytest.mark.parametrize("newline", [b"\n", b"\r\n", b"\r"])
def test_any_split_of_any_line_ends_gives_the_same_bytes(newline):
    whole = (
        b"\xef\xbb\xbf: hello\n\n" + ROLE + b"retry: 5\nevent: odd\n" + TEXT + chunk({"content": "é🌊"}) + STOP + COUNT
    )
    whole = (whole + b": bye\n\n" + DONE).replace(b"\n", newline)
    expected = whole.replace(COUNT.replace(b"\n", newline), b"")
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    for size in [1, 2, 3, 7, len(whole), *(dice.randrange(4, 200) for _ in range(20))]:
        sent, seen = relay(*(whole[at : at + size] for at in range(0, len(whole), size)))
        assert sent == expected
        assert seen.finished
        assert seen.output_bytes == len("helloé🌊".encode())
        assert seen.usage == TokenUsage(in_fresh=10, out_total=5)


def test_several_choices_are_relayed():
    frames = [
        b'data: {"choices":[{"index":%d,"delta":{"content":"x"},"finish_reason":%b}]}\n\n' % (index, reason)
        for reason in (b"null", b'"stop"')
        for index in (0, 1)
    ]
    sent, seen = relay(b"".join(frames) + DONE, n=2)
    assert sent == b"".join(frames) + DONE
    assert seen.finished
    cut, seen = relay(b"".join(frames[:3]), n=2)
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert cut.endswith(DONE)


def test_what_was_said_is_measured_for_an_estimate():
    frames = [
        chunk({"content": 'a"b\n'}),
        chunk({"reasoning_content": "hmm"}),
        part(0, id="a", name="weather", arguments='{"x":1}'),
        b'data: {"choices": [{"delta": {"content": "spaced"}}]}\n\n',
    ]
    assert relay(ROLE, *frames)[1].output_bytes == 4 + 3 + 7 + 6


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        ({"content": "abc"}, 3),
        ({"content": "", "reasoning": "hmmm"}, 4),
        ({"content": 'a"c'}, 3),
        ({"content": "a", "refusal": "no"}, 3),
        ({"role": "assistant", "content": "abc"}, 3),
    ],
)
def test_the_same_frame_again_counts_again(delta, size):
    """The second and later ones of a kind are recognised without being read."""
    frame = chunk(delta, usage=None)
    for pieces in ([frame] * 5, [frame * 5], [frame * 2, frame * 3]):
        assert relay(ROLE, *pieces, STOP + DONE)[1].output_bytes == size * 5


@pytest.mark.parametrize(
    "last",
    [
        chunk({"content": "abc"}, finish="stop"),
        chunk({"content": "abc"}, usage=USAGE),
        chunk({"content": "a"}, error="x"),
    ],
)
def test_what_follows_a_row_of_like_frames_is_not_taken_for_one(last):
    _, seen = relay(ROLE, *[TEXT] * 3, last, DONE)
    assert (seen.stop_reason, seen.usage, seen.error) != (None, None, None)
    _, seen = relay(ROLE, *[TEXT] * 3, TEXT + last, DONE)
    assert (seen.stop_reason, seen.usage, seen.error) != (None, None, None)


def test_the_first_event_commits_and_comments_do_not():
    seen = Seen()
    tap = DIALECT.tap(seen, call(stream=True), request_id="r", cut=bytes)
    assert tap.feed(b": PROCESSING\n\n") == b": PROCESSING\n\n"
    assert not seen.started
    assert tap.feed(ROLE[:20]) == b""
    assert not seen.started
    assert tap.feed(ROLE[20:]) == ROLE
    assert seen.started


@pytest.mark.parametrize("nothing", [b": PROCESSING\n\n", b'\0"}\n\n', b'"delta":{"content":"x"}\n\n'])
def test_comments_without_end_are_no_answer(nothing):
    seen = Seen()
    tap = DIALECT.tap(seen, call(stream=True), request_id="r", cut=bytes)
    comments = nothing[:-2] + b"x" * 70_000 + b"\n\n"
    for _ in range(sse.MAX_EVENT // len(comments) + 2):
        tap.feed(comments)
    assert isinstance(seen.error, errors.UpstreamBroken)


def test_nothing_is_read_behind_an_end_that_came_first():
    sent, seen = relay(DONE, TEXT, b"data: {\n\n")
    assert sent == DONE + TEXT + b"data: {\n\n"
    assert (seen.finished, seen.error, seen.response_id) == (True, None, None)


@pytest.mark.parametrize("late", [b'data: {"error":{"message":"late"}}', b"data: {", TEXT[:-1], b"\n"])
def test_half_an_event_behind_the_end_changes_nothing(late):
    for pieces in ([ROLE, TEXT, DONE, late], [ROLE + TEXT + DONE + late]):
        sent, seen = relay(*pieces)
        assert sent == ROLE + TEXT + DONE + late
        assert (seen.finished, seen.error, seen.output_bytes) == (True, None, 5)


def test_what_comes_behind_the_end_is_not_counted_however_it_comes():
    pieces = (ROLE, TEXT, TEXT, DONE, TEXT, TEXT)
    for sent in (pieces, (b"".join(pieces),), (*pieces[:4], TEXT + TEXT)):
        relayed, seen = relay(*sent)
        assert relayed == b"".join(pieces)
        assert seen.output_bytes == len("hello" * 2)


def test_an_error_before_anything_is_said_can_be_tried_elsewhere():
    for first in (b'data: {"error":{"message":"busy","code":503}}\n\n', b"data: <html>\n\n", b"<html></html>", b""):
        sent, seen = relay(first)
        assert sent == b""
        assert seen.error is not None
        assert not seen.started


def test_an_error_on_the_way_is_the_last_frame_and_keeps_its_class():
    bad = chunk({"content": ""}, error={"message": "slow down", "code": 429}, usage=USAGE)
    sent, seen = relay(ROLE + TEXT + bad + TEXT + DONE)
    assert sent == ROLE + TEXT + bad + DONE
    assert isinstance(seen.error, errors.UpstreamRateLimited)
    assert seen.usage == TokenUsage(in_fresh=10, out_total=5)
    assert not seen.finished


def test_a_credential_in_an_upstreams_error_is_cut_out():
    sent, _ = relay(ROLE + chunk(error={"message": "bad key sk-abcdefghijkl"}) + DONE)
    assert b"sk-abc" not in sent
    assert sent.endswith(DONE)


@pytest.mark.parametrize("cut", range(1, len(TEXT)))
def test_a_cut_stream_never_looks_complete(cut):
    sent, seen = relay(ROLE + TEXT[:cut])
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert sent.startswith(ROLE + b'data: {"error":') or sent.startswith(ROLE + TEXT[:cut])
    assert sent.endswith(b"\n\n" + DONE)
    assert not seen.finished
    assert all(json.loads(sse.parse(event)[1]) for event in sse.events(sent)[:-1])


@pytest.mark.parametrize("end", [DONE, DONE[:-1], DONE[:-2], b"", b"\n", b"data: [DO"])
def test_an_answer_that_said_all_is_complete_even_without_the_mark(end):
    sent, seen = relay(ROLE + TEXT + STOP + end)
    assert seen.error is None
    assert seen.finished
    assert sent == ROLE + TEXT + STOP + (b"" if end == b"data: [DO" else end)


def test_garbage_on_the_way_is_relayed_and_never_raises():
    garbage = b"data: {oops\n\n" + b"data: \xff\xfe\n\n" + b'data: {"usage":{"prompt_tokens":-1},"choices":5}\n\n'
    whole = ROLE + garbage + b'data: {"usage":{"prompt_tokens":1e18},"choices":[{}]}\n\n' + STOP + DONE
    sent, seen = relay(whole)
    assert sent == whole
    assert seen.usage is None
    assert seen.finished


def test_an_event_too_long_to_hold_is_let_through():
    huge = b'data: {"choices":[{"delta":{"content":"' + b"x" * (sse.MAX_EVENT + 200_000) + b'"}}]}\n\n'
    pieces = [huge[at : at + 65536] for at in range(0, len(huge), 65536)]
    sent, seen = relay(ROLE, *pieces, STOP + DONE)
    assert sent == ROLE + huge + STOP + DONE
    assert seen.finished
    cut, seen = relay(ROLE, *pieces[:-1])
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert cut.startswith(ROLE + huge[: sse.MAX_EVENT])
    assert b'\n\ndata: {"error":' in cut


def test_watching_takes_time_in_proportion_and_not_more():
    hostile = b'"content":"' + b"\\" * 200_000
    began = time.thread_time()
    relay(ROLE, b"data: " + hostile + b"\n\n", STOP + DONE)
    assert time.thread_time() - began < 1


def test_a_whole_answer_is_read_for_its_usage():
    body = {
        "id": "c",
        "model": "m",
        "usage": USAGE,
        "choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}],
    }
    seen = Seen()
    DIALECT.read_usage(json.dumps(body).encode(), seen)
    assert (seen.usage, seen.stop_reason, seen.response_id, seen.model) == (
        TokenUsage(in_fresh=10, out_total=5),
        "end_turn",
        "c",
        "m",
    )

    silent = Seen()
    DIALECT.read_usage(json.dumps({**body, "usage": None}).encode(), silent)
    assert (silent.usage, silent.output_bytes) == (None, 5)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"choices":[]}', b"[" * 100_000])
def test_a_body_that_is_no_answer_is_the_providers_fault(body):
    with pytest.raises(errors.UpstreamBroken):
        DIALECT.read_usage(body, Seen())


@pytest.mark.parametrize("begun", [b"", ROLE], ids=["at first", "later"])
@pytest.mark.parametrize(
    "event",
    [
        b'data: {"object":"error","message":"\xff"}\n\n',
        b'data: {"object":"error","code":1e999}\n\n',
        b'event: error\ndata: {"message":"\xff"}\n\n',
    ],
)
def test_an_error_that_cannot_be_read_is_an_error_of_the_providers(begun, event):
    _, seen = relay(*filter(None, (begun, event)))
    assert isinstance(seen.error, errors.UpstreamBroken)
