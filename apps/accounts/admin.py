"""People in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.forms import ModelForm
from django.http import HttpRequest
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.models import User
from apps.audit.admin import AuditedAdmin
from apps.audit.models import Area

admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    """People are deactivated, never deleted: the ledger and the audit log name them."""

    area = Area.ACCOUNTS
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ["username", "email", "shown_state", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser"]
    search_fields = ["username__startswith", "email__startswith", "last_name__startswith"]
    fieldsets = [
        (None, {"fields": ["username", "password"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("Rights", {"fields": ["is_staff", "is_superuser"]}),
        ("Dates", {"fields": ["last_login", "date_joined"]}),
    ]
    readonly_fields = ["last_login", "date_joined"]
    actions = ["activate", "deactivate"]

    @display(description="State", ordering="is_active", label={"active": "success", "inactive": "danger"})
    def shown_state(self, user: User) -> str:
        return "active" if user.is_active else "inactive"

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        AuditedAdmin.save_model(self, request, obj, form, change)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.action(description="Activate")
    def activate(self, request: HttpRequest, queryset: Any) -> None:
        for user in queryset:
            services.activate(user, actor=request.user)

    @admin.action(description="Deactivate: sign-in and keys stop working")
    def deactivate(self, request: HttpRequest, queryset: Any) -> None:
        for user in queryset:
            services.deactivate(user, actor=request.user)
