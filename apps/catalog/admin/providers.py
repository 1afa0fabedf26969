"""Providers with their credentials, and the private networks that they may lie in."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest
from django.utils import timezone
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.forms import named
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin, Inline
from apps.catalog import history, services
from apps.catalog.admin.checks import Checks, HealthFilter
from apps.catalog.admin.connection import Connection
from apps.catalog.admin.deployments import DeploymentInline
from apps.catalog.admin.presets import Presets, chosen, with_options
from apps.catalog.admin.switched import IS_ENABLED, Switched, counts
from apps.catalog.forms import CredentialForm
from apps.catalog.inventory import why_kept
from apps.catalog.models import AllowedNetwork, Credential, Deployment, Provider
from apps.catalog.provider_forms import CHECKS, ProviderForm, option_names
from apps.domain.providers import registry


class CredentialInline(Inline):
    model = Credential
    form = CredentialForm
    fields = ["alias", "secret", "shown_secret", "tenant", "weight", "is_enabled"]
    readonly_fields = ["shown_secret"]
    autocomplete_fields = ["tenant"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Credential]:
        rows: QuerySet[Credential] = super().get_queryset(request)
        return rows.select_related("tenant", "provider")

    @display(description="Kept")
    def shown_secret(self, credential: Credential) -> str:
        if not credential.ciphertext:
            return "no secret" if credential.pk else cells.NOTHING
        return cells.code(f"•••{credential.last_four}")


class DeploymentOfProvider(DeploymentInline):
    fields = ["model", "upstream_model", "priority", "weight", "is_enabled"]
    autocomplete_fields = ["model"]


def save_credentials(formset: BaseModelFormSet, *, actor: Any) -> None:
    """Secrets are sealed by the service; a formset would not know how."""
    formset.save(commit=False)
    for form in formset.forms:
        if form in formset.deleted_forms or not form.has_changed():
            continue
        with named(form.instance):
            _save_credential(form, actor=actor)
    for row in formset.deleted_objects:
        with named(row):
            services.delete_credential(row, actor=actor)


def _save_credential(form: Any, *, actor: Any) -> None:
    row, secret = form.instance, form.cleaned_data.get("secret") or None
    changes = {name: getattr(row, name) for name in form.changed_data if name in ("alias", "weight", "is_enabled")}
    if row._state.adding:
        made = services.create_credential(
            row.provider, actor=actor, alias=row.alias, secret=secret, tenant=row.tenant, weight=row.weight
        )
        if not row.is_enabled:
            services.disable_credential(made, actor=actor)
        return
    if changes:
        services.update_credential(row, actor=actor, **changes)
    if secret is not None:
        services.set_secret(row, actor=actor, secret=secret)


@admin.register(Provider)
class ProviderAdmin(Presets, Checks, Connection, Switched):
    form = ProviderForm
    updated_by = staticmethod(services.update_provider)
    list_display = [
        *("name", "vendor", "shown_health", "shown_day", "shown_state", cells.column("base_url", "Base URL")),
        *("deployments", "credentials"),
    ]
    list_filter = [("vendor", ChoicesDropdownFilter), IS_ENABLED, HealthFilter]
    search_fields = ["name__istartswith", "base_url__icontains"]
    search_help_text = "Beginning of the name, or part of the address"
    inlines = [CredentialInline, DeploymentOfProvider]
    actions = ["check_chosen", *Switched.actions]
    actions_detail = ["test_connection", "check_now"]
    health = ["shown_health", "shown_checked", "last_check_message", "shown_history", "shown_calls"]
    readonly_fields = health
    nothing_yet = "A provider is where models are called: Anthropic, OpenAI, or anyone who speaks as they do."
    about = ["name", "vendor", "protocol", "base_url"]
    patience = ["connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout", "on_disconnect"]
    fieldsets = [
        (None, {"fields": [*about, "is_enabled", "tags", "region"]}),
        ("Health", {"fields": health, "classes": ["tab"]}),
        ("Patience", {"fields": patience, "classes": ["tab"]}),
        ("Checks", {"fields": CHECKS, "classes": ["tab"]}),
    ]

    class Media:
        js = ["admin/provider.js"]

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        """What the vendor asks for besides is a field of the form; who may only look sees the column."""
        if obj is None:
            vendor = chosen(request)
            return self.add_fieldsets(request, vendor) if vendor is not None else self.fieldsets
        vendor = registry.VENDORS[obj.vendor]
        may_change = self.has_change_permission(request, obj)
        named = option_names(vendor) if may_change else ["options"] if vendor.options else []
        told = [(None, {"fields": [*self.about, *named, "is_enabled", "tags", "region"]}), *self.fieldsets[1:]]
        if "openai_chat" in vendor.protocols:
            told.append(("Dialect", {"fields": ["quirks"], "classes": ["tab"]}))
        return told

    def get_inlines(self, request: HttpRequest, obj: Provider | None) -> list[Any]:
        return self.inlines if obj is not None else []

    def complete(self, rows: list[Provider]) -> None:
        """Three queries for the whole page."""
        deployments = counts(Deployment.objects, rows, by="provider")
        usable = counts(Credential.objects.filter(is_enabled=True).exclude(ciphertext=""), rows, by="provider")
        days = history.day([row.pk for row in rows], now=timezone.now())
        for row in rows:
            row.day = days[row.pk]  # type: ignore[attr-defined]
            row.counted = (deployments.get(row.pk, 0), usable.get(row.pk, 0))  # type: ignore[attr-defined]

    @display(description="Deployments")
    def deployments(self, provider: Any) -> str:
        return cells.number(provider.counted[0])

    @display(description="Usable credentials")
    def credentials(self, provider: Any) -> str:
        return cells.number(provider.counted[1])

    def kept(self, obj: Provider) -> str:
        return why_kept(obj)

    # --- writing -----------------------------------------------------------------------------------------------

    def save_model(self, request: HttpRequest, obj: Provider, form: ModelForm, change: bool) -> None:
        if not change:
            super().save_model(request, obj, form, change)
            self.add(request, obj, form)
            return
        changes = with_options(self.changes(obj, form.changed_data), names=form.changed_data, provider=obj)
        before = Provider.objects.get(pk=obj.pk).origin
        services.update_provider(obj, actor=request.user, **changes)
        form.has_moved = obj.origin != before

    def save_related(self, request: HttpRequest, form: Any, formsets: list[Any], change: bool) -> None:
        """Said when nothing can be refused any more, and of secrets that were not typed anew on the same page."""
        super().save_related(request, form, formsets, change)
        if change and form.has_moved and (empty := form.instance.credentials.filter(ciphertext="").count()):
            messages.warning(request, f"The address is another one. Credentials without a secret now: {empty}.")

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        if formset.model is Credential:
            save_credentials(formset, actor=request.user)
        else:
            super().save_formset(request, form, formset, change)

    def switch(self, row: Provider, *, actor: Any, on: bool) -> None:
        services.update_provider(row, actor=actor, is_enabled=on)


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(AuditedAdmin):
    area = Area.CATALOG
    list_display = ["cidr", "note", "shown_created"]
    search_fields = ["cidr__startswith", "note__icontains"]
    nothing_yet = "Providers in private networks are refused until their range is opened here."
    fieldsets = [
        (
            None,
            {
                "fields": ["cidr", "note"],
                "description": "A private range that providers may lie in. Whoever edits providers reaches all of it.",
            },
        )
    ]

    @display(description="Opened", ordering="created_at")
    def shown_created(self, network: AllowedNetwork) -> str:
        return cells.ago(network.created_at)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Another range is another row."""
        return not isinstance(obj, AllowedNetwork) and super().has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: AllowedNetwork, form: ModelForm, change: bool) -> None:
        made = services.allow_network(actor=request.user, cidr=obj.cidr, note=obj.note)
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        services.forbid_network(obj, actor=request.user)
