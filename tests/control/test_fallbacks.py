"""Models that stand in for others: what a model comes to, and how that is set."""

from __future__ import annotations

import time

import pytest
from django.core.exceptions import ValidationError
from django.db.models import ProtectedError

from apps.audit.models import Record
from apps.catalog import resolution, selectors, services
from apps.catalog.models import Fallback
from tests import factories
from tests.control.desk import errors

pytestmark = pytest.mark.django_db


def compiled(name):
    found = selectors.snapshot_models(int(time.time()))[name]
    return [(one.tier, one.model_name, one.upstream_model) for one in found.deployments]


def served(name, upstream, **fields):
    row = factories.model(name, **fields)
    factories.deployment(row, upstream_model=upstream)
    return row


def falls_back(model, *targets):
    for position, target in enumerate(targets, 1):
        services.add_fallback(model, actor=None, target=target, position=position)


def test_a_models_own_deployments_come_first_then_its_fallbacks_then_theirs_none_twice():
    one, two, three, off = (served(name, f"at-{name}") for name in ("one", "two", "three", "off"))
    services.update_model(off, actor=None, is_enabled=False)
    falls_back(one, two, off)
    falls_back(two, three, one)
    assert compiled("one") == [(0, "", "at-one"), (1, "two", "at-two"), (2, "three", "at-three")]
    assert compiled("two") == [(0, "", "at-two"), (1, "three", "at-three"), (2, "one", "at-one")]
    assert compiled("three") == [(0, "", "at-three")]


def test_circles_and_shared_positions_end():
    fallbacks = {1: [(1, 2), (1, 3), (4, 4)], 2: [(1, 5), (2, 1)], 3: [(1, 5), (1, 6)], 5: [(1, 2), (3, 7)]}
    assert list(resolution.tiers(1, fallbacks)) == [(1, 2), (1, 3), (4, 4), (5, 5), (6, 6), (9, 7)]


def test_a_virtual_model_has_what_its_fallbacks_deployments_are_and_promises_no_more_than_itself(acme):
    small = served("small", "s", capabilities=["vision"], context_tokens=8000, max_output_tokens=2000, tenants=[acme])
    large = served("large", "l", context_tokens=500_000, max_output_tokens=64_000)
    fast = factories.model("fast", aliases=["quick"], max_output_tokens=16_000)
    falls_back(fast, small, large)
    found = selectors.snapshot_models(int(time.time()))["quick"].deployments
    assert [(one.context_tokens, one.max_output_tokens) for one in found] == [(8000, 2000), (500_000, 16_000)]
    assert [one.capabilities for one in found] == [{"vision"}, frozenset()]
    assert [one.tenant_ids for one in found] == [{acme.pk}, None]
    assert [(row.tier, row.model.name) for row in selectors.stand_ins(fast)] == [(1, "small"), (2, "large")]


def test_a_model_is_no_fallback_of_its_own_nor_is_one_deleted_that_is_anothers():
    one, two = served("one", "a"), factories.model("two")
    with pytest.raises(ValidationError) as refused:
        services.add_fallback(one, actor=None, target=one)
    assert refused.value.message_dict == {"target": ["A model is no fallback of its own."]}
    falls_back(one, two)
    with pytest.raises(ProtectedError):
        two.delete()


def test_fallbacks_are_set_on_the_models_page_which_shows_what_it_comes_to(desk):
    target = served("target", "up-there")
    fast = factories.model("fast")
    filled = {"fallbacks-TOTAL_FORMS": "1", "fallbacks-0-target": target.pk, "fallbacks-0-position": "3"}
    sent = desk.send("catalog_model_change", fast.pk, **filled)
    assert sent.status_code == 302, errors(sent)
    row = Fallback.objects.get()
    assert (row.target, row.position) == (target, 3)
    assert Record.objects.latest("pk").action == "fallback.created"
    assert "up-there" in desk.text("catalog_model_change", fast.pk)
    services.move_fallback(row, actor=None, position=1)
    services.remove_fallback(row, actor=None)
    assert [record.action for record in Record.objects.order_by("-pk")[:2]] == ["fallback.deleted", "fallback.updated"]
