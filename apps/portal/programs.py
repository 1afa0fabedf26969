"""What programs ask that people sign in, such as Claude Code: where to begin, for a code, for tokens, and out again.

RFC 8414 (metadata), RFC 8628 (device grant), RFC 6749 (refresh), RFC 7009 (revocation). Nobody's cookies are read here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from apps.audit import origin
from apps.keys import grants
from apps.keys.grants import NotGranted, Tokens
from apps.runtime import walls

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
REFRESH = "refresh_token"
PROTOCOL_VERSION = 1
_MOST_CHARACTERS = 200

View = Callable[[HttpRequest], HttpResponse]


@require_safe
def metadata(request: HttpRequest) -> HttpResponse:
    told = {
        "issuer": _base(),
        "device_authorization_endpoint": _base() + reverse("device_authorization"),
        "token_endpoint": _base() + reverse("oauth_token"),
        "revocation_endpoint": _base() + reverse("oauth_revoke"),
        "grant_types_supported": [DEVICE_CODE, REFRESH],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["none"],
        "gateway_protocol_version": PROTOCOL_VERSION,
    }
    return JsonResponse(told, headers={"Cache-Control": "public, max-age=300"})


@require_safe
def protocol(request: HttpRequest) -> HttpResponse:
    """What a program finds here, in words."""
    return render(request, "programs/protocol.md", {"base": _base()}, content_type="text/markdown; charset=utf-8")


def _for_programs(view: View) -> View:
    return csrf_exempt(require_POST(sensitive_post_parameters()(view)))


@walls.as_installation()
@_for_programs
def device_authorization(request: HttpRequest) -> HttpResponse:
    try:
        begun = grants.begin(client=request.headers.get("user-agent", ""), address=origin.address())
    except NotGranted as refused:
        return _error(refused.error)
    page = _base() + reverse("device")
    return _told(
        {
            "device_code": begun.device_code,
            "user_code": begun.user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={begun.user_code}",
            "expires_in": begun.seconds,
            "interval": begun.interval,
        }
    )


@walls.as_installation()
@_for_programs
def token(request: HttpRequest) -> HttpResponse:
    kind = request.POST.get("grant_type", "")
    presented = request.POST.get({DEVICE_CODE: "device_code", REFRESH: REFRESH}.get(kind, ""), "")
    if kind not in (DEVICE_CODE, REFRESH):
        return _error("unsupported_grant_type" if kind else "invalid_request")
    if not 0 < len(presented) <= _MOST_CHARACTERS:
        return _error("invalid_request")
    try:
        granted = grants.exchange(presented) if kind == DEVICE_CODE else grants.refresh(presented)
    except NotGranted as refused:
        return _error(refused.error, status=401 if kind == REFRESH else 0)  # the program has to be signed in again
    return _told(_written(granted))


@walls.as_installation()
@_for_programs
def revoke(request: HttpRequest) -> HttpResponse:
    """200 whether there was such a token or not."""
    grants.revoke_token(request.POST.get("token", "")[:_MOST_CHARACTERS])
    return _told({})


def _written(tokens: Tokens) -> dict[str, Any]:
    return {
        "access_token": tokens.access,
        "token_type": "Bearer",
        "expires_in": tokens.seconds,
        "refresh_token": tokens.refresh,
    }


def _told(body: dict[str, Any], *, status: int = 200) -> JsonResponse:
    return JsonResponse(body, status=status, headers={"Cache-Control": "no-store"})


def _error(error: str, *, status: int = 0) -> JsonResponse:
    return _told({"error": error}, status=status or (429 if error == "slow_down" else 400))


def _base() -> str:
    return str(settings.WEIR_BASE_URL).rstrip("/")
