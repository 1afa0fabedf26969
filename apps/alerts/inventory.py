"""All rules, destinations and alerts, for whoever manages them."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from apps.alerts.models import Alert, AlertRule, Delivery, Destination


def rules() -> QuerySet[AlertRule]:
    return AlertRule.objects.select_related("tenant").prefetch_related("destinations")


def destinations() -> QuerySet[Destination]:
    return Destination.objects.select_related("tenant")


def alerts() -> QuerySet[Alert]:
    """With whom it was told, the first first."""
    told = Delivery.objects.order_by("created_at", "pk")
    return Alert.objects.select_related("rule").prefetch_related(Prefetch("deliveries", told))
