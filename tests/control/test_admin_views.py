"""Lists under a name, and lists as files."""

from __future__ import annotations

import csv
import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.accounts.models import SavedView
from apps.audit import taking
from apps.audit.models import Record
from apps.keys.models import Key
from tests import factories
from tests.control.desk import Desk

pytestmark = pytest.mark.django_db
PAGE = "keys.key"


def save(desk: Desk, name: str = "Mine", query: str = "state=active&q=a", page: str = PAGE, **more: str):
    return desk.client.post(desk.url("view_save"), {"page": page, "name": name, "query": query, **more}, follow=True)


def change(desk: Desk, view: SavedView, **values: str):
    return desk.client.post(desk.url("view_change", view.pk), values, follow=True)


def chips(desk: Desk, page: str = "keys_key_changelist") -> list[str]:
    text = desk.text(page)
    return [name for name in ("Mine", "Shared", "Other") if f">{name}</a>" in text]


def test_a_list_is_saved_as_it_stands_and_opened_again(desk, website):
    factories.key(website, name="alpha")
    factories.key(website, name="beta")
    assert "Save this view" not in desk.text("keys_key_changelist")
    assert "Save this view" in desk.text("keys_key_changelist", q="al")
    answer = save(desk, query="?q=al&p=3&e=1&state=active&empty=")
    view = SavedView.objects.get()
    assert (view.query, view.page, view.user) == ("q=al&state=active", PAGE, desk.user)
    assert answer.redirect_chain[0][0].endswith("?q=al&state=active")
    assert [row.name for row in answer.context["cl"].result_list] == ["alpha"]
    text = desk.text("keys_key_changelist", state="active", q="al")
    assert 'aria-current="true">Mine' in text
    assert "Save this view" not in text


@pytest.mark.once
def test_one_sees_ones_own_and_what_is_shared_and_changes_only_ones_own(desk):
    other = Desk(factories.staff("keys.view_key"))
    save(desk, "Mine")
    save(other, "Shared", is_shared="on")
    save(other, "Other")
    assert chips(desk) == ["Mine", "Shared"]
    assert chips(other) == ["Shared", "Other"]
    mine, shared, others = (SavedView.objects.get(name=name) for name in ("Mine", "Shared", "Other"))
    assert change(other, mine, do="delete").status_code == 404
    assert change(desk, others, do="delete").status_code == 404
    change(other, others, name="Renamed", is_shared="on", do="change")
    others.refresh_from_db()
    assert (others.name, others.is_shared) == ("Renamed", True)
    change(desk, shared, do="delete")
    change(other, others, do="delete")
    assert list(SavedView.objects.values_list("name", flat=True)) == ["Mine"]
    noted = Record.objects.filter(target_type="accounts.savedview").order_by("pk")
    assert [record.action.partition(".")[2] for record in noted] == ["created"] * 3 + ["updated", "deleted", "deleted"]
    assert {record.actor_name for record in noted} == {str(desk.user), str(other.user)}


@pytest.mark.once
@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"name": ""}, "cannot be blank"),
        ({"name": "x" * 41}, "at most 40"),
        ({"query": ""}, "Filter, search or sort the list first"),
        ({"query": "p=2&_popup=1"}, "Filter, search or sort the list first"),
        ({"query": "q=" + "x" * 3_000}, "at most 2000"),
        ({"query": "q=" + "x" * 9_000}, "cannot be saved"),
        ({}, "You have a view of this name already"),
    ],
)
def test_what_cannot_be_saved_is_told(desk, values, told):
    save(desk)
    assert told in save(desk, **values).content.decode()
    assert SavedView.objects.count() == 1


@pytest.mark.once
def test_whoever_may_not_see_a_list_saves_none_of_it(desk):
    stranger = Desk(factories.staff())
    assert save(stranger).status_code == 403
    for page in ("keys.keysecret", "nothing", "a.b", "Keys.Key", "../keys.key"):
        assert save(desk, page=page).status_code == 404, page
    assert desk.client.get(desk.url("view_save")).status_code == 405
    assert not SavedView.objects.exists()


@pytest.mark.once
def test_a_view_that_filters_by_what_there_is_no_longer_does_not_break_the_list(desk):
    save(desk, query="gone__id__exact=3&state=active&o=99&tenant__id__exact=x")
    text = desk.text("keys_key_changelist")
    link = text.partition('class="weir-view')[2].partition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert "gone" not in link
    assert "state=active" in link
    answer = desk.client.get(desk.url("keys_key_changelist") + link, follow=True)
    assert answer.status_code == 200


# --- as a file ---------------------------------------------------------------------------------------------------


def taken(desk: Desk, page: str, **query: object) -> list[dict[str, str]]:
    answer = desk.client.get(desk.url(f"{page}_changelist") + "download.csv", query)
    assert answer.status_code == 200
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig"))))


def test_a_list_is_taken_away_as_it_is_filtered(desk, website):
    for name in ("=1+1", "beta"):
        factories.key(website, name=name)
    assert [row["name"] for row in taken(desk, "keys_key")] == ["beta", "'=1+1"]
    (row,) = taken(desk, "keys_key", q="beta")
    assert (row["project"], row["state"], row["revoked"]) == ("Website", "active", "")
    assert "CSV</a>" in desk.text("keys_key_changelist")


@pytest.mark.once
def test_a_file_is_bounded_and_says_so_and_asks_in_batches(desk, website, monkeypatch):
    named = {"tenant": website.tenant, "project": website, "last_four": "abcd"}
    Key.objects.bulk_create(Key(name=f"k{n}", public_id=f"{n:012}", **named) for n in range(30))
    monkeypatch.setattr(taking, "MOST_TAKEN", 20)
    monkeypatch.setattr(taking, "BATCH", 10)
    with CaptureQueriesContext(connection) as queries:
        found = taken(desk, "keys_key")
    assert len(found) == 21
    assert found[-1]["name"].startswith("Only the first 20 rows")
    assert len(queries) < 20
