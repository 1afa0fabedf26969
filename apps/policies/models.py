from __future__ import annotations

import json
import time
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.catalog.validators import validate_words
from apps.domain.guardrails.kinds import KINDS
from apps.outbound.vectors import is_installed
from apps.tenants.models import Role

SUBJECTS = ("tenant", "project", "key")
MONTH_SECONDS = 30 * 86_400
LARGEST_ANSWER = 16_000_000
LEAST_ALIKE = 0.5
LARGEST_SETTINGS = 64 * 1024


def validate_kind(value: str) -> None:
    if value not in KINDS:
        raise ValidationError(f"“{value}” is nothing that is looked for; there are {', '.join(KINDS)}.")


class DataPolicy(models.Model):
    """Where calls may go, by the tags and regions of providers, and, in its rules, what becomes of what must not go
    everywhere. `regions` null: anywhere. `route_tag`: where a rule sends what it routes."""

    name = models.CharField(max_length=60, unique=True)
    required_tags = models.JSONField(default=list, blank=True, validators=[validate_words])
    forbidden_tags = models.JSONField(default=list, blank=True, validators=[validate_words])
    regions = models.JSONField(null=True, blank=True, validators=[validate_words])
    route_tag = models.CharField(max_length=60, blank=True, default="")
    is_enabled = models.BooleanField("enabled", default=True)
    note = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "data policy"
        verbose_name_plural = "data policies"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not self.name.isprintable():  # callers and logs are told it
            raise ValidationError({"name": "It has characters in it that nobody sees."})
        if self.route_tag != self.route_tag.strip() or "," in self.route_tag:
            raise ValidationError({"route_tag": f"“{self.route_tag}” is no tag: name one, as providers have it."})
        if self.regions == []:
            raise ValidationError({"regions": "Name a region, or leave it empty for anywhere: this would be nowhere."})
        if both := sorted(set(self.required_tags or ()).intersection(self.forbidden_tags or ())):
            raise ValidationError({"forbidden_tags": f"“{both[0]}” is required too: no provider could have both."})
        if self.route_tag and self.route_tag in (self.forbidden_tags or ()):
            raise ValidationError({"route_tag": f"“{self.route_tag}” is forbidden: nothing could go there."})


class OnRequest(models.TextChoices):
    """What becomes of a call in which a kind is found."""

    FLAG = "flag", "Note it"
    BLOCK = "block", "Refuse the call"
    ROUTE = "route", "Send it to providers with the tag"
    MASK = "mask", "Mask it"


class OnResponse(models.TextChoices):
    """What becomes of an answer in which a kind is found."""

    FLAG = "flag", "Note it"
    STOP = "stop", "End the answer"


