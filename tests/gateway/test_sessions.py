"""What a coding agent says of itself is written into the ledger, and no more of it than can be."""

from __future__ import annotations

import pytest

from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask

pytestmark = pytest.mark.usefixtures("world")
SAID = {
    "x-claude-code-session-id": "0f4c2a34-0000-4000-8000-000000000000",
    "x-claude-code-agent-id": "agent-7",
    "x-claude-code-parent-agent-id": "agent-1",
}


def told(gateway, path=ANTHROPIC, **headers: str):
    """Session, agent and parent of the row of one call with these headers."""
    assert ask(gateway, path, headers=headers).status_code == 200
    gateway.settle()
    row = Entry.objects.order_by("-id").first()
    return row.session, row.agent, row.parent_agent


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_session_and_agents_are_on_the_row(gateway, path):
    assert told(gateway, path, **SAID) == tuple(SAID.values())


def test_who_says_nothing_has_none(gateway):
    assert told(gateway) == (None, None, None)
    assert told(gateway, **{"x-claude-code-session-id": ""}) == (None, None, None)


def test_what_is_said_is_bounded_and_cleaned(gateway):
    session = "s" * 500
    assert told(gateway, **{**SAID, "x-claude-code-session-id": session}) == ("s" * 64, "agent-7", "agent-1")
    odd = {"x-claude-code-session-id": "a\xff b\tc", "x-claude-code-agent-id": "\x85\xa0"}
    assert told(gateway, **odd) == ("abc", None, None)
