"""Upstreams that break HTTP itself: nothing of a call may be lost, held for ever or said twice."""

from __future__ import annotations

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames
from tests.gateway.upstreams import EVENTS, upstream

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
    told = [data for _, data in frames(openai.text)]
    assert told.count("[DONE]") == 1
    assert told[-1] == "[DONE]"
    assert not any("error" in data for data in told[:-1])
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
