"""What is told to a collector of traces, metrics and logs, and where its traces are looked at."""

from __future__ import annotations

from gateway_site.declared.setting import Section, Setting

TELEMETRY = (
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        """A collector's address, `http://collector:4318`: [traces, metrics and logs](telemetry.md) go to it. It needs
        `requirements/otel.txt` installed. Without any endpoint nothing is sent, and nothing of this is imported""",
    ),
    Setting("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "The whole address for traces alone, path and all"),
    Setting("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "The same for metrics"),
    Setting("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "The same for logs"),
    Setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "`name=value` pairs, comma-separated, values percent-encoded, as a receiver's key: sent with every request",
    ),
    Setting("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "Those that traces are sent with, in place of those for all"),
    Setting("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "Those that metrics are sent with, likewise"),
    Setting("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "Those that logs are sent with, likewise"),
    Setting("OTEL_EXPORTER_OTLP_PROTOCOL", "The one that is spoken: another one ends the start"),
    Setting("OTEL_TRACES_EXPORTER", "`none`, or anything without `otlp` in it: traces are not sent"),
    Setting("OTEL_METRICS_EXPORTER", "Likewise for metrics"),
    Setting("OTEL_LOGS_EXPORTER", "Likewise for logs"),
    Setting("OTEL_EXPORTER_OTLP_COMPRESSION", "Of what is sent"),
    Setting(
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "A file of authorities (PEM) by which the collector's certificate is checked; without one, the system's",
    ),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "A certificate file that Weir shows to the collector"),
    Setting("OTEL_EXPORTER_OTLP_CLIENT_KEY", "The file of its key"),
    Setting(
        "OTEL_SERVICE_NAME", "What this installation is called in traces, metrics and logs; without a name, `weir`"
    ),
    Setting(
        "OTEL_RESOURCE_ATTRIBUTES",
        "What else is said of it, as `name=value` pairs: `deployment.environment.name=prod`",
    ),
    Setting(
        "OTEL_TRACES_SAMPLER",
        """Which traces are recorded: [all, none or a share](telemetry.md#sampling); with `parentbased_`, what a caller
        says goes first""",
    ),
    Setting("OTEL_TRACES_SAMPLER_ARG", "The share, from 0 to 1, for samplers that end in `traceidratio`"),
    Setting("OTEL_METRIC_EXPORT_INTERVAL", "Milliseconds between two reports of metrics"),
    Setting(
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "So many spans, calls or log records may wait for the collector; what comes then is lost",
    ),
    Setting("OTEL_SDK_DISABLED", "Sends nothing, whatever else is set"),
    Setting(
        "WEIR_TRACE_PROVIDERS",
        """Names of providers that are sent `traceparent`, so that their own spans join the trace; `*`: all. See
        [who is told](telemetry.md#who-is-told-the-trace)""",
    ),
    Setting(
        "WEIR_TRACE_URL",
        """Where a trace can be looked at, with `{trace_id}` in it: `https://tempo.example/trace/{trace_id}`. The
        ledger's rows in the admin and a call's page in the portal link to it""",
    ),
)

SECTIONS = (Section("telemetry", TELEMETRY),)
