"""What an operator says a call cost. Dollars are typed, nano-dollars are kept."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from apps.audit.fields import DollarsField
from apps.domain import money
from apps.usage.models import Unconfirmed

EXACTLY = "exactly"
ANSWERS = {
    "nothing": "Nothing: the model never ran",
    "estimate": "What was estimated",
    "all": "The most it can have cost",
    EXACTLY: "Exactly this:",
}


class ResolveForm(forms.ModelForm):
    said = forms.ChoiceField(label="It cost", choices=list(ANSWERS.items()), widget=UnfoldAdminRadioSelectWidget)
    exactly = DollarsField(label="Exactly, $", required=False)
    note = forms.CharField(
        label="How it is known",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Stays in the audit log and on the entry.",
    )

    class Meta:
        model = Unconfirmed
        fields: list[str] = []

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "said" in self.fields:
            amounts = {"estimate": self.instance.cost_nano, "all": self.instance.high_nano}
            self.fields["said"].choices = [
                (name, f"{answer}: {money.exact(amounts[name])}" if name in amounts else answer)
                for name, answer in ANSWERS.items()
            ]

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        if values.get("said") == EXACTLY and values.get("exactly") is None and "exactly" not in self.errors:
            self.add_error("exactly", "Say how much.")
        return values

    @property
    def cost(self) -> int | str:
        """As `services.resolve` takes it."""
        values = self.cleaned_data
        return values["exactly"] if values["said"] == EXACTLY else values["said"]
