"""How providers fare, in their list and on the first page: nothing is called up that never answered."""

from __future__ import annotations

import datetime
import re

import pytest
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog import history
from apps.catalog.admin import pictures
from apps.catalog.models import Health, HealthCheck, Provider
from apps.catalog.provider_forms import CHECKS
from apps.status import providers
from tests import factories
from tests.control.desk import Desk, errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NEVER = {"last_check_ms": None}
UP = {"last_check_ms": 12}
FAILING = UP | {"consecutive_failures": 1}
DOWN = FAILING | {"is_healthy": False}
RECOVERING = UP | {"is_healthy": False, "answering_since": timezone.now() - datetime.timedelta(days=1)}
LATE = {"last_checked_at": timezone.now() - datetime.timedelta(hours=2)}


def found(name: str, state: dict) -> Provider:
    """A provider as checks left it."""
    provider = factories.provider(name)
    Provider.objects.filter(pk=provider.pk).update(**state)
    provider.refresh_from_db()
    return provider


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        (NEVER, "not checked yet"),
        (UP, "up · 12 ms"),
        (FAILING, "failing 1 of 3"),
        (DOWN, "down"),
        (RECOVERING, "recovering 30 of 30 s"),
    ],
)
def test_a_providers_health_is_told_in_the_list_and_found_by_its_filter(state, shown, desk):
    provider = found("Somewhere", state)
    row = desk.text("catalog_provider_changelist").partition('id="result_list"')[2]
    assert re.findall(r'weir-badge-\w+">(.*?)<', row)[0] == shown
    for health in Health:
        rows = desk.get("catalog_provider_changelist", health=health.value).context["cl"].result_list
        assert list(rows) == ([provider] if health == provider.health else [])


@pytest.mark.parametrize(
    ("states", "figure", "note", "is_bad"),
    [
        ([UP, UP], "2 of 2 up", "all answer", False),
        ([UP, DOWN], "1 of 2 up", "down: P1", True),
        ([NEVER, NEVER], "0 of 2 up", "not checked yet: 2", False),
        ([FAILING, UP, DOWN, NEVER], "1 of 4 up", "down: P2; failing: P0; not checked yet: 1", True),
        ([UP, RECOVERING, UP | LATE], "2 of 3 up", "recovering: P1; no check lately: P2", False),
    ],
)
def test_the_first_page_tells_how_many_providers_answer_and_which_do_not(states, figure, note, is_bad, desk):
    for number, state in enumerate(states):
        found(f"P{number}", state)
    card = next(card for card in desk.get("index").context["cards"] if card["title"] == "Providers")
    assert (card["figure"], card["note"], card["bad"]) == (figure, note, is_bad)


def checked(provider: Provider, *, minutes: int, ok: bool = True, message: str = "") -> None:
    at = timezone.now() - datetime.timedelta(minutes=minutes)
    HealthCheck.objects.create(
        provider=provider,
        at=at,
        slot=history.slot_of(at),
        kind="models",
        ok=ok,
        milliseconds=120,
        status=200,
        message=message,
    )


def test_a_day_is_drawn_in_the_list_and_on_the_page_and_told_in_words(desk):
    provider = found("Somewhere", UP)
    assert "no checks in the last 24 hours" in desk.text("catalog_provider_changelist")
    for minutes in range(0, 1200, 60):
        checked(provider, minutes=minutes, ok=minutes != 600, message="A <telling> message")
    row = desk.text("catalog_provider_changelist").partition('id="result_list"')[2]
    told = "Last 24 hours: 95.0 % of 20 checks answered"
    assert f'role="img" aria-label="{told}"' in row
    assert [row.count(f"weir-slot-{tone}") for tone in ("good", "bad", "warn", "none")] == [19, 1, 0, 28]
    page = desk.text("catalog_provider_change", provider.pk)
    assert f'aria-label="{told}; the slowest half hour took 120 ms"' in page
    assert page.count("<polyline") == 19
    assert page.count("1 checks, 1 failed") == 1
    assert "A &lt;telling&gt; message" in page
    assert "A <telling>" not in page


@pytest.mark.parametrize(
    ("checks", "failures", "told"), [(1000, 1, "99.9"), (100_000, 1, "99.9"), (3, 3, "0.0"), (7, 0, "100.0")]
)
def test_one_failure_is_never_rounded_away(checks, failures, told):
    slots = [history.Slot(timezone.now(), checks, failures)]
    assert pictures.share(slots).startswith(f"{told} %")


def test_a_worker_that_is_away_is_told_of_with_since_when(desk):
    provider = found("Somewhere", UP | LATE)
    assert "no check for 2" in desk.text("catalog_provider_changelist")
    assert "does the worker run?" in desk.text("catalog_provider_change", provider.pk)
    Provider.objects.update(is_enabled=False)
    assert "no check for" not in desk.text("catalog_provider_changelist"), "nobody is to check it"


