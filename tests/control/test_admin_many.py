"""Doing something to many rows of a list: what the page says first, and what comes of it."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from apps.audit import bulk
from apps.audit.models import Record
from apps.catalog.models import Model
from apps.keys.models import Key
from apps.keys.several import MOST_SHOWN
from tests import factories
from tests.control.desk import Desk, fields

pytestmark = pytest.mark.django_db
KEYS, MODELS = "keys_key_changelist", "catalog_model_changelist"


@pytest.fixture
def keys(website) -> list[Key]:
    return [factories.key(website, name=f"key {n}").key for n in range(4)]


def named(page: str) -> list[str]:
    return [f"key {n}" for n in range(4) if f">key {n}" in page]


def test_the_page_says_how_many_and_which_and_changes_nothing(desk):
    models = [factories.model(f"m{n}", is_enabled=n > 0) for n in range(4)]
    before = Record.objects.count()
    page = desk.ask(MODELS, "disable", *models).content.decode()
    assert "Disable 3 models" in page
    assert "No calls go there any more" in page
    assert "1 of those that were chosen are left out" in page
    assert [f">m{n}<" in page for n in range(4)] == [False, True, True, True]
    assert Record.objects.count() == before
    assert "Disabled: 3." in desk.act(MODELS, "disable", *models).content.decode()
    assert not Model.objects.filter(is_enabled=True).exists()
    made = Record.objects.filter(action="model.updated")
    assert (made.count(), set(made.values_list("actor_id", flat=True))) == (3, {desk.user.pk})
    assert "Nothing is left to do" in desk.ask(MODELS, "disable", *models).content.decode()


def test_all_that_fit_a_search_are_done_so_many_at_a_time(desk, monkeypatch):
    factories.model("other")
    models = [factories.model(f"test-{n}") for n in range(5)]
    url = desk.url(MODELS) + "?q=test-"
    chosen = {"action": "disable", "_selected_action": [models[0].pk], "select_across": 1, "index": 0}
    page = desk.client.post(url, chosen).content.decode()
    assert "Disable 5 models" in page
    what = Model.objects.filter(name__startswith="test-", is_enabled=False)
    desk.client.post(url, fields(page))
    assert what.count() == 5
    assert Model.objects.get(name="other").is_enabled
    page = desk.client.post(url, chosen | {"action": "enable"}).content.decode()
    monkeypatch.setattr(bulk, "BATCH", 2)
    desk.client.post(url, fields(page))
    assert what.count() == 0


@pytest.mark.once
def test_no_more_than_a_bound_is_done_at_once_and_the_page_says_so(desk, website, monkeypatch):
    named = {"tenant": website.tenant, "project": website, "last_four": "abcd"}
    Key.objects.bulk_create(Key(name=f"k{n}", public_id=f"{n:012}", **named) for n in range(MOST_SHOWN + 3))
    chosen = {"action": "rotate_selected", "_selected_action": [0], "select_across": 1, "index": 0}
    page = desk.client.post(desk.url(KEYS), chosen).content.decode()
    assert f"Rotate {MOST_SHOWN} keys" in page
    assert "of 3 others that fit" in page
    assert bulk.counted(Key.objects.all()) == MOST_SHOWN + 3
    monkeypatch.setattr(bulk, "MOST_COUNTED", 2)
    assert bulk.counted(Key.objects.all()) == 2


def test_what_changed_meanwhile_is_shown_again(desk, keys):
    asked = fields(desk.ask(KEYS, "move_selected", *keys).content.decode())
    other = factories.project(keys[0].tenant, "Other")
    Key.objects.filter(pk=keys[0].pk).update(revoked_at=timezone.now())
    again = desk.client.post(desk.url(KEYS), asked | {"project": other.pk})
    text = again.content.decode()
    assert "changed meanwhile" in text
    assert named(text) == ["key 1", "key 2", "key 3"]
    assert not Key.objects.filter(project=other).exists()


def test_keys_move_within_their_tenant_and_the_others_are_named(desk, keys, globex):
    foreign = factories.key(factories.project(globex), name="foreign").key
    other = factories.project(keys[0].tenant, "Other")
    told = desk.act(KEYS, "move_selected", *keys, foreign, project=other.pk).content.decode()
    assert "Moved: 4." in told
    assert "foreign" in told.partition("belongs to another tenant")[0]
    assert set(Key.objects.filter(project=other)) == set(keys)
    assert Record.objects.filter(action="key.updated").count() == 4


@pytest.mark.parametrize("value", ["", "0", "-1", "x", "9" * 30, "987654"])
def test_no_project_is_told_at_its_field(desk, keys, value):
    answer = desk.act(KEYS, "move_selected", *keys, project=value)
    assert answer.status_code == 200
    assert list(answer.context["form"].errors) == ["project"]
    assert not Record.objects.filter(action="key.updated").exists()


def test_an_expiry_is_set_and_taken_away(desk, keys):
    desk.act(KEYS, "expire_selected", *keys, ends="7")
    for key in Key.objects.all():
        assert abs(key.expires_at - timezone.now() - datetime.timedelta(days=7)) < datetime.timedelta(minutes=10)
    desk.act(KEYS, "expire_selected", *keys[:2], ends="")
    assert Key.objects.filter(expires_at=None).count() == 2
    refused = desk.act(KEYS, "expire_selected", *keys, ends="-5")
    assert list(refused.context["form"].errors) == ["ends"]


def test_new_secrets_are_shown_once_and_never_for_the_same_page_again(desk, keys):
    asked = fields(desk.ask(KEYS, "rotate_selected", *keys[:2]).content.decode())
    shown = desk.client.post(desk.url(KEYS), asked | {"overlap": "0"})
    assert "no-store" in shown["Cache-Control"]
    text = shown.content.decode()
    now = list(Key.objects.filter(pk__in=[key.pk for key in keys[:2]]))
    assert all(f"weir_{key.public_id}_" in text for key in now)
    again = desk.client.post(desk.url(KEYS), asked | {"overlap": "0"})
    assert "changed meanwhile" in again.content.decode()
    assert {key.public_id for key in now} == set(
        Key.objects.filter(pk__in=[key.pk for key in keys[:2]]).values_list("public_id", flat=True)
    )


def test_a_refusal_of_one_keeps_none_of_the_others_back(desk, acme, globex):
    owner = factories.user("only-operator", is_superuser=True, is_staff=True)
    others = [factories.user(f"user-{n}") for n in range(3)]
    told = desk.act("accounts_user_changelist", "deactivate", *others, owner, desk.user).content.decode()
    assert "Deactivated: " in told
    assert "The last operator cannot be shut off." in told


@pytest.mark.once
def test_who_may_only_look_can_neither_ask_nor_send(keys):
    viewer = Desk(factories.staff("keys.view_key"))
    for action in ("move_selected", "expire_selected", "rotate_selected", "revoke_selected"):
        answer = viewer.ask(KEYS, action, *keys)
        assert 'name="mark"' not in answer.content.decode()
    assert not Record.objects.filter(action__in=("key.revoked", "key.updated", "key.rotated")).exists()
