"""The description of the API, and the page that shows it. Both are open to everybody: they say what anybody can read in
the repository, and hold nothing of this installation."""

from __future__ import annotations

import functools
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

FILE = Path(__file__).with_name("openapi.yaml")


@require_safe
def description(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_text(), content_type="application/yaml", headers={"Cache-Control": "public, max-age=300"})


@require_safe
def documentation(request: HttpRequest) -> HttpResponse:
    """Swagger UI, from this site's own files."""
    return render(request, "api/docs.html")


@functools.cache
def _text() -> str:
    return FILE.read_text(encoding="utf-8")
