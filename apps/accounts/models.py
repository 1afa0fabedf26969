from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower


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
