from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet

from apps.accounts import inventory, services
from apps.api.bodies import Body, Query, truth, word
from apps.api.fields import Integer, Moment, Text, Words, shown
from apps.api.problems import Problem
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.audit.services import serialise

GIVEN = ("is_staff", "is_superuser", "permissions")
MANAGED = (
    *("accounts", "audit", "tenants", "catalog", "keys", "access", "signin", "quotas", "policies", "usage", "alerts"),
    "django_celery_beat",
)


class Permissions(Words):
    """Like `keys.view_key`."""

    def to_representation(self, data: Any) -> list[str]:
        return sorted(f"{row.content_type.app_label}.{row.codename}" for row in data.all())


class UserBody(Body):
    of = inventory.users
    columns = ("username", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser")
    volatile = ("last_login",)
    id = shown(Integer)
    permissions = Permissions(required=False, source="user_permissions", help_text="For staff who are no operators.")
    password = Text(write_only=True, required=False, max_length=128, trim_whitespace=False)
    last_login = shown(Moment, allow_null=True)
    date_joined = shown(Moment)


class UserQuery(Query):
    username = word()
    is_active = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (active := given.pop("is_active", None)) is not None:
            rows = rows.filter(is_active=active == "true")
        return rows.filter(**given)


class Users(Listing, Reading, Making, Changing, Resource):
    """People. Only an operator makes staff and operators, or changes one."""

    place = "users"
    noun = "user"
    model = "accounts.user"
    body = UserBody
    query = UserQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.users()

    def lock(self, row: Any) -> None:
        serialise("accounts")
        super().lock(row)

    def allow(self, verb: str, row: Any) -> None:
        self.must(verb)
        if row.is_superuser and not self.reach.is_operator:
            raise PermissionDenied

    def make(self, values: dict[str, Any]) -> Any:
        given = self._given(values)
        is_active = values.pop("is_active", True)
        password = values.pop("password", None)
        try:
            user = services.create_user(actor=self.request.user, password=password, **values)
        except ValidationError as error:
            raise _at_password(error) from None
        if given is not None:
            services.set_permissions(user, actor=self.request.user, permissions=given)
        if not is_active:
            services.deactivate(user, actor=self.request.user)
        return self.made(user)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        given = self._given(changes)
        actor = self.request.user
        is_active, password = changes.pop("is_active", None), changes.pop("password", None)
        if changes:
            services.update_user(row, actor=actor, **changes)
        if given is not None:
            services.set_permissions(row, actor=actor, permissions=given)
        if password is not None:
            try:
                services.set_password(row, actor=actor, password=password)
            except ValidationError as error:
                raise _at_password(error) from None
        if is_active is not None and is_active != row.is_active:
            (services.activate if is_active else services.deactivate)(row, actor=actor)

    def _given(self, values: dict[str, Any]) -> list[Any] | None:
        """The permissions that are set, taken out. Raises Problem."""
        names = values.pop("user_permissions", None)
        wanted = [name for name in GIVEN[:2] if values.get(name)] + (["permissions"] if names else [])
        if wanted and not self.reach.is_operator:
            raise Problem(422, errors={name: ["This is an operator's to give."] for name in wanted})
        if names is None:
            return None
        if not self.reach.is_operator:
            raise Problem(422, errors={"permissions": ["This is an operator's to give."]})
        found = inventory.permissions(names, apps=MANAGED)
        if unknown := [name for name in names if name not in found]:
            raise Problem(422, errors={"permissions": [f"There is no permission “{unknown[0]}”."]})
        return list(found.values())


def _at_password(error: ValidationError) -> ValidationError:
    """What is wrong with a password comes without its field."""
    return error if hasattr(error, "error_dict") else ValidationError({"password": error.messages})
