from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers

from apps.api.bodies import Body, Query, Strict, number
from apps.api.fields import Choice, Integer, Object, Ref, Text, Truth, Words, shown
from apps.api.resource import Changing, Listing, Making, Reading, Removing, Resource
from apps.api.resources.credentials import HasSecret
from apps.signin import inventory, services
from apps.tenants.rights import ROLES


class GroupMeaning(Strict):
    group = Text(max_length=255, help_text="As the provider calls it.")
    tenant = Ref("tenants", required=False, allow_null=True)
    role = Choice(choices=[*ROLES], required=False, allow_blank=True, help_text="In the tenant.")
    is_staff = Truth(required=False)
    is_operator = Truth(required=False)


class IdentityProviderBody(Body):
    of = inventory.providers
    columns = (
        *("name", "slug", "issuer", "client_id", "scopes", "groups_claim", "groups_decide", "creates_people"),
        *("default_role", "links_by_email", "is_second_factor", "is_enabled", "created_at"),
    )
    id = shown(Integer)
    tenant = Ref("tenants", required=False, allow_null=True, help_text="Whose own it is; null: everybody's.")
    algorithms = Words(required=False, help_text="That its tokens may be signed with; usually RS256.")
    required_claims = Object(required=False, help_text="By name a text, or a list of which one must be there.")
    rules = GroupMeaning(
        many=True, required=False, help_text="What its groups mean: all of them; what is left out is removed."
    )
    secret = Text(write_only=True, required=False, max_length=4096, help_text="It can never be read back.")
    has_secret = HasSecret(read_only=True, source="client_secret")

    def validate_rules(self, rules: list[dict[str, Any]]) -> dict[services.Group, dict[str, Any]]:
        found = {
            (rule["group"], rule.get("tenant")): {
                "role": rule.get("role", ""),
                "is_staff": rule.get("is_staff", False),
                "is_operator": rule.get("is_operator", False),
            }
            for rule in rules
        }
        if len(found) != len(rules):
            raise serializers.ValidationError("A group means two things in one place.")
        return found


class IdentityProviderQuery(Query):
    tenant = number()


class IdentityProviders(Listing, Reading, Making, Changing, Removing, Resource):
    """OpenID providers that people may sign in with. Another issuer or client id drops the secret."""

    place = "identity-providers"
    noun = "identity provider"
    model = "signin.identityprovider"
    body = IdentityProviderBody
    query = IdentityProviderQuery

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        return inventory.providers()

    def make(self, values: dict[str, Any]) -> Any:
        rules = values.pop("rules", {})
        provider = services.create_provider(actor=self.request.user, **values)
        services.set_rules(provider, actor=self.request.user, rules=rules)
        return self.made(provider)

    def change(self, row: Any, changes: dict[str, Any]) -> None:
        """Groups that mean nothing any more go first: they may be in the way of another tenant."""
        actor = self.request.user
        rules, secret = changes.pop("rules", None), changes.pop("secret", None)
        if rules is not None:
            services.keep_rules(row, actor=actor, groups=rules.keys())
        if changes:
            services.update_provider(row, actor=actor, **changes)
        if rules is not None:
            services.set_rules(row, actor=actor, rules=rules)
        if secret is not None:
            services.set_secret(row, actor=actor, secret=secret)

    def remove(self, row: Any) -> None:
        services.delete_provider(row, actor=self.request.user)
