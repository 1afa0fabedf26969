"""The seeded installation that pages are measured with is a true one: its books hold, and its sums are its calls'."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db.models import Sum

from apps.keys.models import Key, KeySecret
from apps.quotas.models import BudgetWindow
from apps.tenants.models import Membership, Tenant
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup

SIZES = {"tenants": 5, "keys": 400, "entries": 1_500, "days": 3, "seed": 7}


@pytest.fixture
def _seeded(db):
    call_command("seed_scale", **SIZES, verbosity=0)


@pytest.mark.usefixtures("_seeded")
def test_it_is_as_large_as_was_asked_for_and_its_books_are_true():
    assert (Tenant.objects.count(), Key.objects.count(), Entry.objects.count()) == (5, 400, 1_500)
    assert KeySecret.objects.count() == 400
    assert set(Membership.objects.values_list("role", flat=True)) == {"owner", "admin", "developer", "viewer"}
    found = verify.run()
    assert [finding for finding in found.findings if finding.violations] == []
    charged = Entry.objects.aggregate(total=Sum("cost_nano"))["total"]
    assert charged > 0
    assert HourlyRollup.objects.aggregate(total=Sum("cost_nano"))["total"] == charged
    assert BudgetWindow.objects.filter(budget__tenant__isnull=False).aggregate(total=Sum("settled"))["total"] >= charged
    largest, smallest = (Key.objects.filter(tenant__name=name).count() for name in ("Scale 0001", "Scale 0005"))
    assert largest > 2 * smallest


@pytest.mark.usefixtures("_seeded")
def test_an_installation_that_has_tenants_is_left_alone():
    with pytest.raises(CommandError, match="empty"):
        call_command("seed_scale", **SIZES, verbosity=0)
    assert Tenant.objects.count() == 5
