"""Addresses of alerts' webhooks and chats lie sealed: whoever has one can write there. So do those of before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.utils import timezone

from apps.alerts import outbox, sealed_urls, services, tasks
from apps.alerts.models import SEALED, UNSHOWN, Delivery, Destination
from apps.audit.models import Record
from apps.catalog import data_keys, keyring, rotation, vault
from apps.catalog.models import DataKey, Purpose
from apps.runtime import walls
from tests.control.key_servers import Vault
from tests.control.test_alerts_sending import hook, made, opened, put

__all__ = ["hook", "opened"]
pytestmark = [pytest.mark.django_db, pytest.mark.attack("F25", "F31")]
CHAT = "https://hooks.example.com:8443/services/T000/canary"
KINDS = pytest.mark.parametrize("kind", ["slack", "webhook"])


def chat(kind: str = "slack", name: str = "Us", target: str = CHAT, tenant: Any = None) -> Destination:
    return services.create_destination(actor=None, tenant=tenant, name=name, kind=kind, target=target).destination


def lies_there(row: Destination) -> str:
    """Every column, as whoever has a copy of the database reads it; and what was recorded."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM alerts_destination WHERE id = %s", [row.pk])
        stored = cursor.fetchall()
    return f"{stored} {[(record.before, record.after) for record in Record.objects.all()]}"


def as_before(row: Destination, target: str) -> Destination:
    """As a release before 0.2 writes it, which knows of no sealed one."""
    Destination.objects.filter(pk=row.pk).update(target=target)
    return Destination.objects.get(pk=row.pk)


@KINDS
@pytest.mark.parametrize("whose", ["the operators'", "a tenant's"])
def test_no_column_and_no_record_has_it(acme, kind, whose):
    row = chat(kind, tenant=acme if whose == "a tenant's" else None)
    assert (row.target, row.shown, sealed_urls.url_of(row)) == (SEALED, "https://hooks.example.com" + UNSHOWN, CHAT)
    assert "canary" not in lies_there(row)
    other = CHAT.replace("T000", "T111")
    services.update_destination(row, actor=None, target=other, name="Them")
    assert (sealed_urls.url_of(row), row.name) == (other, "Them")
    services.update_destination(row, actor=None, is_enabled=False)
    assert sealed_urls.url_of(Destination.objects.get()) == other
    assert "canary" not in lies_there(row)
    sealed = Destination.objects.get().sealed_target
    assert sealed not in str([(record.before, record.after) for record in Record.objects.all()])
    services.remove_destination(row, actor=None)
    assert "canary" not in lies_there(row)


def test_the_same_again_is_no_change():
    row = chat()
    before = Destination.objects.get().sealed_target
    services.update_destination(row, actor=None, target=CHAT)
    assert Destination.objects.get().sealed_target == before
    assert list(Record.objects.values_list("action", flat=True)) == ["destination.created"]


def test_a_change_is_recorded_with_where_it_leads():
    row = chat()
    services.update_destination(row, actor=None, target=CHAT + "2")
    services.update_destination(row, actor=None, target="https://chat.example.org/canary")
    path, host = (record.after for record in Record.objects.filter(action="destination.updated").order_by("pk"))
    assert set(path) == {"sealed_target"}
    assert (set(host), host["masked_target"]) == ({"masked_target", "sealed_target"}, "https://chat.example.org/…")


