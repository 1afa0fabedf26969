"""The tenant's part of the audit log: who has changed or looked at what. Looking at it is written there, too."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils import timezone

from apps.audit import differences, selectors
from apps.portal.forms import PortalForm
from apps.portal.paging import Part, part
from apps.portal.visits import Visit, page
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right

SPANS = {"": "All time", "1": "Last 24 hours", "7": "Last 7 days", "30": "Last 30 days"}
TONES = {
    **dict.fromkeys(("created", "issued", "added", "allowed", "accepted", "activated"), "good"),
    **dict.fromkeys(("deleted", "removed", "revoked", "deactivated", "failed"), "bad"),
    **dict.fromkeys(("rotated", "expired", "withdrawn", "visited"), "warn"),
}


class AuditForm(PortalForm):
    span = forms.ChoiceField(label="When", required=False, choices=list(SPANS.items()))
    who = forms.CharField(
        required=False, max_length=200, widget=forms.TextInput({"placeholder": "Beginning of a name"})
    )
    area = forms.ChoiceField(label="Part", required=False)
    what = forms.CharField(
        required=False, max_length=200, widget=forms.TextInput({"placeholder": "Beginning of a name"})
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, auto_id="filter_%s", **options)
        field: Any = self.fields["area"]
        field.choices = [("", "All"), *selectors.areas()]


@page(right=Right.SEE_AUDIT)
def audit(visit: Visit) -> HttpResponse:
    visit.note_read("audit.read")
    form = AuditForm(visit.request.GET)
    found = Part([], "", "", "")
    if form.is_valid():
        rows = selectors.of_tenant(visit.tenant.pk)
        chosen = selectors.narrowed(rows, **_asked(form.cleaned_data))
        found = part(visit.request, chosen, along=rows)
    members = tenants.member_ids(visit.tenant)
    return visit.show(
        "portal/audit.html",
        form=form,
        part=found,
        rows=[
            {
                "change": change,
                "tone": TONES.get(change.record.action.rpartition(".")[2], "soft"),
                # Where those sit who run the installation, and with what, is no business of its tenants.
                **dict.fromkeys(("address", "token"), ""),
                **(_origin(change.record) if change.record.actor_id in members else {}),
            }
            for change in differences.told(found.rows)
        ],
        is_filtered=any(value for name, value in visit.request.GET.items() if name in form.fields),
        zone=zoneinfo.ZoneInfo(visit.tenant.timezone).key,
    )


def _origin(record: Any) -> dict[str, str]:
    return {"address": record.address or "", "token": record.token or ""}


def _asked(values: dict[str, Any]) -> dict[str, Any]:
    since = timezone.now() - timedelta(days=int(values["span"])) if values["span"] else None
    return {"since": since, "actor": values["who"].strip(), "area": values["area"], "target": values["what"].strip()}
