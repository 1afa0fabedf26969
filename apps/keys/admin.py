"""Keys in the admin: issued, rotated and revoked by the services. A secret is shown once, on a page of its own."""

from __future__ import annotations

import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from unfold.contrib.filters.admin import RadioFilter
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.catalog import clients
from apps.keys import grant_pages, handover, issuer_pages, panels, selectors, services
from apps.keys.forms import IssueForm, KeyForm, RevokeForm, RotateForm
from apps.keys.models import Key, KeySecret
from apps.keys.several import Several

__all__ = ["KeyAdmin", "grant_pages", "issuer_pages", "panels"]
SENSELESS = {"revoked": ("rotate", "revoke"), "expired": ("rotate",)}


MONTH = "month"


class StateFilter(RadioFilter):
    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [*selectors.STATES.items(), (MONTH, "Expires within 30 days")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Key]) -> QuerySet[Key]:
        now = timezone.now()
        if self.value() == MONTH:
            return panels.ending(queryset, now=now)
        return selectors.in_state(queryset, self.value() or "", now=now)


@admin.register(Key)
class KeyAdmin(Several, AuditedAdmin):
    area = Area.KEYS
    form = KeyForm
    updated_by = staticmethod(services.update)
    list_display = ["name", "shown_key", "shown_state", "shown_project", "user", "shown_used", "shown_expiry"]
    list_filter = [StateFilter, *((name, RowFilter) for name in ("tenant", "project", "user"))]
    list_select_related = ["tenant", "project", "user"]
    search_fields = ["public_id__startswith", "name__startswith"]
    search_help_text = "Beginning of the name, or of the key itself"
    ordering = ["-id"]
    sortable_by = ["name", "shown_expiry"]  # what there is an index for
    downloaded = (
        *(("name", "name"), ("key", "public_id"), ("last_four", "last_four"), ("state", panels.word)),
        *(("tenant", "tenant.name"), ("project", "project.name"), ("user", "user.username")),
        *(("created", "created_at"), ("last_used", "last_used_at")),
        *(("expires", "expires_at"), ("revoked", "revoked_at")),
    )
    autocomplete_fields = ["project", "user"]
    actions = ["move_selected", "expire_selected", "rotate_selected", "revoke_selected"]
    actions_detail = ["rotate", "revoke"]
    nothing_yet = "A key is what a person or a program calls with. It is shown once, when it is issued."
    confined = ("Confined to", {"fields": ["models", "endpoints", "networks", "priority"], "classes": ["collapse"]})
    add_fieldsets = [(None, {"fields": ["name", "project", "user", "lifetime", "expires_at"]}), confined]
    fieldsets = [
        (None, {"fields": ["standing", "name", "tenant", "project", "user", "expires_at"]}),
        ("Confined to", {"fields": ["models", "endpoints", "networks", "priority"]}),
        ("Uses and secrets", {"fields": ["shown_key", "used", "issued", "secrets"]}),
    ]
    readonly_fields = ["standing", "tenant", "user", "shown_key", "used", "issued", "secrets"]

    class Media:
        js = ["admin/lifetime.js"]

    def get_readonly_fields(self, request: HttpRequest, obj: Key | None = None) -> Any:
        """A key stays its owner's; another owner gets another key."""
        return self.readonly_fields if obj is not None else []

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        return super().get_form(request, obj, change=change, **({} if change else {"form": IssueForm}), **options)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        """A key pasted whole is found by its public part; the rest of it is not searched for."""
        term = search_term.strip()
        if term.startswith("weir_"):
            term = term.removeprefix("weir_").partition("_")[0]
        return super().get_search_results(request, queryset, term)

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Whoever has issued a key has to look at it next."""
        if not options.get("change"):
            context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **options)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A revoked key is looked at, and stays as it was."""
        is_over = isinstance(obj, Key) and obj.revoked_at is not None
        return not is_over and super().has_change_permission(request, obj)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> list[Any]:
        """What can be done to a key in its state."""
        key = self.get_object(request, str(object_id))
        senseless = SENSELESS.get(selectors.state(key, now=timezone.now()), ()) if key is not None else ()
        return [offered for offered in super().get_actions_detail(request, object_id) if offered.path not in senseless]

    # --- columns -----------------------------------------------------------------------------------------------

    @display(description="Key")
    def shown_key(self, key: Key) -> str:
        return cells.code(f"weir_{key.public_id}…{key.last_four}")

    @display(description="State")
    def shown_state(self, key: Key) -> str:
        return panels.badge(key)

    @display(description="State")
    def standing(self, key: Key) -> str:
        """First on the key's page, with the moment of an end that has come."""
        since = key.revoked_at or (None if selectors.works(key, now=timezone.now()) else key.expires_at)
        return (
            self.shown_state(key)
            if since is None
            else cells.lines([self.shown_state(key), f"since {cells.utc(since)}"])
        )

    @display(description="Project", ordering="project")
    def shown_project(self, key: Key) -> str:
        return f"{key.tenant} / {key.project}"

    @display(description="Last used", ordering="last_used_at")
    def shown_used(self, key: Key) -> str:
        return cells.ago(key.last_used_at, never="never")

    @display(description="Expires", ordering="expires_at")
    def shown_expiry(self, key: Key) -> str:
        return cells.ago(key.expires_at, never="never")

    @display(description="Last used")
    def used(self, key: Key) -> str:
        if key.last_used_at is None:
            return "never"
        whence = f" from {key.last_used_ip}" if key.last_used_ip else ""
        client = f" by {key.last_used_client}" if key.last_used_client else ""
        return f"{cells.utc(key.last_used_at)}{whence}{client}"

    @display(description="Issued")
    def issued(self, key: Key) -> str:
        return f"{cells.utc(key.created_at)} by {key.created_by or 'the system'}"

    @display(description="Secrets")
    def secrets(self, key: Key) -> str:
        now = timezone.now()
        rows = [
            (cells.code(str(secret)), cells.stamp(secret.created_at), _fate(secret, now=now))
            for secret in key.secrets.all()[:10]
        ]
        return cells.table(("Secret", "Made (UTC)", "State"), rows)

    # --- issue -------------------------------------------------------------------------------------------------

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
            priority=obj.priority,
            expires_at=obj.expires_at,
        )
        for field in Key._meta.concrete_fields:
            setattr(obj, field.attname, getattr(issued.key, field.attname))
        obj._state.adding = False
        request.issued = issued  # type: ignore[attr-defined]  # handed to response_add below, and to nobody else

    def response_add(self, request: HttpRequest, obj: Key, post_url_continue: str | None = None) -> HttpResponse:
        return self._hand_over(request, request.issued, title="Key issued")  # type: ignore[attr-defined]

    def _hand_over(self, request: HttpRequest, issued: services.Issued, *, title: str) -> HttpResponse:
        return handover.send(request, issued, title=title, page=reverse("admin:keys_key_issued", args=[issued.key.pk]))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.issued_view)
        return [path("<int:object_id>/issued/", view, name="keys_key_issued"), *super().get_urls()]

    def issued_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The only page that ever holds the secret, the first time that it is looked at. It is not cached."""
        if not (self.has_add_permission(request) or self.has_change_permission(request)):
            raise PermissionDenied
        key = self._wanted(object_id)
        shown = handover.receive(request, key_id=key.pk)
        context = {
            "title": shown.title if shown is not None else "Shown already",
            "object": key,
            "key": key,
            "plaintext": shown.plaintext if shown is not None else "",
            "can_rotate": self.has_change_permission(request) and selectors.works(key, now=timezone.now()),
            "snippets": [] if shown is None else _snippets(shown.plaintext),
        }
        response = self._page(request, "issued", context)
        response["Cache-Control"] = "no-store"
        if shown is not None:
            handover.forget(response, page=request.path)
        return response

    def _page(self, request: HttpRequest, name: str, context: dict[str, Any]) -> HttpResponse:
        whole = {**self.admin_site.each_context(request), "opts": self.opts, **context}
        return TemplateResponse(request, f"admin/keys/{name}.html", whole)

    # --- rotate and revoke -------------------------------------------------------------------------------------

    @action(description="Rotate", icon="autorenew", permissions=["change"])
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._wanted(object_id)
        form = RotateForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            overlap = datetime.timedelta(hours=int(form.cleaned_data["overlap"]))
            try:
                issued = services.rotate(key, actor=request.user, overlap=overlap)
            except ValidationError as error:
                form.add_error(None, error)
            else:
                return self._hand_over(request, issued, title="Key rotated")
        return self._page(request, "rotate", {"title": f"Rotate {key.name}", "object": key, "key": key, "form": form})

    @action(description="Revoke", icon="block", permissions=["change"])
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        key = self._wanted(object_id)
        form = RevokeForm(request.POST or None, word=key.name)
        if request.method == "POST" and form.is_valid():
            services.revoke(key, actor=request.user)
            messages.success(request, f"{key} is revoked; every gateway refuses it within two seconds.")
            return HttpResponseRedirect(reverse("admin:keys_key_change", args=[object_id]))
        return self._page(request, "revoke", {"title": f"Revoke {key.name}", "object": key, "key": key, "form": form})

    def _wanted(self, object_id: str | int) -> Key:
        try:
            return Key.objects.select_related("tenant", "project").get(pk=object_id)
        except (Key.DoesNotExist, ValueError):
            raise Http404 from None

    def kept(self, obj: Key) -> str:
        return "The ledger names this key: revoke it instead."


def _snippets(plaintext: str) -> list[clients.Snippet]:
    return clients.snippets(clients.Target(base=settings.WEIR_BASE_URL.rstrip("/"), key=plaintext))


def _fate(secret: KeySecret, *, now: datetime.datetime) -> str:
    if secret.revoked_at is not None:
        return f"ended {cells.utc(secret.revoked_at)}"
    if secret.expires_at is not None:
        return f"{'ended' if secret.expires_at <= now else 'works until'} {cells.utc(secret.expires_at)}"
    return "works"
