"""Every change leaves a record that nobody can alter, and a number by which others notice it."""

from __future__ import annotations

import asyncio
import datetime
import threading
import uuid
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.http import HttpResponse
from django.test import RequestFactory

from apps.audit import guards, origin, redaction, selectors, services
from apps.audit.models import Area, Record, Revision
from apps.domain.snapshot import Secret
from apps.tenants.models import Tenant
from tests import factories


def recorded(target, **fields):
    fields = {"actor": None, "action": "thing.done", "area": Area.TENANTS} | fields
    with transaction.atomic():
        services.record(target=target, **fields)
    return Record.objects.latest("id")


def test_a_record_names_who_did_what_to_which_thing(acme, alice):
    with origin.at("192.0.2.7"):
        row = recorded(acme, actor=alice, action="tenant.painted", before={"colour": "red"}, after={"colour": "blue"})
    assert (row.actor_id, row.actor_name) == (alice.pk, "alice")
    assert (row.target_type, row.target_id, row.target_label) == ("tenants.tenant", str(acme.pk), "Acme")
    assert (row.action, row.before, row.after) == ("tenant.painted", {"colour": "red"}, {"colour": "blue"})
    assert (row.area, row.address) == ("tenants", "192.0.2.7")


def test_the_system_signs_its_own_changes(acme):
    row = recorded(acme)
    assert (row.actor_id, row.actor_name, row.address) == (None, "system", None)


def test_a_record_belongs_to_the_tenant_of_its_target(acme, website):
    assert recorded(website).tenant_id == acme.pk
    assert recorded(acme).tenant_id is None
    assert recorded(acme, tenant_id=acme.pk).tenant_id == acme.pk


def test_each_change_of_an_area_gets_the_next_number(acme):
    before = selectors.revisions()
    with transaction.atomic():
        numbers = [services.record(actor=None, action="x", target=acme, area=Area.KEYS) for _ in range(3)]
    assert numbers == [before["keys"] + 1, before["keys"] + 2, before["keys"] + 3]
    assert selectors.revisions() == before | {"keys": numbers[-1]}


def test_every_area_has_a_number_before_its_first_change(db, django_assert_num_queries):
    Revision.objects.all().delete()
    with django_assert_num_queries(1):
        assert selectors.revisions() == dict.fromkeys(Area.values, 0)


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_refused():
    tenant = factories.tenant()
    records = Record.objects.count()
    with pytest.raises(TransactionManagementError):
        services.record(actor=None, action="x", target=tenant, area=Area.TENANTS)
    assert Record.objects.count() == records


@pytest.mark.django_db(transaction=True)
def test_a_change_that_fails_leaves_neither_record_nor_number():
    tenant = factories.tenant()
    records, numbers = Record.objects.count(), selectors.revisions()
    with transaction.atomic():
        services.record(actor=None, action="x", target=tenant, area=Area.TENANTS)
        transaction.set_rollback(True)
    assert (Record.objects.count(), selectors.revisions()) == (records, numbers)


@pytest.mark.django_db(transaction=True)
def test_changes_at_the_same_time_get_different_numbers():
    tenant = factories.tenant()
    start, numbers = threading.Barrier(4), []

    def change():
        start.wait()
        try:
            for _ in range(5):
                with transaction.atomic():
                    numbers.append(services.record(actor=None, action="x", target=tenant, area=Area.QUOTAS))
        finally:
            connection.close()

    threads = [threading.Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 21))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_record SET actor_name = 'nobody'",
        "UPDATE audit_record SET actor_name = 'nobody' WHERE id = (SELECT max(id) FROM audit_record)",
        "DELETE FROM audit_record",
        pytest.param("REPLACE INTO audit_record SELECT * FROM audit_record", marks=pytest.mark.sqlite),
        pytest.param("INSERT OR REPLACE INTO audit_record SELECT * FROM audit_record", marks=pytest.mark.sqlite),
        pytest.param("TRUNCATE audit_record", marks=pytest.mark.postgresql),
        pytest.param(
            "INSERT INTO audit_record SELECT * FROM audit_record ON CONFLICT (id) DO UPDATE SET actor_name = 'nobody'",
            marks=pytest.mark.postgresql,
        ),
    ],
)
def test_the_database_refuses_to_change_or_delete_a_record(acme, statement):
    row = recorded(acme)
    with pytest.raises(DatabaseError, match=guards.MESSAGE), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Record.objects.get(pk=row.pk).actor_name == "system"


def test_the_orm_cannot_change_or_delete_a_record_either(acme):
    row = recorded(acme)
    for attempt in (row.save, row.delete, Record.objects.all().delete, lambda: Record.objects.update(action="y")):
        with pytest.raises(DatabaseError, match=guards.MESSAGE), transaction.atomic():
            attempt()
    assert Record.objects.get(pk=row.pk).action == "thing.done"


