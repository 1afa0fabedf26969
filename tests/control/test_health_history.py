"""What a check leaves behind, what a call of one token costs, and checks that meet one another."""

from __future__ import annotations

import datetime
import socket
import threading
from collections.abc import Iterator

import pytest
from django.utils import timezone

from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.catalog import health, history, services, tasks
from apps.catalog.models import AllowedNetwork, CheckKind, Health, HealthCheck, Provider
from apps.catalog.questions import Found, question
from apps.outbound.probe import ProbeResult
from apps.usage.models import Entry
from tests import factories
from tests.servers import Simulator, start_simulator

pytestmark = pytest.mark.django_db
NOW = datetime.datetime(2026, 3, 1, 12, 10, tzinfo=datetime.UTC)
SECRET = "sk-a-secret-of-the-provider"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture
def near(simulator) -> Provider:
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    made = factories.provider("Near", vendor="simulated", base_url=simulator.base_url, check_kind=CheckKind.CALL)
    factories.credential(made, secret=SECRET)
    return made


def found(ok: bool = True, *, milliseconds: int = 10, message: str = "") -> Found:
    return Found("models", ProbeResult(ok=ok, status=200 if ok else 500, milliseconds=milliseconds, message=message))


def kept(provider: Provider, *, at: datetime.datetime, ok: bool = True, milliseconds: int = 10) -> HealthCheck:
    return HealthCheck.objects.create(
        provider=provider,
        at=at,
        slot=history.slot_of(at),
        kind="models",
        ok=ok,
        milliseconds=milliseconds,
        status=200,
    )


@pytest.mark.once
@pytest.mark.parametrize(
    ("answers", "delay", "states"),
    [
        ("x.", 0, [Health.DOWN, Health.UP]),
        ("xx....", 25, [*[Health.DOWN] * 2, *[Health.RECOVERING] * 3, Health.UP]),
        ("x..x....", 25, [Health.DOWN, *[Health.RECOVERING] * 2, Health.DOWN, *[Health.RECOVERING] * 3, Health.UP]),
        (".x.xx.", 25, [Health.UP, Health.FAILING, Health.UP, Health.FAILING, Health.DOWN, Health.RECOVERING]),
    ],
)
def test_what_answers_again_counts_as_up_when_it_has_done_so_for_its_delay(answers, delay, states):
    """A check every ten seconds, two failures in a row allowed one."""
    row = Provider(max_failures=2, recovery_seconds=delay)
    told = []
    for number, answer in enumerate(answers):
        health.judge(row, ok=answer == ".", now=NOW + datetime.timedelta(seconds=10 * number))
        row.last_check_ms = 1
        told.append(row.health)
    assert told == states


@pytest.mark.once
def test_a_clock_set_back_neither_freezes_a_recovery_nor_a_schedule():
    row = Provider(is_healthy=False, last_check_ms=1, recovery_seconds=30, answering_since=NOW, last_checked_at=NOW)
    earlier = NOW - datetime.timedelta(days=1)
    assert health._is_due(row, now=earlier)
    for seconds in (0, 30):
        health.judge(row, ok=True, now=earlier + datetime.timedelta(seconds=seconds))
    assert row.health == Health.UP
    assert not health._is_due(row, now=NOW - datetime.timedelta(seconds=5)), "two workers' clocks differ by so much"


@pytest.mark.once
def test_what_recovers_is_asked_again_when_it_may_count_as_up_unless_that_costs_something():
    row = Provider(is_healthy=False, answering_since=NOW, last_checked_at=NOW, check_interval_seconds=600)
    soon = NOW + datetime.timedelta(seconds=31)
    assert health._is_due(row, now=soon)
    row.check_kind = CheckKind.CALL
    assert not health._is_due(row, now=soon)


def test_every_check_is_kept_and_only_a_change_of_health_changes_the_catalog(django_assert_max_num_queries):
    provider = factories.provider()
    health.remember(provider, found=found(), began=timezone.now())
    before = audit.revisions()["catalog"], Record.objects.count()
    began = timezone.now()
    with django_assert_max_num_queries(7):
        health.remember(provider, found=found(milliseconds=77, message="m" * 500), began=began)
    assert (audit.revisions()["catalog"], Record.objects.count()) == before
    row = HealthCheck.objects.first()
    assert (row.at, row.ok, row.milliseconds, row.status, row.kind) == (began, True, 77, 200, "models")
    assert len(row.message) == 120


