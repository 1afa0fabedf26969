from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.policies import inventory, services


class CacheBody(Body):
    of = inventory.caches
    columns = (
        *("ttl_seconds", "max_bytes", "is_always", "is_forced", "semantic_threshold", "is_enabled"),
        "created_at",
    )
    lasting = ("model", "key")
    id = shown(Integer)
    model = Ref("models", required=False, allow_null=True)
    key = Ref("keys", required=False, allow_null=True)
    semantic_model = Ref(
        "models",
        required=False,
        allow_null=True,
        help_text="By whose vectors questions are compared; null: they are not.",
    )


class CacheQuery(Query):
    model = number()
    key = number()


class CachePolicies(Listing, Reading, Making, Changing, Removing, Resource):
    """How answers of a model, or to a key, are kept to be given again."""

    place = "cache-policies"
    noun = "cache policy"
    model = "policies.cachepolicy"
    body = CacheBody
    query = CacheQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.caches()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_cache(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_cache(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.remove_cache(row, actor=self.request.user)

    @action(detail=True, methods=["post"])
    def forget(self, request: Request, pk: str) -> Response:
        """Throws away what was kept under it."""
        self.asked()
        cache = self.row()
        self.allow("change", cache)

        def do() -> Response:
            services.forget_answers(cache, actor=request.user)
            return self.told(self.row())

        return self.once(do)
