"""A configuration with one of everything, changed anywhere: it is brought in, or refused by its line."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from apps.catalog.models import Provider
from apps.config import document, services, tables
from tests.control import world
from tests.fuzz import mutation
from tests.fuzz.contract import check_words, target

pytestmark = [pytest.mark.attack("fuzz"), pytest.mark.once, pytest.mark.django_db]

SEED = 20_261_123
TREES, TEXTS, ROWS = 150, 60, 60


def _refused(bring_in: Callable[..., Any], *args: Any, **options: Any) -> bool:
    """Whether it is, with reasons; whatever it does is undone."""
    point = transaction.savepoint()
    try:
        bring_in(*args, actor=None, **options)
    except document.Refused as refused:
        check_words(refused)
        return True
    finally:
        transaction.savepoint_rollback(point)
    return False


@pytest.fixture
def exported() -> str:
    world.one_of_everything("Acme")
    Provider.objects.update(base_url="http://127.0.0.1:9")  # nothing is asked
    return services.export()


def _tree(text: str) -> Any:
    return json.loads(json.dumps(document.parsed(text), default=float))


def _some_section(dice: random.Random, tree: dict[str, Any]) -> dict[str, Any]:
    """One of them: a change to all would nearly always be to a long one."""
    name = dice.choice([name for name, rows in tree.items() if rows and name != "weir"])
    return {"weir": 1, name: tree[name]}


def test_a_configuration_is_brought_in_or_refused(exported, figure):
    dice, tree = random.Random(SEED), _tree(exported)
    assert not _refused(services.bring_in, exported, dry_run=True)
    counted = {True: 0, False: 0}
    for number in range(TREES + TEXTS):
        data = json.dumps(_some_section(dice, tree)).encode() if number < TREES else exported.encode()
        changed = mutation.mutated(dice, data, target("", print, seeds=[data], is_json=number < TREES))
        counted[_refused(services.bring_in, changed.decode("utf-8", "replace"), dry_run=True)] += 1
    figure("fuzz", "configurations brought in", sum(counted.values()))
    assert min(counted.values()) > 10


@pytest.mark.parametrize("name", tables.NAMES)
def test_a_table_is_brought_in_or_refused(exported, name):
    dice, data = random.Random(SEED), tables.as_json(name).encode()
    assert not _refused(tables.bring_in, name, data.decode(), form="json", dry_run=True)
    for _ in range(ROWS):
        changed = mutation.mutated(dice, data, target("", print, seeds=[data], is_json=True))
        _refused(tables.bring_in, name, changed.decode("utf-8", "replace"), form="json", dry_run=True)
