"""A dry run. The gateway answers it, which this package does not know: whoever puts the site together says how."""

from __future__ import annotations

import json
from typing import Any, Protocol

import msgspec
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.bodies import Strict
from apps.api.fields import Choice, Ref, Text
from apps.api.problems import Problem
from apps.api.resource import Signed
from apps.domain import explanation
from apps.domain.explanation import Explanation

ENDPOINTS = ("messages", "count_tokens", "chat_completions", "completions", "embeddings", "chat", "responses")
MOST_A_MINUTE = 60  # it costs as much as a call
OPERATORS = ("keys.view_key", "catalog.view_deployment")


class Explains(Protocol):
    def __call__(
        self, endpoint: str, body: bytes, *, key_id: int | None, address: str | None, shows_all: bool
    ) -> Explanation | None: ...


_explains: Explains | None = None


def answer_with(explains: Explains) -> None:
    """Said once, by the site. It gives None for a key whose user is shut off or has left."""
    global _explains
    _explains = explains


class Question(Strict):
    endpoint = Choice(choices=ENDPOINTS, required=False, help_text="Usually messages.")
    model = Text(required=False, max_length=200, help_text="Instead of the request's own.")
    key = Ref("keys", required=False, help_text="Who asks. Left out: nobody, whom nothing restrains; for operators.")
    address = serializers.IPAddressField(required=False, help_text="Where the call would come from.")
    request = serializers.DictField(required=False, help_text="As the endpoint would get it. Left out: a short one.")


class Explained(serializers.Serializer[Any]):
    serves = serializers.BooleanField(help_text="Somebody would be asked.")
    explanation = serializers.DictField(help_text="See docs/explain.md.")


class Explain(Signed):
    """Where a call would go, what it would cost and what restrains it. No provider is asked, nothing is booked."""

    place = "explain"
    is_asking = True
    given = Question
    gives = Explained

    def create(self, request: Request) -> Response:
        """Asks."""
        self.asked()
        self.pace("explained", most=MOST_A_MINUTE)
        sees_all = self.reach.has_perm(*OPERATORS)
        given = self.read(Question)
        key = given.get("key")
        if key is None and not sees_all:
            raise Problem(422, errors={"key": ["Name one of your keys."]})
        if _explains is None:
            raise Problem(503, "Nothing here answers this.")
        told = _explains(
            given.get("endpoint", "messages"),
            _body(given),
            key_id=None if key is None else key.pk,
            address=given.get("address"),
            shows_all=sees_all,
        )
        if told is None:
            raise Problem(422, errors={"key": ["Its user is shut off, or has left the tenant."]})
        return Response({"serves": told.serves, "explanation": msgspec.to_builtins(told)})


def _body(given: dict[str, Any]) -> bytes:
    model, request = given.get("model"), given.get("request")
    if request is None:
        if model is None:
            raise Problem(422, errors={"model": ["Name a model, or give a request."]})
        request = explanation.example(given.get("endpoint", "messages"), model=model)
    elif model is not None:
        request = {**request, "model": model}
    return json.dumps(request).encode()
