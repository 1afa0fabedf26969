"""Which endpoint answers a path. The query string never matters (Claude Code sends `?beta=true`)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.urls import re_path

from apps.gateway import endpoints

if TYPE_CHECKING:
    from apps.gateway.context import Receive, Scope, Send

POST = "POST"
GET = "GET"
HEAD = "HEAD"

EXPLAIN = "/v1/explain"
TELEMETRY = ("/v1/metrics", "/v1/logs", "/v1/traces")
MANAGED = "/managed/settings"
HELLO = "/api/hello"  # what Claude Code asks, by GET or HEAD, to see whether anybody is there

ROUTES: dict[str, dict[str, endpoints.Endpoint]] = {
    "/v1/messages": {POST: endpoints.messages},
    "/anthropic/v1/messages": {POST: endpoints.messages},
    "/v1/messages/count_tokens": {POST: endpoints.count_tokens},
    "/anthropic/v1/messages/count_tokens": {POST: endpoints.count_tokens},
    "/v1/chat/completions": {POST: endpoints.chat_completions},
    "/v1/completions": {POST: endpoints.completions},
    "/v1/responses": {POST: endpoints.responses},
    "/v1/embeddings": {POST: endpoints.embeddings},
    "/chat": {POST: endpoints.chat},
    EXPLAIN: {POST: endpoints.explain},
    "/v1/models": {GET: endpoints.models},
    "/anthropic/v1/models": {GET: endpoints.models},
    MANAGED: {GET: endpoints.managed_settings},
    **{path: {POST: endpoints.telemetry} for path in TELEMETRY},
}
# Below these, the rest of the path is the name of one model (which may hold slashes).
BELOW = ("/v1/models", "/anthropic/v1/models")
COMPLETIONS = {path: methods[POST] for path, methods in ROUTES.items() if POST in methods and path not in TELEMETRY}
# What clients are given as their base URL, without the slash at its end.
BASES = frozenset({"", "/v1", "/anthropic", "/anthropic/v1"})
# SDKs put these after the base URL they were given, right or wrong.
TAILS = {
    path.removeprefix("/v1"): path for path in ROUTES if path.startswith("/v1/") and path not in (EXPLAIN, *TELEMETRY)
}


def completion(scope: Scope) -> endpoints.Endpoint | None:
    """The endpoint of a call that nothing needs to be found out about; None: ask the router."""
    if scope["type"] != "http" or scope["method"] != POST:
        return None
    return COMPLETIONS.get(scope["path"])


async def data_plane(scope: Scope, receive: Receive, send: Send) -> None:
    """ASGI application for `/chat`, every path under `/v1` and `/anthropic/v1`, and those meant to be there."""
    method = scope["method"]
    methods = ROUTES.get(scope["path"]) or _lenient(scope["path"])
    if methods is not None and (endpoint := methods.get(method)) is not None:
        await endpoint(scope, receive, send)
    elif method == "OPTIONS":
        await endpoints.preflight(scope, receive, send)
    elif is_knock(scope) or (method == GET and scope["path"] == "/"):  # behind a pin there is no page for people
        await endpoints.reached(scope, receive, send)
    elif methods is not None:
        await endpoints.wrong_method(scope, receive, send, allowed=tuple(methods))
    else:
        await endpoints.unknown_path(scope, receive, send, meant=meant(scope["path"]))


def is_knock(scope: Scope) -> bool:
    """A program that looks whether there is somebody: Claude Code asks for the head of its base URL as it starts."""
    if scope["path"].rstrip("/") == HELLO:
        return scope["method"] in (GET, HEAD)
    if scope["method"] == GET:
        return scope["path"] == "/" and is_program(scope)
    return scope["method"] == HEAD and scope["path"].rstrip("/") in BASES


def is_program(scope: Scope) -> bool:
    """Every browser that asks for a page says that it takes HTML; curl takes anything."""
    headers = dict(scope["headers"])
    return b"text/html" not in headers.get(b"accept", b"") or b"json" in headers.get(b"content-type", b"")


def meant(path: str) -> str | None:
    """The route that a client with a wrong base URL was looking for."""
    return next((route for tail, route in TAILS.items() if path.rstrip("/").endswith(tail)), None)


def _lenient(path: str) -> dict[str, endpoints.Endpoint] | None:
    """A trailing slash is forgiven: a redirect would make clients drop their body."""
    path = path.rstrip("/")
    for parent in BELOW:
        if path.startswith(f"{parent}/"):
            return ROUTES[parent]
    return ROUTES.get(path)


async def absent(scope: Scope, receive: Receive, send: Send) -> None:
    """As `data_plane`, in a process that serves pages only: who looks whether there is somebody is told so, and calls
    are told where they should be sent."""
    if scope["method"] == "OPTIONS":
        await endpoints.preflight(scope, receive, send)
    else:
        await (endpoints.reached if is_knock(scope) else endpoints.not_here)(scope, receive, send)


_tails = "|".join(re.escape(tail[1:]) for tail in TAILS)


def patterns(application: Any) -> list[Any]:
    """Every path of the data plane, but for those of pinned endpoints. Channels routes to ASGI applications, of which
    Django's types know nothing."""
    return [
        re_path(r"^(?:anthropic/)?v1(?:/|$)", application),
        re_path(r"^(?:chat|managed/settings|api/hello)/?$", application),
        re_path(rf"^(?!admin/|t/|api/v1/models/?$)(?:.+/)?(?:{_tails})/?$", application),
    ]
