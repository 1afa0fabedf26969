"""The portal's page of costs: what it shows is what its file says, to whoever may see it and nobody else."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import money
from apps.keys.models import Key
from apps.quotas import services as quotas
from apps.quotas.models import BudgetWindow
from apps.usage import days, ledger, rollups
from tests import factories
from tests.money.calls import hit, intent, outcome
from tests.portal.visitor import Visitor

pytestmark = pytest.mark.django_db

NASTY = "=HYPERLINK(\"//evil\")<script>alert('x')</script>"


def page(user, tenant, /, **asked):
    return Visitor(user, tenant).get("costs", asked)


def rows_of(user, tenant, /, **asked):
    answer = Visitor(user, tenant).get("costs-export", asked)
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    text = b"".join(answer.streaming_content).decode().removeprefix("\ufeff")
    return list(csv.DictReader(io.StringIO(text)))


def shown(answer):
    """Without markup."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", answer.content.decode())))


def spend(tenant, user=None, *, costs=(1,), project=None, **fields):
    project = project or factories.project(tenant)
    key = factories.key(project, user=user, name=fields.pop("key", "a key")).key
    subject = {"tenant_id": tenant.pk, "project_id": project.pk, "key_id": key.pk, "user_id": user and user.pk}
    now = timezone.now()
    calls = [
        outcome(intent(at=(now - timedelta(hours=26 * back)).timestamp(), endpoint="messages", **subject), cost=cost)
        for back, cost in enumerate(costs)
    ]
    ledger.post([*calls, *fields.get("more", [])])
    rollups.roll_up()
    return key


@pytest.mark.parametrize("by", ["project", "key", "user", "model", "provider", "endpoint", "pinned"])
def test_the_file_says_what_the_page_shows(acme, alice, bob, by):
    for number in range(10):
        spend(acme, bob if number % 2 else alice, costs=(10**9 + number, 5 * 10**8), key=f"key {number}")
    days.roll_up(timezone.now())
    answer = page(alice, acme, by=by)
    text, rows = shown(answer), rows_of(alice, acme, by=by)
    assert len(rows) == len(answer.context["rows"]) + (answer.context["other"] is not None) + 1
    for row in rows:
        assert money.text(money.nano(Decimal(row["cost_usd"]))) in text
        assert f"{int(row['calls']):,}" in text
        assert row[by] in text or row[by] == "Other"
    parts, total = rows[:-1], rows[-1]
    assert sum(Decimal(row["cost_usd"]) for row in parts) == Decimal(total["cost_usd"])
    assert total["calls"] == "20"
    by_time = rows_of(alice, acme, by=by, table="time")
    assert sum(Decimal(row["Total usd"]) for row in by_time) == Decimal(total["cost_usd"])
    assert len(by_time) == 30


def test_the_bars_lead_to_the_calls_they_are_made_of(acme, alice):
    key = spend(acme, alice, costs=(10**9,))
    answer = page(alice, acme, by="key", span="24h")
    chart = json.loads(answer.context["chart"])
    assert chart["series"][0]["query"] == f"key={key.pk}"
    assert sum(chart["series"][0]["points"]) == 1.0
    bucket = next(number for number, cost in enumerate(chart["series"][0]["points"]) if cost)
    calls = Visitor(alice, acme).client.get(f"{chart['urls'][bucket]}&{chart['series'][0]['query']}")
    assert [row["entry"].key_id for row in calls.context["rows"]] == [key.pk]
    assert answer.context["rows"][0]["calls"] in html.unescape(answer.content.decode())


def test_a_developer_sees_what_is_theirs(acme, alice, bob, vera):
    spend(acme, alice, costs=(7 * 10**9,), key="of alice")
    spend(acme, bob, costs=(2 * 10**9,), key="of bob")
    for whom, sees in ((bob, "$2.00"), (alice, "$9.00"), (vera, "$9.00")):
        answer = page(whom, acme, by="key")
        assert answer.context["total"]["amounts"].cost_nano == money.nano(Decimal(sees[1:]))
        assert ("of alice" in shown(answer)) == (whom != bob)
        assert rows_of(whom, acme)[-1]["cost_usd"] == f"{Decimal(sees[1:]):.9f}".rstrip("0").rstrip(".")
    assert page(bob, acme, by="user").context["form"].errors
    other = Key.objects.get(name="of alice")
    assert page(bob, acme, key=other.pk).context["is_empty"]


def test_nobody_else_sees_anything(acme, alice, charlie, globex):
    key = spend(acme, alice, costs=(10**9,), key="a secret name")
    for name in ("costs", "costs-export"):
        assert Visitor(charlie, acme).get(name).status_code == 404
        assert Visitor(None, acme).get(name).status_code == 302
        assert Visitor(alice, acme).post(name).status_code == 405
    answer = page(charlie, globex, key=key.pk, user=alice.pk, project=key.project_id)
    assert "a secret name" not in answer.content.decode()
    assert "alice" not in answer.content.decode()


