"""Every page is made behind the second wall, but for those of whoever runs the installation.

Until it is known at which tenant somebody is, no tenant's rows are there at all. The management API stands behind it
when it knows who asks (`api.resource`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest, HttpResponseBase
from django.urls import ResolverMatch

from apps.runtime import walls

_IN_THE_OPEN = frozenset({"admin", "api"})  # staff only, and what stands behind it by itself
_OF_OPERATORS = "apps.status."


class BehindTheWall:
    """Middleware, the innermost, so that sessions and sign-in are asked for the installation."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._answer_async(request)
        try:
            return self._get_response(request)
        finally:
            walls.leave()

    async def _answer_async(self, request: HttpRequest) -> HttpResponseBase:
        """In the thread of the request, whose connection it is."""
        try:
            response: HttpResponseBase = await self._get_response(request)
            return response
        finally:
            await sync_to_async(walls.leave)()

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *_: Any) -> None:
        user: Any = request.user
        if not (_is_in_the_open(request.resolver_match, view) or user.is_superuser):
            walls.stand(person=user.pk)


def _is_in_the_open(found: ResolverMatch | None, view: Callable[..., Any]) -> bool:
    names = frozenset(found.namespaces if found is not None else ())
    return bool(names & _IN_THE_OPEN) or view.__module__.startswith(_OF_OPERATORS)
