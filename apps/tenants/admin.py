"""Tenants, projects and members in the admin. Members come and go through the services, which keep an owner."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Count, Q, QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest
from django.utils.text import slugify
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.fields import TimezoneField
from apps.audit.forms import Lasting, named
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.audit.rows import RowFilter
from apps.tenants import services
from apps.tenants.models import Membership, Project, Role, Tenant

SLUG_HELP = "Short name for addresses and reports; letters, digits, hyphens. Empty: made of the name."


class SluggedForm(forms.ModelForm):
    """A row that the page adds to a table has nothing that would fill in its slug while the name is typed."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "slug" in self.fields:
            self.fields["slug"].required = False

    def clean_slug(self) -> str:
        name = self.cleaned_data.get("name")
        longest = self.fields["slug"].max_length
        slug: str = self.cleaned_data["slug"] or slugify(name or "")[:longest].rstrip("-")
        if name and not slug:
            raise ValidationError("Nothing of the name can stand in a slug: type one.")
        return slug


class TenantForm(SluggedForm):
    timezone = TimezoneField(label="Time zone", initial="UTC")

    class Meta:
        model = Tenant
        fields = ["name", "slug", "timezone", "is_active", "on_outage"]
        labels = {"is_active": "Active", "on_outage": "While limits or budgets cannot be counted"}
        help_texts = {"slug": SLUG_HELP, "is_active": "The keys of an inactive tenant are refused."}
        widgets = {"on_outage": UnfoldAdminRadioSelectWidget}


class MembershipForm(Lasting, forms.ModelForm):
    lasting = ("user",)

    class Meta:
        model = Membership
        fields = ["user", "role"]


class MembershipInline(Inline):
    model = Membership
    form = MembershipForm
    fields = ["user", "role"]
    autocomplete_fields = ["user"]
    verbose_name = "member"
    verbose_name_plural = "members"
    per_page = 10

    def get_queryset(self, request: HttpRequest) -> QuerySet[Membership]:
        rows: QuerySet[Membership] = super().get_queryset(request)
        return rows.select_related("user", "tenant")


class ProjectForm(SluggedForm):
    class Meta:
        model = Project
        fields = ["name", "slug", "is_active"]
        labels = {"is_active": "Active"}


class ProjectInline(Inline):
    model = Project
    form = ProjectForm
    prepopulated_fields = {"slug": ["name"]}
    show_change_link = True
    per_page = 10

    def get_extra(self, request: HttpRequest, obj: Tenant | None = None, **options: Any) -> int:
        return 1 if obj is None else 0

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def save_members(formset: BaseModelFormSet, *, actor: Any) -> None:
    """New owners first, so that one may follow another on one page."""
    formset.save(commit=False)
    for row in formset.new_objects:
        with named(row):
            services.add_member(row.tenant, actor=actor, user=row.user, role=row.role)
    for row, _ in sorted(formset.changed_objects, key=lambda changed: changed[0].role != Role.OWNER):
        with named(row):
            services.change_role(Membership.objects.get(pk=row.pk), actor=actor, role=row.role)
    for row in formset.deleted_objects:
        with named(row):
            services.remove_member(row, actor=actor)


class Switched(AuditedAdmin):
    """What usage hangs on is deactivated, never deleted."""

    area = Area.TENANTS
    actions = ["activate", "deactivate"]

    def kept(self, obj: Any) -> str:
        return f"The ledger and the audit log name this {self.noun}: deactivate it instead."

    @display(description="State", ordering="is_active")
    def shown_state(self, row: Any) -> str:
        return cells.badge("active", "good") if row.is_active else cells.badge("inactive", "bad")

    @display(description="Created", ordering="created_at")
    def shown_created(self, row: Any) -> str:
        return cells.ago(row.created_at)

    def switch(self, row: Any, *, actor: Any, on: bool) -> None:
        raise NotImplementedError

    @to_many("Activate", does="Their keys work again.", done="Activated", open=lambda: Q(is_active=False))
    def activate(self, row: Any, *, actor: Any) -> None:
        self.switch(row, actor=actor, on=True)

    @to_many(
        "Deactivate",
        does="Their keys stop working within two seconds. Nothing is deleted.",
        done="Deactivated",
        open=lambda: Q(is_active=True),
        is_danger=True,
    )
    def deactivate(self, row: Any, *, actor: Any) -> None:
        self.switch(row, actor=actor, on=False)