class Rule(models.Model):
    """What a policy does about one kind of finding; empty: it does not look for it there."""

    policy = models.ForeignKey(DataPolicy, on_delete=models.CASCADE, related_name="rules")
    kind = models.CharField(max_length=40, validators=[validate_kind])
    on_request = models.CharField("in a request", max_length=8, choices=OnRequest, blank=True, default="")
    on_response = models.CharField("in an answer", max_length=8, choices=OnResponse, blank=True, default="")

    class Meta:
        ordering = ["policy", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "kind"], name="rule_kind_once", violation_error_message="This kind has a rule."
            ),
            models.CheckConstraint(
                condition=~Q(on_request="", on_response=""),
                name="rule_does_something",
                violation_error_message="Say what becomes of it in a request or in an answer.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} under {self.policy}"

    def clean(self) -> None:
        """What Presidio alone can find has no place in an answer that streams, nor one to be masked at."""
        if self.kind not in KINDS or not KINDS[self.kind].entity:
            return
        if not settings.WEIR_PRESIDIO_URL and self._state.adding:
            raise ValidationError({"kind": "Nothing here looks for it: WEIR_PRESIDIO_URL names no Presidio analyzer."})
        if self.on_response:
            raise ValidationError({"on_response": "It is looked for in requests only."})
        if self.on_request == OnRequest.MASK:
            raise ValidationError({"on_request": "It is counted, not masked: note, refuse or route it."})


def _one_of(*names: str, everyone: bool = False) -> Q:
    """Exactly one of the columns is set; with `everyone`, or none of them and `everyone` is."""
    whole = Q()
    for name in names:
        others = {f"{other}__isnull": other != name for other in names}
        whole |= Q(everyone=False, **others) if everyone else Q(**others)
    return whole | Q(everyone=True, **{f"{name}__isnull": True for name in names}) if everyone else whole


class Assignment(models.Model):
    """Who is under a policy: one tenant, project or key, or everyone. All that a call is under hold at once."""

    policy = models.ForeignKey(DataPolicy, on_delete=models.CASCADE, related_name="assignments")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    key = models.ForeignKey("keys.Key", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    everyone = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["policy", "id"]
        constraints = [
            models.CheckConstraint(
                condition=_one_of(*SUBJECTS, everyone=True),
                name="assignment_one_subject",
                violation_error_message="Choose a tenant, a project or a key, or everyone: exactly one.",
            ),
            *(
                models.UniqueConstraint(
                    fields=["policy", name],
                    name=f"assignment_{name}_once",
                    violation_error_message=f"This {name} is under the policy already.",
                )
                for name in SUBJECTS
            ),
            models.UniqueConstraint(
                fields=["policy"],
                condition=Q(everyone=True),
                name="assignment_everyone_once",
                violation_error_message="Everyone is under the policy already.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} for {self.whom}"

    @property
    def scope(self) -> str:
        return next((name for name in SUBJECTS if getattr(self, f"{name}_id") is not None), "everyone")

    @property
    def whom(self) -> str:
        return "everyone" if self.scope == "everyone" else f"{self.scope} {getattr(self, self.scope)}"


def new_generation() -> int:
    """Milliseconds: no former one comes again, even of a policy that is removed and made anew."""
    return int(time.time() * 1000)


class CachePolicy(models.Model):
    """How answers of a model, or to a key, are kept to be given again; a key's goes before its model's. `is_always`:
    for every call, else for those that ask for it. `is_forced`: also where an answer is left to chance. Semantic: by
    the vectors of `semantic_model`, as near as `semantic_threshold` (cosine). Under another `generation` nothing
    is found of what was kept before."""

    model = models.OneToOneField(
        "catalog.Model", on_delete=models.CASCADE, null=True, blank=True, related_name="cache_policy"
    )
    key = models.OneToOneField("keys.Key", on_delete=models.CASCADE, null=True, blank=True, related_name="cache_policy")
    ttl_seconds = models.PositiveIntegerField(
        default=3_600, validators=[MinValueValidator(1), MaxValueValidator(MONTH_SECONDS)]
    )
    max_bytes = models.PositiveIntegerField(
        default=1_000_000, validators=[MinValueValidator(1_000), MaxValueValidator(LARGEST_ANSWER)]
    )
    is_always = models.BooleanField("for every call", default=True)
    is_forced = models.BooleanField("also where chance decides", default=False)
    semantic_model = models.ForeignKey(
        "catalog.Model", on_delete=models.PROTECT, null=True, blank=True, related_name="compares_for"
    )
    semantic_threshold = models.FloatField(
        null=True, blank=True, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)]
    )
    is_enabled = models.BooleanField("enabled", default=True)
    generation = models.BigIntegerField(default=new_generation, db_default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "cache policy"
        verbose_name_plural = "cache policies"
        constraints = [
            models.CheckConstraint(
                condition=_one_of("model", "key"),
                name="cache_policy_one_subject",
                violation_error_message="Choose a model or a key: exactly one.",
            ),
        ]

    def __str__(self) -> str:
        return f"cache of {self.scope} {self.subject}"

    @property
    def scope(self) -> str:
        return "model" if self.key_id is None else "key"

    @property
    def subject(self) -> Any:
        return getattr(self, self.scope)

    def clean(self) -> None:
        if (self.semantic_model is None) != (self.semantic_threshold is None):
            missing = "semantic_model" if self.semantic_model is None else "semantic_threshold"
            raise ValidationError({missing: "A semantic cache needs both a model and a threshold."})
        if self.semantic_threshold is not None and not self.semantic_threshold >= LEAST_ALIKE:
            told = f"At least {LEAST_ALIKE:g}: below it, questions that have nothing to do with each other are alike."
            raise ValidationError({"semantic_threshold": told})
        if self.semantic_model is not None and not is_installed():
            told = "To compare questions, install what requirements/semantic.txt names: there is no qdrant-client."
            raise ValidationError({"semantic_model": told})
        if self.semantic_model is not None and "embeddings" not in self.semantic_model.capabilities:
            raise ValidationError({"semantic_model": f"“{self.semantic_model}” gives no embeddings."})
        if self.semantic_model is not None and self.model is not None and "embeddings" in self.model.capabilities:
            told = f"“{self.model}” gives embeddings itself: only equal requests have equal ones."
            raise ValidationError({"semantic_model": told})


class TenantCache(models.Model):
    """Of a tenant whose kept answers were thrown away, under whichever policies."""

    tenant = models.OneToOneField("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    generation = models.BigIntegerField(default=new_generation)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"kept answers of {self.tenant}"


class Tally(models.Model):
    """How often a policy met a kind within an hour, and what was done. Never what was found."""

    policy = models.ForeignKey(DataPolicy, on_delete=models.CASCADE, related_name="tallies")
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, related_name="+")
    hour = models.DateTimeField()
    kind = models.CharField(max_length=40)
    action = models.CharField(max_length=8)
    is_answer = models.BooleanField(default=False)
    count = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-hour"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "hour", "tenant", "kind", "action", "is_answer"], name="tally_once"
            )
        ]

    def __str__(self) -> str:
        return f"{self.count} {self.kind} under {self.policy}"


def _names(to: str) -> models.ForeignKey[Any, Any]:
    """A number that names a row, joined where a page wants its name; what was done outlives those to whom it was."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=True, related_name="+"
    )


class Action(models.TextChoices):
    """What a policy does to a call; what it only notes is counted in `Tally`."""

    BLOCK = "block", "Refused"
    ROUTE = "route", "Routed to a tag"
    MASK = "mask", "Masked"
    STOP = "stop", "Answer ended"


class Intervention(models.Model):
    """What one policy did to one call, and for how many findings of which kinds: never for what was found. Added, and
    forgotten when it is old; nobody changes it.

    `kinds` maps a kind, which names the policy's rule, to how often it was found; empty: it could not be looked into.
    `attempt` as the ledger's, 0: before anybody was asked. The id is made when it happens, so that what is written
    twice is there once, and sorts by time.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField(db_index=True)
    request_id = models.UUIDField(db_index=True)
    attempt = models.PositiveSmallIntegerField(default=0)
    tenant = _names("tenants.Tenant")
    project = _names("tenants.Project")
    key = _names("keys.Key")
    user = _names(settings.AUTH_USER_MODEL)
    policy = _names("policies.DataPolicy")
    policy_name = models.CharField(max_length=60)
    action = models.CharField(max_length=8, choices=Action)
    is_answer = models.BooleanField(default=False)
    kinds = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["policy", "-id"], name="intervention_by_policy"),
            models.Index(fields=["tenant", "-id"], name="intervention_by_tenant"),
            models.Index(fields=["action", "-id"], name="intervention_by_action"),
        ]

    def __str__(self) -> str:
        return f"{self.get_action_display()} by {self.policy_name}"

    @property
    def public_request_id(self) -> str:
        return f"req_{self.request_id.hex}"


