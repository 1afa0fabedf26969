from __future__ import annotations

from typing import Any

import msgspec
from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Strict
from apps.api.fields import Integer, Ref, Text, Words
from apps.api.problems import Problem
from apps.api.resource import Signed
from apps.api.resources.data_policies import DataPolicies
from apps.api.resources.keys import Keys
from apps.policies import trial

MOST_A_MINUTE = 60
LONGEST = 200_000


class TrialQuestion(Strict):
    text = Text(max_length=LONGEST, trim_whitespace=False, help_text="A text, or a whole request as JSON.")
    policy = Ref("data-policies", required=False, help_text="Besides those that hold anyway, disabled or not.")
    key = Ref("keys", required=False, help_text="Who calls; left out: anybody.")
    model = Text(required=False, max_length=120, help_text="Left out: the request's, or any.")


class TrialFinding(serializers.Serializer[Any]):
    label = Text()
    count = Integer()
    action = Text(help_text="Empty: no policy says what to do.")
    by = Text(help_text="The policies that do.")


class TrialPlace(serializers.Serializer[Any]):
    name = Text()
    detail = Text()
    hindrance = Text(help_text="Empty: calls may go there.")


class TrialOutcome(serializers.Serializer[Any]):
    policies = Words()
    found = TrialFinding(many=True)
    masked = Text(help_text="As policies that mask would send it.")
    model = Text()
    places = TrialPlace(many=True)
    doubt = Text(help_text="What it was read as, where that may not be what was meant.")


class PolicyTrial(Signed):
    """What policies would do with a text. It is sent nowhere, kept nowhere and not written down."""

    place = "policy-trial"
    is_asking = True
    given = TrialQuestion
    gives = TrialOutcome

    def create(self, request: Request) -> Response:
        """Asks."""
        self.asked()
        if not self.reach.has_perm(DataPolicies.permission("view")):
            raise PermissionDenied
        self.pace("tried", most=MOST_A_MINUTE)
        given = self.read(TrialQuestion)
        if "key" in given and not self.reach.has_perm(Keys.permission("view")):
            raise Problem(422, errors={"key": ["There is no such key."]})
        asked = {"model": given.get("model", ""), "key": given.get("key"), "policy": given.get("policy")}
        try:
            outcome = trial.look(given["text"], **asked)
        except RecursionError:
            raise Problem(422, errors={"text": ["It is nested too deeply: the gateway would refuse it."]}) from None
        except msgspec.DecodeError as error:
            raise Problem(422, errors={"text": [f"The gateway would refuse it: {error}."]}) from None
        lists = {"found": [row._asdict() for row in outcome.found], "places": [row._asdict() for row in outcome.places]}
        return Response(outcome._asdict() | lists)
