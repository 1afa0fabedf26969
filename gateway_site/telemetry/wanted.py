"""What is to be sent, and where: OpenTelemetry's own variables, and two of ours."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from gateway_site import env
from gateway_site.telemetry.sampling import Sampler, sampler

_NEEDED = ("opentelemetry.proto", "requests")


@dataclass(frozen=True, slots=True)
class Destination:
    """Where one signal goes. `headers` may hold secrets; `certificate` is a file of authorities, `client` of a
    certificate and its key; "": none."""

    signal: str
    url: str
    headers: dict[str, str] = field(repr=False)
    certificate: str
    client: tuple[str, str]
    is_compressed: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """`resource` says who tells. `every` is seconds between two reports of metrics, `most` how many calls or spans may
    wait to be sent. `providers`: by name, those that are told the trace; "*": all."""

    destinations: tuple[Destination, ...]
    resource: dict[str, str]
    sampler: Sampler
    every: float
    most: int
    providers: frozenset[str]

    def destination(self, signal: str) -> Destination | None:
        return next((each for each in self.destinations if each.signal == signal), None)


def read() -> Wanted | None:
    """None: nothing is to be sent. Refuses what cannot be done, in one line with its cure."""
    base = env.text("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    own = {
        "traces": env.text("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ""),
        "metrics": env.text("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ""),
        "logs": env.text("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", ""),
    }
    exporters = {
        "traces": env.words("OTEL_TRACES_EXPORTER", ["otlp"]),
        "metrics": env.words("OTEL_METRICS_EXPORTER", ["otlp"]),
        "logs": env.words("OTEL_LOGS_EXPORTER", ["otlp"]),
    }
    urls = {signal: url or (f"{base.rstrip('/')}/v1/{signal}" if base else "") for signal, url in own.items()}
    urls = {signal: url for signal, url in urls.items() if url and "otlp" in exporters[signal]}
    if env.flag("OTEL_SDK_DISABLED", False) or not urls:
        return None
    spoken = env.text("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    if spoken != "http/protobuf":
        env.refuse(
            f"OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, not {spoken!r}; collectors take it at port 4318. "
            "Where it is meant for other programs: OTEL_SDK_DISABLED=true, and Weir sends nothing."
        )
    _refuse_uninstalled()
    return Wanted(
        destinations=_destinations(urls),
        resource=_resource(),
        sampler=_sampler(),
        every=env.integer("OTEL_METRIC_EXPORT_INTERVAL", 60_000, least=100) / 1000,
        most=env.integer("OTEL_BSP_MAX_QUEUE_SIZE", 8192, least=1),
        providers=frozenset(env.words("WEIR_TRACE_PROVIDERS", [])),
    )


def trace_url() -> str:
    """Where a trace is looked at, with `{trace_id}` in its place; "": nowhere. Refuses what is no such URL."""
    template = env.text("WEIR_TRACE_URL", "")
    if template and (urlsplit(template).scheme not in ("http", "https") or "{trace_id}" not in template):
        env.refuse(
            "WEIR_TRACE_URL must be a URL with {trace_id} in it, such as https://tempo.example/trace/{trace_id}."
        )
    return template


def _refuse_uninstalled() -> None:
    for name in _NEEDED:
        try:
            is_there = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            is_there = False
        if not is_there:
            env.refuse(
                f"An OTLP endpoint is set (OTEL_EXPORTER_OTLP_…ENDPOINT) and {name} is not installed: "
                "pip install --require-hashes -r requirements/otel.txt, unset it, or set OTEL_SDK_DISABLED=true."
            )


def _destinations(urls: dict[str, str]) -> tuple[Destination, ...]:
    shared = env.secret("OTEL_EXPORTER_OTLP_HEADERS", required=False)
    own = {
        "traces": env.secret("OTEL_EXPORTER_OTLP_TRACES_HEADERS", required=False),
        "metrics": env.secret("OTEL_EXPORTER_OTLP_METRICS_HEADERS", required=False),
        "logs": env.secret("OTEL_EXPORTER_OTLP_LOGS_HEADERS", required=False),
    }
    certificate = env.text("OTEL_EXPORTER_OTLP_CERTIFICATE", "")
    client = env.text("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", ""), env.text("OTEL_EXPORTER_OTLP_CLIENT_KEY", "")
    compression = env.choice("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "none")
    for signal, url in urls.items():
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            own_name, shared_name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"
            name = own_name if own_name in env.given() else shared_name
            env.refuse(f"{name} must be a URL such as http://collector:4318.")
    return tuple(
        Destination(
            signal,
            url,
            _pairs(own[signal] or shared, variable="OTEL_EXPORTER_OTLP_HEADERS"),
            certificate,
            client,
            is_compressed=compression == "gzip",
        )
        for signal, url in urls.items()
    )


def _resource() -> dict[str, str]:
    named = _pairs(env.text("OTEL_RESOURCE_ATTRIBUTES", ""), variable="OTEL_RESOURCE_ATTRIBUTES")
    service = env.text("OTEL_SERVICE_NAME", "") or named.get("service.name", "weir")
    return named | {"service.name": service}


def _pairs(text: str, *, variable: str) -> dict[str, str]:
    """Of `name=value,name=value`, values percent-encoded or not."""
    found = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, is_pair, value = pair.partition("=")
        if not is_pair or not name.strip():
            env.refuse(f"{variable} must be name=value pairs, separated by commas.")
        found[name.strip()] = unquote(value.strip())
    return found


def _sampler() -> Sampler:
    name = env.choice(
        "OTEL_TRACES_SAMPLER",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
        "always_on",
        "always_off",
        "traceidratio",
    )
    share = env.number("OTEL_TRACES_SAMPLER_ARG", 1.0)
    if not 0 <= share <= 1:
        env.refuse("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1.")
    return sampler(name, share)
