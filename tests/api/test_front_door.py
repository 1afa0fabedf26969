"""What comes to `/api` through the site's front door."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from gateway_site.asgi import application


async def ask(path: str, **headers: str) -> tuple[int, dict[str, str], Any]:
    wanted = [(name.encode(), value.encode()) for name, value in {"host": "testserver", **headers}.items()]
    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http"},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": wanted},
        **{"client": ("127.0.0.1", 5), "server": ("testserver", 80)},
    }
    caller = ApplicationCommunicator(application, scope)
    await caller.send_input({"type": "http.request", "body": b"", "more_body": False})
    start = await caller.receive_output(timeout=30)
    body = (await caller.receive_output(timeout=30)).get("body", b"")
    await caller.wait(timeout=30)
    told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return start["status"], told, json.loads(body)


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/v2/keys", "/api/v1/nothing", "/api/v1/keys/1/nothing"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
async def test_a_lost_path_is_told_as_a_problem(path, accept):
    status, headers, told = await ask(path, accept=accept)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert told["code"] == "not_found"


@pytest.mark.parametrize("path", ["/api/v1/models", "/api/v1/me"])
async def test_the_api_s_own_paths_are_not_the_data_plane_s(path):
    status, headers, told = await ask(path)
    assert (status, headers["content-type"]) == (401, "application/problem+json")
    assert told["code"] == "not_signed_in"


async def test_a_client_with_a_wrong_base_url_is_still_told_what_it_meant():
    status, _, told = await ask("/api/v1/chat/completions")
    assert status in (404, 405)
    assert "/v1/chat/completions" in json.dumps(told)
