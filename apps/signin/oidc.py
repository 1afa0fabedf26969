"""Signing in by the code flow of OpenID Connect, as mozilla-django-oidc has it, with what that leaves open closed.

What it leaves open, and is closed here: audience and issuer are not looked at, PKCE is off, calls have no time limit,
keys are fetched at each sign-in, people are matched by an address that need not be verified, tokens of PS and EdDSA are
checked with the client's secret, an expired token is an error of the server, there is one provider only, and somebody
who was shut off keeps their session. Every call goes through `apps.outbound`, and every algorithm is one of those that
the provider's row names.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest
from django.utils.crypto import constant_time_compare, get_random_string
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.utils import generate_code_challenge

from apps.catalog import selectors as catalog
from apps.catalog import vault
from apps.catalog.keyrings.ring import KeyringRefused
from apps.outbound import documents, guard, jwks
from apps.outbound.documents import Documents, Unavailable
from apps.runtime import clock
from apps.signin import people, remembered
from apps.signin.models import IdentityProvider
from apps.signin.people import Refused

_DISCOVERY = "/.well-known/openid-configuration"
_FORM = "application/x-www-form-urlencoded"
_VERIFIER_CHARACTERS = 64  # RFC 7636 §4.1: 43 to 128
_MOST_CODE = 4096


class Metadata(msgspec.Struct, kw_only=True):
    """OpenID Connect Discovery §3, as much of it as is needed."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    end_session_endpoint: str = ""
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


def _read(body: bytes) -> Metadata:
    """Raises ValueError."""
    try:
        return msgspec.json.decode(body, type=Metadata)
    except msgspec.MsgspecError as error:
        raise ValueError("this is no provider's configuration") from error


configurations: Documents[Metadata] = Documents(_read)


class Journey(msgspec.Struct, frozen=True, kw_only=True):
    """What a session remembers between leaving for the provider and coming back. Good for one return."""

    provider: int
    nonce: str
    verifier: str
    wanted: str
    at: float
    connecting: int | None = None  # the signed-in person whom the identity shall belong to


def metadata(provider: IdentityProvider) -> Metadata:
    """Raises Refused: it cannot be had, or is somebody else's."""
    url = provider.issuer.rstrip("/") + _DISCOVERY
    try:
        found = configurations.get(url, networks=catalog.private_networks())
    except Unavailable as fault:
        raise Refused(f"discovery: {fault.reason}") from None
    if found.issuer != provider.issuer:
        raise Refused("discovery: another issuer")
    for address in (found.authorization_endpoint, found.token_endpoint, found.jwks_uri):
        _check_address(address, provider)
    return found


def _check_address(address: str, provider: IdentityProvider) -> None:
    """None of them is less protected than the issuer; where each lies is judged when it is called."""
    try:
        target = guard.parse(address)
    except guard.AddressRefused:
        raise Refused("discovery: an address") from None
    if target.scheme != "https" and provider.issuer.startswith("https:"):
        raise Refused("discovery: an address")


def departure(
    provider: IdentityProvider, *, back: str, wanted: str, connecting: int | None
) -> tuple[str, str, Journey]:
    """Where to send the visitor, the state that will come back with them, and what to remember by it. Raises
    Refused."""
    found = metadata(provider)
    journey = Journey(
        provider=provider.pk,
        nonce=get_random_string(43),
        verifier=get_random_string(_VERIFIER_CHARACTERS),
        wanted=wanted,
        at=clock.now(),
        connecting=connecting,
    )
    state = get_random_string(43)
    asked = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": back,
        "scope": provider.scopes,
        "state": state,
        "nonce": journey.nonce,
        "code_challenge": generate_code_challenge(journey.verifier, "S256"),
        "code_challenge_method": "S256",
    }
    return _with(found.authorization_endpoint, asked), state, journey


def leaving(provider: IdentityProvider, *, back: str) -> str:
    """Where the provider can be left (RP-Initiated Logout 1.0); empty where it cannot."""
    try:
        address = metadata(provider).end_session_endpoint
        if not address:
            return ""
        _check_address(address, provider)
    except Refused:
        return ""
    return _with(address, {"client_id": provider.client_id, "post_logout_redirect_uri": back})


