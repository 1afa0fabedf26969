from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Query, number, word
from apps.api.fields import Text, shown
from apps.api.resource import Listing, Reading, Resource
from apps.policies import inventory


class InterventionBody(Body):
    of = inventory.interventions
    is_told = True
    columns = (
        *("at", "attempt", "tenant", "project", "key", "user", "policy", "policy_name", "action"),
        "is_answer",
    )
    id = shown(serializers.UUIDField)
    request_id = shown(Text, source="public_request_id")
    kinds = shown(serializers.DictField, child=serializers.IntegerField(), help_text="How often each was found.")


class InterventionQuery(Query):
    tenant = number()
    policy = number()
    action = word("block", "route", "mask", "stop")


class Interventions(Listing, Reading, Resource):
    """What data policies did to calls; never what was found in them."""

    place = "interventions"
    noun = "intervention"
    model = "policies.intervention"
    body = InterventionBody
    query = InterventionQuery
    lookup_value_regex = "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}"

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.interventions()
