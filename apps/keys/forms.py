"""Forms of keys: issuing, changing, rotating and revoking them."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from apps.audit.fields import SeveralField, WordsField, offer_also
from apps.catalog import selectors as catalog
from apps.keys import services
from apps.keys.models import Endpoint, Key

LIFETIMES = {"7": "7 days", "30": "30 days", "90": "90 days", "365": "1 year", "": "For ever", "other": "Until …"}
QUEUEING = "Where calls queue for a full deployment, a higher one goes first. Usual: 0."
OVERLAPS = {"0": "Now", "1": "In 1 hour", "24": "In 24 hours", "168": "In 7 days"}


def endpoint_choices() -> list[tuple[str, str]]:
    """What any path answers, and the pinned endpoints with all that they answer."""
    pinned = [(f"e/{name}", f"Pinned: {name}") for name in dict.fromkeys(catalog.pinned_names().values())]
    return [*((str(value), str(label)) for value, label in Endpoint.choices), *pinned]


class KeyForm(forms.ModelForm):
    """What of a key can be changed."""

    models = WordsField(label="Models", help_text="Names with commas between them. Empty: all that the tenant may use.")
    endpoints = SeveralField(label="Endpoints", choices=endpoint_choices, help_text="None ticked: all.")
    networks = WordsField(
        label="Networks", help_text="Ranges that calls may come from, such as 192.0.2.0/24. Empty: anywhere."
    )

    class Meta:
        model = Key
        fields = ["name", "project", "expires_at", "models", "endpoints", "networks", "priority"]
        labels = {"expires_at": "Expires (UTC)"}
        help_texts = {"expires_at": "Empty: never.", "priority": QUEUEING}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "endpoints" in self.fields:
            self.initial["endpoints"] = listed = _as_now_called(self.instance.endpoints)
            offer_also(self.fields["endpoints"], listed or [])

    def clean_expires_at(self) -> datetime.datetime | None:
        moment: datetime.datetime | None = self.cleaned_data["expires_at"]
        if "expires_at" not in self.changed_data:
            return moment
        if services.has_expired(self.instance):
            raise forms.ValidationError(services.EXPIRED)
        if moment is not None and moment <= timezone.now():
            raise forms.ValidationError("This moment has passed.")
        return moment


def _as_now_called(endpoints: list[str] | None) -> list[str] | None:
    """A pinned endpoint that was renamed, by its present name."""
    if endpoints is None:
        return None
    called = {f"e/{known}": f"e/{name}" for known, name in catalog.pinned_names().items()}
    return [called.get(word, word) for word in endpoints]


class IssueForm(KeyForm):
    """A new key. The tenant is its project's."""

    lifetime = forms.ChoiceField(
        label="Works for",
        choices=list(LIFETIMES.items()),
        initial="90",
        required=False,
        widget=UnfoldAdminRadioSelectWidget,
    )

    class Meta(KeyForm.Meta):
        fields = ["name", "project", "user", "expires_at", "models", "endpoints", "networks", "priority"]
        labels = {"expires_at": "Until (UTC)"}
        help_texts = {
            "name": "What it is for, so that whoever finds it here knows.",
            "project": "Whose spend it is.",
            "user": "The member whose key it is; it stops when they leave. Empty: a machine's.",
            "expires_at": "With “Until …” only.",
            "priority": QUEUEING,
        }

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if (project := values.get("project")) is not None:
            self.instance.tenant = project.tenant
        chosen = values.get("lifetime", "")
        if chosen == "other":
            if values.get("expires_at") is None and "expires_at" not in self.errors:
                self.add_error("expires_at", "Say when.")
        elif "lifetime" not in self.errors:
            values["expires_at"] = timezone.now() + datetime.timedelta(days=int(chosen)) if chosen else None
        return values


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label="The old secret stops working",
        choices=list(OVERLAPS.items()),
        initial="24",
        widget=UnfoldAdminRadioSelectWidget,
    )


class RevokeForm(forms.Form):
    """What is revoked is typed, so that it is not clicked away. `word`: what has to be typed."""

    typed = forms.CharField(max_length=100, widget=UnfoldAdminTextInputWidget({"autocomplete": "off"}))

    def __init__(self, *args: Any, word: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.word = word
        self.fields["typed"].label = f"Type “{word}” to revoke"

    def clean_typed(self) -> str:
        typed: str = self.cleaned_data["typed"]
        if typed.strip() != self.word.strip():
            raise forms.ValidationError("That is something else.")
        return typed
