"""Models that callers ask for, and where they are served."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.pages import Inline
from apps.audit.rows import RowFilter
from apps.catalog import forms, selectors, services
from apps.catalog.admin.deployments import DeploymentInline
from apps.catalog.admin.prices import PriceInline
from apps.catalog.admin.standing import BreakerFilter, Standing
from apps.catalog.admin.switched import IS_ENABLED, Switched, counts
from apps.catalog.forms import DeploymentForm, FallbackForm, ModelForm
from apps.catalog.inventory import why_kept
from apps.catalog.models import Deployment, Fallback, Model, Price
from apps.domain import money

UNPRICED = "{} has no price: no call that a budget pays for goes there, and others are booked at 0. Set one at {}."


class DeploymentOfModel(DeploymentInline):
    fields = ["provider", "upstream_model", "priority", "weight", "is_enabled"]
    autocomplete_fields = ["provider"]

    def get_extra(self, request: HttpRequest, obj: Model | None = None, **options: Any) -> int:
        return 1 if obj is None else 0


class FallbackOfModel(Inline):
    model = Fallback
    form = FallbackForm
    fk_name = "model"
    fields = ["target", "position"]
    autocomplete_fields = ["target"]
    verbose_name_plural = "fallbacks"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Fallback]:
        rows: QuerySet[Fallback] = super().get_queryset(request)
        return rows.select_related("model", "target")


@admin.register(Model)
class ModelPage(Switched):
    form = ModelForm
    transfer = "models"
    updated_by = staticmethod(services.update_model)
    list_display = ["name", "shown_state", "shown_aliases", "deployments", "offered_to", "context"]
    list_filter = [IS_ENABLED]
    search_fields = ["name__icontains", "display_name__icontains"]
    search_help_text = "Part of the name"
    autocomplete_fields = ["tenants"]
    inlines = [DeploymentOfModel, FallbackOfModel]
    readonly_fields = ["comes_to"]
    nothing_yet = "A model is a name that callers ask for; its deployments say which provider answers."
    fieldsets = [
        (None, {"fields": ["name", "display_name", "aliases", "is_enabled"]}),
        ("Who may call", {"fields": ["tenants", "networks"]}),
        ("Size", {"fields": ["context_tokens", "max_output_tokens"]}),
        ("Routing", {"fields": ["strategy", "is_sticky", "comes_to"]}),
        ("Abilities", {"fields": ["capabilities"], "classes": ["collapse"]}),
    ]

    def complete(self, rows: list[Model]) -> None:
        """Three queries for the whole page."""
        deployments = counts(Deployment.objects.filter(is_enabled=True), rows, by="model")
        fallbacks = counts(Fallback.objects, rows, by="model")
        tenants = counts(Model.tenants.through.objects, rows, by="model_id")
        for row in rows:
            counted = (deployments.get(row.pk, 0), fallbacks.get(row.pk, 0), tenants.get(row.pk, 0))
            row.counted = counted  # type: ignore[attr-defined]

    @display(description="Also known as")
    def shown_aliases(self, model: Model) -> str:
        return cells.words(model.aliases)

    @display(description="Deployments")
    def deployments(self, model: Any) -> str:
        """A virtual model has none of its own, and another that has none answers nobody."""
        own, fallbacks, _ = model.counted
        return cells.amount(f"{own:,}" if own else "virtual" if fallbacks else cells.badge("none", "bad"))

    @display(description="Offered to")
    def offered_to(self, model: Any) -> str:
        count = model.counted[2]
        return f"{count:,} tenant{'s' if count > 1 else ''}" if count else "everyone"

    @display(description="Context", ordering="context_tokens")
    def context(self, model: Model) -> str:
        return cells.number(model.context_tokens)

    @display(description="Comes to")
    def comes_to(self, model: Model) -> SafeString | str:
        """Where its calls go, fallbacks and all."""
        found = selectors.stand_ins(model) if model.pk is not None else []
        if not found:
            return cells.NOTHING
        rows = [(cells.number(row.tier), row.model.name, row.provider.name, row.upstream_model) for row in found]
        return cells.table(("Tier", "Model", "Provider", "Upstream model"), rows)

    def kept(self, obj: Model) -> str:
        return why_kept(obj)

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        if change:
            services.update_model(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: list[Any], change: bool) -> None:
        services.set_tenants(form.instance, actor=request.user, tenants=form.cleaned_data.get("tenants", []))
        for formset in formsets:
            self.save_formset(request, form, formset, change=change)
        for deployment in selectors.unpriced(form.instance):
            page = reverse("admin:catalog_deployment_change", args=[deployment.pk])
            messages.warning(request, format_html(UNPRICED, deployment, cells.link(page, "the deployment")))

    def switch(self, row: Model, *, actor: Any, on: bool) -> None:
        services.update_model(row, actor=actor, is_enabled=on)


@admin.register(Deployment)
class DeploymentAdmin(Standing, Switched):
    form = DeploymentForm
    transfer = "deployments"
    updated_by = staticmethod(services.update_deployment)
    list_display = [
        *("model", "shown_provider", "shown_state"),
        *("shown_breaker", "shown_measures", "shown_room", "shown_priority", "price"),
    ]
    list_filter = [("model", RowFilter), ("provider", RowFilter), BreakerFilter, IS_ENABLED]
    search_fields = ["model__name__icontains", "upstream_model__icontains", "provider__name__istartswith"]
    search_help_text = "Part of the model's name, or beginning of the provider's"
    autocomplete_fields = ["model", "provider"]
    inlines = [PriceInline]
    actions = [*Switched.actions, "reset_breakers"]
    actions_detail = ["add_price", "reset_breaker"]
    fieldsets = [
        (None, {"fields": ["model", "provider", "upstream_model", "protocol", "is_enabled"]}),
        ("Routing", {"fields": forms.ROUTING, "classes": ["tab"]}),
        ("Abilities", {"fields": forms.ABILITIES, "classes": ["tab"]}),
        ("Room", {"fields": forms.ROOM, "classes": ["tab"]}),
        ("Patience", {"fields": forms.PATIENCE, "classes": ["tab"]}),
        ("Circuit breaker", {"fields": forms.BREAKER, "classes": ["tab"]}),
    ]
    nothing_yet = "A deployment says that a model is served by a provider, and under which name."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Deployment]:
        rows: QuerySet[Deployment] = super().get_queryset(request)
        current = Price.objects.filter(deployment=OuterRef("pk"), effective_from__lte=timezone.now())
        newest = current.order_by("-effective_from", "-pk")
        return rows.select_related("model", "provider").annotate(
            input_price=Subquery(newest.values("input")[:1]), output_price=Subquery(newest.values("output")[:1])
        )

    @display(description="Provider", ordering="provider")
    def shown_provider(self, deployment: Deployment) -> str:
        """And what it calls the model, where that is not its name."""
        called = deployment.upstream_model
        names = [deployment.provider, *([called] if called != deployment.model.name else [])]
        return cells.lines(names)

    @display(description="Priority", ordering="priority")
    def shown_priority(self, deployment: Deployment) -> str:
        return cells.number(deployment.priority)

    @display(description="$ per 1M, in / out")
    def price(self, deployment: Any) -> str:
        if deployment.input_price is None:
            return cells.amount(cells.badge("no price", "bad"))
        return cells.amount(f"{money.exact(deployment.input_price)} / {money.exact(deployment.output_price)}")

    def get_readonly_fields(self, request: HttpRequest, obj: Deployment | None = None) -> Any:
        """Another model or provider is another deployment."""
        return ["model", "provider", "shown_standing"] if obj is not None else []

    def get_fieldsets(self, request: HttpRequest, obj: Deployment | None = None) -> Any:
        (name, first), *others = self.fieldsets
        told = [*first["fields"], "shown_standing"]
        return self.fieldsets if obj is None else [(name, {"fields": told}), *others]

    def kept(self, obj: Deployment) -> str:
        return "The ledger names it: disable it instead."

    def switch(self, row: Deployment, *, actor: Any, on: bool) -> None:
        services.update_deployment(row, actor=actor, is_enabled=on)

    @action(description="Set a new price", icon="sell", permissions=["set_price"])
    def add_price(self, request: HttpRequest, object_id: int) -> HttpResponse:
        return HttpResponseRedirect(f"{reverse('admin:catalog_price_add')}?deployment={object_id}")

    def has_set_price_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return bool(request.user.has_perm("catalog.add_price"))
