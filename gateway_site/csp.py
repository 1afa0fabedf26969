"""What pages may load and run. Outside the admin: files of this site, and nothing inline. The admin's theme evaluates
the expressions in its templates (Unfold's issues 1535 and 2129), so there `unsafe-eval` has to stay.

A middleware of ours, because django-csp knows one policy for all but what views say of themselves.
"""

from __future__ import annotations

from typing import Any

from csp.constants import NONE, SELF, UNSAFE_EVAL, UNSAFE_INLINE
from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest, HttpResponseBase

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


class ContentSecurityPolicy(CSPMiddleware):
    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        """What a view says of itself goes before."""
        parts = super().get_policy_parts(request, response, report_only)
        if parts.config is None and not report_only:
            parts.config = RELAXED if request.path_info.startswith(ADMIN) else STRICT
        return parts
