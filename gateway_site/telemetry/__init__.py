"""What is told by OTLP, the protocol of OpenTelemetry, to a collector: traces, metrics and logs of every process.

Only where an endpoint is set (`wanted`); all of it happens in threads beside the work (`delivery`), which nobody waits
for. `running` starts and stops it.
"""