def test_secrets_are_cut_out_by_name_and_type_and_shape():
    shown = redaction.redacted(
        {
            "password": "hunter2",
            "refresh_token": "abc",
            "max_output_tokens": 8192,
            "note": "their key is sk-ant-api03-abcdefghijklmnop, keep it",
            "header": "Authorization: Bearer abcdefgh12345678",
            "key": "weir_0123456789AB_" + "x" * 49,
            "wrapped_in": {"Secret": "s", "fine": 1},
            "object": Secret("plaintext", host="api.example.com"),
            "raw": b"\x00\x01",
        }
    )
    assert shown == {
        "password": "[redacted]",
        "refresh_token": "[redacted]",
        "max_output_tokens": 8192,
        "note": "their key is [redacted], keep it",
        "header": "Authorization: [redacted]",
        "key": "weir_0123456789AB_[redacted]",
        "wrapped_in": {"Secret": "[redacted]", "fine": 1},
        "object": "[redacted]",
        "raw": "[redacted]",
    }


def test_values_are_written_as_json_can_hold_them(acme):
    name = uuid.UUID(int=7)
    moment = datetime.datetime(2026, 8, 1, tzinfo=datetime.UTC)
    row = recorded(
        acme, after={"at": moment, "tenant": acme, "ids": {2, 1}, "price": Decimal("1.50"), "uuid": name, "none": None}
    )
    assert row.after == {
        "at": "2026-08-01T00:00:00+00:00",
        "tenant": acme.pk,
        "ids": [1, 2],
        "price": "1.50",
        "uuid": str(name),
        "none": None,
    }


def test_an_amendment_records_only_what_became_different(acme, alice):
    amendment = services.amend(
        acme, actor=alice, action="tenant.updated", area=Area.TENANTS, changes={"name": "Acme Ltd", "slug": acme.slug}
    )
    row = Record.objects.latest("id")
    assert (row.before, row.after) == ({"name": "Acme"}, {"name": "Acme Ltd"})
    assert amendment.revision == row.revision == selectors.revisions()["tenants"]
    acme.refresh_from_db()
    assert acme.name == "Acme Ltd"


def test_an_amendment_without_a_difference_is_no_change(acme):
    records = Record.objects.count()
    amendment = services.amend(acme, actor=None, action="x", area=Area.TENANTS, changes={"name": "Acme"})
    assert amendment == (None, {}, {})
    assert Record.objects.count() == records


def test_an_amendment_compares_with_what_is_stored_and_keeps_what_others_changed(acme):
    elsewhere = Tenant.objects.get(pk=acme.pk)
    services.amend(elsewhere, actor=None, action="x", area=Area.TENANTS, changes={"timezone": "Asia/Tokyo"})
    acme.name = "Acme Ltd"  # as a form does before it saves
    services.amend(acme, actor=None, action="x", area=Area.TENANTS, changes={"name": "Acme Ltd"})
    assert Record.objects.latest("id").before == {"name": "Acme"}
    assert (acme.name, acme.timezone) == ("Acme Ltd", "Asia/Tokyo")


def test_an_amendment_is_validated(acme):
    with pytest.raises(ValidationError):
        services.amend(acme, actor=None, action="x", area=Area.TENANTS, changes={"timezone": "Mars/Olympus"})
    with pytest.raises(TypeError, match="slug"):
        services.amend(
            acme, actor=None, action="x", area=Area.TENANTS, changes={"slug": "z"}, allowed=frozenset({"name"})
        )


def test_the_history_of_a_thing_is_its_own_and_newest_first(acme, globex):
    recorded(globex, action="other")
    recorded(acme, action="first")
    recorded(acme, action="second")
    assert list(selectors.history(acme).values_list("action", flat=True)) == ["second", "first", "tenant.created"]


def test_a_tenant_sees_the_records_of_its_own_things(acme, website, charlie):
    assert set(selectors.of_tenant(acme.pk).values_list("target_label", flat=True)) == {"Website"}


def test_a_request_lends_its_address_to_what_it_changes():
    seen = []

    def view(request):
        seen.append(origin.address())
        return HttpResponse()

    origin.remember_address(view)(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9"))
    assert (seen, origin.address()) == (["192.0.2.9"], None)


def test_an_async_request_lends_its_address_too():
    seen = []

    async def view(request):
        seen.append(origin.address())
        return HttpResponse()

    asyncio.run(origin.remember_address(view)(RequestFactory().get("/", REMOTE_ADDR="192.0.2.9")))
    assert (seen, origin.address()) == (["192.0.2.9"], None)
