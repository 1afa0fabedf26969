"""A Qdrant server to ask over HTTP, as far as Weir asks: its client's own local mode behind the server's paths."""

from __future__ import annotations

import contextlib
import json
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

from qdrant_client import QdrantClient, models


class Stand(ThreadingHTTPServer):
    """`asked`: methods, paths and keys, in their order. Who makes a collection while `is_raced` finds that another
    has made it meanwhile."""

    daemon_threads = True

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.9" if tls else "127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.points = QdrantClient(":memory:", force_disable_check_same_thread=True)
        self.lock = Lock()
        self.asked: list[tuple[str, str, str | None]] = []
        self.is_raced = False
        self.url = f"{'https' if tls else 'http'}://{self.server_address[0]}:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Stand

    def answer(self) -> None:
        length = int(self.headers["content-length"] or 0)
        body = json.loads(self.rfile.read(length)) if length else {}
        path = self.path.partition("?")[0]
        with self.server.lock:
            self.server.asked.append((self.command, path, self.headers["api-key"]))
            result = _done(self.server.points, self.command, path.split("/")[2:], body)
        is_late = self.server.is_raced and self.command == "PUT" and path.count("/") == 2
        status = {"error": f"Wrong input: Collection `{path}` already exists!"} if is_late else "ok"
        told = json.dumps({"result": result, "status": status, "time": 0.0}).encode()
        self.send_response(409 if is_late else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    do_GET = do_PUT = do_POST = answer

    def log_message(self, *_: object) -> None: ...


def _done(points: QdrantClient, method: str, path: list[str], body: dict[str, Any]) -> Any:
    changed = {"operation_id": 1, "status": "completed"}
    match method, path:
        case "GET", []:
            return {"collections": [{"name": one.name} for one in points.get_collections().collections]}
        case "GET", [name, "exists"]:
            return {"exists": points.collection_exists(name)}
        case "PUT", [name]:
            return points.create_collection(name, vectors_config=models.VectorParams(**body["vectors"]))
        case "PUT", [_, "index"]:
            return changed
        case "PUT", [name, "points"]:
            points.upsert(name, [models.PointStruct(**one) for one in body["points"]])
            return changed
        case "POST", [name, "points", "query"]:
            wanted = models.Filter(**body["filter"])
            how = {"limit": body["limit"], "score_threshold": body["score_threshold"]}
            return points.query_points(name, query=body["query"]["nearest"], query_filter=wanted, **how).model_dump(
                mode="json"
            )
        case "POST", [name, "points", "scroll"]:
            found, offset = points.scroll(name, limit=body["limit"], offset=body.get("offset"))
            return {"points": [one.model_dump(mode="json") for one in found], "next_page_offset": offset}
        case "POST", [name, "points", "delete"]:
            points.delete(name, body["points"])
            return changed
        case "POST", [name, "points", "payload"]:
            points.set_payload(name, body["payload"], points=body["points"])
            return changed
    raise AssertionError((method, path))


@contextlib.contextmanager
def standing(tls: ssl.SSLContext | None = None) -> Iterator[Stand]:
    with Stand(tls) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
        server.points.close()