def test_of_two_checks_that_overlapped_the_one_that_began_later_tells_how_things_are():
    provider = factories.provider(max_failures=1)
    now = timezone.now()
    second = datetime.timedelta(seconds=1)
    health.remember(provider, found=found(), began=now - second)
    health.remember(provider, found=found(ok=False), began=now - 9 * second)  # it hung
    stored = Provider.objects.get()
    assert (stored.health, stored.consecutive_failures) == (Health.UP, 0)
    assert HealthCheck.objects.filter(ok=False).count() == 1
    HealthCheck.objects.update(at=now + datetime.timedelta(hours=1))  # as a clock that was wrong left them
    health.remember(provider, found=found(ok=False), began=timezone.now())
    assert Provider.objects.get().health == Health.DOWN


def test_what_was_asked_of_a_provider_that_is_gone_is_kept_nowhere():
    provider = factories.provider()
    asked = Provider.objects.get()
    provider.delete()
    health.remember(asked, found=found(), began=timezone.now())
    assert not HealthCheck.objects.exists()


def test_a_day_is_told_by_the_half_hour_in_one_query(django_assert_num_queries):
    one, other = factories.provider(), factories.provider()
    minute = datetime.timedelta(minutes=1)
    for minutes, ok, milliseconds in (
        (1, True, 10),
        (5, True, 21),
        (9, False, 10_000),
        (45, False, 9),
        (1450, True, 5),
    ):
        kept(one, at=NOW - minutes * minute, ok=ok, milliseconds=milliseconds)
    with django_assert_num_queries(1):
        days = history.day([one.pk, other.pk], now=NOW)
    assert [slot.checks for slot in days[other.pk]] == [0] * 48
    day = days[one.pk]
    assert day[-1] == history.Slot(NOW.replace(minute=0), 3, 1, 16, 21)
    assert (day[-2].checks, day[-2].milliseconds) == (0, None)
    assert (day[-3].checks, day[-3].failures, day[-3].milliseconds) == (1, 1, None)
    assert sum(slot.checks for slot in day) == 4


def test_old_checks_are_forgotten_and_those_beyond_their_number_and_those_of_nobody(settings, monkeypatch):
    settings.WEIR_HEALTH_DAYS = 2
    monkeypatch.setattr(history, "MOST_KEPT", 3)
    monkeypatch.setattr(history, "_AT_ONCE", 2)
    old, many, gone = factories.provider(), factories.provider(), factories.provider()
    for days in (5, 4, 1):
        kept(old, at=timezone.now() - datetime.timedelta(days=days))
    newest = [kept(many, at=timezone.now()).pk for _ in range(8)][-3:]
    kept(gone, at=timezone.now())
    gone.delete()
    assert tasks.forget_checks() == 2 + 5 + 1
    assert sorted(HealthCheck.objects.filter(provider=many).values_list("pk", flat=True)) == newest
    assert HealthCheck.objects.filter(provider=old).count() == 1
    assert tasks.forget_checks() == 0


def test_at_another_address_its_history_begins_anew():
    provider = factories.provider()
    kept(provider, at=timezone.now())
    services.update_provider(provider, actor=None, name="Renamed")
    assert HealthCheck.objects.count() == 1
    services.update_provider(provider, actor=None, base_url="https://api.example.com")
    assert not HealthCheck.objects.exists()


def test_slow_providers_do_not_hold_up_the_others():
    """Two that hang, listed first, and one that refuses: it is remembered while they are still being asked."""
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for name in ("A", "B"):
            factories.provider(name, base_url=address)
        factories.provider("C", base_url="http://127.0.0.1:9")
        checks = health._ask_all(health.due(timezone.now()), now=timezone.now())
        first, _ = next(iter(checks))
        assert first.name == "C"
        assert Provider.objects.get(name="C").last_check_ms is not None
        silent.close()  # resets them
        assert sorted(provider.name for provider, _ in checks) == ["A", "B"]
    assert health.due(timezone.now()) == []


