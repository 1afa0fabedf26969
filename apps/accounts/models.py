from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone


class User(AbstractUser):
    """A person. An address, where there is one, belongs to one person whatever its case. `session_epoch`: sessions of
    an earlier one have ended."""

    session_epoch = models.PositiveIntegerField(default=0, db_default=0, editable=False)

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="user_email_unique",
                violation_error_message="Another user has this e-mail address.",
            ),
        ]

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """What each session holds and must be equal to: of the password, and of the epoch."""
        of_password: str = super()._get_session_auth_hash(secret=secret)
        return f"{of_password}.{self.session_epoch}" if self.session_epoch else of_password

    def __str__(self) -> str:
        return self.get_full_name() or self.get_username()


class Identity(models.Model):
    """Who somebody is to an issuer of tokens: by the only two claims that never change. (OpenID Connect Core §5.7)"""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="identities")
    issuer = models.CharField(max_length=300, editable=False)
    subject = models.CharField(max_length=255, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        default_permissions = ("view",)  # all else is for operators
        ordering = ["-id"]
        verbose_name_plural = "identities"
        constraints = [
            models.UniqueConstraint(
                fields=["issuer", "subject"],
                name="identity_once",
                violation_error_message="Somebody has this identity already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"


class SavedView(models.Model):
    """A list of the admin as somebody wants it again. `page`: its model's label; `query`: filters, search and order as
    they stand in its address. Shared: everybody who may see the list is offered it."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="saved_views")
    page = models.CharField(max_length=100, editable=False)
    name = models.CharField(max_length=40)
    query = models.CharField(max_length=2_000, editable=False)
    is_shared = models.BooleanField("shared", default=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        default_permissions = ()
        ordering = ["name", "id"]
        indexes = [models.Index(fields=["page"], condition=models.Q(is_shared=True), name="saved_view_shared")]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "page", "name"],
                name="saved_view_once",
                violation_error_message="You have a view of this name already.",
            )
        ]

    def __str__(self) -> str:
        return self.name
