"""Where the change comes from: the address of the request that is being answered, and the token of the management API
that it came with, remembered for its duration.

The peer's address only; headers that a client can write are not believed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

_address: ContextVar[str | None] = ContextVar("weir_change_address", default=None)
_token: ContextVar[str | None] = ContextVar("weir_change_token", default=None)


def address() -> str | None:
    return _address.get()


def token() -> str | None:
    """What the token is called; None: there was none."""
    return _token.get()


def came_with(token: str) -> None:
    """Of the request that is being answered."""
    _token.set(token)


@contextlib.contextmanager
def at(address: str | None) -> Iterator[None]:
    """What is recorded inside comes from `address`, and with no token until one is told."""
    before = _address.set(address or None), _token.set(None)
    try:
        yield
    finally:
        _address.reset(before[0])
        _token.reset(before[1])


@sync_and_async_middleware
def remember_address(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Middleware: changes made while answering carry the client's address."""
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            with at(request.META.get("REMOTE_ADDR")):
                answer: Awaitable[HttpResponseBase] = get_response(request)
                return await answer

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        with at(request.META.get("REMOTE_ADDR")):
            response: HttpResponseBase = get_response(request)
            return response

    return answer