@pytest.mark.parametrize(
    ("asked", "where"),
    [
        ({"span": "century"}, "span"),
        ({"by": "tenant"}, "by"),
        ({"by": "cost_nano; DROP TABLE"}, "by"),
        ({"project": "77777"}, "project"),
        ({"model": "x"}, "model"),
        ({"key": "x"}, "__all__"),
        ({"key": "9" * 40}, "key"),
        ({"endpoint": "e" * 65}, "endpoint"),
        ({"from": "2026-02-30"}, "from"),
        ({"span": "custom"}, "from"),
        ({"from": "1970-01-01"}, "from"),
        ({"from": "2100-01-01", "to": "2100-01-02"}, "to"),
        ({"from": "2026-01-02", "to": "2026-01-01"}, "to"),
        ({"from": "2024-01-01", "to": "2026-01-01"}, "to"),
    ],
)
def test_what_cannot_be_asked_is_told_where_it_was_asked(acme, alice, asked, where):
    answer = page(alice, acme, **asked)
    assert where in answer.context["form"].errors
    assert "nothing was added up" in shown(answer)
    assert Visitor(alice, acme).get("costs-export", asked).status_code == 400
    assert not Record.objects.filter(action="costs.exported").exists()


def test_names_are_text_on_the_page_and_in_the_file(acme, alice):
    spend(acme, alice, costs=(10**9,), key=NASTY)
    answer = page(alice, acme, by="key")
    assert "<script>alert" not in answer.content.decode()
    assert NASTY in shown(answer) or html.escape(NASTY) in answer.content.decode()
    assert rows_of(alice, acme, by="key")[0]["key"].startswith("'=HYPERLINK")
    headings = rows_of(alice, acme, by="key", table="time")[0].keys()
    assert any(heading.startswith("'=HYPERLINK") for heading in headings)
    assert Record.objects.filter(action="costs.exported").count() == 2


def test_keys_of_one_name_are_told_apart_by_how_they_begin(acme, alice):
    same = [spend(acme, alice, key="same") for _ in range(2)]
    spend(acme, alice, key="another")
    assert {row["key"] for row in rows_of(alice, acme, by="key")} == {*map(str, same), "another", "Total"}


def test_what_is_not_final_is_marked(acme, alice):
    told = {"tenant_id": acme.pk, "project_id": factories.project(acme).pk}
    ledger.post(
        [
            outcome(intent(**told), cost=10**9, usage_source="estimated"),
            outcome(intent(**told), cost=10**9, state="unconfirmed", low=0, high=3 * 10**9),
            outcome(intent(**told, card=None)),
            hit(intent(**told), saved=4 * 10**9),
        ]
    )
    text = shown(page(alice, acme))
    for words in ("1 unconfirmed", "1 estimated", "1 unpriced", "between $1.00 and $4.00", "1 answer given again"):
        assert words in text, words
    last = rows_of(alice, acme)[-1]
    assert (last["unconfirmed_calls"], last["estimated_calls"], last["unpriced_calls"]) == ("1", "1", "1")


def test_where_nothing_was_spent_there_is_one_next_step(acme, alice):
    text = shown(page(alice, acme))
    assert "Nothing was spent in this time" in text
    assert "Nothing like that was spent" in shown(page(alice, acme, key="5"))


def test_what_is_left_of_a_budget_is_foretold(acme, alice):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=10**10)
    now = timezone.now()
    BudgetWindow.objects.create(
        budget=budget,
        starts=now - timedelta(days=2),
        ends=now + timedelta(days=20),
        limit=10**10,
        ceiling=10**10,
        settled=9 * 10**9,
    )
    spend(acme, alice, costs=(10**9, 10**9, 10**9))
    answer = page(alice, acme)
    burn = answer.context["burn"]
    # A dollar is left; a dollar a day goes, or, early in the day, when the three lie on four days, half of one.
    assert now < burn.exhausted_at < now + timedelta(days=2, hours=1)
    assert "$1.00 of $10.00" in shown(answer)
    assert json.loads(answer.context["burn_chart"])["ahead"][-1]["y"] == 0


def test_the_page_asks_as_little_for_much_as_for_little(acme, alice, bob):
    quotas.create_budget(actor=None, tenant=acme, amount=10**10)
    numbers = []
    for _ in range(2):
        for user in (alice, bob) * 4:
            spend(acme, user, costs=(10**9, 10**8))
        days.roll_up(timezone.now())
        visitor = Visitor(alice, acme)
        with CaptureQueriesContext(connection) as queries:
            visitor.text("costs", {"by": "key"})
        numbers.append(len(queries))
    assert numbers[0] == numbers[1] <= 25, [query["sql"][:120] for query in queries]
