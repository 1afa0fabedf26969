"""Who asks: whoever holds a token of the management API, or is signed in at the admin or the portal."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from apps.access import selectors, services
from apps.api import rates
from apps.api.problems import Problem
from apps.audit import origin

KEY = "This is a key, which models are called with. To manage Weir takes a token (weirapi_…)."
WRONG = "This token is none, has expired or was revoked, or its owner was shut off."


class ByToken(BaseAuthentication):
    """`Authorization: Bearer weirapi_…`."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        """None without a bearer. Raises AuthenticationFailed, and Problem where there were too many of those."""
        scheme, _, given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send “Authorization: Bearer weirapi_…”.")
        address = request.META.get("REMOTE_ADDR", "")
        token = selectors.working(given.strip())
        if token is None:
            self._refuse(address, told=KEY if given.strip().startswith("weir_") else WRONG)
        services.touch(token, given.strip(), address=address or None)
        origin.came_with(str(token))
        return token.user, token

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="weir api"'

    def _refuse(self, address: str, *, told: str) -> Any:
        """Who guesses is slowed down; who has a good token never is, whoever guesses beside them."""
        if wait := rates.over("refused", address, most=rates.REFUSALS):
            problem = Problem(429, "Too many wrong tokens came from your address.")
            problem.headers["Retry-After"] = str(wait)
            raise problem
        raise AuthenticationFailed(told)


class BySession(SessionAuthentication):
    """With CSRF, as the pages have it."""
