from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.api.bodies import Body, Query, number
from apps.api.fields import Integer, Object, Ref, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.policies import inventory, services


class SettingsBody(Body):
    of = inventory.managed_settings
    columns = ("name", "role", "priority", "is_enabled", "note", "created_at")
    id = shown(Integer)
    tenant = Ref("tenants", required=False, allow_null=True, help_text="Whose people; null: everybody's.")
    project = Ref("projects", required=False, allow_null=True, help_text="For calls of this one only.")
    settings = Object(required=False, help_text="As in Claude Code's managed-settings.json.")


class SettingsQuery(Query):
    tenant = number()
    project = number()


class ManagedSettings(Listing, Reading, Making, Changing, Removing, Resource):
    """What coding agents keep to, by group: of those that fit, one holds."""

    place = "managed-settings"
    noun = "managed settings"
    model = "policies.managedsettings"
    body = SettingsBody
    query = SettingsQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.managed_settings()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.settle(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        services.resettle(row, actor=self.request.user, **changes)

    def remove(self, row: Any) -> None:
        services.unsettle(row, actor=self.request.user)
