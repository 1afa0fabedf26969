"""Providers, models and prices in the admin. Everything is written by the services, so that it is recorded."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import Count, Max, OuterRef, QuerySet, Subquery
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.timesince import timesince
from unfold.decorators import action, display

from apps.audit.admin import AuditedAdmin, Inline
from apps.audit.models import Area
from apps.catalog import health, services
from apps.catalog.forms import CredentialForm, PriceForm
from apps.catalog.models import AllowedNetwork, Credential, Deployment, Model, Price, Provider
from apps.domain import money

ENABLED = {"enabled": "success", "disabled": "danger"}


class Switched(AuditedAdmin):
    """Rows with an `is_enabled`, switched by the service named in `update`."""

    area = Area.CATALOG
    actions = ["enable", "disable"]

    @display(description="State", ordering="is_enabled", label=ENABLED)
    def shown_state(self, row: Any) -> str:
        return "enabled" if row.is_enabled else "disabled"

    def switch(self, row: Any, *, actor: Any, on: bool) -> None:
        raise NotImplementedError

    @admin.action(description="Enable")
    def enable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.switch(row, actor=request.user, on=True)

    @admin.action(description="Disable")
    def disable(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        for row in queryset:
            self.switch(row, actor=request.user, on=False)


class CredentialInline(Inline):
    model = Credential
    form = CredentialForm
    fields = ["alias", "secret", "shown_secret", "tenant", "weight", "is_enabled"]
    readonly_fields = ["shown_secret"]
    autocomplete_fields = ["tenant"]

    @display(description="Kept")
    def shown_secret(self, credential: Credential) -> str:
        if not credential.ciphertext:
            return "no secret" if credential.pk else "—"
        return f"•••{credential.last_four}"


class DeploymentOfProvider(Inline):
    model = Deployment
    fields = ["model", "upstream_model", "priority", "weight", "is_enabled"]
    autocomplete_fields = ["model"]
    show_change_link = True


class DeploymentOfModel(Inline):
    model = Deployment
    fields = ["provider", "upstream_model", "priority", "weight", "is_enabled"]
    autocomplete_fields = ["provider"]
    show_change_link = True


def save_credentials(formset: BaseModelFormSet, *, actor: Any) -> None:
    """Secrets are sealed by the service; a formset would not know how."""
    formset.save(commit=False)
    for form in formset.forms:
        if form in formset.deleted_forms or not form.has_changed():
            continue
        row, secret = form.instance, form.cleaned_data.get("secret") or None
        if row._state.adding:
            services.create_credential(
                row.provider, actor=actor, alias=row.alias, secret=secret, tenant=row.tenant, weight=row.weight
            )
            continue
        changes = {name: getattr(row, name) for name in form.changed_data if name in ("alias", "weight", "is_enabled")}
        if changes:
            services.update_credential(row, actor=actor, **changes)
        if secret is not None:
            services.set_secret(row, actor=actor, secret=secret)
    for row in formset.deleted_objects:
        services.delete_credential(row, actor=actor)


@admin.register(Provider)
class ProviderAdmin(Switched):
    list_display = ["name", "vendor", "shown_health", "shown_state", "base_url", "deployments", "credentials"]
    list_filter = ["vendor", "is_enabled", "is_healthy"]
    search_fields = ["name__startswith", "base_url__contains"]
    inlines = [CredentialInline, DeploymentOfProvider]
    actions_detail = ["test_connection"]
    readonly_fields = ["shown_health", "last_checked_at", "last_check_message"]
    fieldsets = [
        (None, {"fields": ["name", "vendor", "protocol", "base_url", "is_enabled", "tags"]}),
        ("Health", {"fields": ["shown_health", "last_checked_at", "last_check_message"], "classes": ["tab"]}),
        (
            "Behaviour",
            {
                "fields": [
                    "on_disconnect",
                    ("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"),
                    ("check_interval_seconds", "max_failures"),
                ],
                "classes": ["tab"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        rows: QuerySet[Provider] = super().get_queryset(request)
        return rows.annotate(
            deployment_count=Count("deployments", distinct=True), credential_count=Count("credentials", distinct=True)
        )

    @display(description="Deployments", ordering="deployment_count")
    def deployments(self, provider: Any) -> int:
        return int(provider.deployment_count)

    @display(description="Credentials", ordering="credential_count")
    def credentials(self, provider: Any) -> int:
        return int(provider.credential_count)

    @display(description="Health", ordering="is_healthy", label={"up": "success", "down": "danger", "unknown": "info"})
    def shown_health(self, provider: Provider) -> tuple[str, str]:
        if provider.last_checked_at is None:
            return "unknown", "not checked yet"
        state = "up" if provider.is_healthy else "down"
        return state, f"{state} · {provider.last_check_ms or 0} ms · {timesince(provider.last_checked_at, depth=1)} ago"

    def save_model(self, request: HttpRequest, obj: Provider, form: ModelForm, change: bool) -> None:
        if change:
            services.update_provider(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    def save_formset(self, request: HttpRequest, form: Any, formset: BaseModelFormSet, change: bool) -> None:
        if formset.model is Credential:
            save_credentials(formset, actor=request.user)
        else:
            super().save_formset(request, form, formset, change)

    def switch(self, row: Provider, *, actor: Any, on: bool) -> None:
        services.update_provider(row, actor=actor, is_enabled=on)

    @action(description="Test connection", icon="bolt", permissions=["change"])
    def test_connection(self, request: HttpRequest, object_id: int) -> HttpResponse:
        provider = Provider.objects.get(pk=object_id)
        result = health.check_provider(provider)
        found = f" {len(result.models)} models." if result.models else ""
        level = messages.SUCCESS if result.ok else messages.ERROR
        messages.add_message(request, level, f"{provider}: {result.message} ({result.milliseconds} ms).{found}")
        return HttpResponseRedirect(reverse("admin:catalog_provider_change", args=[object_id]))

    def has_test_connection_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self.has_change_permission(request)


@admin.register(Model)
class ModelPage(Switched):
    list_display = ["name", "display_name", "shown_state", "deployments", "offered_to", "context_tokens"]
    list_filter = ["is_enabled"]
    search_fields = ["name__startswith", "display_name__startswith"]
    autocomplete_fields = ["tenants"]
    inlines = [DeploymentOfModel]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows: QuerySet[Model] = super().get_queryset(request)
        return rows.annotate(
            deployment_count=Count("deployments", distinct=True), tenant_count=Count("tenants", distinct=True)
        )

    @display(description="Deployments", ordering="deployment_count")
    def deployments(self, model: Any) -> int:
        return int(model.deployment_count)

    @display(description="Offered to", ordering="tenant_count")
    def offered_to(self, model: Any) -> str:
        return f"{model.tenant_count} tenants" if model.tenant_count else "everyone"

    def save_related(self, request: HttpRequest, form: Any, formsets: list[Any], change: bool) -> None:
        services.set_tenants(form.instance, actor=request.user, tenants=form.cleaned_data.get("tenants", []))
        for formset in formsets:
            self.save_formset(request, form, formset, change=change)

    def switch(self, row: Model, *, actor: Any, on: bool) -> None:
        services.update_model(row, actor=actor, is_enabled=on)


class PriceInline(Inline):
    """Prices in force are history; a new one is a new row."""

    model = Price
    fields = ["effective_from", "shown_input", "shown_output", "shown_cache_read"]
    readonly_fields = fields
    ordering = ["-effective_from"]
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Input, $ per 1M")
    def shown_input(self, price: Price) -> str:
        return money.text(price.input)

    @display(description="Output, $ per 1M")
    def shown_output(self, price: Price) -> str:
        return money.text(price.output)

    @display(description="Cache read, $ per 1M")
    def shown_cache_read(self, price: Price) -> str:
        return money.text(price.cache_read)


@admin.register(Deployment)
class DeploymentAdmin(Switched):
    list_display = ["model", "provider", "upstream_model", "shown_state", "priority", "weight", "price"]
    list_filter = ["is_enabled", "provider"]
    list_select_related = ["model", "provider"]
    search_fields = ["model__name__startswith", "upstream_model__startswith"]
    autocomplete_fields = ["model", "provider"]
    inlines = [PriceInline]
    actions_detail = ["add_price"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        rows: QuerySet[Deployment] = super().get_queryset(request)
        current = Price.objects.filter(deployment=OuterRef("pk"), effective_from__lte=timezone.now())
        newest = current.order_by("-effective_from")
        return rows.annotate(
            input_price=Subquery(newest.values("input")[:1]), output_price=Subquery(newest.values("output")[:1])
        )

    @display(description="$ per 1M, in / out", label={"none": "danger"})
    def price(self, deployment: Any) -> Any:
        if deployment.input_price is None:
            return "none", "no price"
        return f"{money.text(deployment.input_price)} / {money.text(deployment.output_price)}"

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Usage names it: disable it."""
        return False

    def switch(self, row: Deployment, *, actor: Any, on: bool) -> None:
        services.update_deployment(row, actor=actor, is_enabled=on)

    @action(description="Set a new price", icon="sell", permissions=["change"])
    def add_price(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:catalog_price_add')}?deployment={object_id}")


@admin.register(Price)
class PriceAdmin(AuditedAdmin):
    area = Area.CATALOG
    form = PriceForm
    list_display = ["deployment", "effective_from", "shown_input", "shown_output", "in_force"]
    list_select_related = ["deployment__model", "deployment__provider"]
    search_fields = ["deployment__model__name__startswith"]
    autocomplete_fields = ["deployment"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        rows: QuerySet[Price] = super().get_queryset(request)
        siblings = Price.objects.filter(deployment=OuterRef("deployment"), effective_from__lte=timezone.now())
        newest = siblings.order_by().values("deployment").annotate(newest=Max("effective_from")).values("newest")
        return rows.annotate(newest=Subquery(newest))

    @display(description="Input, $ per 1M", ordering="input")
    def shown_input(self, price: Price) -> str:
        return money.text(price.input)

    @display(description="Output, $ per 1M", ordering="output")
    def shown_output(self, price: Price) -> str:
        return money.text(price.output)

    @display(description="State", label={"in force": "success", "to come": "info", "past": "default"})
    def in_force(self, price: Any) -> str:
        if price.effective_from > timezone.now():
            return "to come"
        return "in force" if price.effective_from == price.newest else "past"

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"effective_from": timezone.now(), **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Price, form: ModelForm, change: bool) -> None:
        price = services.set_price(
            obj.deployment,
            actor=request.user,
            effective_from=obj.effective_from,
            input=obj.input,
            output=obj.output,
            cache_read=obj.cache_read,
            cache_write_5m=obj.cache_write_5m,
            cache_write_1h=obj.cache_write_1h,
        )
        obj.pk = price.pk
        obj._state.adding = False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A price that is set stays as it is."""
        return obj is None and super().has_change_permission(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(AllowedNetwork)
class AllowedNetworkAdmin(AuditedAdmin):
    area = Area.CATALOG
    list_display = ["cidr", "note", "created_at"]
    search_fields = ["cidr__startswith"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return obj is None and super().has_change_permission(request)
