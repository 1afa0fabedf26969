"""Tokens of the management API in the admin: one's own are issued here, and shown once; anybody's can be revoked."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminRadioSelectWidget

from apps.access import services
from apps.access.models import Token
from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.keys import handover

LIFETIMES = {"7": "7 days", "30": "30 days", "90": "90 days", "366": "1 year"}


class TokenForm(forms.ModelForm):
    lifetime = forms.ChoiceField(
        label="Works for", choices=list(LIFETIMES.items()), initial="90", widget=UnfoldAdminRadioSelectWidget
    )

    class Meta:
        model = Token
        fields = ["name", "scope", "tenant"]
        help_texts = {
            "name": "What it is for, so that whoever finds it here knows.",
            "scope": "It never does more than you may.",
            "tenant": "Confines it to this tenant, as a member of it. Empty: wherever you may.",
        }

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        days = int(values.get("lifetime", "90"))
        self.instance.expires_at = timezone.now() + datetime.timedelta(days=days) - datetime.timedelta(minutes=1)
        return values


@admin.register(Token)
class TokenAdmin(AuditedAdmin):
    area = Area.ACCOUNTS
    form = TokenForm
    list_display = ["name", "shown_token", "shown_state", "user", "shown_scope", "tenant", "shown_used", "shown_expiry"]
    list_filter = [*((name, RowFilter) for name in ("user", "tenant")), ("scope", ChoicesDropdownFilter)]
    list_select_related = ["user", "tenant"]
    search_fields = ["name__startswith", "public_id__startswith"]
    search_help_text = "Beginning of the name"
    ordering = ["-id"]
    autocomplete_fields = ["tenant"]
    actions_detail = ["revoke"]
    nothing_yet = "A token lets a program manage Weir by the API as its owner could. It is shown once."
    add_fieldsets = [(None, {"fields": ["name", "scope", "tenant", "lifetime"]})]
    fieldsets = [
        (None, {"fields": ["shown_state", "name", "user", "shown_scope", "tenant", "expires_at"]}),
        ("Uses", {"fields": ["shown_token", "used", "created_at"]}),
    ]
    readonly_fields = ["shown_state", "user", "shown_scope", "expires_at", "shown_token", "used", "created_at"]

    def get_fieldsets(self, request: HttpRequest, obj: Token | None = None) -> Any:
        return self.add_fieldsets if obj is None else self.fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Token | None = None) -> Any:
        return [] if obj is None else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """One that is issued stays as it is."""
        return not isinstance(obj, Token) and super().has_change_permission(request)

    def kept(self, obj: Token) -> str:
        return "The audit log names it: revoke it instead."

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Whoever has issued a token has to look at it next."""
        if not options.get("change"):
            context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **options)

    # --- columns -----------------------------------------------------------------------------------------------

    @display(description="Token")
    def shown_token(self, token: Token) -> str:
        return cells.code(f"{token.prefix}{token.last_four}")

    @display(description="State")
    def shown_state(self, token: Token) -> str:
        if token.revoked_at is not None:
            return cells.badge("revoked", "bad")
        return cells.badge("expired", "bad") if token.is_over else cells.badge("active", "good")

    @display(description="May", ordering="scope")
    def shown_scope(self, token: Token) -> str:
        return str(token.get_scope_display()).lower()

    @display(description="Last used")
    def shown_used(self, token: Token) -> str:
        return cells.ago(token.last_used_at, never="never")

    @display(description="Expires", ordering="expires_at")
    def shown_expiry(self, token: Token) -> str:
        return cells.ago(token.expires_at, never="never")

    @display(description="Last used")
    def used(self, token: Token) -> str:
        if token.last_used_at is None:
            return "never"
        return f"{cells.utc(token.last_used_at)}{f' from {token.last_used_ip}' if token.last_used_ip else ''}"

    # --- issue and revoke --------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Token, form: ModelForm, change: bool) -> None:
        told = {"name": obj.name, "scope": obj.scope, "tenant": obj.tenant, "expires_at": obj.expires_at}
        issued = services.issue(request.user, **told)  # type: ignore[arg-type]  # nobody else is signed in here
        obj.pk, obj._state.adding = issued.token.pk, False
        request.issued = issued  # type: ignore[attr-defined]  # handed to response_add below, and to nobody else

    def response_add(self, request: HttpRequest, obj: Token, post_url_continue: str | None = None) -> HttpResponse:
        page = reverse("admin:access_token_issued", args=[obj.pk])
        plaintext = request.issued.plaintext  # type: ignore[attr-defined]
        return handover.hand(request, plaintext, of=f"token {obj.pk}", title="Token issued", page=page)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.issued_view)
        return [path("<int:object_id>/issued/", view, name="access_token_issued"), *super().get_urls()]

    def issued_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The only page that ever holds the token, the first time that it is looked at. It is not cached."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        token = self._wanted(object_id)
        shown = handover.take(request, of=f"token {token.pk}")
        plaintext = shown.plaintext if shown is not None else ""
        context = {"title": "Token issued" if shown is not None else "Shown already", "plaintext": plaintext}
        response = self._page(request, "issued", {**context, "object": token, "token": token})
        response["Cache-Control"] = "no-store"
        if shown is not None:
            handover.forget(response, page=request.path)
        return response

    @action(description="Revoke", icon="block", permissions=["revoke"])
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        token = self._wanted(object_id)
        if request.method == "POST":
            services.revoke(token, actor=request.user)
            messages.success(request, f"{token} is revoked.")
            return HttpResponseRedirect(reverse("admin:access_token_change", args=[token.pk]))
        return self._page(request, "revoke", {"title": f"Revoke {token.name}", "object": token, "token": token})

    def has_revoke_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("access.change_token"))

    def _wanted(self, object_id: str | int) -> Token:
        try:
            return Token.objects.select_related("user", "tenant").get(pk=object_id)
        except (Token.DoesNotExist, ValueError):
            raise Http404 from None

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/access/{name}.html", whole)
