"""What the page of costs is asked, from its address: which time, told apart by what, and of whom."""

from __future__ import annotations

import zoneinfo
from datetime import date, datetime
from typing import Any

from django import forms
from django.http import QueryDict

from apps.catalog import selectors as catalog
from apps.portal.forms import PortalForm
from apps.portal.visits import Visit
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right
from apps.usage.reports import spans
from apps.usage.reports.sources import Question, Scope

GROUPS = {
    "model": "Model",
    "project": "Project",
    "key": "Key",
    "user": "Person",
    "provider": "Provider",
    "endpoint": "Endpoint",
    "pinned": "Pinned endpoint",
}
# Stands for what has none, such as calls of keys that are nobody's.
NONE = "none"
EARLIEST = date(2000, 1, 1)
MOST_DIGITS = 18
CHOSEN = ("project", "model")
CLICKED = ("key", "user", "provider", "pinned")


def _day(label: str) -> forms.DateField:
    return forms.DateField(label=label, required=False, widget=forms.DateInput({"type": "date"}, format="%Y-%m-%d"))


def _clicked() -> forms.CharField:
    return forms.CharField(required=False, max_length=MOST_DIGITS, widget=forms.HiddenInput)


class CostsForm(PortalForm):
    """Days are the tenant's. What is not the visitor's to see cannot be asked for."""

    when = {"from": "span=custom", "to": "span=custom"}

    span = forms.ChoiceField(
        label="Time", required=False, choices=[*spans.PRESETS.items(), (spans.CUSTOM, "Other days …")]
    )
    by = forms.ChoiceField(label="Group by", required=False)
    project = forms.ChoiceField(required=False)
    model = forms.ChoiceField(required=False)
    endpoint = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    key, user, provider, pinned = _clicked(), _clicked(), _clicked(), _clicked()

    def __init__(self, data: QueryDict, *, visit: Visit, now: datetime) -> None:
        super().__init__(_completed(data), auto_id="costs_%s")
        self._visit, self._now = visit, now
        self.zone: str = visit.tenant.timezone
        self._today = now.astimezone(zoneinfo.ZoneInfo(self.zone)).date()
        self.fields |= {"from": _day("From"), "to": _day("To, included")}
        self.order_fields(["span", "from", "to"])
        for name, field in self.fields.items():
            field.when = self.when.get(name, "")  # type: ignore[attr-defined]  # the template asks
        sees_all = visit.may(Right.SEE_ALL_USAGE)
        self.groups = {name: label for name, label in GROUPS.items() if sees_all or name != "user"}
        if not sees_all:
            del self.fields["user"]
        self._choose("by", list(self.groups.items()))
        self._choose("project", [("", "All"), *((str(row.pk), row.name) for row in tenants.projects_of(visit.tenant))])
        self._choose("model", [("", "All"), *((str(pk), name) for pk, name in catalog.choices_for(visit.tenant.pk))])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        field: Any = self.fields[name]
        field.choices = choices

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        for name in CLICKED:
            told = values.get(name)
            if told and told != NONE and not told.isdecimal():
                self.add_error(None, f"There is no such {GROUPS[name].lower()}.")
        if values.get("span") == spans.CUSTOM:
            self._clean_days(values)
        return values

    def _clean_days(self, values: dict[str, Any]) -> None:
        first, last = values.get("from"), values.get("to") or self._today
        if self.errors:
            return
        if first is None:
            self.add_error("from", "Which day does it begin?")
        elif first < EARLIEST:
            self.add_error("from", "That is too long ago.")
        elif last > self._today:
            self.add_error("to", "That day has not come yet.")
        else:
            try:
                values["span_of_days"] = spans.chosen(first, last, self.zone)
            except ValueError as error:
                self.add_error("to", str(error))

    @property
    def time(self) -> spans.Span:
        """Of a valid form."""
        chosen: spans.Span | None = self.cleaned_data.get("span_of_days")
        return chosen or spans.preset(self.cleaned_data["span"], self.zone, self._now)

    @property
    def where(self) -> dict[str, Any]:
        """Of a valid form: the one value of each dimension that counts."""
        found: dict[str, Any] = {}
        for name in (*CHOSEN, *CLICKED):
            if told := self.cleaned_data.get(name):
                found[name] = None if told == NONE else int(told)
        if endpoint := self.cleaned_data.get("endpoint"):
            found["endpoint"] = endpoint
        return found

    @property
    def question(self) -> Question:
        whose = None if self._visit.may(Right.SEE_ALL_USAGE) else self._visit.user.pk
        return Question(Scope(self._visit.tenant.pk, self.zone, whose), tuple(self.where.items()))


def _completed(data: QueryDict) -> QueryDict:
    """With what is usual where nothing is named."""
    data = data.copy()
    if not data.get("span"):
        data["span"] = spans.CUSTOM if data.get("from") else spans.USUAL
    if not data.get("by"):
        data["by"] = "model"
    if data["span"] != spans.CUSTOM:
        data.pop("from", None)
        data.pop("to", None)
    return data
