"""What the environment says of proxies and passwords is not for the collector, who has his own."""

from __future__ import annotations

import time

import pytest

from gateway_site.telemetry import wire
from gateway_site.telemetry.delivery import Delivery
from gateway_site.telemetry.wanted import Destination
from tests.collector import Collector

HEAD = wire.envelope({"service.name": "weir"}, scope="weir", version="1")


@pytest.mark.attack("F24", "F25")
def test_neither_a_proxy_nor_a_netrc_of_the_environment_comes_between(tmp_path, monkeypatch):
    netrc = tmp_path / "netrc"
    netrc.write_text("default login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    collector = Collector()
    try:
        ours = {"authorization": "Bearer ours"}
        way = Delivery(
            Destination("traces", f"{collector.url}/v1/traces", ours, "", ("", ""), is_compressed=True),
            head=HEAD,
            most=10,
        )
        way.put(wire.span("one", trace_id=bytes(16), span_id=1, started=1, ended=2))
        way.end(time.monotonic() + 30)
        way.join()
        ((_, headers, _),) = collector.received
    finally:
        collector.stop()
    assert headers["authorization"] == "Bearer ours"
