"""A span for each request of a page or of the management API, and its trace's id in every answer.

The route, never the path: paths hold ids of people's, and links that let somebody in.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from apps.runtime import traces
from gateway_site.telemetry import running, wire

HEADER = "x-trace-id"


@sync_and_async_middleware
def traced(get_response: Any) -> Any:
    if iscoroutinefunction(get_response):

        async def answer_async(request: HttpRequest) -> HttpResponseBase:
            span = _begun(request)
            return _ended(span, request, await get_response(request))

        return answer_async

    def answer(request: HttpRequest) -> HttpResponseBase:
        span = _begun(request)
        return _ended(span, request, get_response(request))

    return answer


def _begun(request: HttpRequest) -> running.Span:
    told = (request.headers.get(name, "").encode("latin-1", "replace") for name in ("traceparent", "tracestate"))
    return running.Span(traces.parent(*told))


def _ended(span: running.Span, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    response.headers[HEADER] = span.trace_id
    match, status = request.resolver_match, response.status_code
    if match is None:  # a static file, or nothing
        span.drop()
        return response
    route = "/" + match.route.removeprefix("^").removesuffix("$")
    pairs: dict[str, wire.Value] = {
        "http.request.method": str(request.method),
        "http.route": route,
        "http.response.status_code": status,
    }
    if status >= 500:
        pairs["error.type"] = str(status)
    span.end(f"{request.method} {route}", kind=wire.SERVER, pairs=pairs, is_failed=status >= 500)
    return response
