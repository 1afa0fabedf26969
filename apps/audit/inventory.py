"""All records of changes."""

from __future__ import annotations

from django.db.models import QuerySet

from apps.audit.models import Record


def records() -> QuerySet[Record]:
    return Record.objects.all()
