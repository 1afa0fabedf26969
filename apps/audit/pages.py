"""What every page of the admin is made from: changes are recorded as they are made, what a service refuses is told
at the form, rows that others depend on are kept, and nothing is counted further than a person would page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.contrib.admin.views.main import ORDER_VAR
from django.contrib.admin.widgets import AdminSplitDateTime, RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import models
from django.db.models import ProtectedError, QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.forms import BaseModelFormSet, ModelForm
from django.forms.utils import pretty_name
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.functional import cached_property
from unfold.admin import ModelAdmin, TabularInline
from unfold.views import ChangeList as UnfoldChangeList

from apps.audit import cells, differences, services, taking, undoing, uses
from apps.audit.fields import JsonField
from apps.audit.forms import named, reason, refused
from apps.audit.models import Record
from apps.audit.panels import listings, panels
from apps.audit.redaction import is_secret
from apps.audit.rows import RowSelect, RowsField, RowsSelect
from apps.audit.selectors import history

# A list is paged this far and no further: beyond it, filter. Counting a million rows costs more than it tells.
MOST_ROWS = 10_000
MOST_CHILDREN = 200  # whose changes stand in a row's history


class CappedPaginator(Paginator):
    """Counts no further than MOST_ROWS."""

    template_name = "admin/pages.html"

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if isinstance(rows, models.QuerySet):
            return rows.order_by()[:MOST_ROWS].values("pk").count()
        return len(rows)

    @property
    def is_capped(self) -> bool:
        return self.count >= MOST_ROWS


class ChangeList(UnfoldChangeList):
    """Hands the rows of the page that is shown to `complete`, which may ask about all of them at once."""

    def narrowed(self) -> Any:
        """The rows of the list. A search for a few among many may have to read all: once, not to count, to sort and to
        show each."""
        if self.query or self.has_active_filters:
            found = list(self.queryset.order_by().values_list("pk", flat=True)[: self.list_per_page + 1])
            if len(found) <= self.list_per_page:
                return self.queryset.filter(pk__in=found)
        return self.queryset

    def get_results(self, request: HttpRequest) -> None:
        self.queryset = self.narrowed()
        super().get_results(request)
        self.full_result_count = self.result_count  # the foot of the list tells it; once is enough
        self.result_list = self._sorted_alone() or list(self.result_list)
        self.model_admin.complete(self.result_list)

    def _sorted_alone(self) -> list[Any]:
        """By a column that somebody has chosen, and for which there may be no index, only the table is sorted: what is
        shown beside it is fetched for the rows of the page alone."""
        found: Any = self.result_list
        if ORDER_VAR not in self.params or not isinstance(found, QuerySet) or found.query.distinct:
            return []
        keys = list(found.select_related(None).values_list("pk", flat=True))
        rows = {row.pk: row for row in self.queryset.order_by().filter(pk__in=keys)}
        return [rows[key] for key in keys if key in rows]


class Chosen:
    """Rows that a form points at are not deleted from there, and what names none is told at its field."""

    admin_site: Any
    get_autocomplete_fields: Callable[[HttpRequest], Iterable[str]]

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if db_field.name in self.get_autocomplete_fields(request):
            options.setdefault("widget", RowSelect(db_field, self.admin_site, using=options.get("using")))
        return super().formfield_for_foreignkey(db_field, request, **options)  # type: ignore[misc]

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        options.setdefault("form_class", RowsField)
        if db_field.name in self.get_autocomplete_fields(request):
            options.setdefault("widget", RowsSelect(db_field, self.admin_site, using=options.get("using")))
        return super().formfield_for_manytomany(db_field, request, **options)  # type: ignore[misc]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        if isinstance(db_field, models.JSONField):
            options.setdefault("form_class", JsonField)
        field = super().formfield_for_dbfield(db_field, request, **options)  # type: ignore[misc]
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget.can_delete_related = False
        if field is not None and isinstance(field.widget, AdminSplitDateTime):
            for part, word in zip(field.widget.widgets, ("date", "time"), strict=True):
                part.attrs["aria-label"] = f"{field.label}: {word}"
        return field


class Page(Chosen, ModelAdmin):
    """Looks and habits that all lists and forms share."""

    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each would count the whole table
    list_per_page = 50
    list_filter_submit = True
    list_disable_select_all = True
    warn_unsaved_form = True
    empty_value_display = cells.NOTHING
    list_before_template = "admin/lists.html"
    change_form_outer_before_template = "admin/panels.html"
    change_form_outer_after_template = "admin/listings.html"
    counted = ""  # rows, as the foot of the list counts them, where the page's name is no plural
    nothing = ""  # heads an empty list, where "No … yet" would sound as if some were to come
    nothing_yet = ""  # what an empty list says; the button beside it is the next step
    downloaded: tuple[taking.Column, ...] = ()  # columns of the list as a file; none: it cannot be taken away
    transfer = ""  # the table's name on the page that brings files in

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeList]:
        return ChangeList

    def get_urls(self) -> list[Any]:
        own = [path("download.csv", self.admin_site.admin_view(self.download_view))] if self.downloaded else []
        return [*own, *super().get_urls()]

    def download_view(self, request: HttpRequest) -> HttpResponseBase:
        return taking.download(self, request)

    def used_by(self, request: HttpRequest, row: Any) -> str:
        """Where it is told what uses the row; empty: nowhere."""
        return ""

    def complete(self, rows: list[Any]) -> None:
        """Adds to the rows of a page what would otherwise be asked for each."""

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        """No list answers what a stored secret begins with, not even a digest of one."""
        if any(is_secret(part) for part in lookup.split(LOOKUP_SEP)):
            return False
        return super().lookup_allowed(lookup, value, request)

    def label(self, row: Any) -> str:
        """What the row is called where it can be chosen."""
        return str(row)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Rows are deleted one by one, where the page can say what hangs on them."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        row = options.get("obj") or context.get("original")
        if row is not None and row.pk is not None:
            if context.get("errors"):  # it has what was typed, which may be anything
                row = self.get_queryset(request).get(pk=row.pk)
            context["panels"] = panels(request, row)
            context["listings"] = listings(request, row)
            context["used_by"] = self.used_by(request, row)
        return super().render_change_form(request, context, *args, **options)


class AuditedAdmin(Page):
    """Saves through `audit.services`, so that a change and its record stand or fall together.

    Models whose services do more than write (issue a key, seal a secret) override `save_model`.
    """

    area: str
    list_disable_select_all = False
    updated_by: undoing.Update | None = None  # the service by which a change is taken back

    @property
    def noun(self) -> str:
        return str(self.opts.model_name)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.undo_view)
        name = f"{self.opts.app_label}_{self.opts.model_name}_undo"
        return [path("<path:object_id>/history/<int:record_id>/undo/", view, name=name), *super().get_urls()]

    # --- saving ------------------------------------------------------------------------------------------------

    def changeform_view(
        self, request: HttpRequest, object_id: str | None = None, form_url: str = "", extra_context: Any = None
    ) -> Any:
        """What a service refuses undoes the whole transaction; then the form is shown again with the reason."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except (ValidationError, ProtectedError) as error:
            if request.method != "POST":
                raise
            request.refusal = reason(error)  # type: ignore[attr-defined]  # for `get_form` below
            return super().changeform_view(request, object_id, form_url, extra_context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        form = super().get_form(request, obj, change=change, **options)
        refusal = getattr(request, "refusal", None)
        return form if refusal is None else refused(form, refusal)

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm, change: bool) -> None:
        if not change:
            services.add(obj, actor=request.user, action=f"{self.noun}.created", area=self.area)
        elif changes := self.changes(obj, form.changed_data):
            services.amend(obj, actor=request.user, action=f"{self.noun}.updated", area=self.area, changes=changes)

    def changes(self, obj: models.Model, names: Iterable[str]) -> dict[str, Any]:
        """The new values of those fields that are columns."""
        columns = {field.name for field in obj._meta.concrete_fields}
        return {name: getattr(obj, name) for name in names if name in columns}

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        formset.save(commit=False)
        noun = formset.model._meta.model_name
        for row in formset.new_objects:
            with named(row):
                services.add(row, actor=request.user, action=f"{noun}.created", area=self.area)
        for row, names in formset.changed_objects:
            if changes := self.changes(row, names):
                with named(row):
                    services.amend(row, actor=request.user, action=f"{noun}.updated", area=self.area, changes=changes)
        for row in formset.deleted_objects:
            with named(row):
                services.remove(row, actor=request.user, action=f"{noun}.deleted", area=self.area)
        formset.save_m2m()

    def used_by(self, request: HttpRequest, row: Any) -> str:
        """Beside the button that deletes, or where there is none, as the row is kept."""
        if not super().has_delete_permission(request, row):
            return ""
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_delete", args=[row.pk])

    # --- deleting ----------------------------------------------------------------------------------------------

    def kept(self, obj: Any) -> str:
        """Why the row cannot be deleted; empty: it can."""
        return ""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = bool(super().has_delete_permission(request, obj))
        return allowed and not (isinstance(obj, self.model) and self.kept(obj))

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None or not super().has_delete_permission(request, row):
            return super().delete_view(request, object_id, extra_context)
        why = self.kept(row)
        if request.method == "POST" and not why:
            try:
                return super().delete_view(request, object_id, extra_context)
            except (ValidationError, ProtectedError) as error:
                why = " ".join(reason(error).messages)
        found = uses.uses_of(request, row)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Delete {row}",
            "opts": self.opts,
            "object": row,
            "why": why,
            "uses": found,
            "can_delete": not why and not any(use.is_obstacle for use in found),
            "goes": any(use.fate == uses.FATES[models.CASCADE] for use in found),
            "back": reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[row.pk]),
        }
        return TemplateResponse(request, "admin/delete.html", context)

    def delete_model(self, request: HttpRequest, obj: models.Model) -> None:
        services.remove(obj, actor=request.user, action=f"{self.noun}.deleted", area=self.area)

    # --- the audit log is the one record of changes: none of Django's own --------------------------------------

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The audit log's records of this row, newest first."""
        row = self.get_object(request, unquote(object_id))
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        may = self.updated_by is not None and self.has_change_permission(request, row)

        def is_own(record: Record) -> bool:
            return bool(record.target_type == self.opts.label_lower)

        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.opts,
            "object": row,
            "changes": [
                (change, is_own(change.record), may and is_own(change.record) and undoing.can_undo(change.record, row))
                for change in differences.of(row, children=self._children(request, row))
            ],
        }
        return TemplateResponse(request, "admin/history.html", context)

    def _children(self, request: HttpRequest, row: Any) -> list[tuple[str, list[str]]]:
        """By label, the ids of the rows that are edited on this row's page, so many of each."""
        found = []
        for inline in self.get_inline_instances(request, row):
            formset = inline.get_formset(request, row)
            keys = inline.model._base_manager.filter(**{formset.fk.name: row.pk}).order_by("-pk")
            listed = [str(pk) for pk in keys.values_list("pk", flat=True)[:MOST_CHILDREN]]
            found.append((inline.model._meta.label_lower, listed))
        return found

    def undo_view(self, request: HttpRequest, object_id: str, record_id: int) -> HttpResponse:
        """Takes a change of the row back, on POST."""
        row = self.get_object(request, unquote(object_id))
        record = history(row).filter(pk=record_id).first() if row is not None else None
        if record is None or self.updated_by is None or request.method != "POST":
            raise Http404
        if not self.has_change_permission(request, row):
            raise PermissionDenied
        try:
            undoing.undo(record, row, update=self.updated_by, actor=request.user)
            messages.success(request, "It is as it was before that change.")
        except (ValidationError, ProtectedError) as error:
            messages.error(request, " ".join(reason(error).messages))
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_history"
        return HttpResponseRedirect(reverse(name, args=[row.pk]))

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None: ...

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None: ...


class ReadOnlyAdmin(Page):
    """Rows that the admin shows and nobody edits."""

    actions = None
    warn_unsaved_form = False

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        context["show_history"] = False
        return super().render_change_form(request, context, *args, **options)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        return {}

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Inline(Chosen, TabularInline):
    """Rows of another table on the page of the one they belong to."""

    extra = 0
    tab = True
    show_title = False
    if hasattr(TabularInline, "hide_title"):  # its name before Unfold 0.110, which needs Python 3.12
        hide_title = True

    class Media:
        js = ["admin/inline_pages.js"]

    def get_formset(self, request: HttpRequest, obj: Any = None, **options: Any) -> Any:
        """Each field tells its column's heading to whoever does not see it above."""
        formset = super().get_formset(request, obj, **options)
        for name, field in formset.form.base_fields.items():
            field.widget.attrs.setdefault("aria-label", field.label or pretty_name(name))
        return formset
