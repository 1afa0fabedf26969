"""Who people are elsewhere, and with what they show that it is they."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from apps.accounts import identities, inventory
from apps.api.bodies import Body, Query, number, truth, word
from apps.api.fields import Integer, Text, Truth, shown
from apps.api.resource import Listing, Reading, Removing, Resource
from apps.signin import inventory as signin
from apps.signin import second_factors


class IdentityBody(Body):
    of = inventory.identities
    is_told = True
    columns = ("user", "issuer", "subject", "created_at")
    id = shown(Integer)
    username = shown(Text, source="user.username")


class IdentityQuery(Query):
    user = number()
    issuer = word()
    subject = word()


class Identities(Listing, Reading, Removing, Resource):
    """Who somebody is to an identity provider, or to an issuer whose tokens programs call with."""

    place = "identities"
    noun = "identity"
    model = "accounts.identity"
    body = IdentityBody
    query = IdentityQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.identities()

    def remove(self, row: Any) -> None:
        identities.unlink(row, actor=self.request.user)


class SecondFactorBody(Body):
    of = signin.second_factors
    is_told = True
    columns = ("user", "created_at")
    id = shown(Integer)
    username = shown(Text, source="user.username")
    is_confirmed = shown(Truth, source="confirmed", help_text="False: its owner has begun to set it up.")


class SecondFactorQuery(Query):
    user = number()
    confirmed = truth()

    @staticmethod
    def apply(rows: QuerySet[Any], given: dict[str, Any]) -> QuerySet[Any]:
        if (confirmed := given.pop("confirmed", None)) is not None:
            rows = rows.filter(confirmed=confirmed == "true")
        return rows.filter(**given)


class SecondFactors(Listing, Reading, Removing, Resource):
    """Authenticator apps. To remove one is for somebody who has lost phone and codes: their sessions end, and they set
    up another."""

    place = "second-factors"
    noun = "second factor"
    model = "signin.secondfactor"
    body = SecondFactorBody
    query = SecondFactorQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return signin.second_factors()

    def remove(self, row: Any) -> None:
        second_factors.remove(row.user, actor=self.request.user)
