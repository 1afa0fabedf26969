"""What browsers send is UTF-8, whatever a request says. Django would decode it by any codec of Python that the request
names: some fail there, and others make half characters, at which everything fails that writes them.
"""

from __future__ import annotations

from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin


class Utf8Only(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        if request.encoding is not None:
            request.encoding = "utf-8"


class Utf8Request(ASGIRequest):
    """Django's own reads the query by the codec as it is made, before any middleware, and some codecs fail there."""

    def _set_content_type_params(self, meta: dict[str, Any]) -> None:
        kind, _, rest = meta.get("CONTENT_TYPE", "").partition(";")
        kept = [part for part in rest.split(";") if not part.strip().lower().startswith("charset")]
        super()._set_content_type_params({**meta, "CONTENT_TYPE": ";".join([kind, *kept])})
