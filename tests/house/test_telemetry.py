"""What is told by OTLP, without a gateway: bytes as the library reads them, ways that fail, tasks, and the start."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
import structlog
from celery import Celery
from celery.contrib.testing.worker import start_worker
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from opentelemetry.proto.logs.v1.logs_pb2 import ScopeLogs
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from apps.runtime import traces
from gateway_site.celery import app as weir
from gateway_site.telemetry import calls, delivery, measures, running, tasks, wanted, wire
from gateway_site.telemetry.delivery import Delivery
from gateway_site.telemetry.sampling import sampler
from gateway_site.telemetry.wanted import Destination, Wanted
from tests.architecture import tree
from tests.collector import Collector, pairs
from tests.servers import until

TRACE, SPAN = "ab" * 16, "cd" * 8
HEAD = wire.envelope({"service.name": "weir"}, scope="weir", version="1")


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.stop()


def to(collector: Collector, signal: str = "traces") -> Destination:
    return Destination(signal, f"{collector.url}/v1/{signal}", {}, "", ("", ""), is_compressed=True)


def span(name: str = "one") -> bytes:
    return wire.span(name, trace_id=bytes.fromhex(TRACE), span_id=1, started=1, ended=2)


# --- bytes ---------------------------------------------------------------------------------------------------------


def test_the_library_reads_what_is_written():
    values = {
        "text": "é" * 100,
        "yes": True,
        "no": False,
        "many": 1 << 40,
        "below": -3,
        "part": 0.25,
        "all": ("a", "b"),
    }
    written = wire.span(
        "x" * 300,
        trace_id=bytes.fromhex(TRACE),
        span_id=(1 << 64) - 1,
        parent=5,
        is_remote=True,
        kind=wire.CLIENT,
        started=10**18,
        ended=7,
        attributes=wire.attributes(9, values),
        is_failed=True,
        state="a=b",
    )
    (read,) = ScopeSpans.FromString(written).spans
    assert (read.name, read.trace_id.hex(), read.span_id.hex(), read.parent_span_id) == (
        *("x" * 300, TRACE, "f" * 16), (5).to_bytes(8)
    )  # fmt: skip
    assert (read.kind, read.start_time_unix_nano, read.end_time_unix_nano) == (3, 10**18, 10**18)
    assert (read.status.code, read.trace_state, read.flags) == (2, "a=b", 0x301)
    assert pairs(read.attributes) == {**values, "all": ["a", "b"]}
    line = wire.line("said", at=9, severity=17, level="ERROR", pairs={"n": 1}, trace_id=TRACE, span_id=SPAN)
    (record,) = ScopeLogs.FromString(line).log_records
    assert (record.body.string_value, record.time_unix_nano, record.severity_number) == ("said", 9, 17)
    assert (record.trace_id.hex(), record.span_id.hex(), pairs(record.attributes)) == (TRACE, SPAN, {"n": 1})


@pytest.mark.parametrize(
    "told",
    [
        "",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0g",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01",
    ],
)
def test_a_traceparent_that_is_none_begins_a_trace(told):
    assert traces.parent(told.encode()) is None


def test_a_traceparent_is_read_and_its_state_passed_on_if_it_is_short():
    told = f"00-{TRACE}-{SPAN}-01".encode()
    assert traces.parent(told, b"a=1,b=2") == traces.Parent(TRACE, SPAN, True, "a=1,b=2")
    assert traces.parent(told, b"a=" + b"1" * 600) == traces.Parent(TRACE, SPAN, True)
    assert traces.parent(told, b"a=\x00") == traces.Parent(TRACE, SPAN, True)
    later = traces.parent(f"42-{TRACE}-{SPAN}-02-later".encode())
    assert later == traces.Parent(TRACE, SPAN, False)
    assert traces.written(TRACE, SPAN, is_sampled=True).encode() == told


def test_a_share_of_the_traces_is_recorded_and_a_larger_one_holds_a_smaller():
    ids = [f"{'01' * 9}{number << 46:014x}" for number in range(1024)]
    few, more = sampler("traceidratio", 0.125), sampler("parentbased_traceidratio", 0.5)
    assert [few.samples(each, None) for each in ids].count(True) == 128
    assert all(more.samples(each, None) for each in ids if few.samples(each, None))
    flagged = {flag: traces.Parent(TRACE, SPAN, flag) for flag in (True, False)}
    for name, own, told in (
        *(("always_on", True, [True, True]), ("always_off", False, [False, False])),
        *(("parentbased_always_on", True, [True, False]), ("parentbased_always_off", False, [True, False])),
    ):
        asked = sampler(name, 0.5)
        assert asked.samples(TRACE, None) is own
        assert [asked.samples(TRACE, flagged[flag]) for flag in (True, False)] == told


# --- ways that fail ------------------------------------------------------------------------------------------------


def dropped(reason: str) -> float:
    return delivery.DROPPED.labels("traces", reason)._value.get()


def test_what_does_not_fit_is_lost_and_counted_and_the_end_is_bounded(collector):
    collector.open.clear()
    before, closed = dropped("full"), dropped("closed")
    way = Delivery(to(collector), head=HEAD, most=2)
    way.put(span())
    assert collector.is_asked.wait(30)  # the first is on its way, and stuck there
    for _ in range(5):
        way.put(span(), 10)
    assert dropped("full") == before + 30
    began = time.monotonic()
    way.end(began + 0.1)
    way.join()
    assert time.monotonic() - began < 10
    assert dropped("closed") == closed + 20


def test_a_batch_is_tried_again_while_the_collector_is_busy_and_not_when_it_refuses(collector, monkeypatch):
    monkeypatch.setattr(delivery, "_FIRST_PAUSE", 0.01)
    collector.statuses += [503, 429, 200, 400]
    before, sent = dropped("refused"), delivery.SENT.labels("traces")._value.get()
    way = Delivery(to(collector), head=HEAD, most=10)
    way.put(span("kept"))
    until(lambda: collector.statuses == [400])
    until(lambda: collector.spans())
    way.put(span("refused"), 3)
    way.end(time.monotonic() + 30)
    way.join()
    assert dropped("refused") == before + 3
    assert delivery.SENT.labels("traces")._value.get() == sent + 1
    assert [each.name for each in collector.spans()] == ["kept"]


def test_a_collector_that_is_away_is_given_up_for_the_batch(collector, monkeypatch):
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.0)
    gone = Collector()
    gone.stop()
    before = dropped("away")
    way = Delivery(to(gone), head=HEAD, most=10)
    way.put(span(), 4)
    until(lambda: dropped("away") == before + 4)
    way.end(time.monotonic() + 30)
    way.join()


# --- processes -----------------------------------------------------------------------------------------------------

TELLS = """
import json, logging, os, sys
import django
django.setup()
from gateway_site.telemetry import running, wire
running.start("control")
logging.getLogger("weir").warning("password=hunter22 said")
child = os.fork()
if child == 0:
    os._exit(0 if running.current is None else 3)
