"""What the list of calls is filtered by, from its address. A span of time is always in force."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone

from apps.catalog import selectors as catalog
from apps.keys import selectors as keys
from apps.keys.forms import endpoint_choices
from apps.portal.forms import PortalForm
from apps.portal.visits import Visit
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right
from apps.usage import calls
from apps.usage.finding import OUTCOMES

SPANS = {
    "1h": ("Last hour", timedelta(hours=1)),
    "24h": ("Last 24 hours", timedelta(hours=24)),
    "7d": ("Last 7 days", timedelta(days=7)),
    "30d": ("Last 30 days", timedelta(days=30)),
}
USUAL, OTHER = "7d", "other"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
A_DAY = timedelta(days=1)
COLUMNS = {"key": "key_id", "user": "user_id", "project": "project_id", "model": "model_id", "provider": "provider_id"}
COLUMNS |= {"endpoint": "endpoint", "session": "session"}
HIDDEN_AT_FIRST = ("provider", "endpoint", "session", "q")


def _moment(label: str) -> forms.DateTimeField:
    return forms.DateTimeField(
        label=label, required=False, widget=forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")
    )


def _words(label: str, length: int, **more: Any) -> forms.CharField:
    return forms.CharField(label=label, required=False, max_length=length, **more)


class CallsForm(PortalForm):
    """Moments are the tenant's local time. What is not the visitor's to see cannot be chosen."""

    when = {"from": "span=other", "to": "span=other"}

    span = forms.ChoiceField(label="Time", required=False)
    key = _words("Key", 100, widget=forms.TextInput({"placeholder": "Its name or beginning"}))
    project = forms.TypedChoiceField(required=False, coerce=int, empty_value=None)
    user = forms.TypedChoiceField(label="Who", required=False, coerce=int, empty_value=None)
    model = forms.TypedChoiceField(required=False, coerce=int, empty_value=None)
    status = forms.ChoiceField(label="Outcome", required=False, choices=[("", "All"), *OUTCOMES.items()])
    provider = forms.TypedChoiceField(required=False, coerce=int, empty_value=None)
    endpoint = forms.ChoiceField(required=False)
    session = _words("Session", 64, widget=forms.TextInput({"placeholder": "Of a coding agent"}))
    q = _words("Id", 100, widget=forms.TextInput({"placeholder": "req_… or a trace id"}))

    def __init__(self, data: QueryDict, *, visit: Visit) -> None:
        super().__init__(_completed(data), auto_id="filter_%s")
        self.visit = visit
        self.zone = zoneinfo.ZoneInfo(visit.tenant.timezone)
        self.fields |= {"from": _moment(f"From ({self.zone.key})"), "to": _moment(f"Until ({self.zone.key})")}
        self.order_fields(["span", "from", "to"])
        for name, field in self.fields.items():
            field.when = self.when.get(name, "")  # type: ignore[attr-defined]
        self._choose("span", [(name, label) for name, (label, _) in SPANS.items()] + [(OTHER, "Other …")])
        self._choose("project", [(row.pk, row.name) for row in tenants.projects_of(visit.tenant)], "All")
        self._choose("model", catalog.choices_for(visit.tenant.pk), "All")
        self._choose("provider", catalog.providers_for(visit.tenant.pk), "All")
        self._choose("endpoint", ((word, label) for word, label in endpoint_choices() if "/" not in word), "All")
        if visit.may(Right.SEE_ALL_USAGE):
            self._choose("user", [(row.user_id, str(row.user)) for row in tenants.members_of(visit.tenant)], "All")
        else:
            del self.fields["user"]

    @property
    def always(self) -> list[Any]:
        return [self[name] for name in self.fields if name not in HIDDEN_AT_FIRST]

    @property
    def others(self) -> list[Any]:
        return [self[name] for name in self.fields if name in HIDDEN_AT_FIRST]

    @property
    def asks_others(self) -> bool:
        return any(self.data.get(name) for name in HIDDEN_AT_FIRST)

    def _choose(self, name: str, choices: Any, none: str | None = None) -> None:
        field: Any = self.fields[name]
        field.choices = [*([("", none)] if none else []), *choices]

    def clean_key(self) -> int | None:
        term = self.cleaned_data["key"].strip()
        if not term:
            return None
        whose = None if self.visit.may(Right.SEE_ALL_USAGE) else self.visit.user
        found = keys.wanted(term, among=keys.seen_by(self.visit.tenant, user=whose))
        if not found:
            raise ValidationError("There is no such key.")
        if len(found) > 1:
            raise ValidationError("Several keys are called or begin so: write more of the key.")
        pk: int = found[0].pk
        return pk

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in ("from", "to"):
            if values.get(name) is not None and not EARLIEST <= values[name] <= timezone.now() + 366 * A_DAY:
                self.add_error(name, "That is too far away.")
        since, until = values.get("from"), values.get("to")
        if since is not None and until is not None and since >= until:
            self.add_error("to", "It ends before it begins.")
        return values

    def found(self) -> calls.Chosen | None:
        """None where something typed is no filter: the form says so."""
        with timezone.override(self.zone):
            if not self.is_valid():
                return None
        values = self.cleaned_data
        since, until = self._span(values)
        subject = {column: values[name] for name, column in COLUMNS.items() if values.get(name)}
        if not self.visit.may(Right.SEE_ALL_USAGE):
            subject["user_id"] = self.visit.user.pk
        return calls.chosen(
            self.visit.tenant.pk,
            since=since,
            until=until,
            outcome=values["status"],
            term=values["q"].strip(),
            **subject,
        )

    def _span(self, values: dict[str, Any]) -> tuple[datetime, datetime]:
        """A moment that is not given is the usual span before the other, or now."""
        until = timezone.now() + A_DAY  # clocks differ
        if values["span"] in SPANS:
            return timezone.now() - SPANS[values["span"]][1], until
        until = values.get("to") or until
        usual = min(until, timezone.now()) - SPANS[USUAL][1]
        return values.get("from") or usual, until


def _completed(data: QueryDict) -> QueryDict:
    """With the usual span where none is named. Moments count where no span is chosen."""
    data = data.copy()
    is_told = any(data.get(name) for name in ("from", "to"))
    if not data.get("span"):
        data["span"] = OTHER if is_told else USUAL
    if data["span"] != OTHER:
        data.pop("from", None)
        data.pop("to", None)
    return data