@pytest.mark.parametrize(
    "wrong",
    ["https://hooks.example.com/…", "/…", SEALED, "", "ftp://example.com/x", "https://10.0.0.1/x", CHAT + "x" * 1000],
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
        sealed_urls.url_of(Destination.objects.get(pk=row.pk))
    Destination.objects.filter(pk=other.pk).update(tenant=acme)
    with pytest.raises(vault.SecretUnreadable):
        sealed_urls.url_of(Destination.objects.get(pk=other.pk))
    delivery = put(Destination.objects.get(pk=row.pk))
    outbox.send(delivery.pk, now=timezone.now())
    assert Delivery.objects.get().outcome == "its secret cannot be read at present"
    services.update_destination(row, actor=None, target=CHAT)
    assert sealed_urls.url_of(Destination.objects.get(pk=row.pk)) == CHAT


@KINDS
def test_one_of_before_is_told_at_once_and_sealed_by_the_next_run(hook, opened, kind):
    row = as_before(made(hook, kind).destination, hook.url)
    assert row.shown == "http://127.0.0.1" + UNSHOWN
    Destination.objects.update(sealed_target="")
    put(Destination.objects.get())
    assert tasks.evaluate() == 1
    put(Destination.objects.get())
    assert tasks.evaluate() == 1
    stored = Destination.objects.get()
    assert (stored.is_plain, sealed_urls.url_of(stored)) == (False, hook.url)
    assert hook.url not in lies_there(stored)
    assert len(hook.heard) == 2
    tasks.evaluate()
    assert Destination.objects.get().sealed_target == stored.sealed_target, "once"


def test_what_an_older_replica_writes_beside_is_the_newer_one(hook, opened):
    """Two releases run at once while one takes over from the other."""
    row = as_before(chat(), hook.url)
    assert sealed_urls.url_of(row) == hook.url
    assert sealed_urls.seal_stored() == 1
    assert sealed_urls.url_of(Destination.objects.get()) == hook.url


def test_one_of_before_that_would_be_refused_now_stops_nothing():
    odd, fine = as_before(chat(), "gopher://example.com/canary"), as_before(chat(name="Fine"), CHAT)
    assert odd.shown == UNSHOWN
    assert sealed_urls.seal_stored() == 2
    assert Destination.objects.get(pk=odd.pk).shown == UNSHOWN
    assert [sealed_urls.url_of(Destination.objects.get(pk=row.pk)) for row in (odd, fine)] == [odd.target, CHAT]


def test_a_broken_key_of_one_tenant_s_stops_nobody_else_s(acme):
    theirs, ours = as_before(chat(tenant=acme), CHAT), as_before(chat(name="Z"), CHAT)
    DataKey.objects.filter(tenant=acme, purpose=Purpose.ALERTS).update(wrapped="v1.damaged")
    vault.forget()
    assert sealed_urls.seal_stored() == 1
    assert Destination.objects.get(pk=theirs.pk).is_plain
    assert not Destination.objects.get(pk=ours.pk).is_plain


@pytest.mark.postgresql
def test_what_is_opened_behind_the_wall_makes_nobody_s_key_be_forgotten(acme, globex):
    rows = [chat(tenant=acme), chat(name="Z", tenant=globex)]
    vault.forget()
    assert [sealed_urls.url_of(row) for row in rows] == [CHAT] * 2
    opened = set(data_keys._spare)
    assert len(opened) == 2
    vault._memory.clear()
    walls.stand(tenants=[acme.pk])
    try:
        assert DataKey.objects.filter(tenant=globex).count() == 0
        assert sealed_urls.url_of(rows[0]) == CHAT
    finally:
        walls.leave()
    assert set(data_keys._spare) == opened


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_who_makes_one_and_who_changes_one_do_not_wait_for_each_other():
    row = chat()
    gate = threading.Barrier(2)

    def change(number: int) -> None:
        services.update_destination(row, actor=None, target=f"{CHAT}{number}")

    def make(number: int) -> None:
        chat(name=f"{number}")

    def go(do: Callable[[int], None]) -> None:
        try:
            for number in range(30):
                gate.wait(60)
                do(number)
        except BaseException:
            gate.abort()
            raise
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(go, change), threads.submit(go, make)]:
            done.result(120)
    assert Destination.objects.count() == 31
    assert sealed_urls.url_of(Destination.objects.get(pk=row.pk)) == f"{CHAT}29"


def away(server: Vault, settings: Any) -> None:
    """The keyring moves into a Vault; five minutes later that is gone."""
    settings.WEIR_VAULT_TOKEN = server.token
    previous, settings.WEIR_KEYRING = keyring.current(), f"vault:{server.url}/transit/weir"
    rotation.move(previous=previous)
    vault.forget()
    server.down = 503


@pytest.mark.once
@pytest.mark.parametrize("page", ["admin", "portal", "API"])
def test_while_the_keyring_is_away_a_page_says_so_and_keeps_what_is_there(page, settings, acme, alice, operator):
    row = chat(tenant=acme)
    before = Destination.objects.values().get()
    client = Client(raise_request_exception=False)
    client.force_login(alice if page == "portal" else operator)
    given = {"name": "Them", "target": CHAT + "2", "is_enabled": True}
    with Vault() as server:
        away(server, settings)
        if page == "admin":
            answer = client.post(f"/admin/alerts/destination/{row.pk}/change/", given)
        elif page == "portal":
            answer = client.post(f"/t/{acme.slug}/alerts/destinations/{row.pk}/", given)
        else:
            of = {"content_type": "application/json", "headers": {"if-match": "*"}}
            answer = client.patch(f"/api/v1/alert-destinations/{row.pk}", given, **of)
    assert answer.status_code == 503
    assert page == "API" or "Secrets are out of reach" in answer.content.decode()
    assert Destination.objects.values().get() == before


def test_while_the_keyring_is_away_mail_goes_and_the_rest_waits(hook, opened, settings):
    row, plain = made(hook, "slack").destination, as_before(chat(name="Plain"), CHAT)
    with Vault() as server:
        away(server, settings)
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
        assert sealed_urls.seal_stored() == 1
    assert len(hook.heard) == 1
