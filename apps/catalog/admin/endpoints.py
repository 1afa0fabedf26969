"""Pinned endpoints, and what people write into their programs to reach them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from unfold.decorators import action, display

from apps.audit import cells
from apps.audit.fields import WordsField
from apps.audit.rows import RowFilter
from apps.catalog import clients, services
from apps.catalog.admin.switched import IS_ENABLED, Switched
from apps.catalog.models import PinnedEndpoint
from apps.runtime import gateways


class EndpointForm(forms.ModelForm):
    hosts = WordsField(
        none=[],
        label="Host names",
        help_text="Under these names every path is this endpoint's. With commas between them, without ports. What "
        "stands before Weir must pass “Host” on.",
    )
    networks = WordsField(
        label="Allowed networks",
        help_text="Ranges that calls may come from, such as 192.0.2.0/24. Empty: anywhere.",
    )
    cors_origins = WordsField(
        label="CORS origins",
        help_text="Whose pages may call it, such as https://app.example. Empty: as everywhere here.",
    )

    class Meta:
        model = PinnedEndpoint
        fields = ["name", "model", "is_enabled", "hosts", "port", "address", "networks", "cors_origins"]
        labels = {"port": "Own port", "address": "The port listens on"}
        help_texts = {
            "name": "It is reached under “/e/” and this name. Renamed, it is found by programs under the new one only; "
            "keys that are confined to it stay so, and the old name is nobody else's.",
            "model": "What answers, whatever callers ask for. Its tenants confine it here too.",
            "is_enabled": "A disabled one is unknown to callers, and its port is closed.",
            "port": "Opened a second or two after saving, without a restart. It speaks plain HTTP. Empty: none.",
            "address": "An address of the server's machine. Empty: what the server itself listens on.",
        }


@admin.register(PinnedEndpoint)
class PinnedEndpointAdmin(Switched):
    form = EndpointForm
    updated_by = staticmethod(services.update_endpoint)
    list_display = ["name", "model", "shown_state", "shown_hosts", "shown_port", "shown_networks"]
    list_filter = [("model", RowFilter), IS_ENABLED]
    list_select_related = ["model"]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    autocomplete_fields = ["model"]
    actions_detail = ["clients"]
    readonly_fields = ["listening", "former"]
    nothing_yet = "A pinned endpoint answers with one model, whatever its callers ask for."
    about = (None, {"fields": ["name", "model", "is_enabled"]})
    renamed = (None, {"fields": ["name", "former", "model", "is_enabled"]})
    reached = ("Reached by", {"fields": ["hosts", "port", "address"]})
    callers = ("Who may call", {"fields": ["networks", "cors_origins"]})
    add_fieldsets = [about, reached, callers]
    fieldsets = [about, ("Reached by", {"fields": ["hosts", "port", "listening", "address"]}), callers]
    renamed_fieldsets = [renamed, *fieldsets[1:]]

    def get_fieldsets(self, request: HttpRequest, obj: PinnedEndpoint | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        return self.renamed_fieldsets if obj.former_names else self.fieldsets

    @display(description="Former names")
    def former(self, endpoint: PinnedEndpoint) -> str:
        return cells.words(endpoint.former_names)

    def complete(self, rows: list[Any]) -> None:
        known = gateways.ports() if any(row.port is not None for row in rows) else {}
        for row in rows:
            row.ports = known

    @display(description="Host names")
    def shown_hosts(self, endpoint: PinnedEndpoint) -> str:
        return cells.words(endpoint.hosts)

    @display(description="Own port", ordering="port")
    def shown_port(self, endpoint: PinnedEndpoint) -> str:
        if endpoint.port is None:
            return cells.NOTHING
        return cells.lines([str(endpoint.port), self.listening(endpoint)])

    @display(description="The port is")
    def listening(self, endpoint: PinnedEndpoint) -> str:
        """At the gateways, by what each says of it."""
        if endpoint.port is None:
            return cells.NOTHING
        known = endpoint.ports if hasattr(endpoint, "ports") else gateways.ports()
        found = known.get(endpoint.port, [])
        failing = [why for why in found if why]
        if not found:
            return cells.badge("closed")
        if not failing:
            return cells.badge("open", "good")
        return cells.badge(failing[0] + (f", at {len(failing)} of {len(found)}" if len(found) > 1 else ""), "bad")

    @display(description="Allowed networks")
    def shown_networks(self, endpoint: PinnedEndpoint) -> str:
        return cells.words(endpoint.networks) if endpoint.networks else "anywhere"

    def kept(self, obj: PinnedEndpoint) -> str:
        return "The ledger names it: disable it instead."

    def save_model(self, request: HttpRequest, obj: PinnedEndpoint, form: Any, change: bool) -> None:
        if change:
            services.update_endpoint(obj, actor=request.user, **self.changes(obj, form.changed_data))
            return
        chosen = {name: getattr(obj, name) for name in EndpointForm.Meta.fields}
        obj.pk, obj._state.adding = services.create_endpoint(actor=request.user, **chosen).pk, False

    def switch(self, row: PinnedEndpoint, *, actor: Any, on: bool) -> None:
        services.update_endpoint(row, actor=actor, is_enabled=on)

    # --- for its callers ---------------------------------------------------------------------------------------

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.wave_view)
        return [path("<int:object_id>/wave/", view, name="catalog_pinnedendpoint_wave"), *super().get_urls()]

    @action(description="Client configuration", icon="integration_instructions", permissions=["view"])
    def clients(self, request: HttpRequest, object_id: str) -> HttpResponse:
        endpoint, ways = self._reached(request, object_id)
        chosen = ways[self._chosen(request, ways)]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Clients of {endpoint}",
            "object": endpoint,
            "endpoint": endpoint,
            "ways": ways,
            "chosen": chosen,
            "position": ways.index(chosen),
            "snippets": clients.snippets(clients.target(endpoint, base=chosen.base)),
        }
        return TemplateResponse(request, "admin/catalog/clients.html", context)

    def wave_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """The file for Wave Terminal, to keep."""
        endpoint, ways = self._reached(request, str(object_id))
        base = ways[self._chosen(request, ways)].base
        response = HttpResponse(clients.wave(clients.target(endpoint, base=base)), content_type="application/json")
        response["Content-Disposition"] = f'attachment; filename="{clients.WAVE_FILE}"'
        return response

    def _reached(self, request: HttpRequest, object_id: str) -> tuple[PinnedEndpoint, list[clients.Way]]:
        endpoint = self.get_object(request, object_id)
        if endpoint is None:
            raise Http404
        if not self.has_view_or_change_permission(request, endpoint):
            raise PermissionDenied
        return endpoint, clients.ways(endpoint, base_url=settings.WEIR_BASE_URL)

    def _chosen(self, request: HttpRequest, ways: list[clients.Way]) -> int:
        positions = [str(position) for position in range(len(ways))]
        asked = request.GET.get("way", "")
        return positions.index(asked) if asked in positions else 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[PinnedEndpoint]:
        rows: QuerySet[PinnedEndpoint] = super().get_queryset(request)
        return rows.select_related("model")