assert os.waitpid(child, 0)[1] == 0
running.Span(None).end("at the end", kind=wire.SERVER, pairs={}, is_failed=False)
"""
SILENT = """
import sys
import gateway_site.asgi
print([name for name in sys.modules if name.startswith(("opentelemetry.proto", "gateway_site.telemetry.del"))])
"""
UNINSTALLED = """
import sys
sys.modules["opentelemetry.proto"] = None
from gateway_site.server import main
main([])
"""


def start(folder, program: str, **variables: str) -> subprocess.CompletedProcess[str]:
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DATABASE_"))}
    surroundings |= {"WEIR_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "gateway_site.settings", **variables}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=tree.ROOT, env=surroundings, capture_output=True, text=True, timeout=60)


def test_a_process_sends_what_waits_before_it_ends(collector, tmp_path):
    secret = tmp_path / "headers"
    secret.write_text("authorization=Basic%20abc\n")
    told = {"OTEL_EXPORTER_OTLP_HEADERS_FILE": str(secret), "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=x"}
    ended = start(tmp_path, TELLS, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_SERVICE_NAME="weir-test", **told)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [each.name for each in collector.spans()] == ["at the end"]
    resource = collector.resources()[0]
    assert (resource["service.name"], resource["weir.role"], resource["deployment.environment.name"]) == (
        *("weir-test", "control"), "x"
    )  # fmt: skip
    assert [line.body.string_value for line in collector.lines()] == ["password=[redacted] said"]
    assert {headers["authorization"] for _, headers, _ in collector.received} == {"Basic abc"}


def test_without_an_endpoint_nothing_is_imported_and_without_the_extra_nothing_starts(tmp_path):
    silent = start(tmp_path, SILENT)
    assert (silent.returncode, silent.stdout) == (0, "[]\n"), silent.stderr
    ended = start(tmp_path, UNINSTALLED, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "opentelemetry.proto is not installed: pip install --require-hashes -r requirements/otel.txt" in line


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "OTEL_SDK_DISABLED=true, and Weir sends nothing"),
        ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector:4318", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT must be a URL"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "nothing", "OTEL_EXPORTER_OTLP_HEADERS must be name=value pairs"),
        ("OTEL_TRACES_SAMPLER", "some", "OTEL_TRACES_SAMPLER must be parentbased_always_on or"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "must be a number from 0 to 1"),
        ("WEIR_TRACE_URL", "https://tempo.example/", "with {trace_id} in it"),
        ("WEIR_TRACE_URL", "javascript:{trace_id}", "WEIR_TRACE_URL must be a URL"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_name(monkeypatch, name, value, told):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv(name, value)
    with pytest.raises(ImproperlyConfigured, match=re.escape(told)):
        (wanted.trace_url if name == "WEIR_TRACE_URL" else wanted.read)()


def test_each_signal_has_its_address_and_its_headers(monkeypatch):
    assert wanted.read() is None
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://one.example/in")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-key=1")
    only = wanted.read()
    assert only is not None
    assert [(each.signal, each.url, each.headers) for each in only.destinations] == [
        ("traces", "https://one.example/in", {"x-key": "1"})
    ]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=2")
    every = wanted.read()
    assert every is not None
    assert [each.url for each in every.destinations][1:] == [
        f"http://collector:4318/v1/{it}" for it in ("metrics", "logs")
    ]
    assert [each.headers["x-key"] for each in every.destinations] == ["1", "2", "2"]
    assert "x-key" not in repr(every)
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert wanted.read() is None


def test_a_signal_that_is_exported_otherwise_or_not_at_all_is_not_sent(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318")
    monkeypatch.setenv("OTEL_LOGS_EXPORTER", "none")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
    found = wanted.read()
    assert found is not None
    assert [each.signal for each in found.destinations] == ["traces"]
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "none")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")  # of other programs on this host
    assert wanted.read() is None


def test_a_report_that_breaks_ends_no_later_one_and_is_logged_once(collector, monkeypatch):
    monkeypatch.setattr(calls, "LOOK_SECONDS", 0.01)
    reports: list[bool] = []

    class Breaking(Delivery):
        def put(self, item: bytes, count: int = 1) -> None:
            reports.append(len(reports) < 3)
            if reports[-1]:
                raise RuntimeError("no room")
            super().put(item, count)

    way = Breaking(to(collector, "metrics"), head=HEAD, most=100)
    asked = Wanted((), {}, sampler("always_on", 1), 0.0, 100, frozenset())
    with structlog.testing.capture_logs() as lines:
        told = calls.Calls(asked, traces=None, metrics=way)
        told._measures._add(measures.SERVED, (), 1.0)
        until(lambda: len(reports) > 3)
        told.close(time.monotonic() + 60)
    way.end(time.monotonic() + 60)
    way.join()
    assert reports[:4] == [True, True, True, False]
    assert [line["event"] for line in lines] == ["telemetry.figures_untold"]
    assert [path for path, _, _ in collector.received] == ["/v1/metrics"]


# --- tasks ---------------------------------------------------------------------------------------------------------

WORKER = """
import json, os, threading
import django
django.setup()
from celery import Celery, signals
from celery.worker import state
from gateway_site.telemetry import tasks
app = Celery("apart", broker="memory://", set_as_current=False)
app.conf.worker_redirect_stdouts = False
tasks.connect(app)
threads = lambda: sorted(each.name for each in threading.enumerate() if each.name.startswith("otlp-"))
forks = []
os.register_at_fork(before=lambda: forks.append(threads()))
def ready(**_):
    print(json.dumps([forks, threads()]))
    state.should_stop = 0
