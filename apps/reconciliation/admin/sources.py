"""Where reports are fetched, with a key that is written and never read; and what providers call things."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from unfold.decorators import display

from apps.audit import cells
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.panels import Listing, listing_of
from apps.audit.rows import RowFilter
from apps.catalog.models import Provider
from apps.reconciliation import services
from apps.reconciliation.forms import SourceForm
from apps.reconciliation.models import ProviderName, ReportSource


@admin.register(ReportSource)
class ReportSourceAdmin(AuditedAdmin):
    area = Area.USAGE
    form = SourceForm
    list_display = ["shown_provider", "vendor", "address", "shown_secret"]
    list_select_related = ["provider"]
    autocomplete_fields = ["provider"]
    fields = ["provider", "vendor", "address", "secret"]
    nothing_yet = "Give a provider's admin key here, and its reports can be fetched; or bring them in as files."

    def get_readonly_fields(self, request: HttpRequest, obj: ReportSource | None = None) -> Any:
        return ["provider"] if obj is not None else []

    def get_fields(self, request: HttpRequest, obj: ReportSource | None = None) -> Any:
        if self.has_change_permission(request, obj) or obj is None:
            return self.fields
        return ["provider", "vendor", "address", "shown_secret"]

    def save_model(self, request: HttpRequest, obj: ReportSource, form: ModelForm, change: bool) -> None:
        secret = form.cleaned_data.get("secret", "")
        if change:
            changes = self.changes(obj, form.changed_data)
            services.update_source(obj, actor=request.user, secret=secret, **changes)
            return
        told = {"provider": obj.provider, "vendor": obj.vendor, "address": obj.address}
        made = services.create_source(actor=request.user, secret=secret, **told)  # type: ignore[arg-type]
        obj.pk, obj._state.adding = made.pk, False

    def delete_model(self, request: HttpRequest, obj: ReportSource) -> None:
        services.remove_source(obj, actor=request.user)

    @display(description="Provider", ordering="provider")
    def shown_provider(self, row: ReportSource) -> str:
        return str(row.provider)

    @display(description="Admin key")
    def shown_secret(self, row: ReportSource) -> str:
        return cells.code(f"•••{row.last_four}") if row.ciphertext else "none"


@admin.register(ProviderName)
class ProviderNameAdmin(AuditedAdmin):
    area = Area.USAGE
    list_display = ["name", "provider", "shown_meaning"]
    list_filter = [("provider", RowFilter)]
    list_select_related = ["provider", "credential__provider"]
    search_fields = ["name__startswith"]
    search_help_text = "Beginning of the name"
    autocomplete_fields = ["provider"]
    fields = ["provider", "name", "upstream_model", "credential"]
    nothing_yet = (
        "What reports call models and credentials, where that is not what Weir calls them: a model's other name, or the"
        " id of the key, workspace or project that a credential belongs to."
    )

    def delete_model(self, request: HttpRequest, obj: ProviderName) -> None:
        services.remove_name(obj, actor=request.user)

    @display(description="Means")
    def shown_meaning(self, row: ProviderName) -> str:
        if row.credential is not None:
            return f"credential {row.credential.alias}"
        return f"model {row.upstream_model}"


@listing_of(Provider)
def names_of(request: HttpRequest, row: Any) -> Listing | None:
    """On the page of the provider, where its credentials are."""
    if not request.user.has_perm("reconciliation.view_providername"):
        return None
    found = ProviderName.objects.filter(provider=row).select_related("credential")[:8]
    rows = [
        (cells.code(name.name), name.credential.alias if name.credential else name.upstream_model) for name in found
    ]
    table = cells.table(("In its reports", "Means"), rows) if rows else ""
    link = f"{reverse('admin:reconciliation_providername_changelist')}?provider__id__exact={row.pk}"
    return Listing("Names in its reports", table, link, "None needed so far.")
