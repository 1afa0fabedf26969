"""What uses a row: every table that points at it, counted so far, and what becomes of those rows if it is deleted."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import admin
from django.db import connection, models
from django.http import HttpRequest
from django.urls import reverse

MOST_COUNTED = 1_000
FATES = {
    models.CASCADE: "go with it",
    models.PROTECT: "keep it from being deleted",
    models.RESTRICT: "keep it from being deleted",
    models.SET_NULL: "stay, and no longer name it",
    models.DO_NOTHING: "stay, and go on naming it",
}


class Use(NamedTuple):
    """`link` leads to those rows, for who may see them; empty: no list shows them."""

    what: str
    count: str
    fate: str
    is_obstacle: bool
    link: str


def uses_of(request: HttpRequest, row: models.Model) -> list[Use]:
    """Obstacles first. One query over all tables that point at the row and have an index to count by."""
    relations = _relations(row)
    counts = _counts(
        [relation.related_model._base_manager.filter(**{relation.field.name: row.pk}) for relation in relations]
    )
    found = [_use(request, row, relation, count) for relation, count in zip(relations, counts, strict=True) if count]
    return sorted(found, key=lambda use: (not use.is_obstacle, use.what))


def _relations(row: models.Model) -> list[Any]:
    pointing = [
        field
        for field in row._meta.get_fields(include_hidden=True)
        if field.auto_created and not field.concrete and hasattr(field, "on_delete")
    ]
    return [each for each in pointing if _is_counted(each.related_model, each.field)]


def _counts(querysets: list[models.QuerySet[Any]]) -> list[int]:
    """Of each, no further than MOST_COUNTED + 1."""
    if not querysets:
        return []
    parts = [rows.order_by().values("pk")[: MOST_COUNTED + 1].query.sql_with_params() for rows in querysets]
    columns = ", ".join(f"(SELECT COUNT(*) FROM ({sql}) counted)" for sql, _ in parts)  # noqa: S608  # made by the ORM
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns}", [value for _, values in parts for value in values])
        return list(cursor.fetchone())


def _use(request: HttpRequest, row: models.Model, relation: Any, count: int) -> Use:
    model, field = relation.related_model, relation.field
    names = model._meta.verbose_name if count == 1 else model._meta.verbose_name_plural
    called = "" if field.name == row._meta.model_name else f", as their {field.verbose_name}"
    told = f"{MOST_COUNTED:,}+" if count > MOST_COUNTED else f"{count:,}"
    is_obstacle = relation.on_delete in (models.PROTECT, models.RESTRICT)
    fate = FATES.get(relation.on_delete, "change with it")
    return Use(f"{names}{called}", told, fate, is_obstacle, _link(request, model, field, row))


def _is_counted(model: type[models.Model], field: Any) -> bool:
    """What only a whole table could tell is not asked."""
    if model._meta.auto_created:
        return False
    of_all = (None, models.Q(**{f"{field.name}__isnull": False}))  # a row that names one is in these
    first = {each.fields[0].lstrip("-") for each in model._meta.indexes if each.fields and each.condition in of_all}
    unique = {constraint.fields[0] for constraint in model._meta.constraints if getattr(constraint, "fields", ())}
    return bool(field.db_index or field.unique or field.name in first | unique)


def _link(request: HttpRequest, model: type[models.Model], field: Any, row: models.Model) -> str:
    page = admin.site._registry.get(model)
    if page is None or not page.has_view_permission(request):
        return ""
    filtered = {spec[0] if isinstance(spec, tuple) else spec for spec in page.list_filter}
    if field.name not in filtered:
        return ""
    opts = model._meta
    since = "&since=all" if "since" in {getattr(spec, "parameter_name", "") for spec in page.list_filter} else ""
    return f"{reverse(f'admin:{opts.app_label}_{opts.model_name}_changelist')}?{field.name}__id__exact={row.pk}{since}"