def _with(address: str, query: dict[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"


class Backend(OIDCAuthenticationBackend):  # type: ignore[misc]  # the library has no types
    """For one provider and one return. `back`: the address that the visitor came back to. Raises Refused."""

    def __init__(self, provider: IdentityProvider, *, back: str, journey: Journey) -> None:
        self.provider = provider
        self.found = metadata(provider)
        self.back = back
        self.journey = journey
        self.session_name = ""  # of the provider's session, as `remembered` has it
        super().__init__()

    def get_settings(self, attr: str, *args: Any) -> Any:  # type: ignore[override]
        """The library's settings are one provider's; here they are this row's. What is not named keeps its default."""
        named = {
            "OIDC_OP_TOKEN_ENDPOINT": self.found.token_endpoint,
            "OIDC_OP_USER_ENDPOINT": self.found.userinfo_endpoint,
            "OIDC_OP_JWKS_ENDPOINT": self.found.jwks_uri,
            "OIDC_RP_CLIENT_ID": self.provider.client_id,
            "OIDC_RP_CLIENT_SECRET": "",  # opened when it is sent, and kept nowhere
            "OIDC_RP_SIGN_ALGO": self.provider.algorithms[0],
            "OIDC_RP_SCOPES": self.provider.scopes,
        }
        return named[attr] if attr in named else args[0] if args else None

    def authenticate(self, request: HttpRequest, **kwargs: Any) -> Any:
        """The person whom the provider names. Raises Refused."""
        code = request.GET.get("code", "")
        if not code or len(code) > _MOST_CODE:
            raise Refused("no code")
        payload = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.back,
            "client_id": self.provider.client_id,
            "code_verifier": self.journey.verifier,
        }
        tokens = self.get_token(payload)
        claims = self.verify_token(tokens.get("id_token"), nonce=self.journey.nonce)
        return self.get_or_create_user(tokens.get("access_token"), tokens.get("id_token"), claims)

    def get_token(self, payload: dict[str, str]) -> dict[str, Any]:
        """Raises Refused."""
        secret = ""
        if self.provider.client_secret:
            secret = _opened(self.provider)
        headers = {"Content-Type": _FORM, "Accept": "application/json"}
        if secret and "client_secret_basic" in self.found.token_endpoint_auth_methods_supported:
            # RFC 6749 §2.3.1: both are form-encoded before they are joined
            pair = f"{quote(self.provider.client_id, safe='')}:{quote(secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif secret:
            payload = payload | {"client_secret": secret}
        return self._asked("POST", self.found.token_endpoint, what="token", headers=headers, body=urlencode(payload))

    def verify_token(self, token: Any, **kwargs: Any) -> dict[str, Any]:
        """OpenID Connect Core §3.1.3.7. Raises Refused."""
        if not isinstance(token, str):
            raise Refused("no id token")
        try:
            keys = jwks.key_sets.get(
                self.found.jwks_uri, networks=catalog.private_networks(), is_enough=jwks.knows(token)
            )
            claims = jwks.verify(
                token,
                issuer=self.provider.issuer,
                audience=self.provider.client_id,
                algorithms=self.provider.algorithms,
                keys=keys,
                now=clock.now(),
            )
        except Unavailable as fault:
            raise Refused(f"keys: {fault.reason}") from None
        except jwks.TokenRefused as fault:
            raise Refused(f"token: {fault.reason}") from None
        party = claims.get("azp", self.provider.client_id)
        if party != self.provider.client_id or (_is_shared(claims) and "azp" not in claims):
            raise Refused("token: authorized party")
        nonce = claims.get("nonce")
        if not isinstance(nonce, str) or not constant_time_compare(nonce, kwargs["nonce"]):
            raise Refused("token: nonce")
        return claims

    def get_userinfo(self, access_token: Any, id_token: Any, payload: dict[str, Any]) -> dict[str, Any]:
        """What the id token does not say, of the same person. Raises Refused."""
        if not self.found.userinfo_endpoint or not isinstance(access_token, str):
            return {}
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        told = self._asked("GET", self.found.userinfo_endpoint, what="userinfo", headers=headers)
        if told.get("sub") != payload["sub"]:
            raise Refused("userinfo: another person")
        return told

    def get_or_create_user(self, access_token: Any, id_token: Any, payload: dict[str, Any]) -> Any:
        """Raises Refused."""
        wanted = {"email", "email_verified", self.provider.groups_claim.partition(".")[0]} - {""}
        told = payload
        if wanted - payload.keys():
            told = self.get_userinfo(access_token, id_token, payload) | payload
        if self.journey.connecting is not None:
            return people.connect(self.provider, told, pk=self.journey.connecting)
        self.session_name = remembered.name_of(self.provider, payload)
        return people.signed_in(self.provider, told)

    def get_user(self, user_id: Any) -> Any:
        """The library's lets in who was shut off."""
        return ModelBackend.get_user(self, user_id)

    def _asked(self, method: str, url: str, *, what: str, headers: dict[str, str], body: str = "") -> dict[str, Any]:
        try:
            reply = documents.ask(method, url, networks=catalog.private_networks(), headers=headers, body=body.encode())
        except Unavailable as fault:
            raise Refused(f"{what}: {fault.reason}") from None
        if reply.status != 200:
            raise Refused(f"{what}: status {reply.status}")
        try:
            told = json.loads(reply.body)
        except (ValueError, RecursionError):
            raise Refused(f"{what}: unreadable") from None
        if not isinstance(told, dict):
            raise Refused(f"{what}: unreadable")
        return told


def _opened(provider: IdentityProvider) -> str:
    try:
        return vault.open_one(provider.client_secret, place=provider.place)
    except (vault.SecretUnreadable, KeyringRefused):
        raise Refused("secret unreadable") from None


def _is_shared(claims: dict[str, Any]) -> bool:
    return isinstance(claims["aud"], list) and len(claims["aud"]) > 1
