"""What an operator says a call cost. Dollars are typed, nano-dollars are kept."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from apps.audit.fields import DollarsField
from apps.catalog.models import Price
from apps.domain import money
from apps.domain.tokens import TokenUsage
from apps.usage.models import Unconfirmed
from apps.usage.services import COUNTERS

EXACTLY, TOKENS = "exactly", "tokens"
ANSWERS = {
    "nothing": "Nothing: the model never ran",
    "estimate": "What was estimated",
    "all": "The most it can have cost",
    EXACTLY: "Exactly these dollars:",
    TOKENS: "What these tokens cost, at the price the call began with:",
}
LABELS = {
    "in_fresh": "Input",
    "in_cache_read": "Input from cache",
    "in_cache_write_5m": "Input to cache, 5 minutes",
    "in_cache_write_1h": "Input to cache, 1 hour",
    "out_total": "Output",
    "out_reasoning": "Of it, reasoning",
}
# Which amount of the price each is charged at.
RATES = {
    "in_fresh": "input",
    "in_cache_read": "cache_read",
    "in_cache_write_5m": "cache_write_5m",
    "in_cache_write_1h": "cache_write_1h",
    "out_total": "output",
}


def _counter(name: str) -> forms.IntegerField:
    return forms.IntegerField(
        label=LABELS[name], required=False, min_value=0, widget=UnfoldAdminIntegerFieldWidget({"min": 0})
    )


class ResolveForm(forms.ModelForm):
    said = forms.ChoiceField(label="It cost", choices=list(ANSWERS.items()), widget=UnfoldAdminRadioSelectWidget)
    exactly = DollarsField(label="Exactly, $", required=False)
    in_fresh = _counter("in_fresh")
    in_cache_read = _counter("in_cache_read")
    in_cache_write_5m = _counter("in_cache_write_5m")
    in_cache_write_1h = _counter("in_cache_write_1h")
    out_total = _counter("out_total")
    out_reasoning = _counter("out_reasoning")
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
        # The counters are the row's own columns too: what it has stays out of the answer.
        self.initial = {name: value for name, value in self.initial.items() if name not in COUNTERS}
        if "said" in self.fields:
            amounts = {"estimate": self.instance.cost_nano, "all": self.instance.high_nano}
            self.fields["said"].choices = [
                (name, f"{answer}: {money.exact(amounts[name])}" if name in amounts else answer)
                for name, answer in ANSWERS.items()
                if name != TOKENS or self.instance.price_version is not None
            ]
        self._show_rates()

    def _show_rates(self) -> None:
        price = Price.objects.filter(pk=self.instance.price_version).first()
        for name in COUNTERS:
            if name in self.fields and name not in RATES:
                self.fields[name].help_text = "Tokens, counted in the output."
            elif name in self.fields and price is not None:
                rate = money.exact(getattr(price, RATES[name]))
                self.fields[name].help_text = f"Tokens, at {rate} per million."

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        said = values.get("said")
        if said == EXACTLY and values.get("exactly") is None and "exactly" not in self.errors:
            self.add_error("exactly", "Say how much.")
        counted = [name for name in COUNTERS if values.get(name) is not None]
        if said == TOKENS and not counted and not set(COUNTERS) & set(self.errors):
            self.add_error("in_fresh", "Say how many.")
        if said is not None and said != EXACTLY and values.get("exactly") is not None:
            self.add_error("exactly", "Something else is chosen above: leave this empty, or choose it.")
        if said is not None and said != TOKENS and counted:
            self.add_error(counted[0], "Something else is chosen above: leave this empty, or choose it.")
        return values

    @property
    def answer(self) -> dict[str, Any]:
        """As `services.resolve` takes it: `cost` or `usage`."""
        values = self.cleaned_data
        if values["said"] == TOKENS:
            return {"usage": TokenUsage(**{name: values[name] or 0 for name in COUNTERS})}
        return {"cost": values["exactly"] if values["said"] == EXACTLY else values["said"]}
