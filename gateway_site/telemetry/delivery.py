"""One signal's way to its collector: a bounded queue and a thread. Nobody waits for it, and what does not fit is gone,
and counted."""

from __future__ import annotations

import gzip
import threading
import time
from collections import deque
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import structlog
from prometheus_client import Counter

from gateway_site.telemetry import wire

if TYPE_CHECKING:
    from gateway_site.telemetry.wanted import Destination

log = structlog.get_logger(__name__)

BATCH = 512  # items of a request: a call's spans are one
LOOK_SECONDS = 0.5
TIMEOUT = (5.0, 10.0)  # to connect, and between two parts of an answer
PATIENCE_SECONDS = 30.0  # for one batch, while the collector is away or busy
_AGAIN = frozenset({429, 502, 503, 504})
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 8.0
_LEVEL = 1  # of gzip

SENT = Counter("weir_otlp_sent", "Spans, points and log records that a collector has taken.", ("signal",))
DROPPED = Counter(
    "weir_otlp_dropped",
    "Spans, points, log records and calls that no collector got: the queue was full, or it refused, or was away.",
    ("signal", "reason"),
)


class Delivery:
    """`head`: of `wire.envelope`. `most`: items that may wait."""

    def __init__(self, destination: Destination, *, head: tuple[bytes, bytes], most: int) -> None:
        import requests

        self.signal = destination.signal
        self._destination = destination
        self._head = head
        self._most = most
        self._items: deque[tuple[bytes, int]] = deque()
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._is_away = False
        self._session = requests.Session()
        self._session.trust_env = False  # a .netrc would put its password in the place of this collector's own header
        self._thread = threading.Thread(target=self._run, name=f"otlp-{self.signal}", daemon=True)
        self._thread.start()

    def put(self, item: bytes, count: int = 1) -> None:
        """Never waits. From any thread. `count`: spans, points or records that it is."""
        if len(self._items) >= self._most:
            DROPPED.labels(self.signal, "full").inc(count)
        else:
            self._items.append((item, count))

    def end(self, until: float) -> None:
        """Sends what waits, until this monotonic second; does not wait for it: `join` does, no longer than that."""
        self._give_up_at = until
        self._closing.set()

    def join(self) -> None:
        self._thread.join(max(0.0, self._give_up_at - time.monotonic()))
        left = sum(count for _, count in list(self._items))
        if left:
            DROPPED.labels(self.signal, "closed").inc(left)

    def _run(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            self._empty()
        self._empty()

    def _empty(self) -> None:
        while self._items and time.monotonic() < self._give_up_at:
            batch = [self._items.popleft() for _ in range(min(BATCH, len(self._items)))]
            reason = self._deliver(wire.request(self._head, [item for item, _ in batch]))
            count = sum(count for _, count in batch)
            if reason:
                DROPPED.labels(self.signal, "away" if reason == "away" else "refused").inc(count)
            else:
                SENT.labels(self.signal).inc(count)
            self._tell(reason, count)

    def _deliver(self, body: bytes) -> str:
        """Why it was not taken: "away" or a status; "": it was."""
        if self._destination.is_compressed:
            body = gzip.compress(body, compresslevel=_LEVEL)
        until, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
        while True:
            status = self._post(body)
            if status and status not in _AGAIN:
                return "" if status < HTTPStatus.MULTIPLE_CHOICES else str(status)
            if time.monotonic() + pause > min(until, self._give_up_at) or self._closing.wait(pause):
                return str(status) if status else "away"
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _post(self, body: bytes) -> int:
        """The status; 0: there was no answer."""
        to = self._destination
        headers = {"content-type": "application/x-protobuf", "user-agent": "Weir OTLP", **to.headers}
        if to.is_compressed:
            headers["content-encoding"] = "gzip"
        try:
            with self._session.post(
                to.url,
                data=body,
                headers=headers,
                timeout=TIMEOUT,
                verify=to.certificate or True,
                cert=to.client if all(to.client) else None,
                allow_redirects=False,
                stream=True,
            ) as answer:
                answer.raw.read(65_536)
                return answer.status_code
        except Exception:  # whatever is wrong with it, the next batch may go
            return 0

    def _tell(self, reason: str, count: int) -> None:
        """Once when it begins to fail, and once when that is over."""
        if bool(reason) == self._is_away:
            return
        self._is_away = bool(reason)
        where: dict[str, Any] = {"kind": self.signal, "host": urlsplit(self._destination.url).hostname}
        if reason:
            log.warning("telemetry.undelivered", reason=reason, count=count, **where)
        else:
            log.info("telemetry.delivered_again", **where)
