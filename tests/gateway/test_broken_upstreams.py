"""Upstreams that break HTTP itself: nothing of a call may be lost, held for ever or said twice."""

from __future__ import annotations

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames, told
from tests.gateway.upstreams import EVENTS, MESSAGE, STREAM, upstream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


def entries(gateway):
    gateway.settle()
    return list(Entry.objects.order_by("id"))


def test_an_answer_that_is_whole_is_not_followed_by_an_error(gateway, world):
    with upstream(end=b"") as url:
        world.deploy("claude-cut", upstream="m", url=url)
        gateway.refresh()
        anthropic = ask(gateway, ANTHROPIC, model="claude-cut", change={"stream": True})
        openai = ask(gateway, OPENAI, model="claude-cut", change={"stream": True})
    assert [name for name, _ in frames(anthropic.text)] == [event["type"] for event in EVENTS]
    data = [data for _, data in frames(openai.text)]
    assert data.count("[DONE]") == 1
    assert data[-1] == "[DONE]"
    assert not any("error" in each for each in data[:-1])
    assert [(row.status, row.usage_source) for row in entries(gateway)] == [("ok", "provider")] * 2


def test_a_header_that_is_no_text_costs_no_row_and_no_place(gateway, world):
    world.limit(key=world.key_row, concurrency=1)
    with upstream(head=b"request-id: req_\xff\r\n") as url:
        world.deploy("claude-odd", upstream="m", url=url)
        gateway.refresh()
        for _ in range(2):
            assert ask(gateway, ANTHROPIC, model="claude-odd", change={"stream": True}).status_code == 200
    assert [(row.status, row.provider_request_id) for row in entries(gateway)] == [("ok", "req_?")] * 2


def test_a_provider_that_was_not_reached_is_not_charged_to_a_budget(gateway, world):
    world.unreachable("claude-nobody")
    world.budget(key=world.key_row, amount=2_000_000)  # less than two reservations
    gateway.refresh()
    for _ in range(3):
        assert ask(gateway, ANTHROPIC, model="claude-nobody").status_code == 502
    assert {(row.state, row.high_nano) for row in entries(gateway)} == {("void", 0)}


def test_a_call_whose_connection_had_gone_stale_is_sent_again_and_each_sending_has_its_row(gateway, world):
    budget = world.budget(key=world.key_row, amount=10**12)
    with upstream(hangs_up=True) as url:
        world.deploy("claude-idle", upstream="m", url=url)
        gateway.refresh()
        for _ in range(2):
            assert ask(gateway, ANTHROPIC, model="claude-idle", change={"stream": True}).status_code == 200
    first, lost, again = entries(gateway)
    assert lost.request_id == again.request_id != first.request_id
    assert [(row.attempt, row.status, row.error_code, row.state) for row in (first, lost, again)] == [
        (1, "ok", "", "settled"),
        (1, "upstream_broken", "connection_stale", "unconfirmed"),
        (2, "ok", "", "settled"),
    ]
    assert (lost.cost_nano, lost.low_nano, lost.high_nano) == (0, 0, lost.reserved_nano)
    assert lost.reserved_nano == again.reserved_nano > 0
    assert budget.windows.get().settled == first.cost_nano + lost.high_nano + again.cost_nano


def finished(data):
    return any(choice["finish_reason"] for choice in data.get("choices", ()))


AMBIGUOUS = {
    "a length beside a coding": {"head": b"content-length: 5\r\n"},
    "a coding twice": {"head": b"transfer-encoding: chunked\r\n"},
    "another coding": {"head": b"transfer-encoding: gzip\r\n"},
    "a header that is none": {"head": b"x-a : b\r\n"},
    "a header that goes on": {"head": b"x-a: b\rset-cookie: c=d\r\n"},
    "a head that is too large": {"head": b"x-a: " + b"a" * 100_000 + b"\r\n"},
    "chunks that are none": {"end": b"zz\r\n"},
    "no end": {"end": b""},
}


@pytest.mark.attack("F20")
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("name", AMBIGUOUS)
def test_an_answer_that_is_ambiguous_or_cut_is_none(gateway, world, path, name):
    """What is streamed has been told by then; a whole answer is not told before its end has come."""
    with upstream(MESSAGE, media=b"application/json", **AMBIGUOUS[name]) as url:
        world.deploy("claude-two-ways", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, path, model="claude-two-ways")
    assert "provider" in told(path, answer, 502)
    assert not {"set-cookie", "x-a", "transfer-encoding"} & set(answer.headers)
    assert [row.status for row in entries(gateway)] == ["upstream_broken"]


@pytest.mark.attack("F20")
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("end", [b"zz\r\n", b"", b"-1\r\n", b"5\r\nabc"])
def test_a_stream_that_is_cut_never_looks_complete(gateway, world, path, end):
    with upstream(STREAM.partition(b"event: message_delta")[0], end=end) as url:
        world.deploy("claude-cut", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, path, model="claude-cut", change={"stream": True})
    if answer.status_code == 200:  # what came before the cut was told already
        said = [data for _, data in frames(answer.text) if data != "[DONE]"]  # it ends what went wrong, too
        assert "error" in said[-1], said
        assert not [data for data in said if data.get("type") == "message_stop" or finished(data)]
    else:
        told(path, answer, 502)
    assert [row.status for row in entries(gateway)] == ["upstream_broken"]
