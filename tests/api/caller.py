"""A program at the management API, with a token of somebody's."""

from __future__ import annotations

import json
from typing import Any

from django.http import HttpResponse
from django.test import Client

from apps.access import services
from tests.control.desk import _handler

BASE = "/api/v1"


class Caller:
    """`token` "": nobody. Answers are told apart by status; what is no answer of the API fails."""

    def __init__(self, token: str = "", **options: Any) -> None:
        self.token = token
        self.client = Client(raise_request_exception=False, **options)
        self.client.handler = _handler(self.client.handler.enforce_csrf_checks)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> HttpResponse:
        """`headers` like `if_match`. A body that is no bytes is sent as JSON."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if self.token:
            sent.setdefault("authorization", f"Bearer {self.token}")
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        kind = sent.pop("content-type", "application/json")
        answer = self.client.generic(method, BASE + path, raw, content_type=kind, headers=sent)
        self._check(answer, method)
        return answer

    def get(self, path: str, **headers: str) -> Any:
        """The body of what must be found."""
        answer = self("GET", path, **headers)
        assert answer.status_code == 200, (path, answer.status_code, answer.content)
        return answer.json()

    def post(self, path: str, body: Any = None, **headers: str) -> HttpResponse:
        return self("POST", path, body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> HttpResponse:
        """In the version that is there just now, unless another one is named."""
        headers.setdefault("if_match", self.version(path))
        return self("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> HttpResponse:
        headers.setdefault("if_match", self.version(path))
        return self("DELETE", path, **headers)

    def version(self, path: str) -> str:
        return self("GET", path).get("ETag", '"none"')

    def _check(self, answer: HttpResponse, method: str) -> None:
        """Every answer is JSON, and every refusal a problem that says the status."""
        if answer.status_code == 204 or method == "HEAD":
            return
        if answer.status_code < 400:
            assert answer["Content-Type"] == "application/json", answer["Content-Type"]
            return
        assert answer["Content-Type"] == "application/problem+json", (answer.status_code, answer["Content-Type"])
        told = answer.json()
        assert told["status"] == answer.status_code
        assert {"type", "title", "code"} <= told.keys()
        assert told["trace_id"] == answer["X-Trace-Id"]


def of(user: Any, **options: Any) -> Caller:
    """With a new token of the user's; it may write unless `scope` says otherwise."""
    return Caller(services.issue(user, **{"name": "a program", "scope": "write", **options}).plaintext)


def errors(answer: HttpResponse) -> dict[str, list[str]]:
    """By field; "": of the whole. The answer must be a refusal of fields."""
    assert answer.status_code == 422, (answer.status_code, answer.content)
    told = answer.json()
    return {**told.get("errors", {}), **({"": [told["detail"]]} if "detail" in told else {})}