signals.worker_ready.connect(ready)
app.Worker(pool="prefork", concurrency=2, loglevel="ERROR", quiet=True).start()
"""


def test_a_worker_has_its_processes_before_it_has_threads_that_tell(collector, tmp_path):
    ended = start(tmp_path, WORKER, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert ended.returncode == 0, ended.stderr
    forks, threads = json.loads(ended.stdout.splitlines()[-1])
    assert forks == [[], []]
    assert {"otlp-logs", "otlp-metrics", "otlp-traces"} <= {*threads}


@pytest.fixture
def _own_app():
    """A worker that is begun for a test makes its app the process's."""
    yield
    weir.set_current()
    weir.set_default()


@pytest.mark.usefixtures("_own_app")
def test_a_task_goes_on_with_the_trace_of_whoever_sent_it(collector, monkeypatch):
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)
    app = Celery("apart", broker="memory://", backend="cache+memory://", set_as_current=False)
    app.conf.task_always_eager = False
    seen: list[tuple[str, str]] = []

    @app.task(name="apart.work")
    def work(secret: str) -> None:
        seen.append(traces.place.get())
        if secret == "fails":
            raise ValueError(secret)

    asked = Wanted((to(collector),), {"service.name": "weir"}, sampler("always_on", 1), 60.0, 100, frozenset())
    tasks.connect(app)
    with override_settings(WEIR_TELEMETRY=asked):
        running.start("beat")
        request = running.Span(traces.Parent(TRACE, SPAN, True))
        work.delay("a secret")
        request.end("a page", kind=wire.SERVER, pairs={}, is_failed=False)
        work.delay("fails")
        with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=30):
            until(lambda: len(seen) == 2)
        running.stop()
    until(lambda: len(collector.spans()) == 5)
    spans = collector.spans()
    sends, works = ([each for each in spans if each.name == name] for name in ("send apart.work", "process apart.work"))
    page = next(each for each in spans if each.name == "a page")
    assert [each.parent_span_id for each in sends] == [page.span_id, b""]
    assert [each.parent_span_id for each in works] == [each.span_id for each in sends]
    assert [each.trace_id for each in works] == [each.trace_id for each in sends]
    assert works[0].trace_id.hex() == TRACE == seen[0][0]
    assert works[0].span_id.hex() == seen[0][1]
    assert [each.status.code for each in works] == [0, 2]
    assert pairs(works[0].attributes)["weir.task"] == "apart.work"
    assert b"a secret" not in b"".join(body for _, _, body in collector.received)
