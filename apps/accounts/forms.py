"""Forms of the admin that set passwords: through the service, so that it is recorded who did."""

from __future__ import annotations

from typing import Any

from unfold.forms import AdminOwnPasswordChangeForm, AdminPasswordChangeForm

from apps.accounts import services
from apps.accounts.models import User


class PasswordForm(AdminPasswordChangeForm):
    """Somebody's password, set by `actor`."""

    def __init__(self, user: User, *args: Any, actor: User, **options: Any) -> None:
        super().__init__(user, *args, **options)
        self.actor = actor
        self.fields.pop("usable_password", None)  # who shall not sign in is deactivated

    def save(self, commit: bool = True) -> User:
        services.set_password(self.user, actor=self.actor, password=self.cleaned_data["password1"])
        return self.user


class OwnPasswordForm(AdminOwnPasswordChangeForm):
    def save(self, commit: bool = True) -> User:
        services.set_password(self.user, actor=self.user, password=self.cleaned_data["new_password1"])
        return self.user
