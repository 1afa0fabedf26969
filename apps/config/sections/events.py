"""Where events go. How far each sink has come is no configuration."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError

from apps.config.fields import Json, Words, flag, text
from apps.config.kinds import Kind, Values
from apps.config.secrets import Secret, Source
from apps.events import doors, services, signing
from apps.events.kinds import words
from apps.events.models import Sink
from apps.events.sinks import registry


class Names(Words):
    """Of events, in the order in which they are kept."""

    def get(self, row: Sink) -> list[str]:
        return words(row.kinds)

    def differs(self, row: Sink, value: list[str]) -> bool:
        return {*self.get(row)} != {*value}


class SinkSecret(Secret):
    """Of a webhook whose secret is rotated: the newest."""

    def differs(self, row: Sink, value: str | None) -> bool:
        if value is None:
            return False
        try:
            present = services.secret_of(row)
        except doors.SecretAway:
            present = ""
        if row.kind == signing.KIND:
            present = present.partition(" ")[0]
        return not hmac.compare_digest(present.encode(), value.encode())


class Sinks(Kind):
    title, noun, key = "sinks", "event sink", ("name",)

    def __init__(self, source: Source) -> None:
        self.fields = {
            **{"name": text(), "kind": text(), "target": text(), "settings": Json(), "kinds": Names()},
            **{"secret": SinkSecret(source, sealed="sealed"), "is_enabled": flag()},
        }
        super().__init__()

    def rows(self, parent: Any) -> Iterable[Sink]:
        return Sink.objects.order_by("name")

    def written(self, row: Sink) -> dict[str, Any]:
        """Only what has a secret, or could have one."""
        found = super().written(row)
        has_none = row.kind in registry.names() and not registry.kind(row.kind).SECRET
        return {name: value for name, value in found.items() if not (has_none and name == "secret")}

    def create(self, parent: Any, values: Values, *, actor: Any) -> Sink:
        given = {name: values[name] for name in ("name", "kind", "target") if name in values}
        if lacking := [name for name in ("kind", "target") if name not in given]:
            raise ValidationError({lacking[0]: "Say what it is."})
        more = {name: values[name] for name in ("settings", "kinds", "is_enabled") if name in values}
        return signing.create(actor=actor, secret=values.get("secret") or "", **given, **more).sink

    def update(self, row: Sink, changes: Values, *, actor: Any) -> None:
        if "kind" in changes:
            raise ValidationError({"kind": "Of another kind it is another sink."})
        services.update_sink(row, actor=actor, **{**changes, "secret": changes.get("secret") or ""})

    def prune(self, row: Sink, *, actor: Any) -> str:
        services.remove_sink(row, actor=actor)
        return "removed"
