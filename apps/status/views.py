"""Probes that anybody may call. They cost next to nothing and tell nothing."""

from __future__ import annotations

from django.http import HttpRequest, JsonResponse


def live(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "UP"})
