from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, Text, Truth, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.catalog import inventory, services


class HasSecret(Truth):
    def to_representation(self, value: Any) -> bool:
        return bool(value)


class CredentialBody(Body):
    of = inventory.credentials
    columns = ("alias", "weight", "is_enabled", "last_four", "host", "created_at", "rotated_at", "last_used_at")
    lasting = ("provider", "tenant")
    volatile = ("last_used_at",)
    id = shown(Integer)
    provider = Ref("providers")
    tenant = Ref("tenants", required=False, allow_null=True, help_text="Whose own it is; null: anybody's.")
    secret = Text(write_only=True, required=False, max_length=10_000, help_text="It can never be read back.")
    has_secret = HasSecret(read_only=True, source="ciphertext")


class CredentialQuery(Query):
    provider = number()
    tenant = number()


class Credentials(Listing, Reading, Making, Changing, Removing, Resource):
    """Providers' keys, sealed as they come in."""

    place = "credentials"
    noun = "credential"
    model = "catalog.credential"
    body = CredentialBody
    query = CredentialQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.credentials()

    def lock(self, row: Any) -> None:
        """Its provider first, as whoever moves a provider does."""
        super().lock(row.provider)
        super().lock(row)

    def make(self, values: dict[str, Any]) -> Any:
        is_enabled = values.pop("is_enabled", True)
        credential = services.create_credential(values.pop("provider"), actor=self.request.user, **values)
        if not is_enabled:
            services.disable_credential(credential, actor=self.request.user)
        return self.made(credential)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        secret = changes.pop("secret", None)
        if changes:
            services.update_credential(row, actor=self.request.user, **changes)
        if secret is not None:
            services.set_secret(row, actor=self.request.user, secret=secret)

    def remove(self, row: Any) -> None:
        services.delete_credential(row, actor=self.request.user)
