"""Who has to show a second factor to see a page, and has not: they are led to where they get one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect, JsonResponse
from django.utils.decorators import sync_and_async_middleware

from apps.signin.selectors import needs_second_factor

# What a session remembers of how it began.
PENDING = "sign_in_pending"  # who has still to show a second factor, and what is known of them until then
PROVEN = "second_factor"  # whether a second factor was shown, here or to the provider
PROVIDER = "identity_provider"  # whose word let the visitor in; None: a password
PROVIDER_SESSION = "provider_session"  # the name of the session there; empty: it has none
ENROLMENT = "/account/second-factor/"
_ACCOUNT = "/account/"
_OPEN = ("/sign-in/", "/sign-out/", "/static/", ENROLMENT)
_PROGRAMS = "/api/"
_MESSAGE = "This installation requires a second factor: set one up on your account page."


@sync_and_async_middleware
def require_second_factor(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware. Those who come with a session; a token of the management API is a matter of its own."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            stop = None if _is_open(request) else _stop(request, await request.auser())
            response: HttpResponseBase = stop or await get_response(request)
            return response

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        stop = None if _is_open(request) else _stop(request, request.user)
        response: HttpResponseBase = stop or get_response(request)
        return response

    return answer


def _is_open(request: HttpRequest) -> bool:
    return request.path_info == _ACCOUNT or request.path_info.startswith(_OPEN)


def _stop(request: HttpRequest, user: Any) -> HttpResponseBase | None:
    if not user.is_authenticated or not needs_second_factor(user) or request.session.get(PROVEN):
        return None
    if request.path_info.startswith(_PROGRAMS):
        problem = {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": _MESSAGE}
        return JsonResponse(problem, status=403, content_type="application/problem+json")
    return HttpResponseRedirect(ENROLMENT)
