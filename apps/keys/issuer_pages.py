"""Trusted issuers in the admin: whose tokens are let in, and as whose calls."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.filters.admin import BooleanRadioFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminTextareaWidget

from apps.audit import cells
from apps.audit.bulk import to_many
from apps.audit.fields import SeveralField, WordsField, offer_also
from apps.audit.models import Area
from apps.audit.pages import AuditedAdmin
from apps.audit.rows import RowFilter
from apps.keys import issuers
from apps.keys.forms import QUEUEING, endpoint_choices
from apps.keys.models import Issuer

USUAL_ALGORITHM = "RS256"


def algorithm_choices() -> list[tuple[str, str]]:
    from apps.outbound.jwks import ALGORITHMS  # with an HTTP client, which most processes have no need of

    return [(name, name) for name in ALGORITHMS]


class ClaimsField(forms.CharField):
    """What claims must be: a line each, `groups: engineers, operators`. Its value is a list of words by claim."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("widget", UnfoldAdminTextareaWidget({"rows": 3}))
        super().__init__(required=False, max_length=4000, **options)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        words = {name: wanted if isinstance(wanted, list) else [wanted] for name, wanted in value.items()}
        return "\n".join(f"{name}: {', '.join(wanted)}" for name, wanted in words.items())

    def clean(self, value: Any) -> Any:
        found: dict[str, list[str]] = {}
        for line in filter(None, map(str.strip, super().clean(value).splitlines())):
            name, colon, rest = line.rpartition(": ") if ": " in line else line.partition(":")
            words = [word.strip() for word in rest.split(",") if word.strip()]
            if not (name.strip() and colon and words):
                raise ValidationError("A line is a claim, a colon, and what it must be: “groups: engineers”.")
            if name.strip() in found:
                raise ValidationError(f"“{name.strip()}” comes twice.")
            found[name.strip()] = words
        return found

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or {}) != (data or "").replace("\r\n", "\n").strip())


class IssuerForm(forms.ModelForm):
    audiences = WordsField(
        label="Audiences", none=[], help_text="A token must be for one of these (aud); with commas between them."
    )
    algorithms = SeveralField(
        label="Algorithms", none=[], choices=algorithm_choices, help_text="What it signs with. None but these is taken."
    )
    required_claims = ClaimsField(
        label="Required claims", help_text="A line each: the claim, a colon, and what it must be or hold one of."
    )
    models = WordsField(label="Models", help_text="Names with commas between them. Empty: all that the tenant may use.")
    endpoints = SeveralField(label="Endpoints", choices=endpoint_choices, help_text="None ticked: all.")
    networks = WordsField(
        label="Networks", help_text="Ranges that calls may come from, such as 192.0.2.0/24. Empty: anywhere."
    )

    class Meta:
        model = Issuer
        fields = [
            *("name", "url", "audiences", "jwks_url", "algorithms", "leeway_seconds", "longest_seconds"),
            *("required_claims", "tenant", "tenant_claim", "project", "project_claim", "welcomes"),
            *("models", "endpoints", "networks", "priority", "is_enabled"),
        ]
        help_texts = {
            "name": "What this page calls it, and logs.",
            "url": "What its tokens have as iss, to the letter.",
            "jwks_url": "Where its keys are. Empty: where its discovery says (/.well-known/openid-configuration).",
            "leeway_seconds": "Seconds that its clock may be off.",
            "longest_seconds": "Seconds from iat to exp; a token of a longer life is refused. Empty: any.",
            "tenant": "Whose calls they are.",
            "tenant_claim": "In place of a tenant: the claim that holds its slug. Who it names must be its member.",
            "project": "Where the tenant is fixed: which of its projects.",
            "project_claim": "The claim that holds a project's slug. A token without it is for the project above.",
            "welcomes": "Who is not known yet is made a person and a developer of the tenant. Who has been removed "
            "stays out. Off: only people who are known by their sign-in.",
            "priority": QUEUEING,
            "is_enabled": "Its tokens are let in.",
        }

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if "endpoints" in self.fields:
            offer_also(self.fields["endpoints"], self.instance.endpoints or [])
        if self.instance.pk is None and "algorithms" in self.fields:
            self.initial.setdefault("algorithms", [USUAL_ALGORITHM])


@admin.register(Issuer)
class IssuerAdmin(AuditedAdmin):
    area = Area.ACCOUNTS
    form = IssuerForm
    list_display = ["name", "shown_issuer", "shown_state", "shown_whose", "shown_algorithms"]
    list_filter = [("tenant", RowFilter), ("is_enabled", BooleanRadioFilter)]
    list_select_related = ["tenant", "project"]
    search_fields = ["name__istartswith", "url__icontains"]
    search_help_text = "Beginning of the name, or part of the issuer"
    autocomplete_fields = ["tenant", "project"]
    actions = ["enable", "disable"]
    nothing_yet = "Callers may present a token (JWT) of an issuer that is trusted here, instead of a key."
    fieldsets = [
        (None, {"fields": ["name", "url", "audiences", "is_enabled"]}),
        ("Verified by", {"fields": ["jwks_url", "algorithms", "leeway_seconds", "longest_seconds", "required_claims"]}),
        ("Whose calls they are", {"fields": ["tenant", "tenant_claim", "project", "project_claim", "welcomes"]}),
        ("Confined to", {"fields": ["models", "endpoints", "networks", "priority"]}),
    ]

    @display(description="Issuer")
    def shown_issuer(self, issuer: Issuer) -> str:
        return cells.lines([issuer.url, ", ".join(issuer.audiences)])

    @display(description="State", ordering="is_enabled")
    def shown_state(self, issuer: Issuer) -> str:
        return cells.badge("enabled", "good") if issuer.is_enabled else cells.badge("disabled", "bad")

    @display(description="Calls for")
    def shown_whose(self, issuer: Issuer) -> str:
        tenant = str(issuer.tenant or f"by {issuer.tenant_claim}")
        project = str(issuer.project or f"by {issuer.project_claim}")
        return f"{tenant} / {project}"

    @display(description="Algorithms")
    def shown_algorithms(self, issuer: Issuer) -> str:
        return ", ".join(issuer.algorithms)

    def save_model(self, request: HttpRequest, obj: Issuer, form: Any, change: bool) -> None:
        if change:
            issuers.update_issuer(obj, actor=request.user, **self.changes(obj, form.changed_data))
        else:
            issuers.add_issuer(obj, actor=request.user)

    def delete_model(self, request: HttpRequest, obj: Issuer) -> None:
        issuers.remove_issuer(obj, actor=request.user)

    @to_many("Enable", does="Their tokens are let in.", done="Enabled", open=lambda: Q(is_enabled=False))
    def enable(self, row: Issuer, *, actor: Any) -> None:
        issuers.update_issuer(row, actor=actor, is_enabled=True)

    @to_many(
        "Disable", does="Their tokens are refused within a second.", done="Disabled", open=lambda: Q(is_enabled=True)
    )
    def disable(self, row: Issuer, *, actor: Any) -> None:
        issuers.update_issuer(row, actor=actor, is_enabled=False)
