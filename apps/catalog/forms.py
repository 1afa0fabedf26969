"""Forms of the catalog. Dollars are typed, nano-dollars are kept; secrets go in and never come out."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldBooleanSwitchWidget

from apps.audit.fields import DollarsField, SeveralField, WordsField, offer_also
from apps.audit.forms import Lasting
from apps.catalog.models import Credential, Deployment, Fallback, Model, Price
from apps.catalog.provider_forms import TIMEOUTS

EFFORTS = ("minimal", "low", "medium", "high", "xhigh", "max")
CAPABILITIES = [
    ("text", "Answers in text"),
    ("adaptive_thinking", "Thinks as much as it sees fit"),
    ("budget_thinking", "Thinks within a budget of tokens"),
    ("always_thinking", "Cannot be asked not to think"),
    ("structured_outputs", "Answers in a given JSON schema"),
    ("system_messages", "Takes system messages in the middle"),
    ("vision", "Sees images"),
    ("documents", "Reads PDF files"),
    ("no_sampling", "Refuses temperature and top_p"),
    ("no_tools", "Refuses tools"),
    ("no_streaming", "Does not stream"),
    ("embeddings", "Gives embeddings, and nothing else"),
    *((f"effort_{level}", f"Knows the effort “{level}”") for level in EFFORTS),
]


ROUTING = ("priority", "weight", "defaults")
ABILITIES = ("capabilities", "context_tokens")
ROOM = ("max_concurrency", "queue_places", "queue_seconds")
PATIENCE = (*TIMEOUTS, "hedge_after")
BREAKER = (
    *("breaker_window", "breaker_size", "breaker_minimum_calls", "breaker_failure_rate", "breaker_slow_rate"),
    *("breaker_slow_seconds", "breaker_open_seconds", "breaker_half_open_calls"),
)


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
        label="Abilities",
        none=[],
        choices=CAPABILITIES,
        help_text="None ticked: what is known of a model of this name. Something ticked, and nothing of thinking: at "
        "Ollama it is never asked to think.",
    )

    networks = WordsField(
        label="Allowed networks",
        help_text="Ranges that its calls may come from, such as 192.0.2.0/24. Empty: anywhere.",
    )

    class Meta:
        model = Model
        fields = [
            *("name", "display_name", "aliases", "is_enabled"),
            *("context_tokens", "max_output_tokens", "capabilities", "tenants", "networks", "strategy", "is_sticky"),
        ]
        labels = {
            "context_tokens": "Context, tokens",
            "max_output_tokens": "Longest answer, tokens",
            "strategy": "Strategy",
            "is_sticky": "Conversations stay",
        }
        help_texts = {
            "name": "What callers write in “model”.",
            "tenants": "Who may use it. Nobody named: everyone.",
            "is_enabled": "A disabled model is unknown to callers.",
            "strategy": "Which of its deployments is asked first. A lower priority goes first, save by weight alone.",
            "is_sticky": "Where it was answered before, as long as that can: prompt caches and signed thinking hold.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "capabilities" in self.fields:
            offer_also(self.fields["capabilities"], self.instance.capabilities)

    def clean_capabilities(self) -> list[str]:
        """Who gives embeddings is asked for nothing else: of a model with both, no text would ever come."""
        ticked: list[str] = self.cleaned_data["capabilities"]
        if {"text", "embeddings"} <= set(ticked):
            raise forms.ValidationError("A model either answers in text or gives embeddings: tick one of the two.")
        return ticked


class FallbackForm(forms.ModelForm):
    class Meta:
        model = Fallback
        fields = ["target", "position"]
        labels = {"target": "Model"}
        help_texts = {
            "target": "It is asked where no deployment of this model's own can answer.",
            "position": "Lower goes first; of several at one position the strategy chooses.",
        }


class DeploymentForm(Lasting, forms.ModelForm):
    lasting = ("model", "provider")
    capabilities = SeveralField(label="Abilities", choices=CAPABILITIES, help_text="None ticked: as its model.")
    defaults = SeveralField(
        label="First choice for",
        none=[],
        choices=[("thinking", "Thinking"), ("vision", "Images"), ("documents", "Documents"), ("tools", "Tools")],
        help_text="Calls that need one of these come here before they go anywhere else.",
    )

    class Meta:
        model = Deployment
        fields = [
            *("model", "provider", "upstream_model", "protocol", "is_enabled"),
            *ROUTING,
            *ABILITIES,
            *ROOM,
            *PATIENCE,
            *BREAKER,
        ]
        labels = {
            "context_tokens": "Context, tokens",
            "max_concurrency": "Calls at once",
            "queue_places": "Places in its queue",
            "queue_seconds": "Wait at most, seconds",
            "hedge_after": "Ask somebody else too after, seconds",
            **{name: label for name, (label, _) in TIMEOUTS.items()},
            "breaker_window": "Its window holds",
            "breaker_size": "So many seconds or calls",
            "breaker_minimum_calls": "Calls before it judges",
            "breaker_failure_rate": "Opens at failures, %",
            "breaker_slow_rate": "Opens at slow calls, %",
            "breaker_slow_seconds": "Slow is a first byte after, seconds",
            "breaker_open_seconds": "Stays open, seconds",
            "breaker_half_open_calls": "Calls that try it again",
        }
        help_texts = {
            "upstream_model": "What the provider calls the model. At Bedrock its id, or the id or ARN of a profile.",
            "protocol": "Empty: the one that suits the caller and the model. At Bedrock Claude is invoked, others "
            "converse.",
            "priority": "Lower goes first; others are tried when it fails.",
            "weight": "Its share within a priority.",
            "context_tokens": "Empty: as its model.",
            "max_concurrency": "Empty: as many as come.",
            "queue_places": "Where calls wait while it is full or cools down, fairly between tenants. 0: none waits.",
            "hedge_after": "Whoever answers first is heard, and both are paid. Calls that do not stream only. "
            "Empty: never.",
            **dict.fromkeys(TIMEOUTS, "Empty: as its provider."),
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
