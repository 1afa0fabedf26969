"""What browsers send is UTF-8, whatever a request says. Django would decode it by any codec of Python that the request
names: some fail there, and others make half characters, at which everything fails that writes them.
"""

from __future__ import annotations

from django.http import HttpRequest
from django.utils.deprecation import MiddlewareMixin


class Utf8Only(MiddlewareMixin):
    def process_request(self, request: HttpRequest) -> None:
        if request.encoding is not None:
            request.encoding = "utf-8"
