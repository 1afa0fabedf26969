"""One call of one token: at the simulated provider, and at servers that answer as none should."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from apps.domain.providers import registry
from apps.outbound.asking import asked
from apps.outbound.probe import probe
from apps.outbound.trial import TrialResult, trial
from tests.servers import Simulator, start_simulator

SECRET = "sk-a-secret-that-must-not-be-shown"


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


def ask(base_url: str, *, model: str = "claude-test", stream: bool = False, **changes: Any) -> TrialResult:
    given = {
        "vendor": "simulated",
        "protocol": "anthropic_messages",
        "secret": SECRET,
        "private_networks": ["127.0.0.0/8"],
    }
    return trial(asked(base_url=base_url, **given | changes), model=model, stream=stream, seconds=10)


MODELS = {
    "anthropic_messages": ("claude-test", "max_tokens"),
    "openai_chat": ("gpt-test", "max_completion_tokens"),
    "openai_responses": ("gpt-test", "max_output_tokens"),
    "bedrock_invoke": ("anthropic.claude-haiku-4-5-20251001-v1:0", "max_tokens"),
    "bedrock_converse": ("amazon.nova-lite-v1:0", "inferenceConfig"),
    "ollama_chat": ("llama3.2:latest", "options"),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", registry.VENDORS["simulated"].protocols)
def test_a_model_that_answers_is_well(simulator: Simulator, protocol: str, stream: bool) -> None:
    model, cap = MODELS[protocol]
    result = ask(simulator.base_url, model=model, protocol=protocol, stream=stream)
    assert (result.ok, result.status, result.words) == (True, 200, ""), result
    named, _, told = result.message.partition(" ")
    assert (named in model, told) == (True, "streams to the end." if stream else "answers."), result
    asked_for = simulator.calls()[-1]["body"][cap]
    least = {"inferenceConfig": {"maxTokens": 1}, "max_output_tokens": 16}
    if cap == "options":
        assert asked_for["num_predict"] == 1
    else:
        assert asked_for == least.get(cap, 1)


@pytest.mark.parametrize("protocol", registry.VENDORS["simulated"].protocols)
def test_in_every_protocol_a_provider_that_answers_is_well(simulator: Simulator, protocol: str) -> None:
    result = probe(
        vendor="simulated",
        protocol=protocol,
        base_url=simulator.base_url,
        secret=SECRET,
        private_networks=["127.0.0.0/8"],
    )
    assert result.ok, result
    assert result.models or "no list" in result.message


def test_another_name_of_the_cap_is_used_where_the_provider_says_so(simulator: Simulator) -> None:
    result = ask(simulator.base_url, protocol="openai_chat", quirks=frozenset())
    assert result.ok, result
    assert simulator.calls()[-1]["body"]["max_tokens"] == 1


class Stand(BaseHTTPRequestHandler):
    status = 200
    body = b""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(self.status)
        self.send_header("content-length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: Any) -> None: ...


Serve = Callable[[int, bytes], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    stand = type("OwnStand", (Stand,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), stand)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()

    def answering(status: int, body: bytes) -> str:
        stand.status, stand.body = status, body
        return f"http://127.0.0.1:{server.server_port}"

    yield answering
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (
            404,
            b'{"type":"error","error":{"type":"not_found_error","message":"model: claude-test"}}',
            "model: claude-test",
        ),
        (401, f'{{"error":{{"message":"Incorrect API key provided: {SECRET}"}}}}'.encode(), "Incorrect"),
        (400, b'{"message":"The provided model identifier is invalid."}', "model identifier is invalid"),
        (400, b'{"error":"model \\"x\\" not found"}', 'model "x" not found'),
        (502, b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
    ],
)
def test_a_refusal_is_told_in_the_providers_words(serve: Serve, status: int, body: bytes, words: str) -> None:
    result = ask(serve(status, body))
    assert (result.ok, result.status) == (False, status)
    assert words in result.words
    assert str(status) in result.message
    assert SECRET not in repr(result)


def test_a_model_that_had_no_room_to_think_was_called_all_the_same(serve: Serve) -> None:
    said = b'{"error":{"message":"Could not finish the message because max_tokens or model output limit was reached."}}'
    assert ask(serve(400, said), protocol="openai_chat").ok
    assert not ask(serve(403, said), protocol="openai_chat").ok


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("protocol", registry.VENDORS["simulated"].protocols)
@pytest.mark.parametrize("body", [b"", b"Hello", b"{}", b'data: {"choices":[]}\n\n', b"\xff\x00"])
def test_what_is_no_answer_is_no_good_under_status_200_either(
    serve: Serve, body: bytes, protocol: str, stream: bool
) -> None:
    result = ask(serve(200, body), protocol=protocol, stream=stream)
    assert not result.ok, result
    assert result.message


def test_a_stream_that_breaks_off_is_no_good(serve: Serve) -> None:
    begun = b'data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"y"}}]}\n\n'
    result = ask(serve(200, begun), protocol="openai_chat", stream=True)
    assert (result.ok, result.message) == (False, "The stream failed.")
    assert "ended before it was complete" in result.words


def test_an_address_that_may_not_be_called_is_not(simulator: Simulator) -> None:
    before = simulator.seen()
    result = ask(simulator.base_url, private_networks=[])
    assert (result.ok, result.status) == (False, 0)
    assert "may not be called" in result.message
    assert simulator.seen() == before


def test_an_absent_provider_is_a_result(serve: Serve) -> None:
    result = ask("http://127.0.0.1:9", stream=True)
    assert (result.ok, result.status) == (False, 0)
    assert "refused the connection" in result.message


def test_the_secret_is_shown_in_no_rendering_of_whom_is_asked() -> None:
    one = asked(vendor="openai", protocol="openai_chat", base_url="https://a", secret=SECRET, private_networks=[])
    assert SECRET not in repr(one)
