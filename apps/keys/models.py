from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models as orm  # `models` is a field of Key
from django.utils import timezone

from apps.catalog.models import DataKey
from apps.catalog.pinned import SHAPE
from apps.catalog.selectors import models_of_tenant, pinned_names
from apps.catalog.validators import validate_networks, validate_words
from apps.outbound import guard
from apps.tenants.models import Project, Tenant
from apps.tenants.scope import TenantScoped

MOST_CLAIMS = 20
LONGEST_CLAIM = 1_000
_PINNED = re.compile(f"e/{SHAPE}")


class Endpoint(orm.TextChoices):
    """What a key may be confined to; the gateway's endpoints by name. Pinned ones are `e/<name>` beside these."""

    MESSAGES = "messages", "Messages"
    COUNT_TOKENS = "count_tokens", "Count tokens"
    CHAT_COMPLETIONS = "chat_completions", "Chat completions"
    COMPLETIONS = "completions", "Completions (legacy)"
    EMBEDDINGS = "embeddings", "Embeddings"
    CHAT = "chat", "Chat, in one line"
    RESPONSES = "responses", "Responses"
    MODELS = "models", "List of models"


def validate_endpoints(value: Any) -> None:
    validate_words(value)
    if unknown := [word for word in value if word not in Endpoint.values and not _PINNED.fullmatch(word)]:
        there_are = ", ".join([*Endpoint.values, "e/<a pinned one's name>"])
        raise ValidationError(f"“{unknown[0]}” is not an endpoint; there are {there_are}.")


def _check_pinned(endpoints: Any) -> None:
    pinned = {word.removeprefix("e/") for word in endpoints or () if word.startswith("e/")}
    if pinned and (unknown := pinned.difference(pinned_names())):
        raise ValidationError({"endpoints": f"There is no pinned endpoint “{min(unknown)}”."})


def _names_of_models(tenant_id: int) -> set[str]:
    rows = models_of_tenant(tenant_id).values_list("name", "aliases")
    return {name for own, aliases in rows for name in (own, *aliases)}


class Key(orm.Model):
    """The identity that limits, budgets and usage hang on; it stays when its secret is rotated.

    `models`, `endpoints`, `networks` null: not confined. A higher `priority` goes before others in a queue. `public_id`
    and `last_four` are those of the newest secret. `revision` is the number that the audit gave the last change.
    """

    tenant = orm.ForeignKey(Tenant, on_delete=orm.PROTECT, related_name="keys")
    project = orm.ForeignKey(Project, on_delete=orm.PROTECT, related_name="keys")
    user = orm.ForeignKey(settings.AUTH_USER_MODEL, on_delete=orm.PROTECT, null=True, blank=True, related_name="keys")
    name = orm.CharField(max_length=100)
    public_id = orm.CharField(max_length=12, unique=True, editable=False)
    last_four = orm.CharField(max_length=4, editable=False)
    revision = orm.BigIntegerField(default=0, db_index=True, editable=False)
    models = orm.JSONField(null=True, blank=True, validators=[validate_words])
    endpoints = orm.JSONField(null=True, blank=True, validators=[validate_endpoints])
    networks = orm.JSONField(null=True, blank=True, validators=[validate_networks])
    priority = orm.SmallIntegerField(
        default=0, db_default=0, validators=[MinValueValidator(-100), MaxValueValidator(100)]
    )
    expires_at = orm.DateTimeField(null=True, blank=True)
    expiry_recorded_at = orm.DateTimeField(null=True, editable=False)
    expiry_announced = orm.DateTimeField(null=True, editable=False)  # the end that other systems were told of before
    revoked_at = orm.DateTimeField(null=True, editable=False)
    created_by = orm.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=orm.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    last_used_at = orm.DateTimeField(null=True, editable=False)
    last_used_ip = orm.GenericIPAddressField(null=True, editable=False)
    last_used_client = orm.CharField(max_length=100, blank=True, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            orm.Index(fields=["tenant", "-id"], name="key_by_tenant"),
            orm.Index(fields=["name"], name="key_by_name"),
            orm.Index(fields=["expires_at", "id"], name="key_by_expiry"),
            orm.Index(
                fields=["expires_at"],
                condition=orm.Q(expires_at__isnull=False, expiry_recorded_at__isnull=True),
                name="key_expiry_unrecorded",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def prefix(self) -> str:
        """What tells keys of one name apart: the public beginning of the newest secret."""
        return f"weir_{self.public_id}…"

    def clean(self) -> None:
        """A key stays within its project, the project within its tenant, its user among the tenant's members."""
        if self.project_id is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "The project belongs to another tenant."})
        if self.user is not None and not self.user.memberships.filter(tenant=self.tenant_id).exists():
            raise ValidationError({"user": "The user is not a member of the tenant."})
        if unknown := set(self.models or ()) - self._models_of_tenant():
            raise ValidationError({"models": f"The tenant has no model “{min(unknown)}”."})
        _check_pinned(self.endpoints)

    def _models_of_tenant(self) -> set[str]:
        return _names_of_models(self.tenant_id) if self.models else set()


