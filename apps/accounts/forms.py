"""Forms of the admin that set passwords: through the service, so that it is recorded who did."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import MaxLengthValidator
from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm, UserCreationForm

from apps.accounts import services
from apps.accounts.models import User

LONGEST_PASSWORD = 4096  # each is hashed


def _bounded(fields: dict[str, forms.Field]) -> None:
    for name, field in fields.items():
        if isinstance(field, forms.CharField) and "password" in name:
            field.validators.append(MaxLengthValidator(LONGEST_PASSWORD))


class PersonCreationForm(UserCreationForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _bounded(self.fields)


class PasswordForm(AdminPasswordChangeForm):
    """Somebody's password, set by `actor`."""

    def __init__(self, user: User, *args: Any, actor: User, **options: Any) -> None:
        super().__init__(user, *args, **options)
        self.actor = actor
        _bounded(self.fields)
        self.fields.pop("usable_password", None)  # who shall not sign in is deactivated

    def save(self, commit: bool = True) -> User:
        services.set_password(self.user, actor=self.actor, password=self.cleaned_data["password1"])
        return self.user


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        _bounded(self.fields)

    def save(self, commit: bool = True) -> User:
        services.set_password(self.user, actor=self.user, password=self.cleaned_data["new_password1"])
        return self.user
