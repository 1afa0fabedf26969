"""Programs that ask for what is not there: an SDK with a wrong base URL, a WebSocket, a page that does not exist."""

from __future__ import annotations

import logging

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

BASE = "https://weir.example.com"


@pytest.fixture(autouse=True)
def _address(settings):
    settings.WEIR_BASE_URL = BASE


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/chat/completions", "/v1/chat/completions"),
        ("/chat/completions/", "/v1/chat/completions"),
        ("/v1/chat/completions/chat/completions", "/v1/chat/completions"),
        ("/openai/v1/chat/completions", "/v1/chat/completions"),
        ("/anthropic/v1/chat/completions", "/v1/chat/completions"),
    ],
)
def test_an_openai_client_with_a_wrong_base_url_is_told_the_right_one(gateway, path, route):
    answer = gateway.client.post(path, json={})
    assert answer.status_code == 404
    message = answer.json()["error"]["message"]
    assert message == f"unknown path: POST {path}; did you mean {route}? Set the client's base URL to {BASE}/v1"


@pytest.mark.parametrize("path", ["/messages", "/v1/v1/messages", "/api/v1/messages"])
def test_an_anthropic_client_with_a_wrong_base_url_is_told_the_right_one(gateway, path):
    answer = gateway.client.post(path, json={})
    assert answer.status_code == 404
    assert answer.json()["error"] == {
        "type": "not_found_error",
        "message": f"unknown path: POST {path}; did you mean /v1/messages? Set the client's base URL to {BASE}",
    }


def test_models_are_missed_in_the_dialect_of_the_asker(gateway):
    assert gateway.client.get("/models").json()["error"]["message"].endswith(f"{BASE}/v1")
    answer = gateway.client.get("/models", headers={"x-api-key": "x"})
    assert answer.json()["error"]["message"].endswith(BASE)


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/batches", {"content-type": "application/json"}),
        ("GET", "/nowhere", {"accept": "application/json"}),
        ("GET", "/nowhere", {"accept": "*/*"}),
        ("POST", "/", {"content-type": "application/json"}),
    ],
)
def test_a_program_gets_no_page_where_there_is_none(gateway, method, path, headers):
    answer = gateway.client.request(method, path, headers=headers)
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == f"unknown path: {method} {path}"


@pytest.mark.parametrize("path", ["/", "/admin", "/admin/login/", "/health/live"])
def test_what_is_there_is_there_for_programs_too(gateway, path):
    answer = gateway.client.get(path, headers={"accept": "application/json"}, follow_redirects=True)
    assert answer.status_code == 200


@pytest.mark.parametrize("base", ["/", "/v1", "/v1/", "/anthropic", "/anthropic/v1"])
@pytest.mark.parametrize("accept", ["*/*", "text/html"])
def test_a_client_that_looks_whether_there_is_somebody_finds_out_and_is_led_nowhere(gateway, base, accept):
    answer = gateway.client.head(base, headers={"accept": accept})
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "0")
    assert "location" not in answer.headers


def test_the_first_page_is_an_empty_one_for_programs_and_leads_people_to_sign_in(gateway):
    answer = gateway.client.get("/")
    assert (answer.status_code, answer.content) == (200, b"")
    answer = gateway.client.get("/", headers={"accept": "text/html"})
    assert (answer.status_code, answer.headers["location"]) == (302, "/sign-in/?next=/")


def test_the_head_of_a_path_that_is_not_there_is_not_found(gateway):
    assert gateway.client.head("/v1/nowhere").status_code == 404
    assert gateway.client.head("/v1/messages").status_code == 405


def test_a_person_gets_a_page(gateway):
    answer = gateway.client.get("/nowhere", headers={"accept": "text/html"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize("path", ["/", "/v1/realtime", "/admin/"])
def test_a_websocket_is_refused_and_nothing_is_logged_of_it(gateway, path, caplog):
    with caplog.at_level(logging.WARNING), pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{gateway.host}:{gateway.port}{path}").close()
    assert refused.value.response.status_code == 403
    assert caplog.records == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_hello_is_answered_however_it_is_asked(gateway, method):
    for path in ("/api/hello", "/api/hello/"):
        answer = gateway.client.request(method, path)
        assert (answer.status_code, answer.content) == (200, b"")
    assert gateway.client.post("/api/hello").status_code == 404
    assert gateway.client.get("/api/nowhere").status_code == 404
