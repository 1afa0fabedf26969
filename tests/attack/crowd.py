"""Clients that take a server's time and ask for nothing: as many as are wanted, from a hundred addresses, each of whom
comes again when it is closed.

    python -m tests.attack.crowd PORT COUNT [ADDRESSES]

One in three says nothing, one sends a byte of a head every five seconds, one has had an answer and keeps its
connection. It says {"ready": true} when all are there; at a line on standard input {"open", "closed", "answers"}, and
at the end of that it leaves.
"""

from __future__ import annotations

import collections
import errno
import heapq
import json
import select
import socket
import sys
import time

SILENT, TRICKLING, IDLE = range(3)  # by the remainder of its number
EVERY_SECONDS = 5.0
AT_ONCE = 100  # that are opened before the others are looked after
AGAIN_SECONDS = 0.25  # after which one that was closed comes again
ASKED = b"GET /health/live HTTP/1.1\r\nhost: localhost\r\n\r\n"
BEGUN = b"POST /v1/messages HTTP/1.1\r\nhost: localhost\r\nx-long: "


class Crowd:
    def __init__(self, port: int, count: int, addresses: int) -> None:
        self._port = port
        self._addresses = addresses
        self._poll = select.epoll()
        self._open: dict[int, tuple[socket.socket, int]] = {}  # by descriptor, with its number
        self._coming: collections.deque[tuple[float, int]] = collections.deque((0.0, number) for number in range(count))
        self._due: list[tuple[float, int, int, bytes]] = []  # who sends what when
        self._count = count
        self.closed = 0
        self.answers: collections.Counter[str] = collections.Counter()

    def run(self) -> None:
        self._poll.register(sys.stdin.fileno(), select.EPOLLIN)
        is_ready = False
        while True:
            self._open_some()
            self._send_some()
            if not is_ready and len(self._open) == self._count:
                is_ready = True
                say({"ready": True})
            for descriptor, _ in self._poll.poll(0.01, 512):
                if descriptor != sys.stdin.fileno():
                    self._hear(descriptor)
                elif sys.stdin.readline():
                    say({"open": len(self._open), "closed": self.closed, "answers": self.answers})
                else:
                    return

    def _open_some(self) -> None:
        now = time.monotonic()
        for _ in range(AT_ONCE):
            if not self._coming or self._coming[0][0] > now:
                return
            self._come(self._coming.popleft()[1], now)

    def _come(self, number: int, now: float) -> None:
        found = socket.socket()
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.bind((f"127.1.{number % self._addresses // 250}.{number % self._addresses % 250 + 1}", 0))
        found.setblocking(False)
        if (failed := found.connect_ex(("127.0.0.1", self._port))) not in (0, errno.EINPROGRESS):
            raise OSError(failed, "cannot connect")
        self._open[found.fileno()] = found, number
        self._poll.register(found.fileno(), select.EPOLLIN)
        if number % 3 != SILENT:
            data = ASKED if number % 3 == IDLE else BEGUN
            heapq.heappush(self._due, (now, found.fileno(), number, data))

    def _send_some(self) -> None:
        now = time.monotonic()
        while self._due and self._due[0][0] <= now:
            _, descriptor, number, data = heapq.heappop(self._due)
            found, owner = self._open.get(descriptor, (None, -1))
            if found is None or owner != number:
                continue
            try:
                found.send(data)
            except BlockingIOError:  # not connected yet
                heapq.heappush(self._due, (now + 0.1, descriptor, number, data))
            except OSError:
                pass  # it will be heard of
            else:
                if number % 3 == TRICKLING:
                    heapq.heappush(self._due, (now + EVERY_SECONDS, descriptor, number, b"x"))

    def _hear(self, descriptor: int) -> None:
        found, number = self._open[descriptor]
        try:
            told = found.recv(4096)
        except OSError:
            told = b""
        if told:
            if told.startswith(b"HTTP/"):
                self.answers[told[9:12].decode("latin-1")] += 1
            return
        del self._open[descriptor]
        self._poll.unregister(descriptor)
        found.close()
        self.closed += 1
        self._coming.append((time.monotonic() + AGAIN_SECONDS, number))


def say(told: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    Crowd(given[0], given[1], given[2] if len(given) > 2 else 100).run()
