"""What a coding agent's sessions cost: by the words that it sends with its calls."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from apps.usage import ledger, pages, repricing, services, sessions
from apps.usage.models import Entry
from apps.usage.records import Intent
from tests import factories
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def call(website):
    """Posts a call so many seconds ago, in nano-USD."""

    def post(session: str = "", *, ago: float = 60, cost: int = 0, fields: dict | None = None, **of_intent) -> Entry:
        subject = {"tenant_id": website.tenant_id, "project_id": website.pk, "session": session}
        told = outcome(intent(at=NOW.timestamp() - ago, **(subject | of_intent)), cost=cost, **(fields or {}))
        ledger.post([told])
        return Entry.objects.get(request_id=told.intent.request_id)

    return post


def test_sessions_come_by_their_last_calls_with_what_they_cost(call, website):
    call("old", ago=900, cost=5, user_id=3)
    call("new", ago=800, cost=7)
    call("", ago=50, cost=1_000)
    call("old", ago=40, cost=6, agent="helper", user_id=3)
    page = sessions.newest(NOW, tenant_id=website.tenant_id)
    assert [(found.name, found.figures.cost, found.figures.calls) for found in page.sessions] == [
        ("old", 11, 2),
        ("new", 7, 1),
    ]
    assert page.older is None
    old = page.sessions[0]
    assert (old.user_id, old.project_id, old.agents) == (3, website.pk, 1)
    assert (old.figures.tokens_in, old.figures.tokens_out) == (20, 10)
    assert old.figures.last - old.figures.began == datetime.timedelta(seconds=860)


def test_no_session_of_another_tenant_user_or_project_is_seen(call, website):
    call("theirs", tenant_id=website.tenant_id + 1, cost=9)
    call("shared", tenant_id=website.tenant_id + 1, cost=9)
    call("shared", cost=1, user_id=3)
    assert sessions.newest(NOW, tenant_id=website.tenant_id).sessions[0].figures.cost == 1
    assert len(sessions.newest(NOW, tenant_id=website.tenant_id).sessions) == 1
    assert [found.figures.cost for found in sessions.agents("shared", tenant_id=website.tenant_id)] == [1]
    assert sessions.newest(NOW, tenant_id=website.tenant_id, user_id=4).sessions == []
    assert sessions.newest(NOW, tenant_id=website.tenant_id, project_id=website.pk + 1).sessions == []


def test_agents_are_told_apart_with_who_started_them(call, website):
    call("one", ago=90, cost=3)
    call("one", ago=80, cost=4, agent="a1")
    call("one", ago=70, cost=5, agent="a2", parent_agent="a1")
    call("one", ago=60, cost=6, agent="a1", fields={"status": "upstream_error"})
    found = sessions.agents("one", tenant_id=website.tenant_id)
    assert [(agent.name, agent.parent, agent.figures.cost) for agent in found] == [
        ("", "", 3),
        ("a1", "", 10),
        ("a2", "a1", 5),
    ]
    assert [agent.figures.errors for agent in found] == [0, 1, 0]


def test_pages_leave_none_out_and_show_none_twice(call, website, monkeypatch):
    monkeypatch.setattr(sessions, "PAGE", 2)
    for number in range(5):
        call(f"s{number}", ago=100 + number)
        call("s4", ago=50 + number)  # the last one all along
    seen, before = [], None
    while True:
        page = sessions.newest(NOW, before=before, tenant_id=website.tenant_id)
        seen += [found.name for found in page.sessions]
        if (before := page.older) is None:
            break
    assert seen == ["s4", "s0", "s1", "s2", "s3"]


def test_a_page_ends_where_enough_was_looked_at(call, website, monkeypatch):
    monkeypatch.setattr(sessions, "_LOOKED_AT", 3)
    for ago in (10, 20, 30, 40):
        call("long", ago=ago, cost=1)
    call("short", ago=50)
    page = sessions.newest(NOW, tenant_id=website.tenant_id)
    assert [(found.name, found.figures.cost) for found in page.sessions] == [("long", 4)]
    page = sessions.newest(NOW, before=page.older, tenant_id=website.tenant_id)
    assert [found.name for found in page.sessions] == ["short"]


def test_what_became_known_later_counts_for_its_session(call, website):
    doubtful = call("one", cost=9, agent="a1", fields={"state": "unconfirmed", "low": 0, "high": 20})
    services.resolve(doubtful, actor=None, cost=4)
    (session,) = sessions.newest(NOW, tenant_id=website.tenant_id).sessions
    assert (session.figures.calls, session.figures.cost, session.figures.low, session.figures.high) == (1, 4, 4, 4)
    (agent,) = sessions.agents("one", tenant_id=website.tenant_id)
    assert (agent.name, agent.figures.cost) == ("a1", 4)


def test_what_was_without_a_price_counts_for_its_session_once_it_has_one(call):
    long_ago = NOW - datetime.timedelta(days=400)
    price = factories.price(input=1_000_000_000, output=0, effective_from=long_ago)
    entry = call("one", card=None, deployment_id=price.deployment_id)
    repricing.reprice([price.deployment_id], since=NOW - datetime.timedelta(days=1))
    (agent,) = sessions.agents("one", tenant_id=entry.tenant_id)
    assert (agent.figures.cost, agent.figures.calls) == (10_000, 1)


def test_a_journal_of_before_sessions_is_read():
    old = msgspec.msgpack.encode(
        {
            name: value
            for name, value in msgspec.to_builtins(intent(user_agent="curl/8")).items()
            if name not in ("session", "agent", "parent_agent")
        }
    )
    read: Intent = pages.intent_decoder.decode(old)
    assert (read.user_agent, read.session, read.agent, read.parent_agent) == ("curl/8", "", "", "")
    (entry,) = ledger.post([outcome(read)])
    row = Entry.objects.get(pk=entry)
    assert (row.session, row.agent, row.parent_agent) == (None, None, None)
