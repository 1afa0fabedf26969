"""People in the admin."""

from __future__ import annotations

import copy
import functools
from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group, Permission
from django.db.models import Q
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import action, display
from unfold.forms import UserChangeForm
from unfold.widgets import UnfoldAdminSelect2MultipleWidget

from apps.accounts import services
from apps.accounts.forms import PasswordForm, PersonCreationForm
from apps.accounts.models import User
from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowsField

admin.site.unregister(Group)  # permissions are given to people


class PermissionsField(RowsField):
    """What the admin's pages ask for, and nothing of the framework's own tables."""

    def label_from_instance(self, obj: Permission) -> str:
        return f"{obj.content_type.name}: {obj.name}"


LABELS = {
    "username": ("User name", ""),
    "is_active": ("Active", "May sign in, and the keys work."),
    "is_staff": ("Staff", "May sign in here."),
    "is_superuser": ("Operator", "May do everything here, to every tenant."),
}


class PersonForm(UserChangeForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name in self.fields.keys() & LABELS.keys():
            self.fields[name].label, self.fields[name].help_text = LABELS[name]
        if "user_permissions" in self.fields:
            managed = {model._meta.label_lower.split(".")[0] for model in admin.site._registry}
            self.fields["user_permissions"] = PermissionsField(
                Permission.objects.filter(content_type__app_label__in=managed).select_related("content_type"),
                required=False,
                widget=UnfoldAdminSelect2MultipleWidget,
                label="May also",
                help_text="For staff who are no operators. An operator may do everything.",
            )


@admin.register(User)
class UserAdmin(DjangoUserAdmin, AuditedAdmin):
    """People are deactivated, never deleted: the ledger and the audit log name them."""

    area = Area.ACCOUNTS
    form = PersonForm
    add_form = PersonCreationForm
    list_display = [
        *("username", "shown_name", cells.column("email", "E-mail address")),
        *("shown_state", "shown_rights", "shown_login"),
    ]
    list_filter = [
        ("is_active", BooleanRadioFilter),
        ("is_staff", BooleanRadioFilter),
        ("is_superuser", BooleanRadioFilter),
    ]
    search_fields = ["username__startswith", "email__startswith", "last_name__startswith"]
    search_help_text = "Beginning of a user name, e-mail address or last name"
    fieldsets = [
        (None, {"fields": ["username", "is_active"]}),
        ("Person", {"fields": ["first_name", "last_name", "email"]}),
        ("In this admin", {"fields": ["is_staff", "is_superuser", "user_permissions"]}),
        ("Dates", {"fields": ["shown_login", "date_joined"]}),
    ]
    add_fieldsets = [
        (None, {"fields": ["username", "first_name", "last_name", "email"]}),
        ("Password", {"fields": ["usable_password", "password1", "password2"]}),
    ]
    readonly_fields = ["shown_login", "date_joined"]
    filter_horizontal = ()
    actions = ["activate", "deactivate"]
    actions_detail = ["set_password"]

    @display(description="Name", ordering="last_name")
    def shown_name(self, user: User) -> str:
        return user.get_full_name() or cells.NOTHING

    @display(description="State", ordering="is_active")
    def shown_state(self, user: User) -> str:
        return cells.badge("active", "good") if user.is_active else cells.badge("inactive", "bad")

    @display(description="In this admin", ordering="is_superuser")
    def shown_rights(self, user: User) -> str:
        if not user.is_staff:
            return cells.badge("no access")
        return cells.badge("operator", "info") if user.is_superuser else cells.badge("staff", "info")

    @display(description="Last sign-in", ordering="last_login")
    def shown_login(self, user: User) -> str:
        return cells.ago(user.last_login, never="never")

    # --- who may change whom -----------------------------------------------------------------------------------

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only an operator changes an operator: whoever sets a password can sign in with it."""
        allowed = bool(super().has_change_permission(request, obj))
        is_above = isinstance(obj, User) and obj.is_superuser and not request.user.is_superuser
        return allowed and not is_above

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Nobody gives themselves, or others, more than an operator gave them."""
        given = [] if request.user.is_superuser else ["is_staff", "is_superuser", "user_permissions"]
        return [*super().get_readonly_fields(request, obj), *given]

    def kept(self, obj: User) -> str:
        return "The ledger and the audit log name this person: deactivate the account instead."

    # --- writing -----------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm, change: bool) -> None:
        if not change:
            AuditedAdmin.save_model(self, request, obj, form, change)
            return
        changes = self.changes(obj, form.changed_data)
        is_active = changes.pop("is_active", None)
        services.update_user(obj, actor=request.user, **changes)
        if is_active is not None:
            (services.activate if is_active else services.deactivate)(obj, actor=request.user)

    def save_related(self, request: HttpRequest, form: Any, formsets: list[Any], change: bool) -> None:
        if "user_permissions" in form.cleaned_data:
            services.set_permissions(
                form.instance, actor=request.user, permissions=form.cleaned_data["user_permissions"]
            )

    @action(description="Set password", icon="password", permissions=["change"])
    def set_password(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return HttpResponseRedirect(reverse("admin:auth_user_password_change", args=[object_id]))

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Django's view, with a form that knows who asks."""
        asked = copy.copy(self)
        asked.change_password_form = functools.partial(PasswordForm, actor=request.user)  # type: ignore[assignment]
        return DjangoUserAdmin.user_change_password(asked, request, id, form_url)

    @to_many("Activate", does="They may sign in again.", done="Activated", open=lambda: Q(is_active=False))
    def activate(self, row: User, *, actor: Any) -> None:
        services.activate(row, actor=actor)

    @to_many(
        "Deactivate",
        does="They can no longer sign in, and the keys issued for them stop working.",
        done="Deactivated",
        open=lambda: Q(is_active=True),
        is_danger=True,
    )
    def deactivate(self, row: User, *, actor: Any) -> None:
        services.deactivate(row, actor=actor)
