"""What people see of a page that failed: that it is our fault, or that the database took longer than it may."""

from __future__ import annotations

import sys

from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.defaults import server_error

_GIVEN_UP = "57014"  # PostgreSQL's, of a statement that was cancelled


def page(request: HttpRequest) -> HttpResponse:
    """Django asks for it while the exception is being handled."""
    if not is_given_up(sys.exc_info()[1]):
        return server_error(request)
    return HttpResponse(loader.get_template("slow.html").render(), status=503)


def is_given_up(error: BaseException | None) -> bool:
    """Whether it is a statement that took longer than WEIR_STATEMENT_SECONDS, or that an operator has ended."""
    return isinstance(error, OperationalError) and getattr(error.__cause__, "sqlstate", "") == _GIVEN_UP
