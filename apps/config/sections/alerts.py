"""What is watched and where it is told: of the installation, and of tenants. What has happened is no configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError

from apps.alerts import sealed_urls, services
from apps.alerts.models import AlertRule, Destination
from apps.catalog import vault
from apps.config.fields import Field, Json, Words, flag, text
from apps.config.kinds import Identity, Kind, Values
from apps.config.secrets import HOW, KEPT, Secret, Source
from apps.config.sections.people import project, tenant
from apps.tenants.models import Tenant

SLACK = Destination.Kind.SLACK
GIVE = "say env:NAME or file:/path, or write it, if it is no Slack-shaped one"


class Named(str):
    """It stood in a variable or a file."""


class Target(Field):
    """Addresses of people, or a URL. Whoever has that may write there: it is named like a secret, and never told. One
    of a webhook that is signed may be said in the text."""

    def __init__(self, source: Source) -> None:
        super().__init__(str)
        self.source = source

    def get(self, row: Destination) -> str:
        return KEPT if row.is_secret else row.target

    def parse(self, value: Any) -> str | None:
        """None: kept."""
        found = super().parse(value)
        if found == KEPT:
            return None
        return Named(self.source.read(found)) if found.startswith(("env:", "file:")) else str(found)

    def differs(self, row: Destination, value: str | None) -> bool:
        if value is None or not row.is_secret:
            return value not in (None, row.target)
        try:
            return value != sealed_urls.url_of(row)
        except vault.SecretUnreadable:
            return True

    def told(self, value: Any) -> str:
        if value in (None, KEPT):
            return "as it is"
        return "the one that is named" if isinstance(value, Named) or "://" in value else str(value)


class Destinations(Kind):
    title, noun, key = "destinations", "destination", ("tenant", "name")

    def __init__(self, source: Source) -> None:
        self.fields = {
            **{"tenant": tenant(optional=True), "name": text(), "kind": text(), "target": Target(source)},
            "secret": Secret(source, sealed="sealed", place=lambda row: row.place),
            "is_enabled": flag(),
        }
        super().__init__()

    def rows(self, parent: Any) -> Iterable[Destination]:
        found = Destination.objects.select_related("tenant")
        return sorted(found, key=lambda row: tuple(part or "" for part in self.identity(row)))

    def written(self, row: Destination) -> dict[str, Any]:
        """Only what is signed has a secret."""
        found = super().written(row)
        lacking = {"tenant"} if row.tenant is None else set()
        if row.kind != Destination.Kind.WEBHOOK:
            lacking.add("secret")
        return {name: value for name, value in found.items() if name not in lacking}

    def create(self, parent: Any, values: Values, *, actor: Any) -> Destination:
        secret, is_enabled = values.pop("secret", None), values.pop("is_enabled", True)
        kind, target = values.setdefault("kind", "email"), values.pop("target", None)
        if target is None:
            raise ValidationError({"target": f"None is kept here for “{values['name']}”: {GIVE}."})
        _check(kind, target)
        made = services.create_destination(actor=actor, target=target, **values).destination
        if secret is not None:
            services.set_secret(made, actor=actor, secret=secret)
        if not is_enabled:
            services.update_destination(made, actor=actor, is_enabled=False)
        return made

    def update(self, row: Destination, changes: Values, *, actor: Any) -> None:
        secret = changes.pop("secret", None)
        if "kind" in changes:
            raise ValidationError({"kind": "Of another kind it is another destination."})
        if "target" in changes:
            _check(row.kind, changes["target"])
        if changes:
            services.update_destination(row, actor=actor, **changes)
        if secret is not None:
            services.set_secret(row, actor=actor, secret=secret)

    def prune(self, row: Destination, *, actor: Any) -> str:
        services.remove_destination(row, actor=actor)
        return "removed"


def _check(kind: str, target: str) -> None:
    if kind == SLACK and not isinstance(target, Named):
        raise ValidationError({"target": f"Whoever has it can write there: {HOW}."})


class Places(Words):
    """Destinations by their names, of the rule's own tenant."""

    def get(self, row: AlertRule) -> list[str]:
        return sorted(place.name for place in row.destinations.all())

    def parse(self, value: Any) -> list[str]:
        return sorted(super().parse(value))


class Rules(Kind):
    """Of one name there may be several, which nothing but their order tells apart."""

    title, noun, key = "alerts", "alert rule", ("tenant", "name")
    repeats = True
    fields = {
        **{"tenant": tenant(optional=True), "name": text(), "kind": text(), "project": project(optional=True)},
        **{"settings": Json(), "destinations": Places(), "is_enabled": flag()},
    }

    def rows(self, parent: Any) -> Iterable[AlertRule]:
        found = AlertRule.objects.select_related("tenant", "project__tenant").prefetch_related("destinations")
        return sorted(found.order_by("pk"), key=lambda row: tuple(part or "" for part in self.identity(row)))

    def label(self, identity: Identity) -> str:
        return " ".join(str(part) for part in identity[:2] if part)

    def written(self, row: AlertRule) -> dict[str, Any]:
        found = super().written(row)
        return {name: value for name, value in found.items() if name not in ("tenant", "project") or value is not None}

    def create(self, parent: Any, values: Values, *, actor: Any) -> AlertRule:
        places = _places(values.pop("destinations", []), tenant=values["tenant"])
        return services.create_rule(actor=actor, destinations=places, **{"kind": "", **values})

    def update(self, row: AlertRule, changes: Values, *, actor: Any) -> None:
        if "kind" in changes:
            raise ValidationError({"kind": "Of another kind it is another rule."})
        if "destinations" in changes:
            changes["destinations"] = _places(changes["destinations"], tenant=row.tenant)
        services.update_rule(row, actor=actor, **changes)

    def prune(self, row: AlertRule, *, actor: Any) -> str:
        services.remove_rule(row, actor=actor)
        return "removed"


def _places(names: list[str], *, tenant: Tenant | None) -> list[Destination]:
    found = {row.name: row for row in Destination.objects.filter(tenant=tenant, name__in=names)}
    if missing := [name for name in names if name not in found]:
        raise ValidationError({"destinations": f"There is no destination “{missing[0]}” there."})
    return list(found.values())
