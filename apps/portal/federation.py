"""Out to an identity provider, and back."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST, require_safe

from apps.portal import entrance
from apps.portal.visits import at_all_of_theirs
from apps.runtime import clock, walls
from apps.signin import ending, oidc, selectors
from apps.signin.oidc import Journey
from apps.signin.people import Refused

log = structlog.get_logger(__name__)

_JOURNEYS = "sign_in_journeys"
_MOST_JOURNEYS = 5  # windows in which somebody is on the way at once
_JOURNEY_SECONDS = 600.0
# RFC 6749 §4.1.2.1 and OpenID Connect Core §3.1.2.6; anything else is a stranger's words
_ERRORS = frozenset(
    {"access_denied", "invalid_request", "invalid_scope", "unauthorized_client", "unsupported_response_type"}
    | {"server_error", "temporarily_unavailable", "login_required", "interaction_required", "consent_required"}
)


@walls.as_installation()
@never_cache
@require_safe
def leave(request: HttpRequest, provider: str) -> HttpResponseBase:
    """To the provider. A link and no form, since a form may lead to this site only."""
    return _depart(request, _provider(provider), wanted=entrance.wanted(request), connecting=None)


@never_cache
@login_required
@require_POST
@at_all_of_theirs
def connect(request: HttpRequest, provider: str) -> HttpResponseBase:
    """So that a signed-in person can come in by this provider, too. The way there goes through a page with a link."""
    row = _provider(provider)
    try:
        address, state, journey = _way(request, row, wanted=reverse("account"), connecting=request.user.pk)
    except Refused as refusal:
        return _refused(request, row, refusal)
    _remember(request, state, journey)
    return render(request, "sign_in/connect.html", {"provider": row, "address": address})


@walls.as_installation()
@never_cache
@require_safe
def come_back(request: HttpRequest, provider: str) -> HttpResponseBase:
    row = _provider(provider)
    journey = _recalled(request, row)
    if journey is None:
        return _refused(request, row, Refused("no such journey"))
    try:
        _check_return(request, row)
        backend = oidc.Backend(row, back=_back(request, row), journey=journey)
        user = backend.authenticate(request)
    except Refused as refusal:
        return _refused(request, row, refusal)
    if journey.connecting is not None:
        messages.success(request, f"You can sign in with {row} from now on.")
        return redirect("account")
    return entrance.admit(request, user, wanted=journey.wanted, provider=row, session_name=backend.session_name)


@walls.as_installation()
@csrf_exempt  # no cookie counts here: who asks says who they are by what they have signed
@never_cache
@require_POST
@sensitive_post_parameters("logout_token")
def logged_out(request: HttpRequest, provider: str) -> HttpResponseBase:
    """A provider says that somebody has left it (OpenID Connect Back-Channel Logout 1.0)."""
    row = _provider(provider)
    try:
        ending.end(row, request.POST.get("logout_token", ""))
    except Refused as refusal:
        log.warning(
            "sign_out.refused", provider=row.name, reason=refusal.reason, client=request.META.get("REMOTE_ADDR")
        )
        return JsonResponse({"error": "invalid_request", "error_description": refusal.reason}, status=400)
    return HttpResponse()


def _provider(slug: str) -> Any:
    found = selectors.provider(slug)
    if found is None:
        raise Http404("There is no such provider.")
    return found


def _way(request: HttpRequest, row: Any, *, wanted: str, connecting: int | None) -> tuple[str, str, Journey]:
    return oidc.departure(row, back=_back(request, row), wanted=wanted, connecting=connecting)


def _depart(request: HttpRequest, row: Any, *, wanted: str, connecting: int | None) -> HttpResponseBase:
    try:
        address, state, journey = _way(request, row, wanted=wanted, connecting=connecting)
    except Refused as refusal:
        return _refused(request, row, refusal)
    _remember(request, state, journey)
    return HttpResponseRedirect(address)


def _back(request: HttpRequest, row: Any) -> str:
    """Each provider has an address of its own to send people back to, so that none can answer for another."""
    return request.build_absolute_uri(reverse("sign_in_back", args=[row.slug]))


def _remember(request: HttpRequest, state: str, journey: Journey) -> None:
    journeys = dict(request.session.get(_JOURNEYS, {}))
    while len(journeys) >= _MOST_JOURNEYS:
        journeys.pop(min(journeys, key=lambda name: journeys[name]["at"]))
    request.session[_JOURNEYS] = journeys | {state: msgspec.to_builtins(journey)}


def _recalled(request: HttpRequest, row: Any) -> Journey | None:
    """Each is good for one return, whatever comes of it; of the person who is connecting, in their own session."""
    journeys = dict(request.session.get(_JOURNEYS, {}))
    found = journeys.pop(request.GET.get("state", ""), None)
    if found is None:
        return None
    request.session[_JOURNEYS] = journeys
    journey = msgspec.convert(found, Journey)
    is_over = clock.now() - journey.at > _JOURNEY_SECONDS
    is_strange = journey.connecting is not None and journey.connecting != request.user.pk
    return None if is_over or is_strange or journey.provider != row.pk else journey


def _check_return(request: HttpRequest, row: Any) -> None:
    """RFC 9207: who answers says who they are, where they can. Raises Refused."""
    issuer = request.GET.get("iss")
    if issuer is not None and issuer != row.issuer:
        raise Refused("another issuer")
    if issuer is None and oidc.metadata(row).authorization_response_iss_parameter_supported:
        raise Refused("no issuer")
    if "error" in request.GET:
        error = request.GET["error"]
        raise Refused(f"provider: {error if error in _ERRORS else 'an error'}")


def _refused(request: HttpRequest, row: Any, refusal: Refused) -> HttpResponseBase:
    log.warning("sign_in.refused", provider=row.name, reason=refusal.reason, client=request.META.get("REMOTE_ADDR"))
    told = {"provider": row, "message": refusal.message, "reason": refusal.reason}
    return render(request, "sign_in/refused.html", told, status=403)
