from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api import repeating
from apps.api.bodies import Strict
from apps.api.fields import Text, Truth
from apps.api.problems import Problem
from apps.api.resource import Signed
from apps.config import services
from apps.config.document import Refused

LONGEST = 1_000_000


class Written(serializers.Serializer[Any]):
    document = Text()


class ConfigDocument(Strict):
    document = Text(max_length=LONGEST, trim_whitespace=False, help_text="YAML, as docs/config.md says.")
    dry_run = Truth(required=False, help_text="Tells what would change, and changes nothing.")
    prune = Truth(required=False, help_text="What its lists lack is taken away.")


class ConfigDifference(serializers.Serializer[Any]):
    field = Text()
    old = Text()
    new = Text()


class ConfigChange(serializers.Serializer[Any]):
    mark = Text(help_text="+ made, ~ changed, - removed or disabled.")
    noun = Text()
    label = Text()
    differences = ConfigDifference(many=True)
    note = Text()


class ConfigOutcome(serializers.Serializer[Any]):
    changes = ConfigChange(many=True)
    unchanged = serializers.DictField(child=serializers.IntegerField(), help_text="How many, by what they are.")
    left = serializers.DictField(
        child=serializers.ListField(child=Text()), help_text="What is here and not in the document, by what it is."
    )
    lacking = serializers.ListField(
        child=Text(),
        help_text="Secrets of what was made that the document calls kept, and that are not here: set them.",
    )


class Configuration(Signed):
    """The configuration as one text, for operators. Secrets are named in it, never written; `env:` and `file:` are read
    by the command only, which runs where Weir does."""

    place = "config"
    gives = Written

    def list(self, request: Request) -> Response:
        """All of it, as it is."""
        self.asked()
        self._check()
        return Response({"document": services.export()})

    @action(detail=False, methods=["post"], url_path="bring-in", given=ConfigDocument, gives=ConfigOutcome)
    def bring_in(self, request: Request) -> Response:
        """Brings it in, all or nothing."""
        self.asked()
        self._check()
        return repeating.once(request, self._bring_in)

    def _check(self) -> None:
        if not self.reach.is_operator:
            raise PermissionDenied

    def _bring_in(self) -> Response:
        given = self.read(ConfigDocument)
        asked = {name: given.get(name, False) for name in ("dry_run", "prune")}
        try:
            outcome = services.bring_in(given["document"], actor=self.request.user, **asked)
        except Refused as refusal:
            raise Problem(422, errors={"document": list(refusal.messages)}) from None
        changes = [
            change._asdict() | {"differences": [one._asdict() for one in change.differences]}
            for change in outcome.changes
        ]
        told = {"unchanged": outcome.unchanged, "left": outcome.left, "lacking": outcome.lacking}
        return Response({"changes": changes, **told})
