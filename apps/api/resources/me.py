from __future__ import annotations

from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.api.fields import Choice, Integer, Moment, Text, Truth
from apps.api.resource import Signed
from apps.tenants.rights import RIGHTS, Role


class Membership(serializers.Serializer[Any]):
    tenant = Integer()
    role = Choice(choices=Role.values)
    rights = serializers.ListField(child=Text())


class OwnToken(serializers.Serializer[Any]):
    id = Integer()
    name = Text()
    scope = Choice(choices=("read", "write"))
    tenant = Integer(allow_null=True)
    expires_at = Moment()


class Myself(serializers.Serializer[Any]):
    id = Integer()
    username = Text()
    is_operator = Truth()
    token = OwnToken(allow_null=True, help_text="Null: signed in with a session.")
    memberships = Membership(many=True)


class Me(Signed):
    """Who asks, and how far they reach."""

    place = "me"
    gives = Myself

    def list(self, request: Request) -> Response:
        """Oneself."""
        self.asked()
        reach, user, token = self.reach, request.user, request.auth
        return Response(
            {
                "id": user.pk,
                "username": user.get_username(),
                "is_operator": reach.is_operator,
                "token": None
                if token is None
                else {
                    **{"id": token.pk, "name": token.name, "scope": token.scope},
                    **{"tenant": token.tenant_id, "expires_at": token.expires_at},
                },
                "memberships": [
                    {"tenant": tenant, "role": role, "rights": sorted(RIGHTS[role])}
                    for tenant, role in sorted(reach.roles.items())
                ],
            }
        )
