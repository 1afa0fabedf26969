from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models.functions import Lower


class User(AbstractUser):
    """A person. An address, where there is one, belongs to one person whatever its case."""

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"),
                condition=~models.Q(email=""),
                name="user_email_unique",
                violation_error_message="Another user has this e-mail address.",
            ),
        ]

    def __str__(self) -> str:
        return self.get_full_name() or self.get_username()
