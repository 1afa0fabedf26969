"""All credentials, of whichever provider: which are usable, and since when. They are changed on their provider's
page, where their secrets are set."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display

from apps.audit import cells
from apps.audit.pages import ReadOnlyAdmin
from apps.audit.panels import Panel, panel_of
from apps.audit.rows import RowFilter
from apps.catalog.models import Credential, Provider


@admin.register(Credential)
class CredentialAdmin(ReadOnlyAdmin):
    list_display = ["alias", "shown_provider", "tenant", "shown_state", "shown_secret", "shown_used", "shown_rotated"]
    list_filter = [("provider", RowFilter), ("tenant", RowFilter), ("is_enabled", BooleanRadioFilter)]
    list_select_related = ["provider", "tenant"]
    search_fields = ["alias__startswith", "provider__name__istartswith", "=last_four"]
    search_help_text = "Beginning of its name or its provider's, or the last four characters"
    fields = [
        *("alias", "shown_provider", "tenant", "weight", "shown_state", "shown_secret"),
        *("shown_used", "shown_rotated", "shown_created"),
    ]
    readonly_fields = [
        *("shown_provider", "shown_state", "shown_secret", "shown_used", "shown_rotated", "shown_created"),
    ]
    nothing_yet = "They are added on the page of their provider."

    @display(description="Provider", ordering="provider__name")
    def shown_provider(self, row: Credential) -> str:
        url = reverse("admin:catalog_provider_change", args=[row.provider_id])
        return format_html('<a href="{}" class="text-link">{}</a>', url, row.provider)

    @display(description="State", ordering="is_enabled")
    def shown_state(self, row: Credential) -> str:
        if not row.is_enabled:
            return cells.badge("disabled", "bad")
        return cells.badge("usable", "good") if row.ciphertext else cells.badge("no secret", "warn")

    @display(description="Kept")
    def shown_secret(self, row: Credential) -> str:
        return cells.code(f"•••{row.last_four}") if row.ciphertext else cells.NOTHING

    @display(description="Last used", ordering="last_used_at")
    def shown_used(self, row: Credential) -> str:
        return cells.ago(row.last_used_at, never="never")

    @display(description="Secret set", ordering="rotated_at")
    def shown_rotated(self, row: Credential) -> str:
        return cells.ago(row.rotated_at, never="with the credential")

    @display(description="Added", ordering="created_at")
    def shown_created(self, row: Credential) -> str:
        return cells.ago(row.created_at)


@panel_of(Provider)
def of_provider(request: HttpRequest, row: Provider) -> Panel | None:
    if not request.user.has_perm("catalog.view_credential"):
        return None
    states = list(row.credentials.values_list("is_enabled", "ciphertext")[:100])
    usable = sum(is_enabled and ciphertext != "" for is_enabled, ciphertext in states)
    link = f"{reverse('admin:catalog_credential_changelist')}?provider__id__exact={row.pk}"
    return Panel("Credentials", f"{usable} usable", f"of {len(states)}", link)
