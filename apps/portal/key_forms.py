"""Forms of keys in the portal: made, changed and rotated."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.catalog import selectors as catalog
from apps.keys.forms import LIFETIMES, OVERLAPS, endpoint_choices
from apps.portal.forms import DollarsField, PortalForm, TicksField, WordsField
from apps.portal.visits import Visit
from apps.tenants import selectors as tenants
from apps.tenants.rights import Right

NOBODY, ME = "nobody", "me"
PERIODS = [("day", "a day"), ("week", "a week"), ("month", "a month")]
LIMIT = ("requests_per_minute", "tokens_per_minute", "concurrency")
UTC = "%Y-%m-%dT%H:%M"


class MomentField(forms.DateTimeField):
    """Day and minute, in UTC, as a browser's own picker gives them."""

    def __init__(self, **options: Any) -> None:
        widget = forms.DateTimeInput({"type": "datetime-local"}, format=UTC)
        super().__init__(input_formats=[UTC, "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M"], widget=widget, **options)


class ScopeForm(PortalForm):
    """What both a new key and an old one can be told."""

    name = forms.CharField(max_length=100, help_text="What it is for, so that whoever finds it here knows.")
    project = forms.TypedChoiceField(help_text="Whose spend it is.")
    models = TicksField(required=False, help_text="None ticked: all that the tenant may use.")
    endpoints = TicksField(required=False, help_text="None ticked: all.")
    networks = WordsField(
        required=False, help_text="Ranges that calls may come from, such as 192.0.2.0/24. Empty: anywhere."
    )

    def __init__(self, *args: Any, visit: Visit, **options: Any) -> None:
        super().__init__(*args, **options)
        self.visit = visit
        self.projects = {str(row.pk): row for row in tenants.projects_of(visit.tenant) if row.is_active}
        self._choose("project", [(key, row.name) for key, row in self.projects.items()])
        self._choose("models", [(name, name) for name in catalog.names_for(visit.tenant.pk)])
        self._choose("endpoints", endpoint_choices())

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        """What a key is confined to already stays in the list, though it be gone by now."""
        known = {value for value, _ in choices}
        field: Any = self.fields[name]
        kept = self.initial.get(name) if isinstance(field, TicksField) else None
        field.choices = [*choices, *((value, value) for value in kept or () if value not in known)]

    def clean_project(self) -> Any:
        return self.projects[self.cleaned_data["project"]]

    @property
    def scope(self) -> dict[str, Any]:
        """As the services want it."""
        names = ("name", "project", "models", "endpoints", "networks", "expires_at")
        return {name: self.cleaned_data[name] for name in names if name in self.cleaned_data}


class NewKeyForm(ScopeForm):
    """With what it may spend, if it is to have a budget or a limit of its own."""

    owner = forms.TypedChoiceField(
        required=False, label="Whose it is", help_text="It stops when its owner leaves. Nobody's: a machine's."
    )
    lifetime = forms.ChoiceField(
        label="Works for", choices=list(LIFETIMES.items()), initial="90", widget=forms.RadioSelect
    )
    expires_at = MomentField(required=False, label="Until (UTC)")
    budget = DollarsField(required=False, label="Spend at most (USD)", help_text="Empty: what its project may.")
    period = forms.ChoiceField(choices=PERIODS, initial="month", required=False, label="In")
    requests_per_minute = forms.IntegerField(required=False, min_value=1, max_value=10**9, label="Requests a minute")
    tokens_per_minute = forms.IntegerField(required=False, min_value=1, max_value=10**12, label="Tokens a minute")
    concurrency = forms.IntegerField(required=False, min_value=1, max_value=10**6, label="At one time")
    when = {"expires_at": "lifetime=other"}
    order = ("name", "project", "owner", "lifetime", "expires_at")

    def __init__(self, *args: Any, visit: Visit, **options: Any) -> None:
        super().__init__(*args, visit=visit, **options)
        self.members = {}
        if visit.may(Right.MANAGE_KEYS):
            self.members = {str(row.user_id): row.user for row in tenants.members_of(visit.tenant)}
            others = [(key, str(user)) for key, user in self.members.items() if user.pk != visit.user.pk]
            self._choose("owner", [(ME, "Mine"), (NOBODY, "Nobody's: a machine's"), *others])
        else:
            del self.fields["owner"]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        chosen = values.get("lifetime")
        if chosen == "other":
            moment = values.get("expires_at")
            if "expires_at" not in self.errors and (moment is None or moment <= timezone.now()):
                self.add_error("expires_at", "Say when." if moment is None else "This moment has passed.")
        elif chosen is not None:
            values["expires_at"] = timezone.now() + datetime.timedelta(days=int(chosen)) if chosen else None
        return values

    @property
    def user(self) -> Any:
        chosen = self.cleaned_data.get("owner") or ME
        if chosen == NOBODY:
            return None
        return self.visit.user if chosen == ME else self.members[chosen]

    @property
    def restraints(self) -> dict[str, Any]:
        """`budget` and `limit` as `quotas.selfservice.issue_key` wants them."""
        budget, period = self.cleaned_data.get("budget"), self.cleaned_data.get("period") or "month"
        limit = {name: self.cleaned_data[name] for name in LIMIT if self.cleaned_data.get(name)}
        return {
            "budget": None if budget is None else {"amount": budget, "period": period},
            "limit": limit or None,
        }

    @property
    def parts(self) -> dict[str, list[Any]]:
        """The fields as the page groups them."""
        return {
            "first": [self[name] for name in self.order if name in self.fields],
            "money": [self[name] for name in ("budget", "period", *LIMIT)],
            "confined": [self[name] for name in ("models", "endpoints", "networks")],
        }


class EditKeyForm(ScopeForm):
    expires_at = MomentField(required=False, label="Expires (UTC)", help_text="Empty: never.")

    def __init__(self, *args: Any, visit: Visit, key: Any, **options: Any) -> None:
        super().__init__(
            *args,
            visit=visit,
            initial={
                "name": key.name,
                "project": str(key.project_id),
                "expires_at": key.expires_at,
                **{name: getattr(key, name) for name in ("models", "endpoints", "networks")},
            },
            **options,
        )
        if str(key.project_id) not in self.projects:  # it was closed: the key stays there until it is moved
            self.projects[str(key.project_id)] = key.project
            self._choose("project", [(value, row.name) for value, row in self.projects.items()])
        self.key = key

    @property
    def changes(self) -> dict[str, Any]:
        return {name: value for name, value in self.scope.items() if name in self.changed_data}

    def clean_expires_at(self) -> Any:
        moment = self.cleaned_data["expires_at"]
        if "expires_at" in self.changed_data and moment is not None and moment <= timezone.now():
            raise ValidationError("This moment has passed.")
        return moment


class RotateForm(PortalForm):
    overlap = forms.ChoiceField(
        label="The old secret stops working", choices=list(OVERLAPS.items()), initial="24", widget=forms.RadioSelect
    )
