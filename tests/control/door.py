"""Signing in at an issuer of our own: the browser's part and the provider's, so that tests say only what is odd."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.contrib import auth
from django.test import Client

from apps.catalog import services as catalog
from apps.outbound.jwks import key_sets
from apps.signin import oidc
from apps.signin import services as signin
from apps.signin.models import IdentityProvider
from tests.issuers import DISCOVERY, JWKS, Issuer, Page, document, signed

CLIENT = "weir-client"
SECRET = "between us: +&% é"
TOKEN = "/token"
USERINFO = "/userinfo"


def discovery(issuer: Issuer, /, **changes: Any) -> dict[str, Any]:
    told = {
        "issuer": issuer.url,
        "authorization_endpoint": f"{issuer.url}/authorize",
        "token_endpoint": issuer.url + TOKEN,
        "jwks_uri": issuer.url + JWKS,
        "end_session_endpoint": f"{issuer.url}/leave",
    }
    return {name: value for name, value in (told | changes).items() if value is not None}


class Door:
    """`client` is the browser; `forms` is what the provider was asked for tokens with."""

    def __init__(self, issuer: Issuer, **fields: Any) -> None:
        oidc.configurations.forget()
        key_sets.forget()
        self.issuer = issuer
        self.client = Client()
        self.forms: list[dict[str, str]] = []
        issuer.pages[DISCOVERY] = document(discovery(issuer))
        defaults = {"name": "Example", "slug": "example", "client_id": CLIENT, "issuer": issuer.url}
        self.provider: IdentityProvider = signin.create_provider(
            actor=None, secret=SECRET, **(defaults | {"creates_people": True} | fields)
        )

    def leave(self, **query: str) -> dict[str, str]:
        """What the provider is asked."""
        answer = self.client.get(f"/sign-in/with/{self.provider.slug}/", query)
        assert answer.status_code == 302, answer.content.decode()
        self.left_to = answer["location"]
        return dict(parse_qsl(urlsplit(self.left_to).query))

    def claims(self, asked: dict[str, str], **changes: Any) -> dict[str, Any]:
        return self.issuer.claims(**{"aud": CLIENT, "nonce": asked["nonce"], **changes})

    def answer(self, token: str, **more: Any) -> None:
        """What the token's endpoint says from now on."""

        def page(form: dict[str, str]) -> Page:
            self.forms.append(form)
            return document({"access_token": "access", "token_type": "Bearer", "id_token": token} | more)

        self.issuer.pages[TOKEN] = page

    def back(self, asked: dict[str, str], **query: Any) -> Any:
        given = {"code": "a code", "state": asked["state"]} | query
        known = {name: value for name, value in given.items() if value is not None}
        return self.client.get(f"/sign-in/with/{self.provider.slug}/back/", known)

    def enter(self, *, how: dict[str, Any] | None = None, **changes: Any) -> Any:
        """All the way, with a token whose claims are changed; `how` it is signed."""
        asked = self.leave()
        self.answer(signed(self.claims(asked, **changes), **(how or {})))
        return self.back(asked)

    @property
    def user(self) -> Any:
        """Who is in; None: nobody."""
        found = auth.get_user(self.client)
        return found if found.is_authenticated else None


def open_loopback() -> None:
    catalog.allow_network(actor=None, cidr="127.0.0.0/8")


def reason(answer: Any) -> str:
    """Why nobody was let in, as the page has it."""
    assert answer.status_code == 403, (answer.status_code, answer.content[:500])
    page: str = answer.content.decode()
    return page.partition("<code>")[2].partition("</code>")[0]
