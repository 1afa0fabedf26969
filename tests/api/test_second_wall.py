"""The second wall takes nothing from what members may see: every list and every row is the same with it and without."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from apps.api import rates
from apps.api.urls import VIEWS
from tests.api.caller import Caller

pytestmark = [pytest.mark.attack("F27"), pytest.mark.postgresql]


@pytest.mark.parametrize("role", ["owner", "admin", "developer", "viewer", "stranger", "staff"])
def test_the_api_says_the_same_with_the_wall_and_without(world, settings, time_machine, role):
    time_machine.move_to(timezone.now(), tick=False)
    behind = seen(world.callers[role], world.ids)
    settings.WEIR_SECOND_WALL = False
    before = seen(world.callers[role], world.ids)
    assert [path for path, told in before.items() if told != behind[path]] == []
    assert len([path for path, (status, _) in behind.items() if status == 200]) > 10


def seen(asking: Caller, ids: dict[str, Any]) -> dict[str, tuple[int, Any]]:
    paths = [f"/{view.place}" for view in VIEWS] + [f"/{place}/{pk}" for place, pk in ids.items()]
    found = {}
    for path in paths:
        rates.forget()
        answer = asking("GET", path)
        found[path] = (answer.status_code, answer.json() if answer.status_code == 200 else None)
    return found
