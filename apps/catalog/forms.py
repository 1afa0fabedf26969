"""Forms of the catalog. Dollars are typed, nano-dollars are kept; secrets go in and never come out."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from apps.audit.fields import DollarsField, SeveralField, WordsField, offer_also
from apps.audit.forms import Lasting
from apps.catalog.models import Credential, Deployment, Model, Price, Provider, vendor_choices
from apps.domain.providers import registry

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
CAPABILITIES = [
    ("adaptive_thinking", "Thinks as much as it sees fit"),
    ("budget_thinking", "Thinks within a budget of tokens"),
    ("always_thinking", "Cannot be asked not to think"),
    ("structured_outputs", "Answers in a given JSON schema"),
    ("system_messages", "Takes system messages in the middle"),
    ("vision", "Sees images"),
    ("documents", "Reads PDF files"),
    ("no_sampling", "Refuses temperature and top_p"),
    ("embeddings", "Gives embeddings, and nothing else"),
    *((f"effort_{level}", f"Knows the effort “{level}”") for level in EFFORTS),
]
TIMEOUTS = {
    "connect_timeout": ("Connect, seconds", "For the connection and its encryption to stand."),
    "first_byte_timeout": ("First byte, seconds", "From the request to the first byte of the answer."),
    "idle_timeout": ("Silence, seconds", "The longest pause within an answer."),
    "total_timeout": ("In all, seconds", "The longest that the provider may take with a whole answer."),
}

ADDRESS = (
    "Without the endpoint's own path. Another host erases the secrets of the credentials. A private address needs its "
    'network opened: <a class="weir-link" href="{}" target="_blank">Allowed networks</a>.'
)


def _vendors() -> str:
    """What `static/admin/provider.js` fills in when a vendor is chosen."""
    vendors = registry.VENDORS.items()
    return json.dumps({slug: {"protocols": vendor.protocols, "base_url": vendor.home({})} for slug, vendor in vendors})


class ProviderForm(forms.ModelForm):
    """The vendor's own address where none is typed."""

    vendor = forms.ChoiceField(
        choices=vendor_choices,
        initial="anthropic",
        widget=UnfoldAdminSelectWidget,
        help_text="Decides how requests are signed, and fills in protocol and address.",
    )
    tags = WordsField(none=[], help_text="Words with commas between them, to find it by.")

    class Meta:
        model = Provider
        fields = [
            *("name", "vendor", "protocol", "base_url", "is_enabled", "tags", "on_disconnect"),
            *(*TIMEOUTS, "check_interval_seconds", "max_failures"),
        ]
        labels = {
            "on_disconnect": "When the caller leaves",
            "check_interval_seconds": "Check every, seconds",
            "max_failures": "Failures until it counts as down",
            **{name: label for name, (label, _) in TIMEOUTS.items()},
        }
        help_texts = {
            "is_enabled": "No calls go to a disabled provider.",
            "on_disconnect": "Read to the end, its tokens are known exactly; cancelled, they are estimated.",
            **{name: help_text for name, (_, help_text) in TIMEOUTS.items()},
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "vendor" in self.fields:
            self.fields["vendor"].widget.attrs["data-vendors"] = _vendors()
        if "base_url" in self.fields:
            self.fields["base_url"].required = False
            self.fields["base_url"].help_text = format_html(ADDRESS, reverse("admin:catalog_allowednetwork_changelist"))

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        vendor = registry.VENDORS.get(values.get("vendor") or "")
        if vendor is not None and not values.get("base_url") and "base_url" not in self.errors:
            values["base_url"] = vendor.base_url
            if not vendor.base_url:
                self.add_error("base_url", f"{vendor.label} has no address of its own: type where it is.")
        return values


class CredentialForm(Lasting, forms.ModelForm):
    """The secret goes in and never comes out again."""

    lasting = ("tenant",)
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
        help_texts = {
            "tenant": "Whose own it is: only that tenant's calls use it. Empty: everybody's.",
            "weight": "Its share of the calls.",
        }


class ModelForm(forms.ModelForm):
    aliases = WordsField(none=[], help_text="Other names that callers may use, with commas between them.")
    capabilities = SeveralField(
        none=[], choices=CAPABILITIES, help_text="None ticked: what is known of a model of this name."
    )

    class Meta:
        model = Model
        fields = [
            *("name", "display_name", "aliases", "is_enabled"),
            *("context_tokens", "max_output_tokens", "capabilities", "tenants"),
        ]
        labels = {"context_tokens": "Context, tokens", "max_output_tokens": "Longest answer, tokens"}
        help_texts = {
            "name": "What callers write in “model”.",
            "tenants": "Who may use it. Nobody named: everyone.",
            "is_enabled": "A disabled model is unknown to callers.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "capabilities" in self.fields:
            offer_also(self.fields["capabilities"], self.instance.capabilities)


class DeploymentForm(Lasting, forms.ModelForm):
    lasting = ("model", "provider")

    class Meta:
        model = Deployment
        fields = ["model", "provider", "upstream_model", "priority", "weight", "is_enabled"]
        help_texts = {
            "upstream_model": "What the provider calls the model.",
            "priority": "Lower goes first; others are tried when it fails.",
            "weight": "Its share within a priority.",
        }


class PriceForm(forms.ModelForm):
    """Prices in dollars per million tokens."""

    is_correction = forms.BooleanField(
        label="Corrects the past",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Then it may begin in the past, or when another one does, whose place it takes. "
        "“manage.py reprice” books what that changes of calls that have been billed.",
    )
    input = DollarsField(label="Input, $")
    output = DollarsField(label="Output, $")
    cache_read = DollarsField(label="Cache read, $", required=False, help_text="Empty: as input.")
    cache_write_5m = DollarsField(label="Cache write, 5 minutes, $", required=False, help_text="Empty: as input.")
    cache_write_1h = DollarsField(label="Cache write, 1 hour, $", required=False, help_text="Empty: as input.")

    class Meta:
        model = Price
        fields = ["deployment", "effective_from", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h"]
        labels = {"effective_from": "In force from (UTC)"}
        help_texts = {
            "effective_from": "Now or later; a deployment's first price, or a correction, may begin in the past."
        }

    def clean(self) -> dict[str, Any]:
        """Model validation sees what will be saved."""
        values: dict[str, Any] = super().clean() or {}
        for name in ("cache_read", "cache_write_5m", "cache_write_1h"):
            if values.get(name) is None and values.get("input") is not None and name not in self.errors:
                values[name] = values["input"]
        return values