def validate_settings(value: Any) -> None:
    """What a JSON document can hold everywhere: an object, of a bounded size."""
    if not isinstance(value, dict):
        raise ValidationError('Give a JSON object, such as {"permissions": {}}.')
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ValidationError("It holds what JSON cannot: half a character, or no number.") from None
    if len(written) > LARGEST_SETTINGS or b"\\u0000" in written:
        raise ValidationError(f"It is larger than {LARGEST_SETTINGS // 1024} KB, or holds a NUL.")


class ManagedSettings(models.Model):
    """What a coding agent keeps to, whoever sits before it: Claude Code's managed-settings.json, for the people of a
    tenant, a project or a role, or for everyone. Of those that fit, one holds: that of the highest `priority`."""

    name = models.CharField(max_length=60, unique=True)
    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    role = models.CharField(max_length=16, choices=Role, blank=True, default="")
    priority = models.SmallIntegerField(default=0, validators=[MinValueValidator(-1000), MaxValueValidator(1000)])
    settings = models.JSONField(default=dict, blank=True, validators=[validate_settings])
    is_enabled = models.BooleanField("enabled", default=True)
    note = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-priority", "name"]
        verbose_name = "managed settings"
        verbose_name_plural = "managed settings"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if not isinstance(self.settings, dict):  # fields ask no validator about what is empty
            raise ValidationError({"settings": "Give a JSON object, such as {}."})
        if self.project is not None and self.tenant is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "The project belongs to another tenant."})
