from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, RegexValidator
from django.db import models
from django.utils import timezone
from django_otp.models import Device, ThrottlingMixin

from apps.catalog.models import AllowedNetwork
from apps.catalog.vault import Place
from apps.outbound import guard
from apps.outbound.jwks import ALGORITHMS
from apps.tenants.models import Role, Tenant

MOST_OF_CLAIMS = 10_000  # characters of those that are required


class SecondFactor(ThrottlingMixin, Device):
    """Somebody's authenticator app (TOTP, RFC 6238). `step`: that of the last code that was taken, so that none is
    taken twice; `drift`: by how many steps its clock is ahead. It counts once it is `confirmed` by a code."""

    sealed = models.TextField(editable=False, default="")
    step = models.BigIntegerField(default=-1, editable=False)
    drift = models.SmallIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        default_permissions = ("view",)  # all else is for operators
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["user"], name="second_factor_of_person_once")]

    def __str__(self) -> str:
        return f"second factor of {self.user}"

    @property
    def place(self) -> Place:
        """The secret opens in this row, and for this person, alone."""
        return Place("signin_secondfactor", "sealed", self.pk, None, binding=str(self.user_id))

    def get_throttle_factor(self) -> float:
        """Seconds to wait after the first wrong code; each further one doubles them."""
        return 1.0


class RecoveryCode(models.Model):
    """Opens once in place of a code. Only a digest is kept: a code has 80 random bits, so nothing slower is needed."""

    factor = models.ForeignKey(SecondFactor, on_delete=models.CASCADE, related_name="recovery_codes")
    digest = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["factor", "digest"], name="recovery_code_once")]

    def __str__(self) -> str:
        return f"recovery code of {self.factor.user}"


def validate_algorithms(value: object) -> None:
    names = value if isinstance(value, list) else []
    if not names or any(name not in ALGORITHMS for name in names):
        raise ValidationError(f"Name one or more of {', '.join(ALGORITHMS)}.")


def default_algorithms() -> list[str]:
    return ["RS256"]


def validate_required_claims(value: object) -> None:
    """By name a text, or a list of texts of which one has to be there."""
    claims = value if isinstance(value, dict) else {"": None}
    words = [word for row in claims.values() for word in (row if isinstance(row, list) else [row])]
    if not all(isinstance(word, str) and word.isprintable() for word in (*words, *claims)):
        raise ValidationError('Write {"claim": "value"}, or {"claim": ["one", "another"]}.')
    if sum(map(len, (*words, *claims))) > MOST_OF_CLAIMS:
        raise ValidationError(f"Give at most {MOST_OF_CLAIMS:,} characters.")


class IdentityProvider(models.Model):
    """An OpenID provider that people may sign in with. `tenant`: only into that one, and never operators or staff.
    `required_claims`: who lacks one of them is refused; at a provider for everybody they say whom it is for."""

    name = models.CharField(max_length=60, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    issuer = models.CharField(max_length=300)
    client_id = models.CharField("client id", max_length=255)
    client_secret = models.TextField(editable=False, default="", blank=True)  # sealed
    scopes = models.CharField(
        max_length=200,
        default="openid email profile",
        validators=[RegexValidator(r"^[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*$", "Words with a space.")],
    )
    algorithms = models.JSONField(default=default_algorithms, validators=[validate_algorithms])
    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="identity_providers"
    )
    required_claims = models.JSONField(default=dict, blank=True, validators=[validate_required_claims])
    groups_claim = models.CharField(max_length=100, default="groups", blank=True)
    groups_decide = models.BooleanField(default=False, db_default=False)
    creates_people = models.BooleanField(default=False, db_default=False)
    default_role = models.CharField(max_length=16, choices=Role, default="", blank=True)
    links_by_email = models.BooleanField(default=False, db_default=False)
    is_second_factor = models.BooleanField(default=False, db_default=False)
    is_enabled = models.BooleanField(default=True, db_default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        default_permissions = ("view",)  # all else is for operators
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(default_role="") | models.Q(default_role__in=Role.values, tenant__isnull=False),
                name="identity_provider_default_role_known",
                violation_error_message="A role for everybody needs the tenant that it is in.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> Place:
        """The secret is for this issuer and client alone: with another, it does not open."""
        return Place(
            "signin_identityprovider", "client_secret", self.pk, None, binding=f"{self.issuer} {self.client_id}"
        )

    def clean(self) -> None:
        if "openid" not in self.scopes.split():
            raise ValidationError({"scopes": "“openid” has to be among them."})
        try:
            target = guard.parse(self.issuer)
            guard.check_url(self.issuer, AllowedNetwork.objects.cidrs())
        except guard.AddressRefused as refused:
            raise ValidationError({"issuer": str(refused)}) from None
        if "?" in self.issuer or "#" in self.issuer or not target.host:
            raise ValidationError({"issuer": "An issuer is an address without “?” and “#”."})
        self._check_rules()

    def _check_rules(self) -> None:
        """Those of a provider that was everybody's must not outlive that."""
        if self.tenant_id is None or self.pk is None:
            return
        elsewhere = models.Q(tenant__isnull=False) & ~models.Q(tenant=self.tenant_id)
        if self.rules.filter(models.Q(is_staff=True) | models.Q(is_operator=True) | elsewhere).exists():
            raise ValidationError(
                {"tenant": "Some of its groups mean something outside this tenant: delete those first."}
            )


class GroupRule(models.Model):
    """What members of a group, as the provider calls it, are here: a role in a tenant, or staff, or operators."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="rules")
    group = models.CharField(max_length=255, validators=[MaxLengthValidator(255)])
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    role = models.CharField(max_length=16, choices=Role, default="", blank=True)
    is_staff = models.BooleanField("staff", default=False, db_default=False)
    is_operator = models.BooleanField("operator", default=False, db_default=False)

    class Meta:
        default_permissions = ("view",)  # all else is for operators
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "group", "tenant"], name="group_rule_once"),
            models.CheckConstraint(
                condition=(models.Q(role="") & models.Q(tenant__isnull=True))
                | models.Q(role__in=Role.values, tenant__isnull=False),
                name="group_rule_role_in_tenant",
                violation_error_message="A role needs its tenant, and a tenant a role.",
            ),
        ]

    def __str__(self) -> str:
        return self.group

    def clean(self) -> None:
        if not self.role and not self.is_staff and not self.is_operator:
            raise ValidationError("Say what members of this group are: a role in a tenant, staff or operators.")
        home = self.provider.tenant_id
        if home is not None and (self.is_staff or self.is_operator or self.tenant_id not in (None, home)):
            raise ValidationError(f"{self.provider} is for {self.provider.tenant} alone.")


class ProviderSession(models.Model):
    """A session here that began with one at a provider, as its tokens call that (`sid`): a provider may end it by that
    name alone. `digest` is of issuer and name, empty: it has ended there; `session_key` changes with the session's, "":
    it is older than this column; `at`: when the session was last saved, from when on its time counts."""

    digest = models.BinaryField(max_length=32)
    session_key = models.CharField(max_length=40, default="", db_default="")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(fields=["digest", "session_key"], name="provider_session_once"),
            models.UniqueConstraint(
                fields=["session_key"], condition=~models.Q(session_key=""), name="provider_session_of_session"
            ),
        ]

    def __str__(self) -> str:
        return f"session of {self.user_id} at a provider"


class SpentToken(models.Model):
    """A logout token that was taken once, by issuer and `jti`, until it would have ended."""

    digest = models.BinaryField(max_length=32, unique=True)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"logout token until {self.expires_at:%Y-%m-%d %H:%M}"
