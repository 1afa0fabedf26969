"""All policies and managed settings, for whoever manages them."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.policies.models import Assignment, CachePolicy, DataPolicy, Intervention, ManagedSettings


def policies() -> QuerySet[DataPolicy]:
    return DataPolicy.objects.prefetch_related("rules")


def assignments() -> QuerySet[Assignment]:
    return Assignment.objects.select_related("policy", "project", "key")


def caches() -> QuerySet[CachePolicy]:
    return CachePolicy.objects.all()


def interventions() -> QuerySet[Intervention]:
    return Intervention.objects.all()


def managed_settings() -> QuerySet[ManagedSettings]:
    return ManagedSettings.objects.select_related("tenant", "project")
