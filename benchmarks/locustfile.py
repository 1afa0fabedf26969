"""Load in a realistic mix, for Locust: coding agents, chats, batches of embeddings, people, and programs that poll.

    make load                                   a minute of ten users against the demo that `make run` serves
    locust -f benchmarks/locustfile.py --headless --users 40 --run-time 5m --host http://127.0.0.1:8000

    KEY                       a key of Weir; several with commas between them are used in turn
    WEIR_API_TOKEN            a token of the management API, for `Poller`
    WEIR_USER, WEIR_PASSWORD  somebody who may see the portal, for `Reader`; WEIR_TENANT: whose pages (acme)
    MODEL, CHAT_MODEL, VECTORS_MODEL    what is asked for; without the last there is no `Batch`

What the demo has is read from its `var/demo.json`. Without what it needs a kind of user is left out. A run lasts a
minute unless it is told otherwise, and goes to this machine only: anywhere else wants WEIR_LOAD_ELSEWHERE=1, and the
consent of whoever pays for the calls.

Beside Locust's own figures, which are of whole answers, each kind of stream has a line `FIRST`: the time until its
first text or call of a tool, as people see it. A stream that ends without its last event is a failure, whatever its
status.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from geventhttpclient.response import HTTPConnectionClosed
from locust import FastHttpUser, between, constant_pacing, events, task

try:
    DEMO = json.loads((Path(__file__).parents[1] / "var/demo.json").read_text(encoding="utf-8"))
except (OSError, ValueError):
    DEMO = {}
KEYS = itertools.cycle(os.environ.get("KEY", DEMO.get("api_key", "")).split(","))
MODEL = os.environ.get("MODEL", "claude-sonnet-4-6")
CHAT_MODEL = os.environ.get("CHAT_MODEL", "gpt-5-mini")
VECTORS_MODEL = os.environ.get("VECTORS_MODEL", "")
TENANT = os.environ.get("WEIR_TENANT", "acme")
TOKEN = os.environ.get("WEIR_API_TOKEN", "")
USER = os.environ.get("WEIR_USER", DEMO.get("developer_user", ""))
PASSWORD = os.environ.get("WEIR_PASSWORD", DEMO.get("developer_password", ""))
HERE = frozenset({"127.0.0.1", "::1", "localhost"})
RUN_TIME = 60  # seconds
DONE = b"[DONE]"

# What a coding agent sends with every call: a long system text, kept by the provider's cache, and a dozen tools.
RULES = " ".join(f"Rule {number}: say what you have changed, and why it was wrong before." for number in range(400))
TOOLS = [
    {
        "name": name,
        "description": f"{name} of the working tree. " * 12,
        "input_schema": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
    }
    for name in ("read", "write", "edit", "search", "list", "run", "fetch", "plan", "note", "diff", "test", "commit")
]
WORDS = (
    "budget",
    "lease",
    "memory",
    "journal",
    "promise",
    "ledger",
    "window",
    "stream",
    "of the",
    "is kept",
    "spends",
    "and",
)


@events.init_command_line_parser.add_listener
def _bounded(parser: Any) -> None:
    parser.set_defaults(host="http://127.0.0.1:8000", run_time=RUN_TIME, num_users=10, spawn_rate=5)


@events.init.add_listener
def _at_home(environment: Any, **_: Any) -> None:
    host = urlsplit(environment.host or "http://127.0.0.1:8000").hostname
    if host not in HERE and not os.environ.get("WEIR_LOAD_ELSEWHERE"):
        raise SystemExit(f"{host} is another machine: WEIR_LOAD_ELSEWHERE=1 says that this is meant.")


def said(least: int, most: int) -> str:
    return " ".join(random.choices(WORDS, k=random.randint(least, most)))


class Caller(FastHttpUser):
    """Whoever streams. Answers are read line by line, as they come: by pieces of a kilobyte the first would be late."""

    abstract = True
    network_timeout = 120.0

    def on_start(self) -> None:
        self.key = next(KEYS)

    def streamed(self, path: str, body: dict[str, Any], *, name: str, **headers: str) -> list[dict[str, Any]]:
        """All events of the answer; none if it failed, which is reported."""
        given = {"authorization": f"Bearer {self.key}", "accept-encoding": "identity", **headers}
        begun = time.perf_counter()
        seen: list[dict[str, Any]] = []
        with self.client.post(path, json=body, headers=given, name=name, stream=True, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} {answer.text[:200]}")
                return []
            is_whole = is_begun = False
            for data in events_of(answer.stream):
                is_whole = is_whole or is_last(data)
                if data != DONE:
                    seen.append(json.loads(data))
                    if not is_begun and says_something(seen[-1]):
                        is_begun = True
                        self.first(name, since=begun)
            answer.request_meta["response_time"] = (time.perf_counter() - begun) * 1000
            if not is_whole:
                answer.failure("the stream ended before its end")
        return seen

    def first(self, name: str, *, since: float) -> None:
        self.environment.events.request.fire(
            request_type="FIRST",
            name=name,
            response_time=(time.perf_counter() - since) * 1000,
            response_length=0,
            exception=None,
            context={},
        )


def events_of(stream: Any) -> Iterator[bytes]:
    """The data of each, as it comes. Where the connection ends is the end."""
    with contextlib.suppress(HTTPConnectionClosed, ConnectionError):
        while line := bytes(stream.readline(b"\n")):  # one between two events is a line break, and not nothing
            if line.startswith(b"data: "):
                yield line[len(b"data: ") :].strip()


def is_last(data: bytes) -> bool:
    return data == DONE or b'"message_stop"' in data


def says_something(event: dict[str, Any]) -> bool:
    """Text, thinking, or the begin of a call: what somebody who waits would see."""
    if event.get("type") in ("content_block_delta", "content_block_start"):
        block = event.get("delta") or event.get("content_block") or {}
        return block.get("type") == "tool_use" or bool(block.get("text") or block.get("thinking"))
    deltas = [choice.get("delta") or {} for choice in event.get("choices") or []]
    return any(delta.get("content") or delta.get("tool_calls") for delta in deltas)


class Agent(Caller):
    """A coding agent: a conversation that grows by tools and their results, over a long prompt that is kept."""

    weight = 3
    wait_time = between(0.5, 3)

    def on_start(self) -> None:
        super().on_start()
        self.begin()

    def begin(self) -> None:
        self.session = str(uuid.uuid4())
        self.turns: list[dict[str, Any]] = [{"role": "user", "content": f"Mend this: {said(30, 300)}"}]

    @task
    def turn(self) -> None:
        system = [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral"}}]
        body = {"model": MODEL, "max_tokens": 1024, "stream": True, "system": system, "tools": TOOLS}
        headers = {"anthropic-version": "2023-06-01", "x-claude-code-session-id": self.session}
        seen = self.streamed("/v1/messages", body | {"messages": self.turns}, name="agent", **headers)
        self.goes_on(calls_of(seen))

    def goes_on(self, calls: list[dict[str, Any]]) -> None:
        """With results for what it asked for, else with another question; after a dozen turns with something new."""
        if len(self.turns) > 24:
            self.begin()
        elif calls:
            results = [{"type": "tool_result", "tool_use_id": call["id"], "content": said(50, 400)} for call in calls]
            used = [{"type": "tool_use", "id": call["id"], "name": call["name"], "input": {}} for call in calls]
            self.turns += [{"role": "assistant", "content": used}, {"role": "user", "content": results}]
        else:
            answer = {"role": "assistant", "content": "Done."}
            self.turns += [answer, {"role": "user", "content": f"And the next: {said(10, 80)}"}]


def calls_of(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    blocks = [event["content_block"] for event in seen if event.get("type") == "content_block_start"]
    return [block for block in blocks if block["type"] == "tool_use"]


class Chat(Caller):
    """Somebody at a window: short questions, and time to read what came."""

    weight = 5
    wait_time = between(1, 6)

    @task
    def ask(self) -> None:
        body = {"model": CHAT_MODEL, "stream": True, "messages": [{"role": "user", "content": said(5, 60)}]}
        self.streamed("/v1/chat/completions", body, name="chat")


class Batch(Caller):
    """A job that makes vectors of documents, 32 at a time."""

    abstract = not VECTORS_MODEL
    weight = 1
    wait_time = constant_pacing(1)

    @task
    def embed(self) -> None:
        body = {"model": VECTORS_MODEL, "input": [said(20, 120) for _ in range(32)]}
        self.client.post(
            "/v1/embeddings", json=body, headers={"authorization": f"Bearer {self.key}"}, name="embeddings"
        )


class Reader(FastHttpUser):
    """A member who looks at what it came to."""

    abstract = not USER
    weight = 1
    wait_time = between(2, 8)

    def on_start(self) -> None:
        page = self.client.get("/sign-in/", name="sign in")
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text or "")
        form = {"username": USER, "password": PASSWORD, "csrfmiddlewaretoken": found[1] if found else ""}
        self.client.post("/sign-in/", data=form, headers={"referer": f"{self.host}/sign-in/"}, name="sign in")
        self.look()

    @task
    def look(self) -> None:
        page = random.choice(("", "usage/", "costs/", "budgets/", "keys/", "models/"))
        with self.client.get(f"/t/{TENANT}/{page}", name=f"portal /{page}", catch_response=True) as answer:
            if answer.status_code == 200 and 'name="password"' in (answer.text or ""):
                answer.failure("not signed in")


class Poller(FastHttpUser):
    """A program that puts costs and keys into somebody else's dashboard."""

    abstract = not TOKEN
    weight = 1
    wait_time = constant_pacing(2)

    @task
    def poll(self) -> None:
        for path in ("usage/costs?by=model", "budgets?limit=50", "usage/entries?limit=50"):
            self.client.get(f"/api/v1/{path}", headers={"authorization": f"Bearer {TOKEN}"}, name=f"api {path}")
