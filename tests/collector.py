"""A collector of OpenTelemetry's on a socket: it reads what it is sent with the library, and can be slow or refuse."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_READ: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
    "/v1/logs": ExportLogsServiceRequest,
}


class Collector:
    """`statuses`: what the next requests are answered with, then 200. While `open` is not set, answers wait."""

    def __init__(self, statuses: tuple[int, ...] = ()) -> None:
        self.statuses = [*statuses]
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.is_asked = threading.Event()
        self.open = threading.Event()
        self.open.set()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.is_asked.set()
                collector.open.wait(60)
                status = collector.statuses.pop(0) if collector.statuses else 200
                if status == 200:
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    collector.received.append((self.path, headers, body))
                try:
                    self.send_response(status)
                    self.send_header("content-length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _scopes(self, path: str, resources: str, scopes: str) -> Iterator[tuple[dict[str, Any], Any]]:
        for received, _, body in list(self.received):
            if received == path:
                for each in getattr(_READ[path].FromString(body), resources):
                    for scope in getattr(each, scopes):
                        yield pairs(each.resource.attributes), scope

    def spans(self) -> list[Any]:
        return [
            span for _, scope in self._scopes("/v1/traces", "resource_spans", "scope_spans") for span in scope.spans
        ]

    def resources(self) -> list[dict[str, Any]]:
        return [resource for resource, _ in self._scopes("/v1/traces", "resource_spans", "scope_spans")]

    def points(self) -> list[tuple[str, dict[str, Any], Any]]:
        """Name, labels and point of every histogram."""
        return [
            (metric.name, pairs(point.attributes), point)
            for _, scope in self._scopes("/v1/metrics", "resource_metrics", "scope_metrics")
            for metric in scope.metrics
            for point in metric.histogram.data_points
        ]

    def numbers(self) -> list[tuple[dict[str, Any], Any, dict[str, Any], Any]]:
        """Resource, metric, labels and point of every gauge and sum."""
        return [
            (resource, metric, pairs(point.attributes), point)
            for resource, scope in self._scopes("/v1/metrics", "resource_metrics", "scope_metrics")
            for metric in scope.metrics
            for point in (*metric.gauge.data_points, *metric.sum.data_points)
        ]

    def lines(self) -> list[Any]:
        return [
            line for _, scope in self._scopes("/v1/logs", "resource_logs", "scope_logs") for line in scope.log_records
        ]


def pairs(attributes: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(each) for each in value.array_value.values]
    return getattr(value, kind)
