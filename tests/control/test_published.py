"""What other systems are told of keys, programs, budgets and providers: once, in the transaction that makes it so, as
docs/events promises it, and nothing where nobody wants it."""

from __future__ import annotations

import datetime
import json

import pytest
from cloudevents.core.formats.json import JSONFormat
from django.db import transaction
from django.utils import timezone

from apps.alerts import evaluation
from apps.alerts import services as alerts
from apps.catalog import breakers, health
from apps.catalog.models import CheckKind
from apps.catalog.questions import Found
from apps.domain import money
from apps.events import envelope, kinds, placing
from apps.events.models import Event, Sink
from apps.keys import grants, rotation, services
from apps.keys.models import Key
from apps.outbound.probe import ProbeResult
from apps.quotas import services as quotas
from apps.quotas import windows
from apps.quotas.models import BudgetWindow
from apps.runtime.state import DeploymentStanding, state
from apps.usage import ledger
from tests import factories
from tests.control import schemas
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


@pytest.fixture
def sink(db):
    return Sink.objects.create(name="All", kind="file", target="all")


def told():
    """Kinds and data, as written; every one of them as its schema has it."""
    rows = list(Event.objects.order_by("pk"))
    assert [fault for row in rows for fault in schemas.faults(row.kind, row.data)] == []
    return [(row.kind, row.data) for row in rows]


def names():
    return [kind for kind, _ in told()]


def test_a_key_s_life(sink, website, alice):
    key = factories.key(website, name="Robot", user=alice, expires_at=timezone.now() + 30 * DAY).key
    services.update(key, actor=alice, name="Automaton")
    services.update(key, actor=alice, name="Automaton")  # nothing is different
    issued = services.rotate(key, actor=alice, overlap=DAY)
    services.lend(key, actor=alice, until=timezone.now() + DAY)
    services.revoke(key, actor=alice)
    services.revoke(key, actor=alice)
    assert names() == ["key.created", "key.updated", "key.rotated", "key.lent", "key.revoked"]
    created, updated, rotated, _, revoked = (data for _, data in told())
    assert (created["key"]["name"], created["tenant"]["slug"], created["project"]["slug"]) == (
        "Robot",
        "acme",
        "website",
    )
    assert (created["user"], created["actor"]) == ({"id": alice.pk, "username": "alice"}, None)
    assert updated["changed"] == ["name"]
    assert rotated["key"]["public_id"] != created["key"]["public_id"]
    assert rotated["key"]["public_id"] in issued.plaintext
    assert revoked["actor"] == {"id": alice.pk, "username": "alice"}
    assert Event.objects.first().subject == f"key/{Key.objects.get(pk=key.pk).public_id}"
    assert set(Event.objects.values_list("tenant_id", flat=True)) == {key.tenant_id}
    assert issued.plaintext not in json.dumps(told())


def test_a_key_is_said_to_expire_once_for_each_end_and_then_to_have_expired(sink, website):
    now = timezone.now()
    key = factories.key(website, expires_at=now + 8 * DAY).key
    factories.key(website, expires_at=None)
    assert services.announce_expiries(now) == 0
    assert services.announce_expiries(now + 2 * DAY) == 1
    assert services.announce_expiries(now + 3 * DAY) == 0
    services.update(key, actor=None, expires_at=now + 9 * DAY)
    assert services.announce_expiries(now + 3 * DAY) == 1
    assert services.record_expiries(now + 10 * DAY) == 1
    assert services.announce_expiries(now + 10 * DAY) == 0
    told_of = [kind for kind in names() if kind not in ("key.created", "key.updated")]
    assert told_of == ["key.expiring", "key.expiring", "key.expired"]


def test_keys_that_end_with_their_pepper_are_told_of(sink, website):
    key = factories.key(website).key
    rotation.rotate_pepper()
    rotation.retire_pepper(force=True)
    kind, data = told()[-1]
    assert (kind, data["key"]["id"], data["reason"]) == ("key.revoked", key.pk, "pepper retired")


