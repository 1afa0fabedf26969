"""What is handed out to be run as it is: every file of `examples/`, and the load file, against the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from apps.outbound import webhooks
from tests.deploy import tools
from tests.sdk.gateways import card, start_gateway
from tests.servers import ROOT, Simulator, start_process

EXAMPLES = ROOT / "examples"
SECONDS = 240
# By the file's stem, in every language: what is printed, if it has done what it is there for.
SHOWN = {
    "messages": ("What is a weir?",),
    "count_tokens": (),
    "chat_completions": ("What is a weir?",),
    "responses": ("What is a weir?",),
    "completions": ("A weir is",),
    "embeddings": (),
    "chat": ("What is a weir?",),
    "models": ("claude-sonnet-4-6", "gpt-5-mini"),
    "pinned_endpoint": ("claude-sonnet-4-6", "What is a weir?"),
    "explain": ("first",),
    "admin": ("approved", "request_id"),
}
WITH_A_TOOL = ("messages", "chat_completions", "responses")
SHARED = {"weir.mjs"}  # imported by those beside it
SECRET = webhooks.new_secret()
LISTENING = re.compile(r"listening on (http://127\.0\.0\.1:\d+)")
IN_ONE_PROCESS = """
import runpy, sys
for path in sys.argv[1:]:
    print("\\f" + path)
    runpy.run_path(path, run_name="__main__")
"""


class Demo(NamedTuple):
    base_url: str
    told: Mapping[str, str]

    @property
    def variables(self) -> dict[str, str]:
        given = {"WEIR_URL": self.base_url, "KEY": self.told["key"], "WEIR_API_TOKEN": self.told["token"]}
        return {**os.environ, **given}

    @property
    def card(self) -> dict[str, str]:
        """Of `var/demo.json` what the load file reads."""
        names = {"api_key": "key", "developer_user": "user", "developer_password": "password"}
        return {name: self.told[told] for name, told in names.items()}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, provider: Simulator) -> Iterator[Demo]:
    var = tmp_path_factory.mktemp("demo") / "var"
    told = card(var, simulator_url=provider.base_url, by="tests.sdk.demo")
    running = start_gateway("uvicorn", var=var, key=told["key"])
    yield Demo(running.base_url, told)
    running.process.stop()


def files(folder: str) -> list[Path]:
    return [path for path in sorted((EXAMPLES / folder).iterdir()) if path.is_file() and path.name not in SHARED]


def stems(folder: str) -> list[str]:
    return [path.stem for path in files(folder) if path.stem != "verify_webhook"]


def shown(command: list[str], variables: Mapping[str, str]) -> str:
    done = subprocess.run(command, cwd=EXAMPLES, env=variables, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def of_python(demo: Demo) -> dict[str, str]:
    """What each prints. All in one process: importing the SDKs takes longer than the calls."""
    paths = [str(path) for path in files("python") if path.stem != "verify_webhook"]
    parts = shown([sys.executable, "-c", IN_ONE_PROCESS, *paths], demo.variables).split("\f")[1:]
    return {Path(name).stem: text for name, _, text in (part.partition("\n") for part in parts)}


def test_every_example_is_there_in_every_language():
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == {"curl", "node", "python"}
    for folder in ("curl", "node", "python"):
        assert stems(folder) == sorted(SHOWN), folder


@pytest.mark.parametrize("name", SHOWN)
def test_curl(demo, name):
    text = shown(["bash", str(EXAMPLES / f"curl/{name}.sh")], demo.variables)
    check(name, text)
    if name in WITH_A_TOOL:
        assert "get_weather" in text
        assert "data: " in text


@pytest.mark.parametrize("name", SHOWN)
def test_python(of_python, name):
    check(name, of_python[name])
    if name in WITH_A_TOOL:
        assert "18 degrees in Paris" in of_python[name]


@pytest.mark.parametrize("name", SHOWN)
def test_node(demo, name):
    text = shown([*tools.find("node"), str(EXAMPLES / f"node/{name}.mjs")], demo.variables)
    check(name, text)
    if name in WITH_A_TOOL:
        assert "18 degrees in Paris" in text


def check(name: str, text: str) -> None:
    assert text.strip()
    assert [words for words in SHOWN[name] if words not in text] == [], text


@pytest.mark.parametrize("path", ["python/verify_webhook.py", "node/verify_webhook.mjs"])
def test_a_receiver_takes_what_weir_has_signed_and_nothing_else(tmp_path, path):
    program = [sys.executable] if path.startswith("python/") else tools.find("node")
    receiver = start_process(
        [*program, str(EXAMPLES / path)],
        ready=LISTENING,
        log=tmp_path / "log",
        env={"SECRET": SECRET, "PORT": "0"},
    )
    body, now = json.dumps({"type": "alert.test"}).encode(), datetime.now(UTC)
    new, old = webhooks.key_of(SECRET), webhooks.key_of(webhooks.new_secret())
    good = webhooks.signed("msg_1", body, keys=[old, new], now=now)  # as while it is being rotated
    late = webhooks.signed("msg_1", body, keys=[new], now=now.replace(year=now.year - 1))
    forged = webhooks.signed("msg_1", body, keys=[old], now=now)
    try:
        tries = [(good, body), (late, body), (forged, body), (good, body + b" "), ({}, body)]
        told = [httpx2.post(receiver.announced, content=sent, headers=headers).status_code for headers, sent in tries]
        assert told == [204, 401, 401, 401, 401]
        assert "msg_1 alert.test" in receiver.output()
    finally:
        receiver.popen.kill()
        receiver.popen.wait()


def test_the_load_file_measures_what_people_wait_for(demo, tmp_path):
    """Of each kind of user there is one at least: eleven are what their weights come to. Who they are, the demo's card
    says, as beside `make run`."""
    (tmp_path / "var").mkdir()
    (tmp_path / "var/demo.json").write_text(json.dumps(demo.card))
    copied = shutil.copytree(ROOT / "benchmarks", tmp_path / "benchmarks")
    command = [sys.executable, "-m", "locust", "-f", str(copied / "locustfile.py"), "--headless"]
    command += ["--host", demo.base_url, "--users", "11", "--spawn-rate", "20", "--run-time", "5s"]
    command += ["--stop-timeout", "60", "--json"]  # who is signing in may look at a page
    known = {name: value for name, value in os.environ.items() if name not in ("KEY", "WEIR_USER", "WEIR_PASSWORD")}
    variables = known | {"WEIR_API_TOKEN": demo.told["token"], "VECTORS_MODEL": "text-embedding-3-small"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    figures = {(row["method"], row["name"]): row for row in json.loads(done.stdout)}
    assert {("FIRST", "agent"), ("FIRST", "chat"), ("POST", "embeddings"), ("POST", "sign in")} <= figures.keys()
    assert {name.split()[0] for _, name in figures} >= {"portal", "api"}
    assert [key for key, row in figures.items() if row["num_failures"]] == []
    for name in ("agent", "chat"):
        first, whole = figures["FIRST", name], figures["POST", name]
        assert first["num_requests"] == whole["num_requests"] > 0
        assert first["max_response_time"] <= whole["max_response_time"]


def test_load_goes_nowhere_else_unless_that_is_meant(demo):
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "benchmarks/locustfile.py"), "--headless"]
    command += ["--host", "http://weir.example.org", "--run-time", "1s"]
    done = subprocess.run(command, env=demo.variables, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode != 0
    assert "weir.example.org is another machine" in done.stderr
