"""Streams that are read to wherever they end, and what a gateway of its own has booked."""

from __future__ import annotations

import contextlib
import sqlite3
import threading

import httpx2

from tests.sdk.gateways import Gateway

BODY = {"model": "claude-test", "max_tokens": 150, "stream": True, "messages": [{"role": "user", "content": "Go on."}]}


def rows(gateway: Gateway) -> list[dict]:
    with contextlib.closing(sqlite3.connect(gateway.database)) as books:
        books.row_factory = sqlite3.Row
        return [dict(row) for row in books.execute("SELECT * FROM usage_entry")]


class Caller(threading.Thread):
    """Reads one stream to wherever it ends."""

    def __init__(self, gateway: Gateway, behaviour: str) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._headers = {"x-api-key": gateway.key, "x-simulate": behaviour}
        self.text = ""
        self.begun = threading.Event()
        self.start()

    def run(self) -> None:
        try:
            url = f"{self._gateway.base_url}/v1/messages"
            with httpx2.stream("POST", url, json=BODY, headers=self._headers, timeout=60) as answer:
                for text in answer.iter_text():
                    self.text += text
                    self.begun.set()
        except httpx2.HTTPError as error:
            self.text += f"\n{error!r}"
