"""Keys in the admin: a secret is shown once, what is refused is told at its field, and every step is recorded."""

from __future__ import annotations

import datetime

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone

from apps.audit.models import Record
from apps.keys.models import Key, KeySecret
from apps.keys.selectors import principal
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def key(website):
    return factories.key(website, name="Laptop").key


def issued_from(response) -> str:
    """The secret on the page that the answer leads to."""
    assert response.status_code == 302, errors(response)
    return response.client.get(response["location"]).context["plaintext"]


def records(key: Key, action: str) -> list[Record]:
    return list(Record.objects.filter(target_type="keys.key", target_id=str(key.pk), action=action))


# --- issuing -----------------------------------------------------------------------------------------------------


def test_a_key_is_issued_for_a_project_and_works(desk, website):
    plaintext = issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk, priority="-5"))
    key = Key.objects.get()
    assert (key.name, key.tenant, key.project, key.created_by) == ("Laptop", website.tenant, website, desk.user)
    assert (key.models, key.endpoints, key.networks, key.priority) == (None, None, None, -5)
    assert principal(plaintext).key_id == key.pk
    (record,) = records(key, "key.issued")
    assert (record.actor_id, record.address) == (desk.user.pk, "127.0.0.1")


def test_the_secret_is_on_one_page_once_and_nowhere_else(desk, website):
    plaintext = issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk))
    key = Key.objects.get()
    secret = plaintext.rpartition("_")[2]
    for page, arguments in (
        *(("keys_key_change", [key.pk]), ("keys_key_history", [key.pk]), ("keys_key_changelist", [])),
        *(("index", []), ("audit_record_changelist", []), ("keys_key_add", []), ("keys_key_issued", [key.pk])),
    ):
        assert secret not in desk.text(page, *arguments), page
    assert not [row for row in Session.objects.all() if secret in str(row.get_decoded())]
    assert not [row for row in Record.objects.all() if secret in str((row.before, row.after, row.target_label))]


def test_the_page_shows_how_to_call_with_the_key(desk, website, settings):
    settings.WEIR_BASE_URL = "https://weir.example"
    response = desk.send("keys_key_add", name="Laptop", project=website.pk)
    text = desk.client.get(response["location"]).content.decode()
    assert "ANTHROPIC_BASE_URL=https://weir.example\n" in text
    assert "curl https://weir.example/v1/messages" in text


@pytest.mark.parametrize(("chosen", "days"), [("7", 7), ("90", 90), ("365", 365), ("", None)])
def test_a_key_lasts_as_long_as_was_chosen(chosen, days, desk, website):
    issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk, lifetime=chosen))
    expires = Key.objects.get().expires_at
    if days is None:
        assert expires is None
    else:
        assert abs(expires - timezone.now() - datetime.timedelta(days=days)) < HOUR


def test_ninety_days_are_the_default(desk, website):
    issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk))
    assert abs(Key.objects.get().expires_at - timezone.now() - datetime.timedelta(days=90)) < HOUR


def test_a_date_can_be_chosen(desk, website):
    chosen = {"lifetime": "other", "expires_at_0": "2099-12-31", "expires_at_1": "12:00"}
    issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk, **chosen))
    assert Key.objects.get().expires_at == datetime.datetime(2099, 12, 31, 12, tzinfo=datetime.UTC)


def test_a_key_is_confined_by_words_and_boxes(desk, website):
    factories.model("claude-small", aliases=["claude-tiny"])
    confined = {"models": "claude-small, claude-tiny", "endpoints": ["messages"], "networks": "192.0.2.0/24"}
    issued_from(desk.send("keys_key_add", name="Laptop", project=website.pk, **confined))
    key = Key.objects.get()
    assert (key.models, key.endpoints, key.networks) == (
        ["claude-small", "claude-tiny"],
        ["messages"],
        ["192.0.2.0/24"],
    )
    form = desk.form("keys_key_change", key.pk)
    assert (form["models"], form["endpoints"], form["networks"]) == (
        "claude-small, claude-tiny",
        "messages",
        "192.0.2.0/24",
    )


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"project": ""}, "project"),
        ({"project": "987654"}, "project"),
        ({"lifetime": "3000"}, "lifetime"),
        ({"lifetime": "other"}, "expires_at"),
        ({"lifetime": "other", "expires_at_0": "2001-01-01", "expires_at_1": "00:00"}, "expires_at"),
        ({"lifetime": "other", "expires_at_0": "soon", "expires_at_1": "00:00"}, "expires_at"),
        ({"models": "no-such-model"}, "models"),
        ({"models": "twice, twice"}, "models"),
        ({"endpoints": "batches"}, "endpoints"),
        ({"networks": "192.0.2.0/99"}, "networks"),
        ({"networks": "everywhere"}, "networks"),
    ],
)
def test_what_cannot_be_is_told_at_its_field(wrong, field, desk, website):
    response = desk.send("keys_key_add", **({"name": "Laptop", "project": website.pk} | wrong))
    assert list(errors(response)) == [field]
    assert not Key.objects.exists()


