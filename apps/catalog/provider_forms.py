"""Forms of providers. What is asked for depends on the vendor; a new one is asked for no more than it needs."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.urls import reverse
from django.utils.html import format_html
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from apps.audit.fields import SeveralField, WordsField
from apps.catalog.models import Protocol, Provider, vendor_choices
from apps.domain.providers import registry
from apps.domain.providers.vendor import Option, Vendor

OPTION = "option_"
TIMEOUTS = {
    "connect_timeout": ("Connect, seconds", "For the connection and its encryption to stand."),
    "first_byte_timeout": ("First byte, seconds", "From the request to the first byte of the answer."),
    "idle_timeout": ("Silence, seconds", "The longest pause within an answer."),
    "total_timeout": ("In all, seconds", "The longest that the provider may take with a whole answer."),
}
CHECKS = ["check_kind", "check_model", "check_interval_seconds", "max_failures", "recovery_seconds"]
CALL = (
    "A call costs what a token costs: no budget pays for it and the ledger does not show it; what all came to stands "
    "at the provider's health. The list costs nothing. A connection tells of the network and the certificate alone."
)
# As `domain.protocols.openai_chat` heeds them.
QUIRKS = [
    ("max_completion_tokens", "The cap of tokens is max_completion_tokens, not max_tokens"),
    ("developer_role", "System texts come from the role “developer”"),
    ("string_system", "System texts are strings, not lists of parts"),
    ("string_content", "All texts are strings, not lists of parts"),
    ("head_system_only", "System texts stand at the head only"),
    ("no_null_content", "Refuses null as content beside tool calls"),
    ("no_stream_usage", "Refuses stream_options"),
    ("no_parallel_tool_calls", "Refuses parallel_tool_calls"),
    ("tool_stream", "Streams arguments only when asked with tool_stream"),
    ("reasoning_field", "Takes thinking back as “reasoning”, not “reasoning_content”"),
    ("no_reasoning_history", "Takes no thinking back"),
    ("effort_none", "Knows the effort “none”"),
    ("thinking_switch", "Thinking is switched on and off, without a level"),
    ("safety_identifier", "Takes safety_identifier"),
    ("openai_fields", "Takes verbosity, service_tier, prompt_cache_key and its kind"),
    ("prompt_cache_breakpoint", "Takes prompt_cache_breakpoint"),
]
ADDRESS = (
    "{} Without the endpoint's own path. A private address needs its network opened: "
    '<a class="weir-link" href="{}" target="_blank">Allowed networks</a>.'
)
KEY = 'Write-only.{} <a class="weir-link" href="{}" target="_blank" rel="noreferrer">Where keys are made</a>'
_word = RegexValidator(r"^[A-Za-z0-9._-]*$", "Letters, digits, dots, dashes and underscores.")


def _vendors() -> str:
    """What `static/admin/provider.js` fills in when a vendor is chosen."""
    vendors = registry.VENDORS.items()
    return json.dumps({slug: {"protocols": vendor.protocols, "base_url": vendor.home({})} for slug, vendor in vendors})


class ProviderForm(forms.ModelForm):
    """The vendor's own address where none is typed. Its options are fields by the name `option_…`: see `form_of`."""

    vendor = forms.ChoiceField(
        choices=vendor_choices,
        initial="anthropic",
        widget=UnfoldAdminSelectWidget,
        help_text="Decides how requests are signed, and fills in protocol and address.",
    )
    tags = WordsField(
        none=[], help_text="Words with commas between them, such as private or hipaa; policies ask for them."
    )
    preset = registry.VENDORS["anthropic"]  # the vendor that the form begins with

    class Meta:
        model = Provider
        fields = [
            *("name", "vendor", "protocol", "base_url", "is_enabled", "tags", "region", "on_disconnect"),
            *(*TIMEOUTS, *CHECKS),
        ]
        labels = {
            "on_disconnect": "When the caller leaves",
            "check_interval_seconds": "Check every, seconds",
            "max_failures": "Failures until it counts as down",
            "recovery_seconds": "Answering until it counts as up, seconds",
            "check_kind": "What is asked",
            "check_model": "Model called",
            **{name: label for name, (label, _) in TIMEOUTS.items()},
        }
        help_texts = {
            "region": "Where it computes, such as eu or us-east-1; policies ask for it.",
            "is_enabled": "No calls go to a disabled provider.",
            "recovery_seconds": "Once it was down. 0: its first answer is enough.",
            "check_kind": CALL,
            "check_model": "Its name at the provider. Empty: the cheapest that is deployed here.",
            "on_disconnect": "Read to the end, its tokens are known exactly; cancelled, they are estimated.",
            **{name: help_text for name, (_, help_text) in TIMEOUTS.items()},
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk is None:
            self.instance.vendor, self.instance.protocol = self.preset.slug, self.preset.protocols[0]
        if "vendor" in self.fields:
            self.fields["vendor"].widget.attrs["data-vendors"] = _vendors()
        if "base_url" in self.fields:
            self.fields["base_url"].required = False
            self.fields["base_url"].help_text = self._about_address()
        for name, value in self.instance.options.items():
            self.initial.setdefault(f"{OPTION}{name}", value)
        if "quirks" in self.fields and self.instance.quirks is None:
            self.initial["quirks"] = sorted(self.preset.quirks)

    def _about_address(self) -> str:
        told = "Another host erases the secrets of the credentials."
        if self.instance.pk is None:
            told = f"Empty: {self.preset.base_url}." if self.preset.base_url else ""
        return format_html(ADDRESS, told, reverse("admin:catalog_allowednetwork_changelist"))

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        vendor = registry.VENDORS.get(values.get("vendor") or self.instance.vendor)
        before, self.instance.options = self.instance.options, self._options(values)
        if vendor is not None and "base_url" not in self.changed_data and self.instance.base_url == vendor.home(before):
            values["base_url"] = ""  # another region or resource is at another address
        if vendor is not None and not values.get("base_url") and "base_url" not in self.errors:
            values["base_url"] = vendor.home(self.instance.options)
            if not values["base_url"] and not self.errors:
                self.add_error("base_url", f"{vendor.label} has no address of its own: type where it is.")
        if "quirks" in values:
            values["quirks"] = self._quirks(values["quirks"], vendor)
        return values

    def _options(self, values: dict[str, Any]) -> dict[str, str]:
        """What the form does not ask for stays."""
        given = {name.removeprefix(OPTION): values[name] for name in values if name.startswith(OPTION)}
        return {name: text for name, text in {**self.instance.options, **given}.items() if text}

    def _quirks(self, ticked: list[str], vendor: Vendor | None) -> list[str] | None:
        """Null where it is as its vendor, so that what is learnt of the vendor later holds for it too."""
        if "quirks" not in self.changed_data:
            kept: list[str] | None = self.instance.quirks
            return kept
        return None if vendor is not None and set(ticked) == vendor.quirks else ticked


class NewProviderForm(ProviderForm):
    """Of the vendor that was chosen before."""

    vendor = None  # type: ignore[assignment]  # Django's way of leaving a field of the base class out

    class Meta(ProviderForm.Meta):
        fields = [name for name in ProviderForm.Meta.fields if name != "vendor"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.initial["name"] = self.initial.get("name") or _free_name(self.preset.label)
        self.initial["tags"] = list(self.preset.tags)
        if "protocol" in self.fields:
            self.fields["protocol"] = forms.ChoiceField(
                choices=[(name, Protocol(name).label) for name in self.preset.protocols],
                widget=UnfoldAdminSelectWidget,
                help_text="Where the vendor speaks the caller's, that one is spoken all the same.",
            )


def form_of(vendor: Vendor, *, is_new: bool, with_secret: bool = False) -> type[ProviderForm]:
    """The form with the fields that the vendor asks for."""
    fields: dict[str, Any] = {f"{OPTION}{option.name}": _option(option) for option in vendor.options}
    if "openai_chat" in vendor.protocols:
        fields["quirks"] = SeveralField(
            none=[],
            choices=QUIRKS,
            label="Differs from OpenAI in",
            help_text="As it is known of the vendor. It concerns calls that are translated; others go as they are.",
        )
    if with_secret:
        fields["secret"] = _secret(vendor)
    return type("ProviderForm", (NewProviderForm if is_new else ProviderForm,), {"preset": vendor, **fields})


def option_names(vendor: Vendor) -> list[str]:
    return [f"{OPTION}{option.name}" for option in vendor.options]


def _option(option: Option) -> forms.Field:
    told = {"label": option.label, "help_text": option.hint, "required": option.required}
    if option.choices:
        return forms.ChoiceField(choices=option.choices, widget=UnfoldAdminSelectWidget, **told)
    return forms.CharField(max_length=100, validators=[_word], widget=UnfoldAdminTextInputWidget, **told)


def _secret(vendor: Vendor) -> forms.Field:
    hint = (f" {vendor.key_hint}" if vendor.key_hint else "") + ("" if vendor.needs_key else " Empty: it needs none.")
    help_text = format_html(KEY, hint, vendor.key_page) if vendor.key_page else f"Write-only.{hint}"
    return forms.CharField(
        label="Key",
        required=vendor.needs_key,
        max_length=4096,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text=help_text,
    )


def _free_name(label: str) -> str:
    taken = set(Provider.objects.filter(name__startswith=label).values_list("name", flat=True))
    number = 1
    while (name := f"{label} {number}" if number > 1 else label) in taken:
        number += 1
    return name
