"""The official SDKs at an endpoint that another process pins while the gateway runs, by its path and by its port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anthropic
import openai
import pytest

from tests.sdk.gateways import Gateway, environment, start_gateway
from tests.sdk.worlds import HELLO
from tests.servers import ROOT, until
from tests.services import free_port

PIN = """
from apps.catalog import services
from apps.catalog.models import Model
services.create_endpoint(actor=None, name="{name}", model=Model.objects.get(name="claude-test"), port={port})
"""
FREE = """
from apps.catalog import services
from apps.catalog.models import PinnedEndpoint
services.update_endpoint(PinnedEndpoint.objects.get(name="{name}"), actor=None, is_enabled=False)
"""


def manage(var: Path, code: str) -> None:
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "-c", code]
    subprocess.run(command, cwd=ROOT, env={**os.environ, **environment(var)}, check=True, timeout=120)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, template: tuple[Path, str], port: int) -> Iterator[Gateway]:
    var = shutil.copytree(template[0], tmp_path_factory.mktemp("pinned") / "var")
    running = start_gateway("uvicorn", var=var, key=template[1])
    manage(var, PIN.format(name="pinned", port=port))
    until(lambda: answers(f"http://127.0.0.1:{port}", running.key))
    yield running
    running.process.stop()


def answers(base_url: str, key: str) -> bool:
    with closing(openai.OpenAI(api_key=key, base_url=f"{base_url}/v1", max_retries=0)) as client:
        try:
            return [model.id for model in client.models.list()] == ["claude-test"]
        except openai.APIConnectionError:
            return False


@pytest.fixture(params=["path", "port"])
def base_url(request: pytest.FixtureRequest, gateway: Gateway, port: int) -> str:
    return f"{gateway.base_url}/e/pinned" if request.param == "path" else f"http://127.0.0.1:{port}"


def test_anthropics_sdk(gateway: Gateway, base_url: str) -> None:
    with closing(anthropic.Anthropic(api_key=gateway.key, base_url=base_url, max_retries=0)) as client:
        assert client.messages.create(model="whatever", max_tokens=64, messages=HELLO).content
        with client.messages.stream(model="gpt-test", max_tokens=64, messages=HELLO) as stream:
            assert stream.get_final_message().stop_reason == "end_turn"
        assert client.messages.count_tokens(model="x", messages=HELLO).input_tokens > 0
        assert [model.id for model in client.models.list()] == ["claude-test"]
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("gpt-test")


def test_openais_sdk(gateway: Gateway, base_url: str) -> None:
    with closing(openai.OpenAI(api_key=gateway.key, base_url=f"{base_url}/v1", max_retries=0)) as client:
        answer = client.chat.completions.create(model="whatever", messages=HELLO)
        assert answer.choices[0].message.content
        assert answer.model == "claude-test"
        with client.chat.completions.stream(model="gpt-test", messages=HELLO) as stream:
            assert stream.get_final_completion().choices[0].finish_reason == "stop"
        assert [model.id for model in client.models.list()] == ["claude-test"]


def is_closed(port: int) -> bool:
    """Before it is, its calls are told that there is no endpoint any more."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_port_is_closed_when_another_process_disables_its_endpoint(gateway: Gateway) -> None:
    port = free_port()
    manage(gateway.var, PIN.format(name="fleeting", port=port))
    until(lambda: answers(f"http://127.0.0.1:{port}", gateway.key))
    manage(gateway.var, FREE.format(name="fleeting"))
    until(lambda: is_closed(port))
