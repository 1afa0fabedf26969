"""People, tenants, projects, members. Nobody's password is written, nor who administers the installation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.config.fields import Field, Named, flag, text
from apps.config.kinds import Kind, Values
from apps.tenants import services
from apps.tenants.models import Membership, Project, Role, Tenant


def person(name: str) -> User | None:
    """By user name, or by address."""
    found = User.objects.filter(username=name).first()
    return found or (User.objects.filter(email__iexact=name).first() if "@" in name else None)


def tenant(*, optional: bool = False) -> Named:
    return Named(
        "tenant", lambda slug: Tenant.objects.filter(slug=slug).first(), lambda row: row.slug, optional=optional
    )


def user(*, optional: bool = False) -> Named:
    return Named("person", person, lambda row: row.username, optional=optional)


def project(*, optional: bool = False) -> Named:
    def found(name: str) -> Project | None:
        owner, _, slug = name.partition("/")
        return Project.objects.select_related("tenant").filter(tenant__slug=owner, slug=slug).first()

    return Named("project", found, lambda row: f"{row.tenant.slug}/{row.slug}", optional=optional)


class People(Kind):
    """Those who are made have no password: they sign in when they were given one, or by an identity provider."""

    title, noun, key = "people", "person", ("username",)
    fields = {
        **{"username": text(), "email": text(), "first_name": text(), "last_name": text()},
        "is_active": flag(),
    }

    def rows(self, parent: Any) -> Iterable[User]:
        return User.objects.order_by("username")

    def create(self, parent: Any, values: Values, *, actor: Any) -> User:
        is_active = values.pop("is_active", True)
        made = accounts.create_user(actor=actor, **values)
        if not is_active:
            accounts.deactivate(made, actor=actor)
        return made

    def update(self, row: User, changes: Values, *, actor: Any) -> None:
        is_active = changes.pop("is_active", None)
        if changes:
            accounts.update_user(row, actor=actor, **changes)
        if is_active is not None:
            (accounts.activate if is_active else accounts.deactivate)(row, actor=actor)


class Projects(Kind):
    title, noun, key, above = "projects", "project", ("slug",), "tenant"
    fields = {"slug": text(), "name": text(), "is_active": flag()}

    def all_rows(self) -> QuerySet[Project]:
        return Project.objects.select_related("tenant").order_by("slug")

    def create(self, parent: Tenant, values: Values, *, actor: Any) -> Project:
        is_active = values.pop("is_active", True)
        made = services.create_project(parent, actor=actor, **{"name": values["slug"], **values})
        if not is_active:
            services.deactivate_project(made, actor=actor)
        return made

    def update(self, row: Project, changes: Values, *, actor: Any) -> None:
        services.update_project(row, actor=actor, **changes)

    def prune(self, row: Project, *, actor: Any) -> str:
        if not row.is_active:
            return ""
        services.deactivate_project(row, actor=actor)
        return "deactivated"


class Member(Field):
    """A role, one of the few that there are."""

    def parse(self, value: Any) -> str:
        if value not in Role.values:
            raise ValueError(f"there is no such role; there are {', '.join(Role.values)}")
        return str(value)


class Members(Kind):
    title, noun, key, above = "members", "member", ("user",), "tenant"
    fields = {"user": user(), "role": Member(str)}

    def all_rows(self) -> QuerySet[Membership]:
        return Membership.objects.select_related("user", "tenant").order_by("user__username")

    def create(self, parent: Tenant, values: Values, *, actor: Any) -> Membership:
        return services.add_member(parent, actor=actor, **values)

    def update(self, row: Membership, changes: Values, *, actor: Any) -> None:
        services.change_role(row, actor=actor, role=changes["role"])

    def prune(self, row: Membership, *, actor: Any) -> str:
        services.remove_member(row, actor=actor)
        return "removed"

    def urgency(self, values: Values) -> int:
        """A tenant is never without an owner: a new one before the old one goes."""
        return 0 if values.get("role") == Role.OWNER else 1


class Tenants(Kind):
    title, noun, key = "tenants", "tenant", ("slug",)
    fields = {
        **{"slug": text(), "name": text(), "is_active": flag(), "timezone": text(), "on_outage": text()},
    }
    children = (Projects(), Members())

    def rows(self, parent: Any) -> Iterable[Tenant]:
        return Tenant.objects.order_by("slug")

    def create(self, parent: Any, values: Values, *, actor: Any) -> Tenant:
        rest = {name: values.pop(name) for name in ("is_active", "on_outage") if name in values}
        made = services.create_tenant(actor=actor, **{"name": values["slug"], **values})
        return services.update_tenant(made, actor=actor, **rest) if rest else made

    def update(self, row: Tenant, changes: Values, *, actor: Any) -> None:
        services.update_tenant(row, actor=actor, **changes)

    def prune(self, row: Tenant, *, actor: Any) -> str:
        if not row.is_active:
            return ""
        services.deactivate_tenant(row, actor=actor)
        return "deactivated"
