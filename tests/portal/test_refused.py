"""Refused calls on the pages: by reason with what helps, to whom they belong and to nobody else."""

from __future__ import annotations

import json
import uuid

import pytest
from django.utils import timezone

from apps.domain.refusals import REASONS
from apps.domain.snapshot import Principal
from apps.gateway.tally import Tally
from apps.portal import feed
from apps.portal.feed import Subject
from apps.usage import refusals
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.once]


def refuse(key, reason, *, times=1, model="claude-test", at=None, agent=b"claude-cli/2.1"):
    """As a gateway process counts and writes it."""
    tally = Tally()
    whose = Principal(
        key_id=key.pk, public_id="x", tenant_id=key.tenant_id, project_id=key.project_id, user_id=key.user_id
    )
    told = {"wanted": model, "endpoint": "messages", "address": "10.1.2.3", "agent": agent}
    for _ in range(times):
        moment = (at or timezone.now()).timestamp()
        tally.note(whose, reason, status=429, at=moment, model=model, request_id=uuid.uuid4(), **told)
    batch = tally.take()
    assert batch is not None
    assert refusals.write(uuid.uuid4().hex, batch)


@pytest.fixture
def laptop(website, bob):
    return factories.key(website, name="Laptop", user=bob).key


@pytest.fixture
def server(website, alice):
    return factories.key(website, name="Server", user=alice).key


def test_a_page_tells_why_whose_and_what_helps(visit, alice, laptop, server, django_assert_max_num_queries):
    refuse(laptop, "requests", times=312)
    refuse(server, "budget", model="gpt-test")
    visitor = visit(alice)
    with django_assert_max_num_queries(12):
        text = visitor.text("usage-refused")
    for word in ("312", "Too many requests a minute", "A budget is spent", "Laptop", "Server", "claude-cli/2.1"):
        assert word in text
    assert REASONS["requests"].advice in text
    assert "313" in text
    assert "Server" not in visit(alice).text("usage-refused", {"key": laptop.pk})


def test_it_is_told_where_it_is_wondered_at(visit, alice, bob, laptop, server):
    assert "Refused, today" not in visit(alice).text("overview")
    refuse(laptop, "requests", times=312)
    refuse(laptop, "concurrency")
    assert "313" in visit(alice).text("overview")
    page = visit(bob).text("keys-one", key=laptop.pk)
    assert "313" in page
    assert "Too many requests a minute and other reasons" in page
    assert "Refused" in visit(bob).text("usage")
    assert "313" not in visit(alice).text("keys-one", key=server.pk)


def test_developers_see_their_own_and_other_tenants_nothing(visit, bob, charlie, globex, laptop, server):
    refuse(laptop, "requests")
    refuse(server, "budget", times=77)
    own = visit(bob).text("usage-refused")
    assert "Laptop" in own
    assert "Server" not in own
    assert ">77<" not in own
    assert visit(bob).get("usage-refused", {"key": server.pk}).status_code == 404
    theirs = visit(charlie, at=globex)
    assert "Nothing was refused" in theirs.text("usage-refused")
    assert theirs.get("usage-refused", {"key": laptop.pk}).status_code == 404


@pytest.mark.parametrize("query", [{"span": "9y"}, {"key": "-1"}, {"key": "x" * 400}, {"span": "", "key": "٣"}])
def test_what_is_no_filter_filters_nothing(visit, alice, laptop, query):
    refuse(laptop, "requests")
    response = visit(alice).get("usage-refused", query)
    assert response.status_code in (200, 404)
    assert response.status_code == 404 or "Laptop" in response.content.decode()


def test_what_a_client_calls_itself_is_text(visit, alice, laptop):
    refuse(laptop, "model", model="", agent=b"<script>alert(1)</script>")
    text = visit(alice).text("usage-refused")
    assert "<script>alert(1)" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_live_shows_them_as_they_happen_to_whom_they_belong(acme, globex, alice, bob, laptop, server):
    reader, now = feed.Reader(), timezone.now().timestamp()
    subjects = [Subject(acme.pk), Subject(acme.pk, bob.pk), Subject(globex.pk), Subject()]

    def seen(subject):
        frame = json.loads(reader.read(subjects, now=now)[subject])
        return frame["refused"], [(call["status"], call["tenant"]) for call in frame["calls"] if call.get("refused")]

    assert seen(Subject()) == (0, [])
    refuse(server, "budget")
    label = REASONS["budget"].label
    assert seen(Subject(acme.pk)) == (1, [(label, "")])
    assert seen(Subject(acme.pk, bob.pk)) == (0, [])
    assert seen(Subject(globex.pk)) == (0, [])
    assert seen(Subject()) == (1, [(label, "Acme")])
    refuse(laptop, "requests", times=3)
    assert seen(Subject(acme.pk, bob.pk))[0] == 3
    assert seen(Subject(acme.pk))[0] == 4
    later = json.loads(reader.read(subjects, now=now + feed.WINDOW + 60)[Subject(acme.pk)])
    assert later["calls"] == []