def test_keys_that_go_on_by_a_newer_secret_have_not_ended_with_the_pepper_of_an_older_one(sink, website):
    ended, rotated = (factories.key(website).key for _ in range(2))
    rotation.rotate_pepper()
    services.rotate(rotated, actor=None, overlap=DAY)
    rotation.retire_pepper(force=True)
    revoked = [data["key"]["id"] for kind, data in told() if kind == "key.revoked"]
    assert revoked == [ended.pk]


def test_a_program_that_somebody_signs_in_and_lets_go(sink, website, alice):
    begun = grants.begin(client="Claude Code", address="192.0.2.1")
    grant = grants.approve(grants.awaited(begun.user_code), actor=alice, project=website)
    grants.end(grant, actor=None, why="token used twice")
    grants.end(grant, actor=None, why="again")
    (_, created), (_, ended) = told()
    assert names() == ["grant.created", "grant.ended"]
    assert (created["grant"]["client"], created["user"]["id"]) == ("Claude Code", alice.pk)
    assert created["actor"] == created["user"]
    assert (ended["reason"], ended["actor"]) == ("token used twice", None)


def test_nothing_is_told_of_what_did_not_come_to_be(sink, website):
    with transaction.atomic():
        factories.key(website)
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_nothing_is_written_where_nobody_wants_it(website):
    Sink.objects.create(name="Off", kind="file", target="off", is_enabled=False)
    Sink.objects.create(name="Budgets", kind="file", target="budgets", kinds="budget.threshold")
    factories.key(website)
    assert not Event.objects.exists()


@pytest.fixture
def window(acme):
    budget = quotas.create_budget(actor=None, tenant=acme, amount=100 * money.NANO)
    now = timezone.now()
    return BudgetWindow.objects.create(budget=budget, starts=now - DAY, ends=now + DAY, limit=budget.amount)


def spend(window, dollars):
    with transaction.atomic():
        windows.charge([(window.pk, None, dollars * money.NANO)])


def marks():
    return [(data["threshold_percent"], data["spent_percent"]) for kind, data in told() if kind == "budget.threshold"]


def test_a_budget_tells_of_each_mark_once_a_period(sink, window):
    spend(window, 49)
    assert marks() == []
    spend(window, 2)
    assert marks() == [(50, 51)]
    spend(window, -10)  # a correction
    spend(window, 10)
    spend(window, 60)
    assert marks() == [(50, 51), (80, 111), (100, 111)]
    _, data = told()[-1]
    assert (data["tenant"]["slug"], data["budget"]["scope"], data["restrains"]["name"]) == ("acme", "tenant", "Acme")
    assert (data["spent_nano"], data["limit_usd"]) == (111 * money.NANO, "100")
    spend(
        BudgetWindow.objects.create(budget=window.budget, starts=window.ends, ends=window.ends + DAY, limit=10**11), 50
    )
    assert marks()[3:] == [(50, 50)]


def test_marks_of_alert_rules_are_told_too_and_none_twice(sink, window):
    alerts.create_rule(actor=None, tenant=None, kind="budget", name="Ours", settings={"percents": [10, 50, 60]})
    alerts.create_rule(actor=None, tenant=None, kind="budget", name="More", settings={"percents": [60]})
    spend(window, 65)
    assert marks() == [(50, 65)]
    now = timezone.now()
    evaluation.evaluate(now)
    evaluation.evaluate(now + datetime.timedelta(minutes=2))
    assert marks() == [(50, 65), (10, 65), (60, 65)]
    assert BudgetWindow.objects.get(pk=window.pk).marks == "10 50 60"


def test_a_provider_s_changes_of_health_and_no_check_besides(sink):
    provider = factories.provider(max_failures=2, recovery_seconds=0)
    began = timezone.now()
    for second, ok in enumerate([True, False, False, False, True]):
        result = ProbeResult(
            ok=ok, status=200 if ok else 503, milliseconds=12, message="It answers." if ok else "Late."
        )
        found = Found(CheckKind.MODELS, result)
        health.remember(provider, found=found, began=began + datetime.timedelta(seconds=second))
    assert names() == ["provider.health", "provider.health"]
    down, up = (data for _, data in told())
    assert (down["is_healthy"], down["consecutive_failures"], down["status"]) == (False, 2, 503)
    assert up["is_healthy"]
    assert up["provider"] == {"id": provider.pk, "name": provider.name, "vendor": provider.vendor}
    assert set(Event.objects.values_list("tenant_id", flat=True)) == {None}


