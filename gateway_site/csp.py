"""What pages may load and run. Outside the admin: files of this site, and nothing inline. The admin's theme evaluates
the expressions in its templates (Unfold's issues 1535 and 2129), so there `unsafe-eval` has to stay.

A middleware of ours around django-csp's words: its own knows one policy for all, and leaves nonces that fail whoever
touches them after the answer. No page of ours needs one.
"""

from __future__ import annotations

from typing import Any

from csp.constants import HEADER, NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.utils import build_policy
from django.http import HttpRequest, HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

ADMIN = "/admin/"
STRICT: dict[str, Any] = {
    "default-src": [NONE],
    "script-src": [SELF],
    "style-src": [SELF],
    "img-src": [SELF, "data:"],
    "font-src": [SELF],
    "connect-src": [SELF],
    "form-action": [SELF],
    "frame-ancestors": [NONE],
    "base-uri": [NONE],
}
RELAXED: dict[str, Any] = {**STRICT, "script-src": [SELF, UNSAFE_EVAL], "style-src": [SELF, UNSAFE_INLINE]}
_STRICT, _RELAXED = build_policy(config=STRICT), build_policy(config=RELAXED)


class ContentSecurityPolicy(MiddlewareMixin):
    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        response.headers.setdefault(HEADER, _RELAXED if request.path_info.startswith(ADMIN) else _STRICT)
        return response
