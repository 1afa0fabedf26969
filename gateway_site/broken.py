"""What people see of a page that failed: that it is our fault, or what of that it needs is not there now."""

from __future__ import annotations

import sys

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.defaults import server_error

from apps.catalog.keyrings.ring import KeyringUnavailable

_GIVEN_UP = "57014"  # PostgreSQL's, of a statement that was cancelled


def page(request: HttpRequest) -> HttpResponse:
    """Django asks for it while the exception is being handled."""
    error = sys.exc_info()[1]
    if is_given_up(error):
        return _unavailable("slow.html")
    if isinstance(error, KeyringUnavailable):
        return _unavailable("keyring_away.html")
    return server_error(request)


def _unavailable(name: str) -> HttpResponse:
    return HttpResponse(loader.get_template(name).render(), status=503)


def is_given_up(error: BaseException | None) -> bool:
    """Whether it is a statement that took longer than WEIR_STATEMENT_SECONDS, or that an operator has ended."""
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") == _GIVEN_UP