@pytest.mark.once
def test_those_that_failed_are_asked_last():
    for name, failures in (("A", 1), ("B", 0), ("C", 3), ("D", 0)):
        factories.provider(name)
        Provider.objects.filter(name=name).update(consecutive_failures=failures)
    assert [row.name for row in health.due(timezone.now())] == ["B", "D", "A", "C"]


def test_a_call_of_one_token_is_made_of_the_cheapest_and_its_cost_is_told_beside_the_ledger(near, simulator):
    dear = factories.deployment(at=near, upstream_model="claude-dear")
    cheap = factories.deployment(at=near, upstream_model="claude-cheap")
    factories.deployment(at=near, upstream_model="claude-unpriced")
    factories.price(dear, input=9_000_000_000, output=9_000_000_000)
    factories.price(cheap, input=1_000_000_000, output=5_000_000_000)
    before = simulator.seen()
    assert health.check_now(near, actor=None).result.ok
    assert simulator.seen() == before + 1
    (row,) = HealthCheck.objects.all()
    assert (row.kind, row.ok) == (CheckKind.CALL, True)
    assert 0 < row.tokens < 100
    assert 0 < row.cost_nano < 100 * 5_000
    stored = Provider.objects.get()
    assert (stored.check_calls, stored.check_cost_nano) == (1, row.cost_nano)
    assert not Entry.objects.exists()
    assert Record.objects.filter(action="provider.tested").count() == 1, "by hand it is recorded"
    Provider.objects.update(last_checked_at=None)
    assert tasks.check_providers() == 1
    assert Record.objects.filter(action="provider.tested").count() == 1, "by the clock it is not"
    assert Provider.objects.get().check_calls == 2
    services.update_provider(stored, actor=None, check_model="claude-dear")
    assert question(stored).model == "claude-dear"
    services.update_deployment(dear, actor=None, is_enabled=False)
    assert question(stored).model == "claude-cheap", "the chosen one is not to be called"


def test_a_call_that_nobody_counted_is_put_down_with_an_estimate(near, simulator):
    factories.price(factories.deployment(at=near, upstream_model="claude-leak"))  # refuses
    health.check_now(near, actor=None)
    row = HealthCheck.objects.get()
    assert (row.ok, row.cost_nano) == (False, 0)
    assert SECRET not in row.message
    with socket.create_server(("127.0.0.1", 0)) as server:
        Provider.objects.update(base_url=f"http://127.0.0.1:{server.getsockname()[1]}")

        def cut() -> None:
            connection, _ = server.accept()
            connection.recv(65536)
            connection.close()

        thread = threading.Thread(target=cut)
        thread.start()
        HealthCheck.objects.all().delete()
        health.check_now(Provider.objects.get(), actor=None)
        thread.join()
    row = HealthCheck.objects.get()
    assert (row.ok, row.tokens) == (False, 32)
    assert row.cost_nano == 16 * 3_000 + 16 * 15_000


@pytest.mark.once
def test_where_nothing_is_deployed_the_list_is_asked_for(near):
    result = health.check_now(near, actor=None)
    assert (result.kind, result.result.ok) == (CheckKind.MODELS, True)
    assert result.result.message.startswith("Nothing is deployed here to be called.")
    assert Provider.objects.get().check_calls == 0


@pytest.mark.once
def test_a_connection_alone_shows_nobody_the_key(near, simulator):
    services.update_provider(near, actor=None, check_kind=CheckKind.TCP)
    before = simulator.seen()
    assert health.check_now(near, actor=None).result.ok
    assert simulator.seen() == before
    assert question(near).secrets == ()


@pytest.mark.once
def test_a_fault_of_ours_in_one_check_does_not_end_the_others(near, monkeypatch):
    factories.provider("Other", base_url="http://127.0.0.1:9")
    real = health.ask
    broken = lambda asked: 1 / 0 if asked.provider.pk == near.pk else real(asked)  # noqa: E731
    monkeypatch.setattr(health, "ask", broken)
    assert tasks.check_providers() == 2
    assert "ZeroDivisionError" in Provider.objects.get(pk=near.pk).last_check_message