class KeySecret(orm.Model):
    """One secret of a key, as a digest under a pepper (null: WEIR_KEY_PEPPER). During a rotation's overlap a key has
    two that work.
    """

    key = orm.ForeignKey(Key, on_delete=orm.CASCADE, related_name="secrets")
    public_id = orm.CharField(max_length=12, unique=True, editable=False)
    digest = orm.BinaryField(max_length=32, unique=True, editable=False)
    pepper = orm.ForeignKey(DataKey, on_delete=orm.PROTECT, null=True, editable=False, related_name="+")
    last_four = orm.CharField(max_length=4, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    expires_at = orm.DateTimeField(null=True, editable=False)
    revoked_at = orm.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"weir_{self.public_id}…{self.last_four}"


def validate_algorithms(value: Any) -> None:
    from apps.outbound.jwks import ALGORITHMS  # with an HTTP client, which most processes have no need of

    validate_words(value)
    if unknown := [word for word in value if word not in ALGORITHMS]:
        raise ValidationError(f"“{unknown[0]}” verifies nothing here; there are {', '.join(ALGORITHMS)}.")


def _is_claim(word: Any) -> bool:
    return isinstance(word, str) and word != "" and word.isprintable() and len(word) <= LONGEST_CLAIM


def validate_claims(value: Any) -> None:
    """What each claim must be: a word, or one of several."""
    if not isinstance(value, dict) or len(value) > MOST_CLAIMS:
        raise ValidationError(f"Give up to {MOST_CLAIMS} claims, each with what it must be.")
    for name, wanted in value.items():
        words = wanted if isinstance(wanted, list) else [wanted]
        if not words or not all(_is_claim(word) for word in (name, *words)):
            raise ValidationError(f"“{name}” must be a word, or one of a list of words.")


class Issuer(orm.Model):
    """Who signs tokens (JWT) that callers may present instead of a key. `url` is what their `iss` says, to the letter;
    `required_claims` what others must say. Whose calls they are is either fixed (`tenant`) or told by a claim.

    `revision` is the number that the audit gave the last change.
    """

    name = orm.CharField(max_length=60, unique=True)
    url = orm.CharField("issuer", max_length=255, unique=True)
    audiences = orm.JSONField(validators=[validate_words])
    jwks_url = orm.CharField("JWKS URL", max_length=500, blank=True, default="")
    algorithms = orm.JSONField(default=list, validators=[validate_algorithms])
    leeway_seconds = orm.PositiveSmallIntegerField("leeway", default=60, validators=[MaxValueValidator(300)])
    longest_seconds = orm.PositiveIntegerField(
        "longest life", null=True, blank=True, default=86_400, validators=[MinValueValidator(60)]
    )
    required_claims = orm.JSONField(default=dict, blank=True, validators=[validate_claims])
    tenant = orm.ForeignKey(Tenant, on_delete=orm.PROTECT, null=True, blank=True, related_name="issuers")
    tenant_claim = orm.CharField(max_length=100, blank=True, default="")
    project = orm.ForeignKey(Project, on_delete=orm.PROTECT, null=True, blank=True, related_name="issuers")
    project_claim = orm.CharField(max_length=100, blank=True, default="")
    welcomes = orm.BooleanField("welcomes newcomers", default=False)
    models = orm.JSONField(null=True, blank=True, validators=[validate_words])
    endpoints = orm.JSONField(null=True, blank=True, validators=[validate_endpoints])
    networks = orm.JSONField(null=True, blank=True, validators=[validate_networks])
    priority = orm.SmallIntegerField(default=0, validators=[MinValueValidator(-100), MaxValueValidator(100)])
    is_enabled = orm.BooleanField("enabled", default=True)
    revision = orm.BigIntegerField(default=0, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        verbose_name = "trusted issuer"
        constraints = [
            orm.CheckConstraint(
                condition=orm.Q(tenant__isnull=False, tenant_claim="")
                | (orm.Q(tenant__isnull=True, project__isnull=True) & ~orm.Q(tenant_claim="")),
                name="issuer_tenant_once",
                violation_error_message="Name a tenant, or the claim that tells it: one of the two.",
            ),
            orm.CheckConstraint(
                condition=orm.Q(project__isnull=False) | ~orm.Q(project_claim=""),
                name="issuer_project_known",
                violation_error_message="Name a project, or the claim that tells it.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        for name in ("audiences", "algorithms"):
            if not getattr(self, name):
                raise ValidationError({name: "Name at least one."})
        validate_claims(self.required_claims)  # fields ask no validator about what is empty
        if not self.name.isprintable() or not self.url.isprintable() or self.url != self.url.strip():
            raise ValidationError({"url": "Give what tokens have as their issuer, without spaces around it."})
        _check_address("jwks_url" if self.jwks_url else "url", self.jwks_url or self.url)
        if self.project is not None and self.tenant is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "The project belongs to another tenant."})
        if self.models == []:
            raise ValidationError({"models": "Name a model, or leave it empty for all of them."})
        theirs = _names_of_models(self.tenant_id) if self.models and self.tenant_id is not None else None
        if theirs is not None and (unknown := set(self.models or ()) - theirs):
            raise ValidationError({"models": f"The tenant has no model “{min(unknown)}”."})
        _check_pinned(self.endpoints)


def _check_address(field: str, url: str) -> None:
    """Whether it may be called is seen when it is: networks are opened and closed."""
    try:
        guard.parse(url)
    except guard.AddressRefused as refused:
        raise ValidationError({field: f"Its keys cannot be fetched: {refused}"}) from None


class Grant(orm.Model):
    """A program that somebody has signed in, to call as them for a project. `public_id` stands in all its tokens;
    `revision` is the number that the audit gave the last change; `ended_why` in few words."""

    tenant = orm.ForeignKey(Tenant, on_delete=orm.PROTECT, related_name="grants")
    project = orm.ForeignKey(Project, on_delete=orm.PROTECT, related_name="grants")
    user = orm.ForeignKey(settings.AUTH_USER_MODEL, on_delete=orm.PROTECT, related_name="grants")
    public_id = orm.CharField(max_length=12, unique=True, editable=False)
    client = orm.CharField(max_length=100, blank=True, editable=False)
    address = orm.GenericIPAddressField(null=True, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    refreshed_at = orm.DateTimeField(null=True, editable=False)
    ended_at = orm.DateTimeField(null=True, editable=False)
    ended_why = orm.CharField(max_length=40, blank=True, default="", editable=False)
    revision = orm.BigIntegerField(default=0, db_index=True, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "change")
        verbose_name = "signed-in program"
        indexes = [
            orm.Index(fields=["tenant", "-id"], name="grant_by_tenant"),
            orm.Index(fields=["user", "-id"], name="grant_by_user"),
        ]

    def __str__(self) -> str:
        return f"{self.client or 'A program'} of {self.user}"


class GrantToken(orm.Model):
    """A token of a grant, as the SHA-256 of it. `used_at`: a refresh token that was given back for a new one."""

    class Kind(orm.TextChoices):
        ACCESS = "access", "Access"
        REFRESH = "refresh", "Refresh"

    grant = orm.ForeignKey(Grant, on_delete=orm.CASCADE, related_name="tokens")
    kind = orm.CharField(max_length=8, choices=Kind, editable=False)
    digest = orm.BinaryField(max_length=32, unique=True, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    expires_at = orm.DateTimeField(editable=False)
    used_at = orm.DateTimeField(null=True, editable=False)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.kind} token of {self.grant}"


class DeviceCode(orm.Model):
    """A program that waits for somebody to let it in (RFC 8628). `user_code` is what people type, without its dash.
    `grant`: it has been let in; `denied_at`: it has not."""

    digest = orm.BinaryField(max_length=32, unique=True, editable=False)
    user_code = orm.CharField(max_length=8, unique=True, editable=False)
    client = orm.CharField(max_length=100, blank=True, editable=False)
    address = orm.GenericIPAddressField(null=True, editable=False)
    interval = orm.PositiveSmallIntegerField(default=5, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    expires_at = orm.DateTimeField(editable=False)
    polled_at = orm.DateTimeField(null=True, editable=False)
    denied_at = orm.DateTimeField(null=True, editable=False)
    grant = orm.OneToOneField(Grant, on_delete=orm.CASCADE, null=True, editable=False, related_name="device_code")

    class Meta:
        default_permissions = ()
        indexes = [
            orm.Index(fields=["expires_at"], name="device_code_by_end"),
            orm.Index(fields=["address", "expires_at"], name="device_code_by_address"),
        ]

    def __str__(self) -> str:
        return f"{self.user_code[:4]}-{self.user_code[4:]}"
