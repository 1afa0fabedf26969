from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Ref, shown
from apps.api.resource import Changing, Listing, Making, Reading, Resource
from apps.catalog import inventory, services


class DeploymentBody(Body):
    of = inventory.deployments
    columns = (
        *("upstream_model", "protocol", "priority", "weight", "is_enabled", "capabilities", "defaults"),
        *("context_tokens", "max_concurrency", "queue_places", "queue_seconds", "hedge_after"),
        *("connect_timeout", "first_byte_timeout", "idle_timeout", "total_timeout"),
        *("breaker_window", "breaker_size", "breaker_minimum_calls", "breaker_failure_rate", "breaker_slow_rate"),
        *("breaker_slow_seconds", "breaker_open_seconds", "breaker_half_open_calls", "breaker_reset_at"),
    )
    lasting = ("model", "provider")
    id = shown(Integer)
    model = Ref("models")
    provider = Ref("providers")


class DeploymentQuery(Query):
    model = number()
    provider = number()


class Deployments(Listing, Reading, Making, Changing, Resource):
    """Where models are served. They are disabled, not removed: the ledger names them."""

    place = "deployments"
    noun = "deployment"
    model = "catalog.deployment"
    body = DeploymentBody
    query = DeploymentQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.deployments()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_deployment(values.pop("model"), actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.update_deployment(row, actor=self.request.user, **changes)

    @action(detail=True, methods=["post"], url_path="reset-breaker")
    def reset_breaker(self, request: Request, pk: str) -> Response:
        """Every gateway forgets what it has learned of it, and asks it again."""
        self.asked()
        deployment = self.row()
        self.allow("change", deployment)

        def do() -> Response:
            services.reset_breaker(deployment, actor=request.user)
            return self.told(self.row())

        return self.once(do)
