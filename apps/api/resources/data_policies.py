from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Strict
from apps.api.fields import Choice, Integer, Text, shown
from apps.api.problems import Problem
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.domain.guardrails.kinds import KINDS
from apps.policies import inventory, services

ON_REQUEST = ("", "flag", "block", "route", "mask")
ON_RESPONSE = ("", "flag", "stop")


class RuleBody(Strict):
    kind = Text(max_length=40, help_text=f"What is looked for: {', '.join(KINDS)}.")
    on_request = Choice(choices=ON_REQUEST, required=False, allow_blank=True)
    on_response = Choice(choices=ON_RESPONSE, required=False, allow_blank=True)


class PolicyBody(Body):
    of = inventory.policies
    columns = (
        *("name", "required_tags", "forbidden_tags", "regions", "route_tag", "is_enabled", "note"),
        "created_at",
    )
    id = shown(Integer)
    rules = RuleBody(many=True, required=False, help_text="All of them: those that are left out are removed.")

    def validate_rules(self, rules: list[dict[str, Any]]) -> dict[str, tuple[str, str]]:
        found = {rule["kind"]: (rule.get("on_request", ""), rule.get("on_response", "")) for rule in rules}
        if len(found) != len(rules):
            raise serializers.ValidationError("A kind has two rules.")
        return found


class DataPolicies(Listing, Reading, Making, Changing, Removing, Resource):
    """Where calls may go, and what becomes of what must not go everywhere."""

    place = "data-policies"
    noun = "data policy"
    model = "policies.datapolicy"
    body = PolicyBody

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.policies()

    def make(self, values: dict[str, Any]) -> Any:
        return self.made(services.create_policy(actor=self.request.user, **values))

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        """Its own fields first, which are of one mind with its rules when all is done."""
        actor = self.request.user
        rules = changes.pop("rules", None)
        if rules is None:
            services.update_policy(row, actor=actor, **changes)
            return
        services.change_policy(row, actor=actor, **changes)
        for rule in list(row.rules.all()):
            if rule.kind not in rules:
                services.remove_rule(rule, actor=actor)
        for kind, (on_request, on_response) in rules.items():
            services.set_rule(row, kind, actor=actor, on_request=on_request, on_response=on_response)
        services.check(row)

    def remove(self, row: Any) -> None:
        if inventory.assignments().filter(policy=row).exists():
            raise Problem(409, "Somebody is under it: remove its assignments first, or disable it.")
        services.remove_policy(row, actor=self.request.user)
