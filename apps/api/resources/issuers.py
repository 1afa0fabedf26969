from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Object, Ref, Words, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.keys import inventory, issuers


class IssuerBody(Body):
    of = inventory.issuers
    columns = (
        *("name", "url", "audiences", "jwks_url", "leeway_seconds", "longest_seconds", "tenant_claim"),
        *("project_claim", "welcomes", "models", "networks", "priority", "is_enabled", "created_at"),
    )
    id = shown(Integer)
    algorithms = Words(help_text="None but these is taken.")
    required_claims = Object(required=False, help_text="By name a text, or a list of which one must be there.")
    tenant = Ref("tenants", required=False, allow_null=True, help_text="Whose calls they are; or name a claim.")
    project = Ref("projects", required=False, allow_null=True)
    endpoints = Words(required=False, allow_null=True, help_text="Null: not confined. A pinned one is `e/<name>`.")


class IssuerQuery(Query):
    tenant = number()


class Issuers(Listing, Reading, Making, Changing, Removing, Resource):
    """Who signs tokens (JWT) that callers may present instead of keys."""

    place = "issuers"
    noun = "issuer"
    model = "keys.issuer"
    body = IssuerBody
    query = IssuerQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.issuers()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(issuers.create_issuer(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        issuers.update_issuer(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        issuers.remove_issuer(row, actor=self.request.user)
