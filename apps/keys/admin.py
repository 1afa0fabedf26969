"""Keys in the admin: issued, rotated and revoked by the services. A secret is shown once, on the page that made it."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from apps.audit.admin import AuditedAdmin
from apps.audit.models import Area
from apps.keys import services
from apps.keys.models import Key

STATES = {"active": "success", "expires soon": "warning", "expired": "danger", "revoked": "danger"}
SOON = datetime.timedelta(days=7)
OVERLAPS = {"0": "Now", "1": "1 hour", "24": "24 hours", "168": "7 days"}


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("soon", "Expires within 7 days"), ("expired", "Expired"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        now = timezone.now()
        match self.value():
            case "active":
                return queryset.filter(revoked_at=None).exclude(expires_at__lte=now)
            case "soon":
                return queryset.filter(revoked_at=None, expires_at__gt=now, expires_at__lte=now + SOON)
            case "expired":
                return queryset.filter(revoked_at=None, expires_at__lte=now)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label="The old secret stops working",
        choices=list(OVERLAPS.items()),
        initial="24",
        widget=UnfoldAdminRadioSelectWidget,
    )


@admin.register(Key)
class KeyAdmin(AuditedAdmin):
    area = Area.KEYS
    list_display = ["name", "shown_key", "shown_state", "tenant", "project", "user", "last_used_at", "expires_at"]
    list_filter = [StateFilter]
    list_select_related = ["tenant", "project", "user"]
    search_fields = ["public_id__startswith", "name__startswith"]
    search_help_text = "Beginning of the name, or of what follows weir_ in the key"
    ordering = ["-id"]
    autocomplete_fields = ["tenant", "project", "user"]
    actions = ["revoke_selected"]
    actions_detail = ["rotate", "revoke"]
    fieldsets = [
        (None, {"fields": ["name", "tenant", "project", "user", "expires_at"]}),
        ("Confined to (empty: not confined)", {"fields": ["models", "endpoints", "networks"]}),
        ("State", {"fields": ["shown_key", "shown_state", "last_used_at", "last_used_ip", "last_used_client"]}),
    ]
    readonly_fields = ["shown_key", "shown_state", "last_used_at", "last_used_ip", "last_used_client"]

    def get_fieldsets(self, request: HttpRequest, obj: Key | None = None) -> Any:
        return self.fieldsets if obj is not None else self.fieldsets[:-1]

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> Any:
        """A key stays its owner's; another owner gets another key."""
        return [*self.readonly_fields, "tenant", "user"] if obj is not None else self.readonly_fields

    @display(description="Key")
    def shown_key(self, key: Key) -> str:
        return f"weir_{key.public_id}…{key.last_four}"

    @display(description="State", label=STATES)
    def shown_state(self, key: Key) -> str:
        now = timezone.now()
        if key.revoked_at is not None:
            return "revoked"
        if key.expires_at is None or key.expires_at > now + SOON:
            return "active"
        return "expired" if key.expires_at <= now else "expires soon"

    # --- issue -------------------------------------------------------------------------------------------------

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        """The service's rules are told at the form, before anything is saved."""
        form = super().get_form(request, obj, change=change, **options)

        class Checked(form):  # type: ignore[valid-type, misc]  # Django makes the class at run time
            def clean(self) -> dict[str, Any]:
                values: dict[str, Any] = super().clean()
                project, tenant = values.get("project"), values.get("tenant") or self.instance.tenant_id
                if project is not None and project.tenant_id != getattr(tenant, "pk", tenant):
                    self.add_error("project", "This project belongs to another tenant.")
                expires = values.get("expires_at")
                if expires is not None and "expires_at" in self.changed_data and expires <= timezone.now():
                    self.add_error("expires_at", "This moment has passed.")
                return values

        return Checked

    def save_model(self, request: HttpRequest, obj: Key, form: ModelForm, change: bool) -> None:
        if change:
            services.update(obj, actor=request.user, **self.changes(obj, form.changed_data))
            return
        issued = services.issue(
            actor=request.user,
            tenant=obj.tenant,
            project=obj.project,
            user=obj.user,
            name=obj.name,
            models=obj.models,
            endpoints=obj.endpoints,
            networks=obj.networks,
            expires_at=obj.expires_at,
        )
        for field in Key._meta.concrete_fields:
            setattr(obj, field.attname, getattr(issued.key, field.attname))
        obj._state.adding = False
        request.issued = issued  # type: ignore[attr-defined]  # handed to response_add below, and to nobody else

    def response_add(self, request: HttpRequest, obj: Key, post_url_continue: str | None = None) -> HttpResponse:
        return self._shown_once(request, request.issued, title="Key issued")  # type: ignore[attr-defined]

    def _shown_once(self, request: HttpRequest, issued: services.Issued, *, title: str) -> HttpResponse:
        """The only page that ever holds the secret. It is not cached, and no message or session keeps it."""
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "key": issued.key,
            "plaintext": issued.plaintext,
            "base_url": settings.WEIR_BASE_URL,
        }
        response = TemplateResponse(request, "admin/keys/issued.html", context)
        response["Cache-Control"] = "no-store"
        return response

    # --- rotate and revoke -------------------------------------------------------------------------------------

    @action(description="Rotate", icon="autorenew", permissions=["change"])
    def rotate(self, request: HttpRequest, object_id: int) -> HttpResponse:
        key = Key.objects.select_related("tenant", "project").get(pk=object_id)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            overlap = datetime.timedelta(hours=int(form.cleaned_data["overlap"]))
            try:
                issued = services.rotate(key, actor=request.user, overlap=overlap)
            except ValidationError as error:
                form.add_error(None, error)
            else:
                return self._shown_once(request, issued, title="Key rotated")
        return self._asked(request, key, form=form, title=f"Rotate {key}", verb="Rotate")

    @action(description="Revoke", icon="block", permissions=["change"])
    def revoke(self, request: HttpRequest, object_id: int) -> HttpResponse:
        key = Key.objects.select_related("tenant", "project").get(pk=object_id)
        if request.method == "POST":
            services.revoke(key, actor=request.user)
            messages.success(request, f"{key} is revoked; every gateway refuses it within two seconds.")
            return HttpResponseRedirect(reverse("admin:keys_key_change", args=[object_id]))
        return self._asked(request, key, form=None, title=f"Revoke {key}", verb="Revoke")

    def _asked(self, request: HttpRequest, key: Key, *, form: Any, title: str, verb: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "verb": verb,
            "key": key,
            "form": form,
        }
        return TemplateResponse(request, "admin/keys/confirm.html", context)

    @admin.action(description="Revoke: calls stop within two seconds, for good")
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Key]) -> None:
        count = 0
        for key in queryset.filter(revoked_at=None):
            services.revoke(key, actor=request.user)
            count += 1
        messages.success(request, f"Revoked: {count}.")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Usage names it: revoke it."""
        return False