def test_a_breaker_is_told_of_when_it_opens_and_when_it_is_closed_or_forgotten(sink, monkeypatch):
    deployment, now = factories.deployment(), timezone.now()

    def look(after, phase="", until=None):
        moment = None if until is None else (now + datetime.timedelta(seconds=until)).timestamp()
        row = DeploymentStanding(deployment.pk, "p", "m", phase, moment, "9 of 9 failed", None, None, None, 1.0)
        monkeypatch.setattr(state, "deployments", (row,) if phase else ())
        return breakers.tell(now + datetime.timedelta(seconds=after))

    looks = [("closed",), ("open", 60), ("open", 60), ("half_open",), ("open", 125), ("closed",)]
    assert [look(number, *each) for number, each in enumerate(looks)] == [0, 1, 0, 0, 0, 1]
    assert look(200, "open", 260) == 1
    assert look(201) == 0, "who knew of it has ended, and it may be open"
    assert look(261) == 1
    assert look(262) == 0
    data = [data for _, data in told()]
    assert [(each["found_by"], each["breaker"]) for each in data] == [("breaker", "open"), ("breaker", "closed")] * 2
    assert (data[0]["message"], data[0]["is_healthy"]) == ("9 of 9 failed", deployment.provider.is_healthy)
    assert datetime.datetime.fromisoformat(data[0]["open_until"]) == now + datetime.timedelta(seconds=60)


def test_a_breaker_of_what_is_gone_or_that_nobody_asks_about_is_not_told_of(sink, monkeypatch):
    deployment = factories.deployment()
    row = DeploymentStanding(deployment.pk, "p", "m", "open", None, "late", None, None, None, 1.0)
    monkeypatch.setattr(state, "deployments", (row,))
    Sink.objects.update(kinds="budget.threshold")
    assert breakers.tell(timezone.now()) == 0
    Sink.objects.update(kinds="provider.health")
    assert breakers.tell(timezone.now()) == 1
    Sink.objects.update(kinds="budget.threshold")
    assert breakers.tell(timezone.now()) == 0
    Sink.objects.update(kinds="provider.health")
    assert breakers.tell(timezone.now()) == 1, "who listens anew has not seen it open"
    deployment.delete()
    assert breakers.tell(timezone.now()) == 0
    assert names() == ["provider.health"] * 2


def test_every_kind_has_a_schema_and_every_schema_a_kind():
    every = [*kinds.KINDS, kinds.TEST]
    assert {f"{kind}.v1.json" for kind in every} == {path.name for path in schemas.FOLDER.glob("*.json")}
    for kind in every:
        assert schemas.schema(kind)["$id"] == kinds.schema_of(kind)


def sdk(message):
    """The event as the official SDK reads it, which writes it again as it was."""
    event = JSONFormat().read(None, message.body)
    assert json.loads(JSONFormat().write(event)) == json.loads(message.body)
    return event


def test_calls_are_told_of_as_promised_and_the_official_sdk_reads_every_event(sink, website):
    told_of = [outcome(intent(tenant_id=website.tenant_id, project_id=website.pk)) for _ in range(2)]
    doubt = outcome(intent(tenant_id=website.tenant_id), state="unconfirmed", high=105_000)
    ledger.post([*told_of, doubt])
    ledger.post([outcome(doubt.intent, cost=42)])
    factories.key(website)
    placing.place()
    read = [sdk(message) for message in envelope.messages(list(Event.objects.order_by("position")))]
    types = [event.get_type() for event in read]
    assert types[:2] == ["weir.usage.settled.v1"] * 2
    assert types[2:] == ["weir.usage.unconfirmed.v1", "weir.usage.corrected.v1", "weir.key.created.v1"]
    for event in read:
        kind = event.get_type().removeprefix("weir.").removesuffix(".v1")
        assert event.get_dataschema() == kinds.schema_of(kind)
        assert schemas.faults(kind, event.get_data()) == []
        assert event.get_extension("tenant") == "acme"
    assert len({(event.get_source(), event.get_id()) for event in read}) == len(read)
