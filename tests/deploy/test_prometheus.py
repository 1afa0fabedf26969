"""A real Prometheus asks a real gateway: every rule and every query of the dashboards can be evaluated, and those that
should have something to tell after some calls do."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from tests.deploy import queries, tools
from tests.prometheus import Prometheus, prometheus
from tests.sdk.gateways import Gateway, seeded, start_gateway
from tests.servers import start_simulator

BODY = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": "Go on."}]}
# Nothing to tell without workers, sinks, caches, rooms that are full, refusals for want of money, and checks.
QUIET = {
    "weir-accounting.json: Events on their way",
    "weir-accounting.json: Last check",
    "weir-accounting.json: Violations",
    "weir-accounting.json: Unconfirmed by tenant",
    "weir-accounting.json: Beyond what was reserved",
    "weir-accounting.json: Gap",
    "weir-money.json: Read from providers' caches",
    "weir-money.json: Refused for want of money",
    "weir-providers.json: Credentials set aside",
    "weir-providers.json: Failures",
    "weir-providers.json: Providers up",
    "weir-providers.json: Room",
    "weir-providers.json: Waiting for a place",
    "weir-traffic.json: From the cache",
    "weir-workers.json: Chores late",
    "weir-workers.json: How long tasks take",
    "weir-workers.json: How long tasks wait",
    "weir-workers.json: Since the last good end",
    "weir-workers.json: Tasks",
    "weir-workers.json: Tasks running",
    "weir-workers.json: Tasks waiting",
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("watched")
    simulator = start_simulator(folder, "--fast")
    var = folder / "var"
    running = start_gateway("uvicorn", var=var, key=seeded(var, simulator_url=simulator.base_url))
    yield running
    running.process.stop()
    simulator.stop()


@pytest.fixture(scope="module")
def watching(gateway: Gateway) -> Iterator[Prometheus]:
    """After some calls, and some more."""
    tools.find("prometheus")
    token = (gateway.var / "secrets" / "weir_operator_token").read_text().strip()
    with httpx2.Client(base_url=gateway.base_url, headers={"x-api-key": gateway.key}, timeout=60) as client:
        _call(client)
        with prometheus({"weir-gateway": [gateway.base_url.removeprefix("http://")]}, token=token) as running:
            running.has_asked(times=1)
            _call(client)
            running.has_asked(times=2)
            yield running


def _call(client: httpx2.Client) -> None:
    for stream in (False, True, True):
        client.post("/v1/messages", json=BODY | {"stream": stream}).raise_for_status()
    assert client.post("/v1/messages", json=BODY | {"model": "no-such"}).status_code == 404


def test_every_rule_can_be_evaluated_and_few_alerts_fire(watching):
    assert watching.unsound() == {}
    assert len(watching.rules()) == len(queries.rules())
    assert not watching.firing() & {"WeirNoGateway", "WeirLedgerWrong", "WeirStorageFull", "WeirInternalErrors"}


def test_every_query_of_the_dashboards_can_be_asked_and_tells_what_there_is(watching):
    assert set(watching.silent()) - QUIET == set()
    assert {panel for panel, _ in queries.of_dashboards()} >= QUIET


def test_what_it_is_told_is_what_was_called(watching):
    ok = 'sum(weir_calls_total{model="claude-test", outcome="ok", fault="none"})'
    assert watching.number(ok) == 6
    assert watching.number('sum(weir_refused_calls_total{reason="model"})') == 2
    assert watching.number("sum(weir_time_to_first_token_seconds_count)") == 4
    assert watching.number("sum(weir_overhead_seconds_count)") == 6
    assert 0 < watching.number("histogram_quantile(0.5, sum by (le) (weir_overhead_seconds_bucket))") < 1
    assert watching.number('sum(weir_tokens_total{kind="answer"})') > 0
    assert watching.number("count(weir_build_info)") == 1


def test_who_has_not_the_token_is_told_nothing(gateway):
    assert httpx2.get(f"{gateway.base_url}/metrics").status_code == 401
