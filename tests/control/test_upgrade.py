"""Old processes beside new tables, and an index that is built while the ledger is written to."""

from __future__ import annotations

import threading
import uuid
from contextlib import closing
from datetime import UTC, datetime

import psycopg
import pytest
from django.db import DatabaseError, connection, connections, migrations, models, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.transaction import TransactionManagementError

from apps.domain import ids
from apps.usage import ledger, partitions, rollups
from apps.usage.indexes import AddLedgerIndex
from apps.usage.models import Entry, HourlyRollup
from tests import factories
from tests.money.calls import intent, outcome
from tests.servers import until

NAME = "entry_on_trial"
# What the version before pinned endpoints had: every table that got a column with them.
BEFORE = [("catalog", "0004_price_corrections"), ("quotas", "0002_overdraft"), ("usage", "0009_one_name_a_page")]
OLD_ROLL_UP = """
INSERT INTO usage_hourlyrollup (hour, tenant_id, project_id, calls, errors, unconfirmed, unpriced, in_fresh,
    in_cache_read, in_cache_write_5m, in_cache_write_1h, out_total, out_reasoning, cost_nano, low_nano, high_nano,
    latency_ms)
VALUES (%s, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
ON CONFLICT (hour, tenant_id, project_id, COALESCE(user_id, 0), COALESCE(key_id, 0), COALESCE(model_id, 0),
    COALESCE(provider_id, 0), COALESCE(seal_id, 0)) DO UPDATE SET calls = excluded.calls
"""


@pytest.fixture
def old():
    """The models of that version, on today's tables."""
    return MigrationLoader(connection).project_state(BEFORE).apps


def values(row, **others):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields} | others


def known_to(model, fields):
    return {name: value for name, value in fields.items() if name in {field.attname for field in model._meta.fields}}


@pytest.mark.django_db
def test_an_old_process_goes_on_writing_to_the_ledger(old):
    ledger.post([outcome(intent(), cost=3)])
    written = values(Entry.objects.get())
    again = ids.request_id(now_ms=ids.milliseconds(written["id"]), random_bits=uuid.uuid4().int)
    model = old.get_model("usage", "Entry")
    assert not hasattr(model, "pinned")
    model.objects.create(**known_to(model, written | {"id": again, "request_id": again}))
    assert list(Entry.objects.filter(pk=again).values_list("pinned_id", flat=True)) == [None]
    rollups.roll_up()
    assert HourlyRollup.objects.get().calls == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("label", "name", "fields"),
    [
        ("catalog", "Provider", {"name": "old", "protocol": "openai_chat", "base_url": "https://old.example"}),
        ("quotas", "Limit", {"requests_per_minute": 5}),
        ("quotas", "Budget", {"amount": 5}),
    ],
)
def test_an_old_process_goes_on_writing_to_what_is_managed(old, label, name, fields):
    model = old.get_model(label, name)
    subject = {"tenant_id": factories.tenant().pk} if label == "quotas" else {}
    assert model.objects.create(**subject, **fields).pk


@pytest.mark.django_db
def test_an_old_workers_rollup_is_refused_rather_than_added_up_beside_the_endpoints(old):
    """It would book calls of an endpoint a second time, under none. A new worker makes up for it."""
    ledger.post([outcome(intent(), cost=3)])
    with pytest.raises(DatabaseError, match="ON CONFLICT"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(OLD_ROLL_UP, [datetime.now(UTC)])
    rollups.roll_up()
    assert HourlyRollup.objects.get().calls == 1


def test_every_index_that_the_ledger_gets_from_now_on_is_built_beside_its_writers():
    """`makemigrations` writes the kind that keeps them out."""
    since = "0010"
    for (app, name), migration in MigrationLoader(None).disk_migrations.items():
        if app == "usage" and name > since:
            added = [one for one in migration.operations if isinstance(one, migrations.AddIndex)]
            plain = [one.index.name for one in added if one.model_name == "entry" and type(one) is migrations.AddIndex]
            assert not plain, f"{name}: AddLedgerIndex, and atomic = False"


# --- the index --------------------------------------------------------------------------------------------------


class Operation:
    """An index that the ledger has not, built as a migration does."""

    def __init__(self):
        self.index = models.Index(fields=["latency_ms", "id"], condition=models.Q(latency_ms__gt=0), name=NAME)
        self.migration = migrations.Migration("on_trial", "usage")
        self.migration.atomic = False
        self.migration.operations = [AddLedgerIndex("entry", self.index)]
        self.before = ProjectState.from_apps(Entry._meta.apps)

    def apply(self):
        try:
            with connection.schema_editor(atomic=False) as editor:
                self.migration.apply(self.before.clone(), editor)
        finally:
            if threading.current_thread() is not threading.main_thread():
                connections.close_all()

    def unapply(self):
        with connection.schema_editor(atomic=False) as editor:
            self.migration.unapply(self.before.clone(), editor)


@pytest.fixture
def operation():
    found = Operation()
    yield found
    if NAME in indexes():
        found.unapply()


def indexes():
    with connection.cursor() as cursor:
        return set(connection.introspection.get_constraints(cursor, partitions.TABLE))


def answered(question, *values):
    with connection.cursor() as cursor:
        cursor.execute(question, values)
        return cursor.fetchall()


@pytest.mark.django_db(transaction=True)
def test_an_index_is_built_once_and_taken_back(operation):
    ledger.post([outcome(intent(), cost=3)])
    operation.apply()
    operation.apply()
    assert NAME in indexes()
    operation.unapply()
    assert NAME not in indexes()
    operation.apply()
    assert NAME in indexes()


@pytest.mark.postgresql
@pytest.mark.django_db
def test_inside_a_transaction_nothing_is_begun(operation):
    with pytest.raises(TransactionManagementError, match="concurrently"):
        operation.apply()
    assert NAME not in indexes()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_writers_are_not_kept_waiting_while_it_is_built(operation):
    """It waits for a transaction that has written; whoever comes then does not wait behind it."""
    ledger.post([outcome(intent(), cost=3)])
    month = partitions.name_of(partitions.month_of(datetime.now(UTC)))
    waiting = f"CREATE INDEX CONCURRENTLY%{month}_on_trial%"
    building = threading.Thread(target=operation.apply)
    with closing(psycopg.connect(**connection.get_connection_params())) as writer:
        writer.execute(f"INSERT INTO {month} SELECT * FROM {month} WHERE FALSE")
        building.start()
        until(
            lambda: answered("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s", waiting)
        )
        with transaction.atomic():
            answered("SELECT set_config('lock_timeout', '5s', true)")
            ledger.post([outcome(intent(), cost=4)])
        assert building.is_alive()
        writer.rollback()
    building.join(60)
    assert NAME in indexes()
    assert answered("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", NAME) == [(True,)]
    assert {row.cost_nano for row in Entry.objects.all()} == {3, 4}


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_an_end_in_the_middle_is_made_up_for(operation):
    """What a build that was ended leaves is there by name and of no use."""
    month = partitions.names()[0]
    built = f"{month}_on_trial"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE INDEX {built} ON {month} (latency_ms)")
        cursor.execute("UPDATE pg_index SET indisvalid = FALSE WHERE indexrelid = %s::regclass", [built])
    operation.apply()
    ((definition, is_valid),) = answered(
        "SELECT pg_get_indexdef(indexrelid), indisvalid FROM pg_index WHERE indexrelid = %s::regclass", built
    )
    assert is_valid
    assert "(latency_ms, id)" in definition
    attached = answered("SELECT count(*) FROM pg_inherits WHERE inhparent = %s::regclass", NAME)
    assert attached == [(len(partitions.names()),)]
