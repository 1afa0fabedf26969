"""`make run`, as a newcomer meets it: from an empty folder to a streamed answer, and back to nothing running."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import pytest

from gateway_site import handout
from gateway_site.run import welcome
from tests.architecture import tree
from tests.house.processes import alive, family
from tests.services import free_port

STOPPING = "Stopping. Calls that are running may finish; Ctrl-C again does not wait for them."
KEYS = "base_url api_key admin_url admin_user admin_password developer_user developer_password"


class Run:
    """One `make run`, without the make: the environment is there already."""

    def __init__(self, folder: Path, *, port: int | str) -> None:
        self.folder = folder
        self.port = port
        self.found = 0  # calls in the ledger by the time it was ready
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "REDIS_"))}
        for name in ("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE", "MAKELEVEL"):
            surroundings.pop(name, None)
        surroundings["http_proxy"] = "http://127.0.0.1:9"  # a newcomer's may be set, and lead elsewhere
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gateway_site.run"],
            cwd=tree.ROOT,
            env={**surroundings, "WEIR_VAR": str(folder), "PORT": str(port)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def told(self) -> str:
        """What it has printed by the time it is ready."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if line.startswith("  -d "):
                lines.append(self.process.stdout.readline())  # an empty one, which may come in a write of its own
                break
        return "".join(lines)

    def stop(self, how: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(how)
        rest = self.process.communicate(timeout=60)[0]
        return self.process.returncode, rest

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        assert self.process.stdout is not None
        if not self.process.stdout.closed:  # `stop` has read it to its end
            self.process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("var")
    folder.chmod(0o755)
    return folder


class Begun(NamedTuple):
    """The first run of a folder, which has ended. `left`: of its `processes`, those that outlived it."""

    told: str
    card: dict[str, str]
    stamp: str
    processes: int
    left: list[int]
    ended: tuple[int, str]
    entries: int
    port: int | str


@pytest.fixture(scope="module")
def begun(folder) -> Begun:
    with contextlib.closing(Run(folder, port=free_port())) as run:
        told = run.told()
        assert "Weir is running" in told, told + (run.process.communicate()[0] or "")
        card, started = json.loads((folder / "demo.json").read_text()), family(run.process.pid)
        ended = run.stop()
        stamp = (folder / "demo.stamp").read_text()
        return Begun(told, card, stamp, len(started), alive(started), ended, entries(folder), run.port)


@pytest.fixture(scope="module")
def copied(begun, folder, tmp_path_factory) -> Path:
    """The same folder between its first run and its second."""
    return Path(shutil.copytree(folder, tmp_path_factory.mktemp("copied") / "var"))


@pytest.fixture(scope="module")
def first(begun, copied, folder) -> Iterator[tuple[Run, str]]:
    """The run that most tests look at: the folder's second. It is told to end as a container would be."""
    with contextlib.closing(Run(folder, port=begun.port)) as run:
        told = run.told()
        assert "Weir is running" in told, told + (run.process.communicate()[0] or "")
        run.found = entries(folder)
        yield run, told
        assert run.stop(signal.SIGTERM)[0] == 0


@pytest.fixture(scope="module")
def card(first, folder) -> dict[str, str]:
    return json.loads((folder / "demo.json").read_text())


def entries(folder: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{folder / 'weir.db'}?mode=ro", uri=True)) as connection:
        return int(connection.execute("SELECT count(*) FROM usage_entry").fetchone()[0])


def test_the_handout_is_private_and_has_exactly_the_promised_keys(card, folder, first):
    assert list(card) == KEYS.split()
    assert stat.S_IMODE((folder / "demo.json").stat().st_mode) == 0o600
    assert card["base_url"] == f"http://127.0.0.1:{first[0].port}"
    assert card["admin_url"] == f"{card['base_url']}/admin/"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
def test_the_printed_curl_streams_an_answer_when_pasted(first):
    command = first[1][first[1].index("curl -N") :]
    answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.startswith("event: message_start")
    assert "event: message_stop" in answer.stdout


@pytest.mark.parametrize("model", ["claude-haiku-4-5", "gpt-5-mini"])
def test_the_handed_out_key_calls_both_families_in_both_dialects(card, model):
    asked = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"authorization": f"Bearer {card['api_key']}"}
    for path, cap in (("/v1/messages", "max_tokens"), ("/v1/chat/completions", "max_completion_tokens")):
        answer = httpx2.post(card["base_url"] + path, json=asked | {cap: 50}, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]


@pytest.mark.parametrize(("who", "asked", "page"), [("admin", "/admin/", "/admin/"), ("developer", "/", "/t/acme/")])
def test_those_who_are_handed_out_can_sign_in(card, who, asked, page):
    browser = {"accept": "text/html"}
    with httpx2.Client(base_url=card["base_url"], headers=browser, follow_redirects=True, timeout=60) as client:
        form = client.get("/sign-in/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token is not None
        answer = client.post(
            f"/sign-in/?next={asked}",
            data={
                "username": card[f"{who}_user"],
                "password": card[f"{who}_password"],
                "csrfmiddlewaretoken": token[1],
            },
            headers={"referer": card["admin_url"]},
        )
        assert answer.status_code == 200
        assert answer.url.path == page
        assert "sessionid" in client.cookies


def test_a_second_one_on_the_same_folder_is_refused_with_a_sentence(first, folder):
    second = Run(folder, port=free_port())
    told = second.process.communicate(timeout=60)[0]
    assert second.process.returncode == 1
    place = f"{folder}, at http://127.0.0.1:{first[0].port}"
    assert told.startswith(f"make run: Weir is already running on {place}. Ctrl-C there stops it")
    assert len(told.splitlines()) == 1


def test_a_taken_port_is_refused_with_advice(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = Run(tmp_path, port=port)
        told = refused.process.communicate(timeout=60)[0]
    assert refused.process.returncode == 1
    assert told == f"make run: Port {port} is taken. Choose another: make run PORT={port + 1}\n"


@pytest.mark.parametrize("port", ["abc", "99999", "0", "-1", "80.5"])
def test_a_port_that_is_none_is_refused_as_a_wrong_command(tmp_path, port):
    refused = Run(tmp_path, port=port)
    told = refused.process.communicate(timeout=60)[0]
    assert refused.process.returncode == 2
    assert told == "make run: PORT must be a whole number from 1 to 65535.\n"


def test_a_folder_that_cannot_be_written_to_is_refused_with_advice(tmp_path):
    (tmp_path / "file").touch()
    refused = Run(tmp_path / "file" / "var", port=free_port())
    told = refused.process.communicate(timeout=60)[0]
    assert refused.process.returncode == 2
    assert told == f"make run: WEIR_VAR: {refused.folder} cannot be made: Not a directory.\n"


def test_what_it_writes_is_for_its_owners_eyes(first, folder):
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_worker_starts_without_a_word_of_trouble(first, folder):
    text = (folder / "log" / "worker.log").read_text()
    assert "Traceback" not in text
    assert "celery.redirected" not in text


def test_it_prepares_what_it_needs_and_leaves_nothing_running(begun):
    assert "Preparing" in begun.told
    assert begun.processes >= 4  # itself, gateway, provider, worker
    assert begun.ended == (0, f"\n{STOPPING}\nStopped.\n")
    assert begun.left == []
    assert begun.entries > 1_000


def test_it_starts_again_with_the_same_data(first, begun, folder):
    again, told = first
    assert "Preparing" not in told
    assert json.loads((folder / "demo.json").read_text()) == begun.card
    assert (folder / "demo.stamp").read_text() == begun.stamp
    assert again.found == begun.entries


def test_it_hands_out_anew_what_was_lost(copied, begun):
    (copied / "demo.json").unlink()
    with contextlib.closing(Run(copied, port=free_port())) as anew:
        assert "Weir is running" in anew.told()
        renewed = json.loads((copied / "demo.json").read_text())
        assert {name for name in KEYS.split() if renewed[name] == begun.card[name]} == {"admin_user", "developer_user"}
        headers = {"x-api-key": renewed["api_key"]}
        assert httpx2.get(f"{renewed['base_url']}/v1/models", headers=headers).status_code == 200
        assert entries(copied) == begun.entries


def test_the_handout_knows_its_keys():
    assert list(handout.KEYS) == KEYS.split()


def test_pinned_ports_are_told_with_what_is_wrong_with_them():
    card = dict.fromkeys(KEYS.split(), "x") | {"base_url": "http://127.0.0.1:8000"}
    told = welcome(card, ports={"8091": "open", "8092": "in use"})
    assert "  Pinned to one model            http://127.0.0.1:8091\n" in told
    assert "http://127.0.0.1:8092 (in use)\n" in told
    assert "Pinned" not in welcome(card)
