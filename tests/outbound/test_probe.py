from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.outbound.listing import Listed
from apps.outbound.probe import ProbeResult, probe

SECRET = "sk-ant-a-secret-that-must-not-be-shown"


class Stand(BaseHTTPRequestHandler):
    status = 200
    body = b'{"object":"list","data":[{"id":"claude-a","x":1},{"id":"claude-b"}]}'
    missing = ""
    seen: list[tuple[str, dict[str, str]]]

    def do_GET(self) -> None:
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        self.send_response(404 if self.path == self.missing else self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None: ...


Asker = Callable[..., ProbeResult]


@pytest.fixture
def stand() -> type[Stand]:
    return type("OwnStand", (Stand,), {"seen": []})


@pytest.fixture
def ask(stand: type[Stand]) -> Iterator[Asker]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), stand)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def asker(**changes: Any) -> ProbeResult:
        given = {
            "vendor": "anthropic",
            "protocol": "anthropic_messages",
            "base_url": f"http://127.0.0.1:{server.server_port}",
            "secret": SECRET,
            "private_networks": ["127.0.0.0/8"],
        }
        return probe(**given | changes)  # type: ignore[arg-type]

    yield asker
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_asks_anthropics_list_of_models_the_vendors_way(ask: Asker, stand: type[Stand]) -> None:
    result = ask()
    assert (result.ok, result.status, result.models) == (True, 200, ("claude-a", "claude-b"))
    assert result.milliseconds < 5000
    ((path, headers),) = stand.seen
    assert path == "/v1/models?limit=1000"
    assert headers["x-api-key"] == SECRET
    assert headers["anthropic-version"] == "2023-06-01"


def test_it_asks_openais_list_below_the_version_in_the_base_url(ask: Asker, stand: type[Stand]) -> None:
    port = ask().message and stand.seen[0][1]["host"]
    assert ask(vendor="openai", protocol="openai_chat", base_url=f"http://{port}/v1").ok
    path, headers = stand.seen[-1]
    assert path == "/v1/models"
    assert headers["authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize(
    ("status", "ok", "words"),
    [
        (401, False, "refused the credential"),
        (403, False, "refused the credential"),
        (404, True, "no list of models"),
        (429, True, "limits our rate"),
        (500, False, "status 500"),
        (307, False, "status 307"),
    ],
)
def test_it_judges_a_provider_by_its_status(ask: Asker, stand: type[Stand], status: int, ok: bool, words: str) -> None:
    stand.status = status
    stand.body = f"Incorrect API key provided: {SECRET}".encode()
    result = ask()
    assert (result.ok, result.status) == (ok, status)
    assert words in result.message
    assert SECRET not in repr(result)


@pytest.mark.parametrize("body", [b"[]", b'{"data": 5}', b'{"data":[{"name":"x"}]}'])
def test_a_list_that_cannot_be_read_is_an_empty_one(ask: Asker, stand: type[Stand], body: bytes) -> None:
    stand.body = body
    result = ask()
    assert (result.ok, result.models) == (True, ())


@pytest.mark.parametrize(
    ("body", "listed"),
    [
        (
            b'{"data":[{"id":"c","display_name":"C","max_input_tokens":9,"max_tokens":5}]}',
            Listed(name="c", label="C", context_tokens=9, max_output_tokens=5),
        ),
        (b'{"data":[{"id":"r","context_length":7},{"id":1}]}', Listed(name="r", context_tokens=7)),
        (b'{"data":[{"id":"v","max_model_len":-1,"display_name":5}]}', Listed(name="v")),
        (b'{"data":[{"object":"deployment","id":"ours","model":"gpt-4o"}]}', Listed(name="ours", kind="gpt-4o")),
        (b'{"models":[{"name":"gemma:1b","model":"gemma:1b"}]}', Listed(name="gemma:1b")),
        (b'{"modelSummaries":[{"modelId":"a.b-v1:0","modelName":"B"}]}', Listed(name="a.b-v1:0", label="B")),
    ],
)
def test_what_a_list_says_of_a_model_is_kept(ask: Asker, stand: type[Stand], body: bytes, listed: Listed) -> None:
    stand.body = body
    assert ask().listed == (listed,)


def test_a_resources_deployments_are_listed_and_its_models_where_it_lists_no_deployments(ask, stand) -> None:
    address = ask().message and stand.seen[0][1]["host"]
    given = {"vendor": "azure_openai", "protocol": "openai_chat", "base_url": f"http://{address}/openai/v1"}
    deployments = "/openai/deployments?api-version=2023-03-15-preview"
    stand.seen.clear()
    assert ask(**given).ok
    assert [path for path, _ in stand.seen] == [deployments]
    stand.seen.clear()
    stand.missing = deployments
    result = ask(**given)
    assert (result.ok, result.models) == (True, ("claude-a", "claude-b"))
    assert [path for path, _ in stand.seen] == [deployments, "/openai/v1/models"]
    assert all(headers["api-key"] == SECRET for _, headers in stand.seen)


def test_a_provider_that_has_no_list_is_well_when_it_answers(ask: Asker, stand: type[Stand]) -> None:
    address = ask().message and stand.seen[0][1]["host"]
    stand.status = 403
    result = ask(vendor="simulated", protocol="bedrock_embed", base_url=f"http://{address}/")
    assert (result.ok, result.models) == (True, ())
    assert "no list" in result.message
    assert stand.seen[-1][0] == "/"


def test_the_providers_own_words_are_told_without_the_secret(ask: Asker, stand: type[Stand]) -> None:
    stand.status = 401
    told = f"Incorrect API key: {SECRET}.\nSee \x07 there."
    stand.body = json.dumps({"error": {"message": told}}).encode()
    result = ask()
    assert result.words == "Incorrect API key: [removed]. See there."
    assert "Incorrect" not in result.message


def test_it_keeps_to_the_guard(ask: Asker, stand: type[Stand]) -> None:
    result = ask(private_networks=[])
    assert (result.ok, result.status) == (False, 0)
    assert "may not be called" in result.message
    assert stand.seen == []


def test_a_secret_that_is_no_header_is_not_sent(ask: Asker, stand: type[Stand]) -> None:
    result = ask(secret="key\r\nX-Smuggled: 1")
    assert not result.ok
    assert "Smuggled" not in repr(result)
    assert stand.seen == []


def test_an_absent_provider_is_a_result_and_not_an_exception(ask: Asker) -> None:
    result = ask(base_url="http://127.0.0.1:9")
    assert (result.ok, result.status) == (False, 0)
    assert "refused the connection" in result.message


async def test_it_works_in_a_thread_that_runs_a_loop(ask: Asker) -> None:
    assert ask().ok
    assert (await asyncio.to_thread(ask)).ok