def test_a_stranger_cannot_be_given_a_key(desk, website, charlie):
    response = desk.send("keys_key_add", name="Laptop", project=website.pk, user=charlie.pk)
    assert errors(response) == {"user": ["The user is not a member of the tenant."]}


def test_what_the_service_refuses_is_told_at_the_form(desk, website):
    website.is_active = False
    website.save()
    response = desk.send("keys_key_add", name="Laptop", project=website.pk)
    assert errors(response) == {"": ["Keys are issued for active tenants and projects only."]}
    assert not Key.objects.exists()
    assert not Record.objects.filter(action="key.issued").exists()


# --- changing ----------------------------------------------------------------------------------------------------


def test_a_change_is_recorded_with_what_was_and_what_is(desk, key):
    assert desk.send("keys_key_change", key.pk, name="Desktop").status_code == 302
    key.refresh_from_db()
    assert key.name == "Desktop"
    (record,) = records(key, "key.updated")
    assert (record.actor_id, record.before, record.after) == (desk.user.pk, {"name": "Laptop"}, {"name": "Desktop"})
    assert key.revision == record.revision
    history = desk.text("keys_key_history", key.pk)
    assert "Laptop" in history
    assert "Desktop" in history


def test_saving_a_key_as_it_is_changes_nothing(desk, key):
    before = Record.objects.count()
    assert desk.send("keys_key_change", key.pk).status_code == 302
    assert Record.objects.count() == before


def test_a_key_stays_its_tenants_and_its_users(desk, key, globex, charlie):
    assert desk.send("keys_key_change", key.pk, tenant=globex.pk, user=charlie.pk).status_code == 302
    key.refresh_from_db()
    assert (key.tenant.name, key.user) == ("Acme", None)


def test_a_key_cannot_move_to_another_tenants_project(desk, key, globex):
    response = desk.send("keys_key_change", key.pk, project=factories.project(globex).pk)
    assert errors(response) == {"project": ["The project belongs to another tenant."]}


# --- rotating and revoking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("overlap", "works"), [("0", False), ("1", True), ("24", True), ("168", True)])
def test_rotating_gives_a_new_secret_and_the_old_one_its_time(overlap, works, desk, website):
    old = factories.key(website)
    new = issued_from(desk.send("keys_key_rotate", old.key.pk, overlap=overlap))
    assert principal(new).key_id == old.key.pk
    now = timezone.now()
    secret = KeySecret.objects.get(public_id=old.plaintext.split("_")[1])
    assert (secret.revoked_at is None and secret.expires_at > now) is works
    assert records(old.key, "key.rotated")[0].actor_id == desk.user.pk
    assert new.rpartition("_")[2] not in desk.text("keys_key_change", old.key.pk)


def test_a_visit_to_the_rotation_rotates_nothing(desk, key):
    desk.text("keys_key_rotate", key.pk)
    assert KeySecret.objects.count() == 1


@pytest.mark.parametrize("overlap", ["", "9000", "-1", "soon"])
def test_an_overlap_that_is_not_offered_is_refused(overlap, desk, key):
    response = desk.send("keys_key_rotate", key.pk, overlap=overlap)
    assert list(response.context["form"].errors) == ["overlap"]
    assert KeySecret.objects.count() == 1


def test_a_revoked_key_is_not_rotated_and_the_reason_is_told(desk, key):
    desk.send("keys_key_revoke", key.pk, typed="Laptop")
    response = desk.send("keys_key_rotate", key.pk, overlap="0")
    assert "stays that; issue another" in response.content.decode()
    assert KeySecret.objects.count() == 1


def offered(desk, key) -> set[str]:
    """What the key's page has buttons and links for."""
    text = desk.text("keys_key_change", key.pk)
    links = {page for page in ("rotate", "revoke") if f'"{desk.url(f"keys_key_{page}", key.pk)}"' in text}
    return links | ({"save"} if 'name="_save"' in text else set())


def test_what_cannot_be_done_to_a_key_is_not_offered_and_its_end_stands_first(desk, key):
    assert offered(desk, key) == {"save", "rotate", "revoke"}
    past = timezone.now() - HOUR
    Key.objects.filter(pk=key.pk).update(expires_at=past)
    assert offered(desk, key) == {"save", "revoke"}
    Key.objects.filter(pk=key.pk).update(revoked_at=past)
    assert offered(desk, key) == set()
    form = desk.text("keys_key_change", key.pk).partition('id="key_form"')[2]
    assert 0 < form.index(f"since {past:%Y-%m-%d %H:%M:%S} UTC") < form.index("Laptop")
    assert desk.client.post(desk.url("keys_key_change", key.pk), {"name": "Desktop"}).status_code == 403


