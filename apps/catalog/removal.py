"""Removing what the ledger does not name. Recorded; each function raises ValidationError for what stays, and
ProtectedError where others depend on it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog.inventory import why_kept
from apps.catalog.models import Model, Provider


def remove_provider(provider: Provider, *, actor: Any) -> None:
    _remove(provider, actor=actor, action="provider.deleted")


def remove_model(model: Model, *, actor: Any) -> None:
    _remove(model, actor=actor, action="model.deleted")


def _remove(row: Provider | Model, *, actor: Any, action: str) -> None:
    if why := why_kept(row):
        raise ValidationError(why)
    audit.remove(row, actor=actor, action=action, area=Area.CATALOG)
