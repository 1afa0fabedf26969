"""Upstreams that break HTTP itself: nothing of a call may be lost, held for ever or said twice."""

from __future__ import annotations

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames
from tests.gateway.upstreams import EVENTS, upstream

pytestmark = pytest.mark.django_db(transaction=True)


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
