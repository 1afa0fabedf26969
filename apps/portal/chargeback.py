"""Files for chargeback, as FOCUS: the charges of some days, to be taken away. Recorded: they leave the house."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponseBase
from django.utils import timezone

from apps.audit import downloads
from apps.audit import services as audit
from apps.portal.forms import PortalForm
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right
from apps.usage.focus import charges, files

CSV, PARQUET = "csv", "parquet"
KINDS = {CSV: "CSV", PARQUET: "Parquet"}
_TYPES = {CSV: "text/csv; charset=utf-8", PARQUET: "application/vnd.apache.parquet"}
_PIECE = 1 << 20


class DaysForm(PortalForm):
    """Days of UTC, both included, as the specification's charge periods are."""

    first = forms.DateField(label="From", widget=forms.DateInput({"type": "date"}))
    last = forms.DateField(label="To, included", widget=forms.DateInput({"type": "date"}))
    kind = forms.ChoiceField(label="File", choices=list(KINDS.items()), initial=CSV, widget=forms.RadioSelect)

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        first, last = values.get("first"), values.get("last")
        if first is not None and last is not None:
            if last < first:
                raise ValidationError({"last": "This is before the first day."})
            if (last - first).days >= charges.MOST_DAYS:
                raise ValidationError({"last": f"{charges.MOST_DAYS} days are the most of one file."})
        return values


@page(right=Right.SEE_ALL_USAGE)
def chargeback(visit: Visit) -> HttpResponseBase:
    """The form; with days in the address, the file."""
    today = timezone.now().date()
    usual = {"first": today.replace(day=1), "last": today, "kind": CSV}
    form = DaysForm(visit.request.GET if "kind" in visit.request.GET else None, initial=usual)
    if not form.is_valid():
        return visit.show("portal/chargeback.html", form=form, status=422 if form.is_bound else 200)
    first, last, kind = (form.cleaned_data[name] for name in ("first", "last", "kind"))
    asked = {"first": f"{first}", "last": f"{last}", "kind": kind}
    audit.note_read(
        actor=visit.user, action="charges.exported", target=visit.tenant, tenant_id=visit.tenant.pk, after=asked
    )
    found = charges.charges(_begins(first), _begins(last), tenant=visit.tenant)
    pieces: Iterator[Any] = files.as_csv(found) if kind == CSV else _parquet(found)
    name = f"{visit.tenant.slug}-focus-{first}-{last}.{kind}"
    return downloads.streamed(visit.request, name, pieces, kind=_TYPES[kind])


def _begins(day: datetime.date) -> datetime.datetime:
    return datetime.datetime.combine(day, datetime.time.min, tzinfo=datetime.UTC)


def _parquet(found: Any) -> Iterator[bytes]:
    """Its end says where everything is, so it is whole before the first piece goes out."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "charges.parquet"
        files.write_parquet(found, path)
        with path.open("rb") as written:
            while piece := written.read(_PIECE):
                yield piece
