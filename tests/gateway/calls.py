"""Small calls in either dialect, as raw HTTP: what an SDK would send, without an SDK's help."""

from __future__ import annotations

import json
from typing import Any

import httpx2

ANTHROPIC = "/v1/messages"
OPENAI = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Say hello."}]
_KEEP: Any = object()


def body_of(path: str, *, model: str | None = None, change: dict[str, Any] | None = None) -> bytes:
    """A minimal valid body; in `change` a value of None takes the field away."""
    body: dict[str, Any] = {"model": model or ("gpt-test" if path == OPENAI else "claude-test"), "messages": MESSAGES}
    if path != OPENAI:
        body["max_tokens"] = 64
    for name, value in (change or {}).items():
        if value is None:
            body.pop(name, None)
        else:
            body[name] = value
    return json.dumps(body).encode()


def ask(
    gateway: Any,
    path: str,
    *,
    key: str | None = _KEEP,
    model: str | None = None,
    change: dict[str, Any] | None = None,
    body: Any = None,
    headers: dict[str, str] | None = None,
) -> httpx2.Response:
    """One POST. `key` None sends none."""
    sent = {"content-type": "application/json", **(headers or {})}
    if key is _KEEP:
        key = gateway.world.key
    if key is not None:
        sent["x-api-key"] = key
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in sent.items()]
    content = body if body is not None else body_of(path, model=model, change=change)
    return gateway.client.post(path, content=content, headers=encoded)


def frames(text: str) -> list[tuple[str, Any]]:
    """(event, data) of a whole event stream; data as JSON where it is."""
    found = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        event, data = "", []
        for line in block.split("\n"):
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
        if data:
            joined = "\n".join(data)
            found.append((event, joined if joined == "[DONE]" else json.loads(joined)))
    return found


def anthropic_error(response: httpx2.Response, status: int, kind: str) -> str:
    """The message of an error that must be in Anthropic's shape."""
    assert response.status_code == status, response.text
    body = response.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == kind
    assert body["request_id"] == response.headers["request-id"]
    return body["error"]["message"]


def openai_error(response: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """An error that must be in OpenAI's shape."""
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    if code is not None:
        assert error["code"] == code
    return error


def told(path: str, response: httpx2.Response, status: int) -> str:
    """The message of an error that must be in the shape of the path's dialect."""
    if path == OPENAI:
        return openai_error(response, status)["message"]
    assert response.json()["type"] == "error", response.text
    return anthropic_error(response, status, response.json()["error"]["type"])
