from __future__ import annotations

import datetime
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from apps.access import selectors, services
from apps.api.bodies import Body, Query, word
from apps.api.fields import Integer, Moment, Ref, Text, shown
from apps.api.reach import Reach
from apps.api.resource import Listing, Making, Reading, Resource


class TokenBody(Body):
    of = selectors.tokens
    columns = (
        *("user", "name", "scope", "public_id", "last_four", "revoked_at", "created_at"),
        *("last_used_at", "last_used_ip"),
    )
    lasting = ("tenant",)
    volatile = ("last_used_at", "last_used_ip")
    id = shown(Integer)
    tenant = Ref("tenants", required=False, allow_null=True, help_text="Confines the token to this one.")
    expires_at = Moment(required=False, help_text="Left out: 90 days from now. 366 days are the most.")
    secret = shown(Text, help_text="The token itself: told once, when it is issued.")


class TokenQuery(Query):
    scope = word("read", "write")


class Tokens(Listing, Reading, Making, Resource):
    """Tokens of this API: one's own. A token can issue others that are no wider than itself and end no later."""

    place = "tokens"
    noun = "token"
    model = "access.token"
    body = TokenBody
    query = TokenQuery
    secrets = ("secret",)

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return selectors.tokens()

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any]:
        mine = rows.filter(user=reach.user.pk)
        return mine.filter(tenant=reach.token.tenant_id) if reach.is_confined else mine

    def allow(self, verb: str, row: Any) -> None:
        if row.user_id != self.reach.user.pk and not self.manages(verb):
            raise PermissionDenied

    def allow_making(self) -> None:
        """Everybody has their own."""

    def make(self, values: dict[str, Any]) -> Any:
        if (token := self.reach.token) is not None:
            self._narrow(values, token)
        issued = services.issue(self.request.user, **values)
        return self.made(issued.token, beside={"secret": issued.plaintext})

    def _narrow(self, values: dict[str, Any], token: Any) -> None:
        """Raises ValidationError for what would be wider than the token that asks."""
        if token.tenant_id is not None and values.setdefault("tenant", token.tenant) != token.tenant:
            raise ValidationError({"tenant": "Your own token is confined to another tenant."})
        usual = min(timezone.now() + services.USUAL_LIFETIME, token.expires_at)
        if values.setdefault("expires_at", usual) > token.expires_at + datetime.timedelta(seconds=1):
            raise ValidationError({"expires_at": "Your own token ends before."})

    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: str) -> Response:
        """Ends it for good. Twice is once."""
        self.asked()
        token = self.row()
        self.allow("change", token)

        def do() -> Response:
            services.revoke(token, actor=request.user)
            return self.told(self.row())

        return self.once(do)
