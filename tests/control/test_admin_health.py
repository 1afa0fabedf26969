"""How providers fare, in their list and on the first page: nothing is called up that never answered."""

from __future__ import annotations

import re

import pytest

from apps.catalog.models import Health, Provider
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.once]
NEVER = {"last_check_ms": None}
UP = {"last_check_ms": 12}
FAILING = UP | {"consecutive_failures": 1}
DOWN = FAILING | {"is_healthy": False}


def found(name: str, state: dict) -> Provider:
    """A provider as checks left it."""
    provider = factories.provider(name)
    Provider.objects.filter(pk=provider.pk).update(**state)
    provider.refresh_from_db()
    return provider


@pytest.mark.parametrize(
    ("state", "shown"),
    [(NEVER, "not checked yet"), (UP, "up · 12 ms"), (FAILING, "failing 1 of 3"), (DOWN, "down")],
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
    ],
)
def test_the_first_page_tells_how_many_providers_answer_and_which_do_not(states, figure, note, is_bad, desk):
    for number, state in enumerate(states):
        found(f"P{number}", state)
    card = next(card for card in desk.get("index").context["cards"] if card["title"] == "Providers")
    assert (card["figure"], card["note"], card["bad"]) == (figure, note, is_bad)
