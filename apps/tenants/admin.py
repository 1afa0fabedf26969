"""Tenants, projects and members in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from apps.audit.admin import AuditedAdmin, Inline
from apps.audit.models import Area
from apps.tenants import services
from apps.tenants.models import Membership, Project, Tenant

STATES = {"active": "success", "inactive": "danger"}


class MembershipInline(Inline):
    model = Membership
    autocomplete_fields = ["user"]
    verbose_name_plural = "members"


class ProjectInline(Inline):
    model = Project
    prepopulated_fields = {"slug": ["name"]}
    show_change_link = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Kept(AuditedAdmin):
    """What usage hangs on is deactivated, never deleted."""

    actions = ["activate", "deactivate"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="State", ordering="is_active", label=STATES)
    def shown_state(self, row: Any) -> str:
        return "active" if row.is_active else "inactive"


@admin.register(Tenant)
class TenantAdmin(Kept):
    area = Area.TENANTS
    list_display = ["name", "shown_state", "timezone", "members", "projects", "created_at"]
    list_filter = ["is_active"]
    search_fields = ["name__startswith", "slug__startswith"]
    prepopulated_fields = {"slug": ["name"]}
    inlines = [ProjectInline, MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tenant]:
        rows: QuerySet[Tenant] = super().get_queryset(request)
        return rows.annotate(
            member_count=Count("memberships", distinct=True),
            project_count=Count("projects", distinct=True, filter=Q(projects__is_active=True)),
        )

    @display(description="Members", ordering="member_count")
    def members(self, tenant: Any) -> int:
        return int(tenant.member_count)

    @display(description="Projects", ordering="project_count")
    def projects(self, tenant: Any) -> int:
        return int(tenant.project_count)

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            services.activate_tenant(tenant, actor=request.user)

    @admin.action(description="Deactivate: its keys stop working")
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Tenant]) -> None:
        for tenant in queryset:
            services.deactivate_tenant(tenant, actor=request.user)


@admin.register(Project)
class ProjectAdmin(Kept):
    area = Area.TENANTS
    list_display = ["name", "tenant", "shown_state", "created_at"]
    list_filter = ["is_active"]
    list_select_related = ["tenant"]
    search_fields = ["name__startswith", "tenant__name__startswith"]
    autocomplete_fields = ["tenant"]
    prepopulated_fields = {"slug": ["name"]}

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        for project in queryset:
            services.activate_project(project, actor=request.user)

    @admin.action(description="Deactivate: its keys stop working")
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Project]) -> None:
        for project in queryset:
            services.deactivate_project(project, actor=request.user)
