"""Forms of policies."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.html import escape  # Django's admin shows help texts as HTML
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldBooleanSwitchWidget

from apps.audit.fields import WordsField
from apps.audit.forms import Lasting
from apps.domain.guardrails.kinds import KINDS
from apps.policies import reach
from apps.policies.models import SUBJECTS, Assignment, CachePolicy, DataPolicy, OnRequest, OnResponse, Rule

MASKED = "Mask it; refuse what would pass byte for byte"


class PolicyForm(forms.ModelForm):
    required_tags = WordsField(none=[], label="Required tags")
    forbidden_tags = WordsField(none=[], label="Forbidden tags")
    regions = WordsField(label="Regions")
    accepts = forms.BooleanField(
        label="Save it all the same",
        required=False,
        widget=UnfoldBooleanSwitchWidget,
        help_text="Calls of those models are refused until they have a deployment that fits.",
    )

    class Meta:
        model = DataPolicy
        fields = ["name", "is_enabled", "note", "required_tags", "forbidden_tags", "regions", "route_tag"]
        labels = {"route_tag": "Routed to the tag"}
        help_texts = {
            "name": "Callers read it where a call of theirs is refused.",
            "is_enabled": "A disabled one holds for nobody.",
            "note": "For whoever reads this page.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        known = reach.words()
        tags = f" There is: {escape(', '.join(known.tags))}." if known.tags else " No provider has any yet."
        regions = f" There is: {escape(', '.join(known.regions))}." if known.regions else " No provider has one yet."
        for name, text in {
            "required_tags": "Calls go only to providers that have all of these; with commas between them." + tags,
            "forbidden_tags": "Calls go to no provider that has one of these." + tags,
            "regions": "Calls go only to providers in one of these. Empty: anywhere." + regions,
            "route_tag": "Where rules send what they route: to providers with this tag." + tags,
        }.items():
            if name in self.fields:
                self.fields[name].help_text = text


class RuleForm(forms.ModelForm):
    kind = forms.ChoiceField(
        widget=UnfoldAdminSelectWidget, choices=[(kind, known.label) for kind, known in KINDS.items()]
    )
    on_request = forms.ChoiceField(
        label="In a request",
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[
            ("", "Nothing"),
            *((word.value, MASKED if word == OnRequest.MASK else word.label) for word in OnRequest),
        ],
    )

    on_response = forms.ChoiceField(
        label="In an answer",
        required=False,
        widget=UnfoldAdminSelectWidget,
        choices=[("", "Nothing"), *OnResponse.choices],
    )

    class Meta:
        model = Rule
        fields = ["kind", "on_request", "on_response"]


class AssignmentForm(Lasting, forms.ModelForm):
    """Somebody else is another assignment."""

    lasting = (*SUBJECTS, "everyone")

    class Meta:
        model = Assignment
        fields = [*SUBJECTS, "everyone"]


class CacheForm(Lasting, forms.ModelForm):
    """Another model or key is another policy."""

    lasting = ("model", "key")

    class Meta:
        model = CachePolicy
        fields = [
            *("model", "key", "is_enabled", "ttl_seconds", "max_bytes", "is_always", "is_forced"),
            *("semantic_model", "semantic_threshold"),
        ]
        labels = {
            "ttl_seconds": "Kept for, seconds",
            "max_bytes": "Longest answer, bytes",
            "semantic_model": "Compared by",
            "semantic_threshold": "At least so alike",
        }
        help_texts = {
            "model": "Answers of this model, to each tenant its own.",
            "key": "Answers to this key. It goes before its models'.",
            "max_bytes": "Longer ones are not kept.",
            "is_always": "Else only for calls that ask by “x-weir-cache: use”.",
            "is_forced": "Also answers of calls whose settings, such as a temperature, would make each one different.",
            "semantic_model": "A model that gives embeddings: questions that mean the same get the same answer. Each "
            "question is sent to it. Empty: only equal requests do.",
            "semantic_threshold": "From 0 to 1; by the cosine of the two. 0.95 is careful.",
        }
