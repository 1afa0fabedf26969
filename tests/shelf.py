"""A server of a few files, on the loopback address, as callers give them by URL."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Mapping
from typing import Any


class Shelf:
    """Answers 404 for what it does not have. `/hangs` says nothing until the other side goes, and then sets `gone`;
    `/inward` leads to another loopback address. `asked` are the paths and headers of its visitors."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.gone = threading.Event()
        shelf = self

        class Visit(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                shelf.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                if self.path == "/hangs":
                    self.connection.settimeout(30)
                    self.connection.recv(1)
                    shelf.gone.set()
                elif self.path == "/inward":
                    self._say(302, b"", location=f"http://127.0.0.2:{shelf.port}/")
                else:
                    found = files.get(self.path)
                    self._say(200 if found else 404, found or b"secret words")

            def _say(self, status: int, body: bytes, **headers: str) -> None:
                self.send_response(status)
                for name, value in {"content-type": "application/octet-stream", "set-cookie": "a=b", **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Visit)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def paths(self) -> list[str]:
        return sorted(path for path, _ in self.asked)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
