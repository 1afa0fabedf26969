"""Who may see the telling pages: whoever holds the operator's token, and signed-in superusers."""

from __future__ import annotations

import hmac
from typing import Any

from django.conf import settings
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView


class Operator:
    """Whoever holds the token; nobody in the database."""

    is_authenticated = True
    is_superuser = True
    is_active = True
    pk = None

    def __str__(self) -> str:
        return "operator"


def is_token(given: str) -> bool:
    """Whether it is the operator's. One that is not set opens nothing."""
    expected = settings.WEIR_OPERATOR_TOKEN.encode()
    return bool(expected) and hmac.compare_digest(given.encode(), expected)


class OperatorToken(BaseAuthentication):
    """`Authorization: Bearer <WEIR_OPERATOR_TOKEN>`."""

    def authenticate(self, request: Request) -> tuple[Operator, None] | None:
        """None without a bearer token. Raises AuthenticationFailed for a wrong one."""
        scheme, _, given = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        if not is_token(given.strip()):
            raise AuthenticationFailed("This is not the operator's token.")
        return Operator(), None

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="weir operator"'


class IsOperator(BasePermission):
    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and request.user.is_active and request.user.is_superuser)


class AlwaysJSON(BaseContentNegotiation):
    """A scraper that accepts only its own format is answered all the same."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> tuple[Any, str]:
        return renderers[0], renderers[0].media_type


class OperatorView(APIView):
    """Reads only, as JSON, never kept by a cache."""

    authentication_classes = (OperatorToken, SessionAuthentication)
    permission_classes = (IsOperator,)
    renderer_classes = (JSONRenderer,)
    content_negotiation_class = AlwaysJSON
    http_method_names = ("get", "head", "options")

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response
