"""Anthropic to Anthropic: no byte changes that need not, and the watcher can neither disturb nor be disturbed."""

import itertools
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.domain import errors, sse
from apps.domain.protocols import exchange
from apps.domain.protocols.anthropic_messages import names
from apps.domain.protocols.contract import Target
from apps.domain.tokens import TokenUsage
from tests.domain.anthropic_calls import CLIENT, PING, TARGET, call, end, event, start, text, thinking, tool

ODD = (
    b'{ "messages" : [ {"role":"user","content":[{"type":"hologram","x":1.50}]} ],\n'
    b'"max_tokens": 100, "temperature":1e-1, "model":"claude-test","future_field": {"a":[1,2 , 3]},"stream":true}\n'
)
WHOLE = b"".join(
    [
        start(),
        thinking(0, "hm"),
        PING,
        text(1, "Hel", 'l"o ✓ error message_stop'),
        tool(2, '{"a"', ": 1}"),
        end("tool_use"),
    ]
)
SPOKEN = len("hm") + len("Hel") + len('l\\"o ✓ error message_stop'.encode()) + len('{\\"a\\": 1}')


def opened(**fields):
    return exchange.open(call(**fields), TARGET, request_id="req_1")


def relay(*chunks, **fields):
    relayed = opened(**fields)
    out = b"".join(relayed.feed(chunk) for chunk in chunks)
    return out + relayed.close(), relayed.seen


def cut(stream, places):
    edges = [0, *sorted(place % (len(stream) + 1) for place in places), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges)]


def error_frame(out):
    name, data = sse.parse(sse.events(out)[-1])
    assert name == "error"
    return json.loads(data)


# The request


def test_only_the_models_name_changes():
    asked = CLIENT.read_request(ODD)
    assert exchange.open(asked, TARGET).body == ODD.replace(b'"claude-test"', b'"claude-up"')


def test_a_name_that_needs_no_change_changes_nothing():
    asked = CLIENT.read_request(ODD)
    same = Target(protocol="anthropic_messages", model="claude-test", max_output_tokens=5)
    assert exchange.open(asked, same).body is asked.body


def history(*blocks):
    return [
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": list(blocks)},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]},
    ]


OURS = {"type": "thinking", "thinking": "hm", "signature": names.sign("hm")}
THEIRS = {"type": "thinking", "thinking": "", "signature": "EqRs=="}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}


def test_thinking_of_another_vendor_never_reaches_claude():
    body = json.loads(opened(messages=history(OURS, USE, OURS)).body)
    assert body["messages"] == history(USE)
    assert "thinking" not in body


def test_claudes_own_thinking_is_relayed_though_ours_stands_beside_it():
    body = json.loads(
        opened(messages=history(THEIRS, OURS, USE), thinking={"type": "enabled", "budget_tokens": 2000}).body
    )
    assert body["messages"] == history(THEIRS, USE)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 2000}


@pytest.mark.parametrize(
    ("mode", "left"),
    [("enabled", {"type": "disabled"}), ("adaptive", {"type": "adaptive"}), ("disabled", {"type": "disabled"})],
)
def test_budgeted_thinking_is_turned_off_where_the_answer_under_way_lost_its_own(mode, left):
    body = json.loads(opened(messages=history(OURS, USE), thinking={"type": mode}).body)
    assert body["thinking"] == left


def test_thinking_stays_on_for_a_new_turn():
    messages = [*history(OURS, USE), {"role": "assistant", "content": "so"}, {"role": "user", "content": "next"}]
    body = json.loads(opened(messages=messages, thinking={"type": "enabled", "budget_tokens": 2000}).body)
    assert body["thinking"]["type"] == "enabled"


def test_text_that_only_speaks_of_our_signatures_is_left_alone():
    messages = [
        {"role": "user", "content": 'what is "gw1.abc"?'},
        {"role": "assistant", "content": [{"type": "text", "text": "gw1. is"}, {"type": "text", "text": '"gw1.'}]},
        {"role": "user", "content": [{"type": "odd", "signature": "gw1.x"}, {"type": "odd", "signature": 5}]},
    ]
    asked = call(messages=messages)
    assert exchange.open(asked, TARGET).body == asked.body.replace(b"claude-test", b"claude-up")


# The stream


@given(st.lists(st.integers(0, 100_000), max_size=30))
def test_any_split_is_relayed_byte_for_byte_and_seen_alike(places):
    out, seen = relay(*cut(WHOLE, places))
    assert out == WHOLE
    assert seen.usage == TokenUsage(in_fresh=10, out_total=5)
    assert (seen.stop_reason, seen.response_id, seen.model) == ("tool_use", "msg_1", "claude-up")
    assert seen.output_bytes == SPOKEN
    assert (seen.started, seen.finished, seen.error) == (True, True, None)


