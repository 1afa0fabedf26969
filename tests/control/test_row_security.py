"""The second wall between tenants: in PostgreSQL, whatever a query forgets, the rows of others do not exist."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import IntegrityError, ProgrammingError, connection, models, transaction

from apps.runtime import walls
from apps.tenants import row_security
from tests.control import rows_of_two
from tests.control.rows_of_two import Side

pytestmark = pytest.mark.attack("F27")
postgresql = pytest.mark.postgresql
ACME, GLOBEX = 910_001, 910_002
WALLED = sorted(row_security.policies())


@pytest.fixture(scope="module")
def _sides(django_db_setup: None, django_db_blocker) -> Iterator[tuple[Side, Side]]:
    """Made once, in a transaction around those of the module's tests."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield rows_of_two.fill(ACME, ACME + 10), rows_of_two.fill(GLOBEX, GLOBEX + 10)
        transaction.set_rollback(True)


@pytest.fixture
def sides(_sides: tuple[Side, Side], db: None) -> tuple[Side, Side]:
    return _sides


@contextlib.contextmanager
def behind(side: Side | None) -> Iterator[None]:
    """As a member's request; None: of nobody in particular."""
    person, tenants = (None, []) if side is None else (side.person, [side.tenant])
    walls.stand(person=person, tenants=tenants)
    try:
        yield
    finally:
        walls.leave()


def found(label: str) -> set[str]:
    """Primary keys of all that there is, by a query that forgets whose it should be."""
    return {str(pk) for pk in apps.get_model(label)._base_manager.order_by().values_list("pk", flat=True)}


def pk_of(side: Side, label: str) -> str:
    return str(side.rows[label][apps.get_model(label)._meta.pk.column])


def tried(statement: str, parameters: list[object]) -> int | None:
    """How many rows it has changed, none where another row is in the way; None: refused for want of the right."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.rowcount)
    except IntegrityError:  # asked after the policy
        return 0
    except ProgrammingError as error:
        if getattr(error.__cause__, "sqlstate", "") != "42501":
            raise
        return None


def test_of_every_model_it_is_said_whether_members_see_it():
    assert row_security.unplaced() == []
    labels = {model._meta.label for model in apps.get_models(include_auto_created=True)}
    assert (row_security.OPEN.keys() | row_security.SHUT.keys()) - labels == set()
    assert row_security.OPEN.keys() & row_security.SHUT.keys() == set()


def test_a_model_that_nobody_has_placed_is_found(monkeypatch):
    monkeypatch.delitem(row_security.SHUT, "events.Sink")
    assert row_security.unplaced() == ["events.Sink"]


def test_what_names_a_tenant_is_behind_the_wall_or_excused():
    """By a foreign key, by that of a row it hangs on, or by a number."""
    tenant = apps.get_model("tenants.Tenant")

    def leads(model: type[models.Model], among: tuple[type[models.Model], ...] = ()) -> bool:
        fields = model._meta.concrete_fields
        others = {one.related_model for one in fields if one.is_relation} - {*among, model}
        return (
            tenant in others
            or any(one.column in ("tenant_id", "owner") for one in fields)
            or any(leads(other, (*among, model)) for other in others)
        )

    every = apps.get_models(include_auto_created=True)
    excused = {one._meta.label for one in every if not one._meta.proxy and leads(one)} - set(WALLED)
    assert excused == {
        "catalog.Model_tenants",  # read to know what is for all
        *("events.Event", "events.Undelivered", "policies.CachePolicy", "reconciliation.ProviderName"),  # shut
    }


@postgresql
@pytest.mark.parametrize("label", WALLED)
def test_a_query_that_forgets_the_tenant_finds_the_tenants_own(sides, label):
    acme, globex = sides
    with behind(acme):
        assert pk_of(acme, label) in found(label)
        assert pk_of(globex, label) not in found(label)
    with behind(globex):
        assert pk_of(acme, label) not in found(label)
    with behind(None):
        assert found(label) == set()
    assert {pk_of(acme, label), pk_of(globex, label)} <= found(label)  # for the installation


@postgresql
@pytest.mark.parametrize("label", WALLED)
def test_rows_of_others_are_not_changed_removed_or_added(sides, label):
    acme, globex = sides
    model = apps.get_model(label)
    table, key = model._meta.db_table, model._meta.pk.column
    columns = [field.column for field in model._meta.concrete_fields if not field.primary_key]
    copy = rows_of_two.another(model, acme.rows[label])
    with behind(globex):
        for column in columns[:1]:
            assert not tried(f"UPDATE {table} SET {column} = {column} WHERE {key} = %s", [pk_of(acme, label)])
        assert not tried(f"DELETE FROM {table} WHERE {key} = %s", [pk_of(acme, label)])
        assert added(table, copy) is None
    if "INSERT" in row_security.policies()[label].granted:
        with behind(acme):
            assert added(table, copy) is not None  # so the refusal was for whose it is


def added(table: str, row: dict[str, object]) -> int | None:
    columns, places = ", ".join(f'"{name}"' for name in row), ", ".join(["%s"] * len(row))
    return tried(f"INSERT INTO {table} ({columns}) VALUES ({places})", list(row.values()))
