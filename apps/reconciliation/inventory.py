"""Rows of reconciliation, for the management API."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet, Sum

from apps.reconciliation import services
from apps.reconciliation.models import Adjustment, Difference, ProviderName, Report, ReportSource, Shape, Status, Vendor

SHAPES = tuple(shape.value for shape in Shape)
VENDORS = tuple(vendor.value for vendor in Vendor)
STATUSES = tuple(status.value for status in Status)
POSTABLE = services.POSTABLE


def sources() -> QuerySet[ReportSource]:
    return ReportSource.objects.all()


def names() -> QuerySet[ProviderName]:
    return ProviderName.objects.all()


def reports() -> QuerySet[Report]:
    return Report.objects.all()


def differences() -> QuerySet[Difference]:
    return Difference.objects.select_related("report")


def adjustments() -> QuerySet[Adjustment]:
    return Adjustment.objects.all()


def sums_of(adjustment: Any) -> dict[str, dict[str, int]]:
    """By state of its days: their money in nano-USD."""
    found = adjustment.items.order_by().values("state").annotate(total=Sum("amount_nano"))
    return {row["state"]: row["total"] for row in found}