def test_revoking_needs_the_keys_name(desk, key):
    response = desk.send("keys_key_revoke", key.pk, typed="laptop")
    assert list(response.context["form"].errors) == ["typed"]
    key.refresh_from_db()
    assert key.revoked_at is None
    assert desk.send("keys_key_revoke", key.pk, typed="Laptop").status_code == 302
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert records(key, "key.revoked")[0].actor_id == desk.user.pk
    assert "revoked" in desk.text("keys_key_changelist")


def test_several_are_revoked_after_their_number_was_typed(desk, website):
    keys = [factories.key(website, name=f"key {n}").key for n in range(3)]
    asked = desk.act("keys_key_changelist", "revoke_selected", *keys[:2])
    assert "key 0" in asked.content.decode()
    assert "revoke 2" in asked.content.decode()
    assert not Key.objects.exclude(revoked_at=None).exists()
    wrong = desk.act("keys_key_changelist", "revoke_selected", *keys[:2], typed="revoke 3")
    assert list(wrong.context["form"].errors) == ["typed"]
    desk.act("keys_key_changelist", "revoke_selected", *keys[:2], typed="revoke 2")
    assert set(Key.objects.exclude(revoked_at=None)) == set(keys[:2])
    assert {record.actor_id for record in Record.objects.filter(action="key.revoked")} == {desk.user.pk}


def test_a_key_is_never_deleted_and_the_reason_is_told(desk, key):
    assert "Delete" not in desk.text("keys_key_change", key.pk)
    response = desk.client.post(desk.url("keys_key_delete", key.pk), {"post": "yes"}, follow=True)
    assert "revoke it instead" in response.content.decode()
    assert Key.objects.filter(pk=key.pk).exists()


@pytest.mark.parametrize("page", ["keys_key_rotate", "keys_key_revoke", "keys_key_change"])
def test_a_key_that_is_not_there_is_not_found(page, desk):
    assert desk.get(page, 987_654).status_code in (302, 404)
    assert desk.get(page, "no-number").status_code in (302, 404)


# --- finding -----------------------------------------------------------------------------------------------------


def test_a_key_is_found_by_its_name_and_by_itself(desk, website):
    wanted = factories.key(website, name="Laptop")
    factories.key(website, name="Server")
    for term in ("Lap", wanted.key.public_id, wanted.plaintext, f"weir_{wanted.key.public_id[:6]}"):
        assert list(desk.get("keys_key_changelist", q=term).context["cl"].result_list) == [wanted.key], term


def test_keys_are_found_by_their_state(desk, website):
    now = timezone.now()
    long_ago = now - datetime.timedelta(days=100)
    keys = {name: factories.key(website, name=name).key for name in ("active", "soon", "expired", "revoked", "unused")}
    changes = {
        "soon": {"expires_at": now + HOUR},
        "expired": {"expires_at": now - HOUR},
        "revoked": {"revoked_at": now},
        "unused": {"created_at": long_ago, "last_used_at": long_ago},
    }
    for name, values in changes.items():
        Key.objects.filter(pk=keys[name].pk).update(**values)
    found = {
        state: {key.name for key in desk.get("keys_key_changelist", state=state).context["cl"].result_list}
        for state in ("active", "soon", "expired", "revoked", "unused")
    }
    assert found == {
        "active": {"active", "soon", "unused"},
        "soon": {"soon"},
        "expired": {"expired"},
        "revoked": {"revoked"},
        "unused": {"unused"},
    }
    text = desk.text("keys_key_changelist")
    assert all(f">{word}<" in text for word in ("active", "expires soon", "expired", "revoked", "unused"))


# --- staff who are no operators ----------------------------------------------------------------------------------


@pytest.fixture
def viewer(db):
    return Desk(factories.staff("keys.view_key"))


def test_who_may_only_look_can_do_nothing_to_a_key(viewer, key):
    assert viewer.get("keys_key_change", key.pk).status_code == 200
    assert "Rotate" not in viewer.text("keys_key_change", key.pk)
    for page, values in (
        ("keys_key_rotate", {"overlap": "0"}),
        ("keys_key_revoke", {"typed": "Laptop"}),
        ("keys_key_change", {"name": "Mine"}),
    ):
        assert viewer.client.post(viewer.url(page, key.pk), values).status_code == 403, page
    assert viewer.get("keys_key_add").status_code == 403
    viewer.act("keys_key_changelist", "revoke_selected", key, typed="revoke 1")
    key.refresh_from_db()
    assert (key.name, key.revoked_at, KeySecret.objects.count()) == ("Laptop", None, 1)
