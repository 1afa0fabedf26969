"""Forms of alerts in the portal: what is watched, and where it is told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from apps.alerts import services
from apps.alerts.kinds import BOUNDS, DEFAULTS
from apps.portal.forms import PortalForm, TicksField, WordsField
from apps.portal.visits import Visit
from apps.tenants import selectors as tenants

LABELS = {
    "percent": ("Percent of calls that fail", "Or more."),
    "minutes": ("Within minutes", ""),
    "calls": ("At least so many", "Fewer say nothing."),
    "dollars": ("Or an amount (USD)", "That they may have cost."),
    "days": ("Days", ""),
}


class RuleForm(PortalForm):
    """Of one kind: with the settings that it has."""

    name = forms.CharField(max_length=100, help_text="Notices name it.")
    project = forms.TypedChoiceField(required=False, coerce=int, empty_value=None, help_text="Empty: the whole tenant.")
    percents = WordsField(required=False, label="At percent", help_text="Of a budget, with commas: each is told once.")
    forecast = forms.BooleanField(required=False, label="Also when it will not last at the pace so far")
    destinations = TicksField(required=False, coerce=int, label="Tell", help_text="None ticked: it stands here only.")
    is_enabled = forms.BooleanField(required=False, initial=True, label="It is watched")

    def __init__(self, *args: Any, visit: Visit, kind: str, rule: Any = None, **options: Any) -> None:
        known = DEFAULTS.get(kind, {}) | (rule.settings if rule is not None else {})
        initial = {**known, **({"percents": [str(each) for each in known["percents"]]} if "percents" in known else {})}
        if rule is not None:
            chosen = [row.pk for row in rule.destinations.all()]
            initial |= {"name": rule.name, "project": rule.project_id or "", "is_enabled": rule.is_enabled}
            initial |= {"destinations": chosen}
        super().__init__(*args, initial=initial, **options)
        self.kind, self.known = kind, known
        self.projects = {row.pk: row for row in tenants.projects_of(visit.tenant)}
        self.places = {row.pk: row for row in services.destinations_of(visit.tenant)}
        self._choose("project", [("", "Every project"), *((pk, row.name) for pk, row in self.projects.items())])
        self._choose("destinations", [(pk, str(row)) for pk, row in self.places.items()])
        for name in [name for name in ("percents", "forecast") if name not in known]:
            del self.fields[name]
        for name in [name for name in known if name in BOUNDS]:
            least, most = BOUNDS[name]
            label, told = LABELS[name]
            self.fields[name] = forms.IntegerField(min_value=least, max_value=most, label=label, help_text=told)
        first = ["name", *(name for name in known if name in self.fields)]
        self.order_fields([*first, "project", "destinations", "is_enabled"])
        for field in self.fields.values():
            field.when = ""  # type: ignore[attr-defined]

    def _choose(self, name: str, choices: list[tuple[Any, str]]) -> None:
        field: Any = self.fields[name]
        field.choices = choices

    def clean_percents(self) -> list[int]:
        words = self.cleaned_data["percents"] or []
        if not words or len(words) > 10 or not all(word.isdecimal() and 1 <= int(word) <= 1000 for word in words):
            raise ValidationError("Give up to ten whole numbers from 1 to 1000, with commas between them.")
        return sorted({int(word) for word in words})

    @property
    def values(self) -> dict[str, Any]:
        """As the services want them."""
        data = self.cleaned_data
        return {
            "name": data["name"],
            "project": self.projects.get(data["project"]),
            "settings": {name: data[name] for name in self.known},
            "destinations": [self.places[pk] for pk in data["destinations"] or ()],
            "is_enabled": data["is_enabled"],
        }


class DestinationForm(PortalForm):
    """A URL goes in and never comes out again: whoever has it can write there."""

    name = forms.CharField(max_length=100)
    kind = forms.ChoiceField(widget=forms.RadioSelect, initial="email")
    target = forms.CharField(
        max_length=1000, label="Where", help_text="E-mail addresses with commas between them, or an https:// address."
    )
    is_enabled = forms.BooleanField(required=False, initial=True, label="It is told")

    def __init__(self, *args: Any, destination: Any = None, **options: Any) -> None:
        if destination is not None:
            names = ("name", "is_enabled") if destination.is_secret else ("name", "target", "is_enabled")
            options["initial"] = {name: getattr(destination, name) for name in names}
        super().__init__(*args, **options)
        if destination is not None:
            del self.fields["kind"]
            if destination.is_secret:
                self.fields["target"].required = False
                self.fields["target"].help_text = f"Empty: as it is, {destination.shown}"
        else:
            del self.fields["is_enabled"]
            field: Any = self.fields["kind"]
            field.choices = services.DESTINATION_KINDS

    @property
    def values(self) -> dict[str, Any]:
        """What has been said: a URL that is left as it is has not."""
        data = self.cleaned_data
        return {name: data[name] for name in data if name != "target" or data[name]}