@pytest.mark.parametrize("line_end", [b"\r\n", b"\r"])
def test_other_line_ends_are_relayed_and_understood(line_end):
    stream = WHOLE.replace(b"\n", line_end)
    for chunks in ([stream], [stream[at : at + 7] for at in range(0, len(stream), 7)]):
        out, seen = relay(*chunks)
        assert out == stream
        assert seen.finished
        assert seen.output_bytes == SPOKEN


def test_odd_but_legal_framing_is_relayed_and_understood():
    stream = (
        b"\xef\xbb\xbf: welcome\n\nid: 1\nevent:message_start\ndata:"
        b'{"type":"message_start","message":{"usage":{"input_tokens":1}}}\n\n'
        b'retry: 5\ndata: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "abc"}}\n\n'
        b'event: message_delta\ndata: {"type":"message_delta",\ndata: "usage":{"output_tokens":2}}\n\n'
        b"\n\nevent: message_stop\ndata: {}\n\n: bye\n\n"
    )
    out, seen = relay(stream)
    assert out == stream
    assert seen.usage == TokenUsage(in_fresh=1, out_total=2)
    assert seen.output_bytes == 3
    assert seen.finished


def test_unknown_events_and_garbage_in_the_middle_are_the_callers_to_see():
    middle = b"event: brand_new\ndata: {message_ not json error\n\n" + b"data: \xff\xfe error\n\n" + b"message_\n\n"
    stream = start() + middle + text(0, "x") + end()
    out, seen = relay(stream)
    assert out == stream
    assert seen.finished
    assert seen.error is None


@given(st.binary(max_size=200), st.lists(st.integers(0, 10_000), max_size=5))
def test_no_bytes_at_all_can_disturb_the_relay(noise, places):
    stream = start() + noise + b"\n\n" + text(0, "x") + end()
    out, seen = relay(*cut(stream, places))
    assert out == stream
    assert seen == relay(stream)[1]
    assert seen.finished


@pytest.mark.parametrize(
    "said",
    [
        {"output_tokens": -5},
        {"output_tokens": 10**18},
        {"output_tokens": "5"},
        {"output_tokens": {}},
        [],
        "x",
    ],
)
def test_absurd_usage_is_relayed_and_not_believed(said):
    stream = start() + text(0, "x") + end(usage=said)
    out, seen = relay(stream)
    assert out == stream
    assert seen.finished
    assert seen.usage is None or seen.usage == TokenUsage(in_fresh=10, out_total=1)


def test_usage_that_comes_twice_overwrites():
    twice = event("message_delta", delta={"stop_reason": None}, usage={"output_tokens": 3})
    _, seen = relay(start(), text(0, "x"), twice, end(usage={"output_tokens": 9}))
    assert seen.usage == TokenUsage(in_fresh=10, out_total=9)


def test_what_was_said_before_a_client_left_is_known():
    relayed = opened()
    relayed.feed(start() + text(0, "x" * 400)[:-20])
    assert relayed.seen.usage == TokenUsage(in_fresh=10, out_total=1)
    assert relayed.seen.output_bytes == 400
    assert not relayed.seen.finished


# How streams end badly


@given(st.integers(0, len(WHOLE) - 3))
def test_a_stream_cut_anywhere_is_a_prefix_between_events_and_an_error(place):
    out, seen = relay(WHOLE[:place])
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert not seen.finished
    if not seen.started:
        assert out == b""
        return
    frame = sse.events(out)[-1]
    assert WHOLE.startswith(out.removesuffix(frame))
    assert error_frame(out) == {
        "type": "error",
        "error": {"type": "api_error", "message": seen.error.message},
        "request_id": "req_1",
    }


def test_the_last_event_may_lack_its_blank_line():
    out, seen = relay(WHOLE.removesuffix(b"\n\n"))
    assert out == WHOLE
    assert seen.finished


@pytest.mark.parametrize(
    ("type_", "fault"),
    [
        ("overloaded_error", errors.UpstreamOverloaded),
        ("rate_limit_error", errors.UpstreamRateLimited),
        ("timeout_error", errors.UpstreamTimeout),
        ("api_error", errors.UpstreamFailed),
    ],
)
def test_an_error_in_the_middle_is_relayed_as_it_came_and_keeps_its_class(type_, fault):
    told = event("error", error={"type": type_, "message": "why"})
    stream = start() + text(0, "x") + told
    out, seen = relay(stream + text(1, "after") + end())
    assert out == stream
    assert type(seen.error) is fault
    assert not seen.finished


