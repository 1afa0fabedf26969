"""Forms of sinks: each kind asks for what it needs, and secrets go in and never come out again."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from apps.audit.fields import SeveralField
from apps.audit.forms import Lasting
from apps.events import kinds, services
from apps.events.models import Sink
from apps.events.sinks import registry, webhook

# What is asked for besides, by kind: settings under their own names, and the secret where one is given.
FIELDS = {
    "rabbitmq": ("secret", "exchange", "declare", "mandatory", "ca"),
    "pubsub": ("secret", "endpoint", "structured"),
    "webhook": ("at_once",),
    "file": ("megabytes",),
}
MOST_PEM = 10_000  # characters
_NAMED = re.compile("“(\\w+)”")
SECRETS = {"rabbitmq": "Password", "pubsub": "Service account's key"}
TARGETS = {
    "rabbitmq": "amqps://user@host:5671/vhost, without the password",
    "pubsub": "projects/my-project/topics/my-topic",
    "webhook": "https://example.com/hook",
    "file": "archive, a folder within WEIR_EVENT_FOLDERS",
}
GIVEN = {
    "rabbitmq": "The password.",
    "pubsub": "The JSON of a service account's key. Empty: this machine's own credentials.",
}


def _by_kind(words: Mapping[str, str]) -> str:
    """What is said depends on the kind that is chosen; Unfold's form has it under that name."""
    return format_html_join(" ", "<span x-show=\"kind == '{}'\">{}</span>", words.items())


def _like(kind: str) -> str:
    return f"Like {TARGETS.get(kind, '')}."


def _text(label: str, help_text: str, **options: Any) -> forms.CharField:
    options.setdefault("widget", UnfoldAdminTextInputWidget)
    options.setdefault("max_length", 200)
    return forms.CharField(label=label, help_text=help_text, required=False, **options)


def _switch(label: str, help_text: str) -> forms.BooleanField:
    return forms.BooleanField(label=label, help_text=help_text, required=False, widget=UnfoldBooleanSwitchWidget)


def _number(label: str, help_text: str, *, most: int) -> forms.IntegerField:
    widget = UnfoldAdminIntegerFieldWidget
    return forms.IntegerField(
        label=label, help_text=help_text, required=False, min_value=1, max_value=most, widget=widget
    )


class SinkForm(Lasting, forms.ModelForm):
    """Of another kind it is another sink."""

    lasting = ("kind",)
    kind = forms.ChoiceField(choices=registry.choices, initial="webhook", widget=UnfoldAdminSelectWidget)
    kinds = SeveralField(
        label="Events",
        none=[],
        choices=[(name, f"{name}: {told[0].lower()}{told[1:]}") for name, told in kinds.KINDS.items()],
        help_text="None ticked: all of them, and those that later versions add.",
    )
    secret = _text(
        "Secret",
        "",
        max_length=services.MOST_SECRET,
        widget=UnfoldAdminPasswordWidget({"autocomplete": "new-password"}),
    )
    exchange = _text("Exchange", "A topic exchange. Empty: weir.events.")
    declare = _switch("Make the exchange", "Durable, where it is not there yet.")
    mandatory = _switch(
        "Queues must take it", "What no queue is bound for is tried again, and a dead letter in the end."
    )
    ca = _text(
        "Certificates",
        "PEM of those who vouch for the broker's. Empty: the system's.",
        max_length=MOST_PEM,
        widget=UnfoldAdminTextareaWidget,
    )
    endpoint = _text("Endpoint", "Like europe-west1-pubsub.googleapis.com. Empty: the nearest one.")
    structured = _switch(
        "Whole in the data", "Off: attributes are the message's, so that subscriptions can filter by them."
    )
    at_once = _number("Events a request", "More than one go as a batch. Empty: 1.", most=webhook.BATCH)
    megabytes = _number("Megabytes a file", "Then another one begins. Empty: 100.", most=10_000)

    class Meta:
        model = Sink
        fields = ["name", "kind", "target", "kinds", "is_enabled"]
        labels = {"target": "Where"}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        sink = self.instance
        self.initial["kinds"] = kinds.words(sink.kinds)
        if "target" in self.fields:
            self.fields["target"].help_text = (
                _like(sink.kind) if sink.pk else _by_kind({kind: _like(kind) for kind in TARGETS})
            )
        for name in ("declare", "mandatory"):
            self.initial[name] = True
        self.initial |= {name: value for name, value in (sink.settings or {}).items() if name in self.fields}
        if sink.pk and "secret" in self.fields:
            self.fields["secret"].label = SECRETS.get(sink.kind, "Secret")
        if "secret" in self.fields:
            given = "Empty: as it is." if sink.sealed else _by_kind(GIVEN) if not sink.pk else GIVEN.get(sink.kind, "")
            self.fields["secret"].help_text = format_html("Write-only. {}", given)

    def clean_kinds(self) -> str:
        return " ".join(self.cleaned_data["kinds"])

    def clean(self) -> dict[str, Any]:
        """What a field is empty for is the kind's default."""
        found: dict[str, Any] = super().clean() or self.cleaned_data
        named = [name for name in FIELDS.get(found.get("kind", ""), ()) if name != "secret" and name in self.fields]
        self.instance.settings = {name: found[name] for name in named if found.get(name) not in (None, "")}
        if (secret := found.get("secret")) and "kind" in found:
            try:
                registry.clean_secret(found["kind"], secret)
            except ValidationError as error:
                self.add_error("secret", error.error_dict["secret"])
        return found

    @property
    def told(self) -> dict[str, Any]:
        """What is given to the services, besides columns."""
        return {"settings": self.instance.settings, "secret": self.cleaned_data.get("secret", "")}

    def _update_errors(self, errors: Any) -> None:
        """Settings are several fields here: a refusal names the one that it means."""
        for error in getattr(errors, "error_dict", {}).pop("settings", ()):
            named = _NAMED.match(error.message)
            field = named[1] if named is not None and named[1] in self.fields else NON_FIELD_ERRORS
            errors.error_dict.setdefault(field, []).append(error)
        super()._update_errors(errors)


class ReplayForm(forms.Form):
    since = forms.SplitDateTimeField(label="Since (UTC)", widget=UnfoldAdminSplitDateTimeWidget)

    def clean_since(self) -> datetime.datetime:
        since: datetime.datetime = self.cleaned_data["since"]
        if since > timezone.now():
            raise ValidationError("That is yet to come.")
        return since
