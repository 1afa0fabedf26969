"""Deployments on the pages of models and providers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from apps.audit.pages import Inline
from apps.catalog.forms import DeploymentForm
from apps.catalog.models import Deployment


class DeploymentInline(Inline):
    model = Deployment
    form = DeploymentForm
    show_change_link = True
    per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        rows: QuerySet[Deployment] = super().get_queryset(request)
        return rows.select_related("model", "provider")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
