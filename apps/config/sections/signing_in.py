"""Identity providers with what their groups mean, and issuers whose tokens callers may present."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.config.fields import Json, Words, count, flag, text
from apps.config.kinds import Kind, Values
from apps.config.secrets import Secret, Source
from apps.config.sections.people import project, tenant
from apps.keys import issuers
from apps.keys.models import Issuer
from apps.signin import services
from apps.signin.models import GroupRule, IdentityProvider


class Groups(Kind):
    title, noun, key, above = "groups", "group", ("group", "tenant"), "provider"
    fields = {
        **{"group": text(), "tenant": tenant(optional=True), "role": text()},
        **{"is_staff": flag(), "is_operator": flag()},
    }

    def all_rows(self) -> QuerySet[GroupRule]:
        return GroupRule.objects.select_related("provider", "tenant")

    def in_order(self, rows: QuerySet[GroupRule]) -> Iterable[GroupRule]:
        return sorted(rows, key=lambda row: tuple(part or "" for part in self.identity(row)))

    def create(self, parent: IdentityProvider, values: Values, *, actor: Any) -> GroupRule:
        return services.add_rule(parent, actor=actor, **values)

    def update(self, row: GroupRule, changes: Values, *, actor: Any) -> None:
        services.update_rule(row, actor=actor, **changes)

    def prune(self, row: GroupRule, *, actor: Any) -> str:
        services.remove_rule(row, actor=actor)
        return "removed"


class IdentityProviders(Kind):
    title, noun, key = "identity_providers", "identity provider", ("slug",)
    children = (Groups(),)

    def __init__(self, source: Source) -> None:
        self.fields = {
            **{"slug": text(), "name": text(), "is_enabled": flag(), "tenant": tenant(optional=True)},
            **{"issuer": text(), "client_id": text()},
            "secret": Secret(source, sealed="client_secret", place=lambda row: row.place),
            **{"scopes": text(), "algorithms": Words(), "required_claims": Json(), "creates_people": flag()},
            **{"default_role": text(), "links_by_email": flag(), "groups_claim": text(), "groups_decide": flag()},
            "is_second_factor": flag(),
        }
        super().__init__()

    def rows(self, parent: Any) -> Iterable[IdentityProvider]:
        return IdentityProvider.objects.select_related("tenant").order_by("slug")

    def create(self, parent: Any, values: Values, *, actor: Any) -> IdentityProvider:
        return services.create_provider(actor=actor, **{"name": values["slug"], **values})

    def late(self, name: str) -> bool:
        """With another issuer or client the secret is dropped, and then it has to be set, whichever it is."""
        return name == "secret"

    def update(self, row: IdentityProvider, changes: Values, *, actor: Any) -> None:
        secret = changes.pop("secret", None)
        if changes:
            services.update_provider(row, actor=actor, **changes)
        if secret is not None:
            services.set_secret(row, actor=actor, secret=secret)

    def prune(self, row: IdentityProvider, *, actor: Any) -> str:
        """The people whom it let in are known by it."""
        if not row.is_enabled:
            return ""
        services.update_provider(row, actor=actor, is_enabled=False)
        return "disabled"


class Issuers(Kind):
    title, noun, key = "issuers", "issuer", ("name",)
    fields = {
        **{"name": text(), "is_enabled": flag(), "url": text(), "audiences": Words(), "jwks_url": text()},
        **{"algorithms": Words(), "leeway_seconds": count(), "longest_seconds": count(optional=True)},
        **{"required_claims": Json(), "tenant": tenant(optional=True), "tenant_claim": text()},
        **{"project": project(optional=True), "project_claim": text(), "welcomes": flag()},
        **{"models": Words(optional=True), "endpoints": Words(optional=True), "networks": Words(optional=True)},
        "priority": count(),
    }

    def rows(self, parent: Any) -> Iterable[Issuer]:
        return Issuer.objects.select_related("tenant", "project__tenant").order_by("name")

    def create(self, parent: Any, values: Values, *, actor: Any) -> Issuer:
        return issuers.create_issuer(actor=actor, **values)

    def update(self, row: Issuer, changes: Values, *, actor: Any) -> None:
        issuers.update_issuer(row, actor=actor, **changes)

    def prune(self, row: Issuer, *, actor: Any) -> str:
        if not row.is_enabled:
            return ""
        issuers.update_issuer(row, actor=actor, is_enabled=False)
        return "disabled"