def test_an_error_before_the_beginning_lets_another_deployment_try():
    out, seen = relay(PING + event("error", error={"type": "overloaded_error", "message": "x"}), WHOLE)
    assert out == b""
    assert isinstance(seen.error, errors.UpstreamOverloaded)
    assert not seen.started


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Bad gateway</body></html>\n\n",
        b"data: not json\n\n",
        b'data: {"id":"x","choices":[]}\n\n',
        b"data: [DONE]\n\n",
        text(0, "no beginning"),
        b'{"type":"message","content":[]}',
        b"data: " + b"[" * 100_000 + b"\n\n",
    ],
)
def test_what_is_no_stream_of_messages_is_never_begun(body):
    out, seen = relay(body)
    assert out == b""
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert not seen.started


def test_nothing_is_committed_to_before_the_first_whole_event():
    relayed = opened()
    assert relayed.feed(b": hello\n\n" + PING + start()[:-1]) == b""
    assert not relayed.seen.started
    assert relayed.feed(b"\n") == b": hello\n\n" + PING + start()
    assert relayed.seen.started


def test_what_is_held_before_the_beginning_is_bounded():
    relayed = opened()
    pings = PING * 3000
    fed = 0
    while relayed.seen.error is None:
        assert relayed.feed(pings) == b""
        fed += len(pings)
        assert fed < 2 * sse.MAX_EVENT
    assert isinstance(relayed.seen.error, errors.UpstreamBroken)


def test_an_event_too_long_to_hold_is_relayed_all_the_same():
    document = "A" * (6 << 20)
    stream = start() + text(0, document) + text(1, "x") + end()
    chunks = [stream[at : at + 65_536] for at in range(0, len(stream), 65_536)]
    out, seen = relay(*chunks)
    assert out == stream
    assert seen.finished
    assert seen.usage == TokenUsage(in_fresh=10, out_total=5)


def test_a_stream_cut_inside_such_an_event_still_ends_in_an_error_of_its_own():
    stream = start() + b"event: content_block_delta\ndata: " + b"A" * (6 << 20)
    out, seen = relay(*[stream[at : at + 65_536] for at in range(0, len(stream), 65_536)])
    assert isinstance(seen.error, errors.UpstreamBroken)
    assert out.startswith(stream)
    assert error_frame(out)["error"]["type"] == "api_error"


def test_an_endless_line_costs_no_more_memory_than_one_event():
    relayed = opened()
    relayed.feed(start())
    held = 0
    for _ in range(200):
        relayed.feed(b"x" * 65_536)
        held = max(held, len(relayed._tap._splitter.rest()))
    assert held <= sse.MAX_EVENT + 2 * 65_536


def test_a_stream_in_single_bytes_takes_linear_time():
    stream = start() + text(0, "x" * 300_000) + end()
    began = time.process_time()
    out, _ = relay(*[stream[at : at + 1] for at in range(len(stream))])
    assert out == stream
    assert time.process_time() - began < 10


# Whole answers


ANSWER = (
    b'{ "id":"msg_1","type":"message","role":"assistant","model":"claude-up","future":[1.0],'
    b'"content":[{"type":"thinking","thinking":"hm","signature":"EqRs=="},{"type":"text","text":"hi"},'
    b'{"type":"tool_use","id":"a","name":"f","input":{"a": 1}}],"stop_reason":"tool_use","stop_sequence":null,'
    b'"usage":{"input_tokens":3,"cache_read_input_tokens":4,"output_tokens":5} }\n'
)


def test_a_whole_answer_is_relayed_and_counted():
    relayed = opened()
    assert relayed.answer(ANSWER) is ANSWER
    seen = relayed.seen
    assert seen.usage == TokenUsage(in_fresh=3, in_cache_read=4, out_total=5)
    assert (seen.stop_reason, seen.response_id, seen.model) == ("tool_use", "msg_1", "claude-up")
    assert seen.started
    assert seen.finished


def test_a_whole_answer_without_usage_is_measured():
    relayed = opened()
    relayed.answer(ANSWER.replace(b'"usage"', b'"misuse"'))
    assert relayed.seen.usage is None
    assert relayed.seen.output_bytes == len("hm") + len("hi") + len('{"a": 1}')


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"type":"completion","content":[]}', b"\xff", b"[" * 99_999]
)
def test_what_is_no_message_is_no_answer(body):
    relayed = opened()
    with pytest.raises(errors.UpstreamBroken):
        relayed.answer(body)
    assert not relayed.seen.finished


def test_an_error_under_status_200_is_one():
    with pytest.raises(errors.UpstreamOverloaded):
        opened().answer(b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}')


def test_a_refusal_keeps_its_body():
    body = b'{"type":"error","error":{"type":"invalid_request_error","message":"x"}}'
    assert opened().refuse(400, {}, body).body == body
    assert opened().refuse(500, {}, body).body is None
