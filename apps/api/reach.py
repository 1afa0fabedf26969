"""How far whoever asks can reach: a person's own rights, narrowed by their token, and never more."""

from __future__ import annotations

import functools
from typing import Any

from django.db.models import Q

from apps.tenants import inventory
from apps.tenants.rights import Right, Role, may


class Reach:
    """`token` None: signed in with a session. A token that is confined to a tenant is a member's there and nothing
    more, whoever owns it."""

    def __init__(self, user: Any, token: Any = None) -> None:
        self.user = user
        self.token = token
        self._tenant_id = token.tenant_id if token is not None else None
        self.may_write = token is None or token.scope == "write"

    @property
    def is_confined(self) -> bool:
        return self._tenant_id is not None

    @property
    def is_operator(self) -> bool:
        return bool(self.user.is_superuser) and not self.is_confined

    @property
    def is_of_installation(self) -> bool:
        """Whether more may be asked than what is theirs as a member: the admin's permissions say how much."""
        return not self.is_confined and bool(self.user.is_staff or self.user.is_superuser)

    def has_perm(self, *names: str) -> bool:
        """The admin's permissions, such as `keys.view_key`: all of them, for those who may sign in there."""
        return self.is_of_installation and bool(self.user.has_perms(names))

    @functools.cached_property
    def roles(self) -> dict[int, Role]:
        """By tenant. An operator is told none but by a token that is confined."""
        return inventory.roles(self.user, only=self._tenant_id)

    def may(self, tenant_id: int | None, right: Right) -> bool:
        return tenant_id is not None and may(self.roles.get(tenant_id), right)

    def theirs(self, everything: Right) -> Q:
        """The condition of rows with a `tenant` and a `user`: all of tenants where they have the right, their own in
        others. No wider than it must be, so that an index by tenant or by user can be read."""
        whole = self.tenants_with(everything)
        others = [tenant for tenant in self.roles if tenant not in whole]
        own = Q(user=self.user.pk, tenant__in=others)
        if not others:
            return Q(tenant__in=whole)
        return own | Q(tenant__in=whole) if whole else own

    def tenants_with(self, right: Right) -> list[int]:
        return [tenant for tenant, role in self.roles.items() if may(role, right)]
