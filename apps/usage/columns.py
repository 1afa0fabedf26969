"""Columns that several tables of usage have."""

from __future__ import annotations

from typing import Any

from django.db import models


def names(to: str, label: str | None = None, *, null: bool = False) -> models.ForeignKey[Any, Any]:
    """A number that names a row, joined where a page wants its name; usage outlives what it was used on."""
    return models.ForeignKey(
        to,
        verbose_name=label,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        null=null,
        related_name="+",
    )


def amount() -> models.BigIntegerField:
    return models.BigIntegerField(default=0)


def later_amount() -> models.BigIntegerField:
    """One that older processes do not write."""
    return models.BigIntegerField(default=0, db_default=0)
