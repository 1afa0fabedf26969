"""Identity providers and second factors, for whoever runs the installation."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.signin.models import IdentityProvider, SecondFactor


def providers() -> QuerySet[IdentityProvider]:
    return IdentityProvider.objects.select_related("tenant").prefetch_related("rules")


def second_factors() -> QuerySet[SecondFactor]:
    return SecondFactor.objects.select_related("user")
