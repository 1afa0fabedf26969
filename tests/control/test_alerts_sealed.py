"""Addresses of alerts' webhooks and chats lie sealed: whoever has one can write there. So do those of before."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from apps.alerts import outbox, services, tasks
from apps.alerts.models import UNSHOWN, Delivery, Destination
from apps.audit.models import Record
from apps.catalog import keyring, rotation, vault
from tests.control.key_servers import Vault
from tests.control.test_alerts_sending import hook, made, opened, put

__all__ = ["hook", "opened"]
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F25", "F31")]
CHAT = "https://hooks.example.com:8443/services/T000/canary"
KINDS = pytest.mark.parametrize("kind", ["slack", "webhook"])


def chat(kind: str = "slack", name: str = "Us", target: str = CHAT) -> Destination:
    return services.create_destination(actor=None, tenant=None, name=name, kind=kind, target=target).destination


def lies_there(row: Destination) -> str:
    """Every column, as whoever has a copy of the database reads it; and what was recorded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM alerts_destination WHERE id = %s", [row.pk])
        stored = cursor.fetchall()
    return f"{stored} {[(record.before, record.after) for record in Record.objects.all()]}"


def as_before(row: Destination, target: str) -> Destination:
    """As the release before wrote it, which knows of no sealed one."""
    Destination.objects.filter(pk=row.pk).update(target=target)
    return Destination.objects.get(pk=row.pk)


@KINDS
def test_no_column_and_no_record_has_it(kind):
    row = chat(kind)
    assert (row.target, row.shown, services.url_of(row)) == ("https://hooks.example.com" + UNSHOWN,) * 2 + (CHAT,)
    assert "canary" not in lies_there(row)
    other = CHAT.replace("T000", "T111")
    services.update_destination(row, actor=None, target=other, name="Them")
    assert (services.url_of(row), row.name) == (other, "Them")
    assert services.url_of(Destination.objects.get()) == other
    services.update_destination(row, actor=None, is_enabled=False)
    assert services.url_of(Destination.objects.get()) == other
    assert "canary" not in lies_there(row)
    assert Destination.objects.get().sealed_target not in lies_there(row).partition("]")[2], (
        "nor a record the sealed one"
    )
    services.remove_destination(row, actor=None)
    assert "canary" not in lies_there(row)


def test_the_same_again_is_no_change():
    row = chat()
    before = Destination.objects.get().sealed_target
    services.update_destination(row, actor=None, target=CHAT)
    assert Destination.objects.get().sealed_target == before
    assert list(Record.objects.values_list("action", flat=True)) == ["destination.created"]


def test_a_change_of_the_path_alone_is_recorded():
    services.update_destination(chat(), actor=None, target=CHAT + "2")
    record = Record.objects.order_by("-pk").first()
    assert record is not None
    assert (record.action, set(record.after)) == ("destination.updated", {"sealed_target"})


@pytest.mark.parametrize(
    "wrong", ["https://hooks.example.com/…", "/…", "", "ftp://example.com/x", "https://10.0.0.1/x"]
)
def test_what_is_no_whole_address_is_refused_and_changes_nothing(wrong):
    row = chat()
    before = lies_there(row)
    with pytest.raises(ValidationError) as caught:
        services.update_destination(row, actor=None, target=wrong)
    assert set(caught.value.message_dict) == {"target"}
    with pytest.raises(ValidationError):
        chat(name="Others", target=wrong)
    assert (lies_there(row), Destination.objects.count()) == (before, 1)


def test_it_opens_for_its_own_row_only(acme):
    row, other = chat(), chat(name="Others", target=CHAT + "2")
    Destination.objects.filter(pk=row.pk).update(sealed_target=other.sealed_target)
    with pytest.raises(vault.SecretUnreadable):
        services.url_of(Destination.objects.get(pk=row.pk))
    delivery = put(Destination.objects.get(pk=row.pk))
    outbox.send(delivery.pk, now=timezone.now())
    assert Delivery.objects.get().outcome == "its secret cannot be read at present"
    services.update_destination(row, actor=None, target=CHAT)
    assert services.url_of(Destination.objects.get(pk=row.pk)) == CHAT


@KINDS
def test_one_of_before_is_told_at_once_and_sealed_by_the_next_run(hook, opened, kind):
    row = as_before(made(hook, kind).destination, hook.url)
    assert row.shown == "http://127.0.0.1" + UNSHOWN
    Destination.objects.update(sealed_target="")
    put(Destination.objects.get())
    assert outbox.send_due(timezone.now()) == 1
    put(row)
    assert tasks.evaluate() == 1
    stored = Destination.objects.get()
    assert (stored.is_plain, services.url_of(stored)) == (False, hook.url)
    assert hook.url not in lies_there(stored)
    assert len(hook.heard) == 2
    tasks.evaluate()
    assert Destination.objects.get().sealed_target == stored.sealed_target, "once"


def test_what_an_older_replica_writes_beside_is_the_newer_one(hook, opened):
    """Two releases run at once while one takes over from the other."""
    row = as_before(chat(), hook.url)
    assert services.url_of(row) == hook.url
    assert services.seal_urls() == 1
    assert services.url_of(Destination.objects.get()) == hook.url


def test_one_of_before_that_would_be_refused_now_stops_nothing():
    odd, fine = as_before(chat(), "gopher://example.com/canary"), as_before(chat(name="Fine"), CHAT)
    assert odd.shown == UNSHOWN
    assert services.seal_urls() == 2
    assert [services.url_of(Destination.objects.get(pk=row.pk)) for row in (odd, fine)] == [odd.target, CHAT]


def test_while_the_keyring_is_away_mail_goes_and_the_rest_waits(hook, opened, settings):
    with Vault() as server:
        row = made(hook, "slack").destination
        settings.WEIR_VAULT_TOKEN = server.token
        previous, settings.WEIR_KEYRING = keyring.current(), f"vault:{server.url}/transit/weir"
        rotation.move(previous=previous)
        plain = as_before(chat(name="Plain"), CHAT)
        vault.forget()  # five minutes later
        server.down = 503
        delivery = put(row)
        settings.WEIR_HAS_MAIL = True
        mail = services.create_destination(actor=None, tenant=None, name="m", kind="email", target="a@example.com")
        put(mail.destination)
        assert tasks.evaluate() == 1, "the mail"
        delivery.refresh_from_db()
        assert (delivery.state, delivery.outcome) == ("pending", "its secret cannot be read at present")
        assert Destination.objects.get(pk=plain.pk).is_plain
        server.down = 0
        vault.forget()
        assert outbox.send(delivery.pk, now=timezone.now() + outbox.PAUSES[0])
        assert services.seal_urls() == 1
    assert len(hook.heard) == 1
