"""Foreign keys point the way imports do. A key named by string is no import, so import-linter cannot see it."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db import models
from django.test.utils import isolate_apps

from tests.architecture import tree


def upward(found: Iterable[type[models.Model]], *, levels: dict[str, int]) -> list[str]:
    """Relations from a lower app to a higher one, or between neighbours on one level."""
    wrong = []
    for model in found:
        for field in (*model._meta.local_fields, *model._meta.local_many_to_many):
            target = field.related_model
            if not isinstance(target, type) or model._meta.app_label == target._meta.app_label:
                continue
            source_level, target_level = (levels.get(label) for label in _labels(model, target))
            if source_level is not None and target_level is not None and target_level >= source_level:
                wrong.append(f"{model._meta.label}.{field.name} -> {target._meta.label}")
    return wrong


def _labels(*found: type[models.Model]) -> list[str]:
    return [model._meta.app_label for model in found]


def test_every_foreign_key_points_downward():
    own = [model for model in apps.get_models(include_auto_created=True) if model.__module__.startswith("apps.")]
    assert own
    assert upward(own, levels=tree.levels()) == []


def test_nothing_points_at_a_ledger_entry():
    """Partitions of the ledger are dropped whole; a key pointing there would forbid it."""
    pointing = [
        f"{model._meta.label}.{field.name}"
        for model in apps.get_models()
        for field in model._meta.local_fields
        if isinstance(field.related_model, type) and field.related_model._meta.label == "usage.Entry"
    ]
    assert pointing == []


@isolate_apps("apps.tenants", "apps.keys")
def test_a_key_named_by_string_is_found_when_it_points_up():
    class Key(models.Model):
        class Meta:
            app_label = "keys"

    class Tenant(models.Model):
        favourite = models.ForeignKey("keys.Key", on_delete=models.CASCADE)
        others = models.ManyToManyField("keys.Key")

        class Meta:
            app_label = "tenants"

    class Down(models.Model):
        tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE)

        class Meta:
            app_label = "keys"

    found = upward([Key, Tenant, Down], levels=tree.levels())
    assert found == ["tenants.Tenant.favourite -> keys.Key", "tenants.Tenant.others -> keys.Key"]
