"""The official SDKs of Node, and their streaming helpers, judge what the gateway says."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import tools
from tests.sdk.gateways import Gateway
from tests.servers import ROOT

JUDGES = ROOT / "tests" / "node"
SECONDS = 180
PARIS = [["get_weather", {"city": "Paris", "unit": "celsius"}]]
pytestmark = pytest.mark.parametrize("gateway", ["uvicorn"], indirect=True)  # Python's SDKs judge the other server
ECHO = "You wrote “Hello there, says Ada.”"


@pytest.fixture(scope="session")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDKs as the lock names them, installed once."""
    tools.find("node")
    (npm,) = tools.find("npm")
    folder = tmp_path_factory.mktemp("node") / "judges"
    shutil.copytree(JUDGES, folder, ignore=shutil.ignore_patterns("node_modules"))
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="session")
def judged(judges: Path, gateway: Gateway) -> Any:
    """A verdict; all that are passed on one model come from one process."""
    known: dict[str, dict[str, Any]] = {}

    def judged(verdict: str, model: str, *, words: str = "", key: str = gateway.key) -> dict[str, Any]:
        given = json.dumps({"base": gateway.base_url, "key": key, "model": model, "words": words})
        if given not in known:
            command = ["node", "judge.mjs", given]
            done = subprocess.run(command, cwd=judges, capture_output=True, text=True, timeout=SECONDS, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            known[given] = json.loads(done.stdout)
        told: dict[str, Any] = known[given][verdict]
        return told

    return judged


@pytest.mark.parametrize(
    "verdict",
    [
        *("messages.create", "messages.stream", "chat.create", "chat.stream"),
        *("responses.create", "responses.stream"),
    ],
)
def test_text_is_understood(judged, model, verdict):
    told = judged(verdict, model)
    assert ECHO in told["text"]
    assert told["stop"] in ("end_turn", "stop", "completed")
    assert told["out"] > 0


@pytest.mark.parametrize("verdict", ["messages.tools", "chat.tools", "responses.tools"])
def test_a_call_is_put_together(judged, model, verdict):
    told = judged(verdict, model)
    assert told["calls"] == PARIS
    assert told["stop"] in ("tool_use", "tool_calls", "completed")


def test_a_legacy_completion_is_understood(judged, model):
    assert ECHO in judged("completions.create", model)["text"]


def test_vectors_are_understood(judged):
    """Node's SDK asks for base64 and reads it, whatever its caller wants."""
    told = judged("embeddings.create", "gpt-test")
    assert len(told["sizes"]) == 2
    assert min(told["sizes"]) > 100
    assert told["tokens"] > 0


def test_a_runner_answers_its_own_calls(judged, model):
    assert "18 degrees in Paris" in judged("chat.runTools", model)["text"]


def test_thinking_is_understood(judged, model):
    told = judged("messages.thinking", model)
    assert told["thinking"].startswith("The user wrote")
    assert ECHO in told["text"]


@pytest.mark.parametrize("verdict", ["messages.models", "chat.models"])
def test_models_are_listed(judged, model, verdict):
    assert model in judged(verdict, model)["ids"]


def test_tokens_are_counted_or_that_is_said_to_be_impossible(judged):
    assert judged("messages.count", "claude-test")["tokens"] > 0
    assert judged("messages.count", "gpt-test")["status"] == 501


@pytest.mark.parametrize("verdict", ["messages.stream", "chat.stream"])
def test_an_error_in_the_middle_is_raised(judged, model, verdict):
    told = judged(verdict, model, words="error-after-6,pace-25")
    assert told["failed"]
    assert told["message"]


@pytest.mark.parametrize(
    ("verdict", "failed"), [("messages.create", "AuthenticationError"), ("chat.stream", "AuthenticationError")]
)
def test_a_wrong_key_is_an_authentication_error(judged, model, verdict, failed):
    assert judged(verdict, model, key="weir_no_such_key")["failed"] == failed
