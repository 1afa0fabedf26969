"""Form fields and forms of the catalog. Dollars are typed, nano-dollars are kept."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminTextInputWidget

from apps.catalog.models import Credential, Price
from apps.domain import money

MOST_DOLLARS = Decimal(9_000_000_000)  # what a 64-bit count of nano-dollars holds


class DollarsField(forms.DecimalField):
    """An amount typed in dollars; its value is nano-USD."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextInputWidget)
        super().__init__(min_value=Decimal(0), max_value=MOST_DOLLARS, **options)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, int):
            return f"{money.dollars(value).normalize():f}"
        return value

    def clean(self, value: Any) -> Any:
        amount = super().clean(value)
        if amount is None:
            return None
        try:
            return money.nano(amount)
        except ValueError as error:
            raise ValidationError(f"{str(error).capitalize()}.") from None

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return initial != self.clean(data)
        except (ValidationError, InvalidOperation):
            return True


class CredentialForm(forms.ModelForm):
    """The secret goes in and never comes out again."""

    secret = forms.CharField(
        required=False,
        strip=True,
        max_length=4096,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Write-only. Leave empty to keep the present one.",
    )

    class Meta:
        model = Credential
        fields = ["alias", "tenant", "weight", "is_enabled"]


class PriceForm(forms.ModelForm):
    """Prices in dollars per million tokens."""

    input = DollarsField(label="Input, $ per 1M")
    output = DollarsField(label="Output, $ per 1M")
    cache_read = DollarsField(label="Cache read", required=False, help_text="Empty: as input")
    cache_write_5m = DollarsField(label="Cache write 5 min", required=False, help_text="Empty: as input")
    cache_write_1h = DollarsField(label="Cache write 1 h", required=False, help_text="Empty: as input")

    class Meta:
        model = Price
        fields = ["deployment", "effective_from", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]

    def clean(self) -> dict[str, Any]:
        """Model validation sees what will be saved."""
        values: dict[str, Any] = super().clean() or {}
        for name in ("cache_read", "cache_write_5m", "cache_write_1h"):
            if values.get(name) is None and values.get("input") is not None and name not in self.errors:
                values[name] = values["input"]
        return values