@admin.register(Tenant)
class TenantAdmin(Switched):
    form = TenantForm
    updated_by = staticmethod(services.update_tenant)
    list_display = ["name", "shown_state", "members", "projects", "shown_timezone", "shown_created"]
    list_filter = [("is_active", BooleanRadioFilter)]
    search_fields = ["name__istartswith", "slug__istartswith"]
    search_help_text = "Beginning of the name"
    prepopulated_fields = {"slug": ["name"]}
    inlines = [ProjectInline, MembershipInline]
    nothing_yet = "A tenant is a customer or a department: it has projects, members, keys and budgets of its own."

    @display(description="Time zone")
    def shown_timezone(self, tenant: Tenant) -> str:
        return tenant.timezone

    def complete(self, rows: list[Tenant]) -> None:
        """Two queries for the whole page."""
        counts = {}
        for name, related in (
            ("members", Count("memberships")),
            ("projects", Count("projects", filter=Q(projects__is_active=True))),
        ):
            found = Tenant.objects.filter(pk__in=[row.pk for row in rows]).order_by().annotate(count=related)
            counts[name] = dict(found.values_list("pk", "count"))
        for row in rows:
            row.counted = {name: found.get(row.pk, 0) for name, found in counts.items()}

    @display(description="Members")
    def members(self, tenant: Any) -> str:
        return cells.number(tenant.counted["members"])

    @display(description="Active projects")
    def projects(self, tenant: Any) -> str:
        return cells.number(tenant.counted["projects"])

    def save_model(self, request: HttpRequest, obj: Tenant, form: ModelForm, change: bool) -> None:
        if change:
            services.update_tenant(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        if formset.model is Membership:
            save_members(formset, actor=request.user)
        else:
            super().save_formset(request, form, formset, change)

    def switch(self, row: Tenant, *, actor: Any, on: bool) -> None:
        (services.activate_tenant if on else services.deactivate_tenant)(row, actor=actor)


class ProjectPageForm(Lasting, ProjectForm):
    lasting = ("tenant",)

    class Meta(ProjectForm.Meta):
        fields = ["name", "tenant", "slug", "is_active"]
        help_texts = {"slug": SLUG_HELP, "is_active": "The keys of an inactive project are refused."}


@admin.register(Project)
class ProjectAdmin(Switched):
    form = ProjectPageForm
    updated_by = staticmethod(services.update_project)
    list_display = ["name", "tenant", "shown_state", "shown_created"]
    list_filter = [("tenant", RowFilter), ("is_active", BooleanRadioFilter)]
    search_fields = ["name__istartswith", "tenant__name__istartswith"]
    search_help_text = "Beginning of the project's or the tenant's name"
    autocomplete_fields = ["tenant"]
    prepopulated_fields = {"slug": ["name"]}
    nothing_yet = "Keys are issued for a project, and spend is counted by it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        rows: QuerySet[Project] = super().get_queryset(request)
        return rows.select_related("tenant")

    def label(self, row: Project) -> str:
        """Every other tenant has a project of that name."""
        return f"{row.tenant} / {row.name}"

    def get_prepopulated_fields(self, request: HttpRequest, obj: Project | None = None) -> dict[str, Any]:
        return {} if obj is not None else self.prepopulated_fields

    def save_model(self, request: HttpRequest, obj: Project, form: ModelForm, change: bool) -> None:
        if change:
            services.update_project(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    def switch(self, row: Project, *, actor: Any, on: bool) -> None:
        (services.activate_project if on else services.deactivate_project)(row, actor=actor)
