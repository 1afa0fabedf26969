"""Adding a provider: first whose it is, then no more than that vendor needs, then the test of the connection."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from apps.catalog import services
from apps.catalog.models import Provider
from apps.catalog.provider_forms import OPTION, form_of, option_names
from apps.domain.providers import registry
from apps.domain.providers.vendor import Vendor, any_model

JUST_ADDED = "provider_just_added"  # in the session: the test of this one begins by itself
FIRST_ALIAS = "main"
_PATIENCE = ["connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout", "on_disconnect"]
_CHECKS = ["check_interval_seconds", "max_failures"]
_COSTS = (
    "When it is saved, its connection is tested: the list of models is asked for, then two calls of one token each."
)


def chosen(request: HttpRequest) -> Vendor | None:
    """Whose provider is being added."""
    return registry.VENDORS.get(request.GET.get("vendor", ""))


class Presets:
    """The part of the providers' page that adds one."""

    admin_site: Any
    opts: Any

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        """Without a vendor a page of them."""
        if not self.has_add_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        vendor = chosen(request)
        if vendor is not None:
            told = {"title": f"Add {vendor.label}", **(extra_context or {})}
            response: HttpResponse = super().add_view(request, form_url, told)  # type: ignore[misc]
            return response
        kept = request.GET.copy()
        kept.pop("vendor", None)
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Add provider",
            "subtitle": "Whose?",
            "vendors": registry.VENDORS.values(),
            "kept": kept.urlencode(),
            "is_popup": "_popup" in request.GET,
        }
        return TemplateResponse(request, "admin/catalog/presets.html", context)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> type[ModelForm]:
        vendor = registry.VENDORS[obj.vendor] if obj is not None else chosen(request)
        if vendor is not None:
            asks = obj is None and request.user.has_perm("catalog.add_credential")
            options["form"] = form_of(vendor, is_new=obj is None, with_secret=asks)
        form: type[ModelForm] = super().get_form(request, obj, change=change, **options)  # type: ignore[misc]
        return form

    def add_fieldsets(self, request: HttpRequest, vendor: Vendor) -> list[tuple[str | None, dict[str, Any]]]:
        needed = ["name", *option_names(vendor)]
        more = ["tags", "is_enabled", *_PATIENCE, *_CHECKS]
        if vendor.base_url and vendor.needs_key:
            more.insert(0, "base_url")
        else:  # it is a server of one's own, or may be
            needed.insert(1, "base_url")
        if request.user.has_perm("catalog.add_credential"):
            needed.append("secret")
        if len(vendor.protocols) > 1 and vendor.protocol_of is any_model:
            more.insert(0, "protocol")
        sets: list[tuple[str | None, dict[str, Any]]] = [
            (vendor.label, {"fields": needed, "description": f"{vendor.summary} {_COSTS}"})
        ]
        if "openai_chat" in vendor.protocols:
            more.append("quirks")
        return [*sets, ("More", {"fields": more, "classes": ["collapse"]})]

    def render_change_form(self, request: HttpRequest, context: dict[str, Any], *args: Any, **options: Any) -> Any:
        """Whoever has added a provider has to see next whether it answers."""
        if not options.get("change"):
            context |= {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().render_change_form(request, context, *args, **options)  # type: ignore[misc]

    def add(self, request: HttpRequest, provider: Provider, form: Any) -> None:
        """Its credential with it."""
        if secret := form.cleaned_data.get("secret"):
            services.create_credential(provider, actor=request.user, alias=FIRST_ALIAS, secret=secret)

    def response_add(self, request: HttpRequest, obj: Provider, post_url_continue: Any = None) -> HttpResponse:
        response: HttpResponse = super().response_add(request, obj, post_url_continue)  # type: ignore[misc]
        if "_popup" in request.POST or not self.has_change_permission(request, obj):  # type: ignore[attr-defined]
            return response
        request.session[JUST_ADDED] = obj.pk
        return HttpResponseRedirect(reverse("admin:catalog_provider_test_connection", args=[obj.pk]))


def with_options(changes: dict[str, Any], *, names: list[str], provider: Provider) -> dict[str, Any]:
    """Options are fields of the form, one column, and in some vendors' addresses."""
    if not any(name.startswith(OPTION) for name in names):
        return changes
    return {**changes, "options": provider.options, "base_url": provider.base_url}