def test_those_chosen_in_the_list_are_checked_one_by_one_and_what_comes_of_it_is_kept(desk):
    near, gone = (found(name, NEVER) for name in ("Near", "Gone"))
    Provider.objects.update(base_url="http://127.0.0.1:9")
    page = desk.act("catalog_provider_changelist", "check_chosen", near, gone).content.decode()
    assert "data-begins" in page
    assert "0 of 2 checked" in page
    assert "data-begins" not in desk.text("catalog_provider_check"), "only what was chosen begins by itself"
    assert not HealthCheck.objects.exists()
    url = desk.url("catalog_provider_check")
    told = desk.client.post(url, {"one": near.pk}).json()
    assert told["ok"] is False
    assert "down" in told["row"]
    number = gone.pk
    gone.delete()
    for nobody in (number, "x", "9" * 30, "-1"):
        assert desk.client.post(url, {"one": nobody}).status_code == 404
    page = desk.client.post(url, {"provider": [near.pk]}).content.decode()  # without a script
    assert "1 of 1 checked" in page
    assert "Check again" in page
    assert HealthCheck.objects.filter(provider=near).count() == 2
    assert not Record.objects.filter(action="provider.tested").exists(), "it cost nothing"


def test_who_may_only_look_checks_nothing():
    viewer_desk = Desk(factories.staff("catalog.view_provider"))
    provider = found("Somewhere", UP)
    assert viewer_desk.get("catalog_provider_check").status_code == 403
    assert viewer_desk.client.post(viewer_desk.url("catalog_provider_check"), {"one": provider.pk}).status_code == 403
    assert not HealthCheck.objects.exists()


def test_how_it_is_checked_is_edited_and_what_cannot_be_is_refused_at_its_field(desk):
    provider = found("Somewhere", UP)
    factories.deployment(at=provider, upstream_model="claude-here")
    page = "catalog_provider_change"
    wrong = [
        ({"check_kind": "call", "check_interval_seconds": "59"}, "check_interval_seconds"),
        ({"check_kind": "call", "check_model": "claude-elsewhere"}, "check_model"),
        ({"check_kind": "guess"}, "check_kind"),
        ({"recovery_seconds": "86401"}, "recovery_seconds"),
        ({"recovery_seconds": "-1"}, "recovery_seconds"),
        ({"check_interval_seconds": "4"}, "check_interval_seconds"),
        ({"check_interval_seconds": ""}, "check_interval_seconds"),
        ({"max_failures": "0"}, "max_failures"),
        ({"max_failures": "two"}, "max_failures"),
        ({"max_failures": "2147483648"}, "max_failures"),
        ({"check_interval_seconds": "2147483648"}, "check_interval_seconds"),
    ]
    form, url = desk.form(page, provider.pk), desk.url(page, provider.pk)
    for values, field in wrong:
        assert field in errors(desk.client.post(url, form | values)), field
    values = {"check_kind": "call", "check_model": "claude-here", "check_interval_seconds": "60", "max_failures": "2"}
    assert desk.send(page, provider.pk, **values, recovery_seconds="0").status_code == 302
    provider.refresh_from_db()
    assert [getattr(provider, name) for name in CHECKS] == ["call", "claude-here", 60, 2, 0]


def test_prometheus_is_told_of_each_enabled_provider_that_was_checked_whether_it_is_up():
    checked_at = {"last_checked_at": timezone.now()}
    states = {"Up": UP, "Failing": FAILING, "Down": DOWN, "Recovering": RECOVERING}
    for name, state in states.items():
        found(name, state | checked_at)
    found("Never", NEVER)
    found("Disabled", DOWN | checked_at | {"is_enabled": False})
    told = {family.name: {one.labels["provider"]: one.value for one in family.samples} for family in providers.read()}
    assert told["weir_provider_up"] == {"Up": 1.0, "Failing": 1.0, "Down": 0.0, "Recovering": 0.0}
    assert set(told["weir_provider_checked_timestamp_seconds"]) == set(states)
    assert told["weir_provider_checked_timestamp_seconds"]["Up"] == checked_at["last_checked_at"].timestamp()
    assert told["weir_provider_check_seconds"] == dict.fromkeys(states, 0.012)
    assert told["weir_provider_check_overdue"] == dict.fromkeys([*states, "Never"], 0.0)


def test_prometheus_is_told_whose_check_is_overdue_by_its_own_interval():
    found("Often", UP | LATE | {"check_interval_seconds": 60})
    found("Seldom", UP | LATE | {"check_interval_seconds": 3600})
    found("Never", NEVER | {"created_at": LATE["last_checked_at"]})
    found("Disabled", UP | LATE | {"is_enabled": False})
    told = {family.name: {one.labels["provider"]: one.value for one in family.samples} for family in providers.read()}
    assert told["weir_provider_check_overdue"] == {"Often": 1.0, "Seldom": 0.0, "Never": 1.0}
