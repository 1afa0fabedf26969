"""Processes that serve one plane: what each answers, and what it sends elsewhere."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings as django_settings
from django.db import ConnectionHandler, connection

from apps.catalog import canary
from apps.gateway import engine
from apps.runtime.lifespan import lifespan
from apps.runtime.state import state
from gateway_site import asgi
from tests.services import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

COMPLETIONS = [
    "/v1/messages",
    "/anthropic/v1/messages",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/chat",
]
PAGES = ["/admin/", "/admin/login/", "/sign-in/", "/api/v1/models", "/static/portal/call.js"]


async def ask(role: str, path: str, *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    wanted = [(name.encode(), value.encode()) for name, value in {"host": "testserver", **headers}.items()]
    scope: dict[str, Any] = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http"},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": wanted},
        **{"client": ("127.0.0.1", 5), "server": ("testserver", 80)},
    }
    caller = ApplicationCommunicator(asgi.by_role(role), scope)
    await caller.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await caller.receive_output(timeout=30)
    body, is_more = b"", True
    while is_more:
        part = await caller.receive_output(timeout=30)
        body, is_more = body + part.get("body", b""), part.get("more_body", False)
    await caller.wait(timeout=30)
    return start["status"], {name.decode().lower(): value.decode() for name, value in start["headers"]}, body


@pytest.fixture
def for_calls(settings: Any) -> None:
    """The paths that Django answers in such a process."""
    settings.ROOT_URLCONF = "apps.status.urls"


@pytest.mark.parametrize("path", [*COMPLETIONS, "/e/sonnet/v1/messages", "/wrong/v1/chat/completions"])
async def test_a_call_that_comes_to_a_process_for_people_is_told_so_in_its_dialect(path: str) -> None:
    status, headers, body = await ask("control", path, method="POST", **{"content-type": "application/json"})
    told = json.loads(body)
    assert (status, headers["content-type"]) == (404, "application/json")
    assert f"no calls: send them to a gateway, at {django_settings.WEIR_BASE_URL}" in json.dumps(told)
    assert ("request-id" in headers) == path.endswith("messages")
    assert (told.get("type") == "error") == path.endswith("messages")
    assert engine.current is None


async def test_a_browser_that_asks_whether_it_may_call_is_answered_there_too() -> None:
    assert (await ask("control", "/v1/messages", method="OPTIONS", origin="https://elsewhere.example"))[0] == 204


@pytest.mark.parametrize(("method", "path"), [("HEAD", "/v1"), ("GET", "/api/hello"), ("GET", "/")])
async def test_who_only_looks_whether_there_is_somebody_is_told_so_by_both(method: str, path: str) -> None:
    for role in ("control", "gateway"):
        assert (await ask(role, path, method=method))[0] == 200


@pytest.mark.parametrize("path", PAGES)
async def test_pages_are_those_of_the_process_for_people(path: str, for_calls: None) -> None:
    status, headers, body = await ask("gateway", path, accept="text/html")
    assert (status, headers["content-type"]) == (404, "application/json")
    assert f"unknown path: GET {path}" in json.loads(body)["error"]["message"]


async def test_pages_are_answered_by_the_process_for_people() -> None:
    for path in PAGES:
        assert (await ask("control", path))[0] in (200, 302, 401), path
    assert engine.current is None


async def test_both_have_the_pages_that_tell_operators_how_they_fare(for_calls: None) -> None:
    token = {"authorization": f"Bearer {django_settings.WEIR_OPERATOR_TOKEN}"}
    for role in ("control", "gateway"):
        assert (await ask(role, "/config"))[0] == 401
        assert (await ask(role, "/config", **token))[0] == 200
        assert (await ask(role, "/health/live"))[0] == 200


async def test_live_pages_are_not_told_by_a_process_for_calls() -> None:
    scope = {"type": "websocket", "path": "/live/", "headers": [], "query_string": b""}
    caller = ApplicationCommunicator(asgi.by_role("gateway"), scope)
    await caller.send_input({"type": "websocket.connect"})
    assert await caller.receive_output(timeout=30) == {"type": "websocket.close"}


async def test_a_process_for_people_starts_no_engine() -> None:
    caller = ApplicationCommunicator(asgi.by_role("control"), {"type": "lifespan"})
    await caller.send_input({"type": "lifespan.startup"})
    assert await caller.receive_output(timeout=30) == {"type": "lifespan.startup.complete"}
    assert engine.current is None
    await caller.send_input({"type": "lifespan.shutdown"})
    assert await caller.receive_output(timeout=30) == {"type": "lifespan.shutdown.complete"}


async def test_a_process_for_people_does_not_start_under_a_wrong_keyring(settings: Any) -> None:
    await sync_to_async(canary.verify)()
    settings.WEIR_KEYRING = "1:another-keyring-of-24-letters!"
    caller = ApplicationCommunicator(asgi.by_role("control"), {"type": "lifespan"})
    try:
        await caller.send_input({"type": "lifespan.startup"})
        told = await caller.receive_output(timeout=30)
        assert told["type"] == "lifespan.startup.failed"
        assert state.unfit == told["message"]
        assert state.unfit.startswith("WEIR_KEYRING: version 1 is not the key")
    finally:
        state.unfit = ""


def a_table_that_is_not_there() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM nowhere")


def a_server_that_is_not_there() -> None:
    about = {"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": free_port(), "NAME": "weir"}
    ConnectionHandler({"default": about})["default"].ensure_connection()


@pytest.mark.parametrize(
    ("asked", "cure"),
    [(a_table_that_is_not_there, "manage.py migrate"), (a_server_that_is_not_there, "what DATABASE_URL says")],
)
async def test_a_database_that_will_not_do_ends_the_start_with_one_line_and_its_cure(asked: Any, cure: str) -> None:
    caller = ApplicationCommunicator(
        lifespan(sync_to_async(asked), sync_to_async(lambda: None), failed="control.start_failed"), {"type": "lifespan"}
    )
    try:
        await caller.send_input({"type": "lifespan.startup"})
        told = await caller.receive_output(timeout=30)
        assert (told["type"], told["message"]) == ("lifespan.startup.failed", state.unfit)
        assert state.unfit.startswith("The database ")
        assert cure in state.unfit
        assert "\n" not in state.unfit
    finally:
        state.unfit = ""
