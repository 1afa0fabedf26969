"""A pinned endpoint's own port on the real server, which opens and closes it as the configuration changes."""

from __future__ import annotations

import gc
import socket

import httpx2
import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Model
from apps.gateway import engine as engines
from apps.runtime.state import state
from apps.usage.models import Entry
from gateway_site.ports import Ports
from gateway_site.server import DrainingServer, pinned_ports
from tests.gateway.calls import ANTHROPIC, OPENAI, body_of
from tests.gateway.conftest import Gateway
from tests.servers import until
from tests.services import free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


class Ported(Gateway):
    """Under the server that is deployed."""

    def serve_with(self, config):
        return DrainingServer(config, prestop=0, drain=20, ports=Ports(pinned_ports, share=False))

    def pin(self, name: str, model: str, **fields):
        row = catalog.create_endpoint(
            actor=self.world.alice, name=name, model=Model.objects.get(name=model), port=free_port(), **fields
        )
        self.refresh()
        return row

    def change(self, endpoint, **fields) -> None:
        catalog.update_endpoint(endpoint, actor=self.world.alice, **fields)
        self.refresh()


@pytest.fixture
def gateway(world):
    running = Ported(world)
    yield running
    running.stop()
    state.draining = False
    state.ports.clear()
    gc.unfreeze()


def client(gateway, port, **headers) -> httpx2.Client:
    headers = {"x-api-key": gateway.world.key, **headers}
    return httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30)


def opened(*endpoints) -> None:
    wanted = {endpoint.port: "" for endpoint in endpoints}
    until(lambda: state.ports == wanted)


def test_a_port_opens_serves_its_model_only_and_closes_without_a_restart(gateway):
    sonnet, gpt = gateway.pin("sonnet", "claude-test"), gateway.pin("gpt", "gpt-test")
    opened(sonnet, gpt)
    for endpoint, model in ((sonnet, "claude-test"), (gpt, "gpt-test")):
        with client(gateway, endpoint.port) as caller:
            for path in (ANTHROPIC, OPENAI):
                assert caller.post(path, content=body_of(path, model="unknown")).status_code == 200
            assert [found["id"] for found in caller.get("/v1/models").json()["data"]] == [model]
    gateway.settle()
    booked = Entry.objects.values_list("pinned_id", "model_name").distinct().order_by("model_name")
    assert list(booked) == [(sonnet.pk, "claude-test"), (gpt.pk, "gpt-test")]
    gateway.change(sonnet, is_enabled=False)
    opened(gpt)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", sonnet.port), timeout=5)
    gateway.change(sonnet, is_enabled=True)
    opened(sonnet, gpt)


@pytest.mark.parametrize("path", ["/admin/", "/health/live", "/e/gpt/v1/models", "/metrics"])
def test_a_port_has_the_data_plane_of_its_endpoint_and_nothing_else(gateway, path):
    sonnet = gateway.pin("sonnet", "claude-test")
    gpt = gateway.pin("gpt", "gpt-test", hosts=["gpt.example"])
    opened(sonnet, gpt)
    with client(gateway, sonnet.port, accept="text/html") as caller:
        assert caller.get(path).status_code == 404
        assert caller.get("/").content == b"", "for people there is no page"
        assert caller.head("/").status_code == 200, "Claude Code asks for it as it starts"
        listed = caller.get("/v1/models", headers={"host": "gpt.example"}).json()["data"]
        assert [found["id"] for found in listed] == ["claude-test"], "what a caller says it has asked does not matter"


def test_a_connection_that_is_kept_finds_no_endpoint_when_it_is_disabled(gateway):
    sonnet = gateway.pin("sonnet", "claude-test")
    opened(sonnet)
    with client(gateway, sonnet.port) as caller:
        assert caller.post(ANTHROPIC, content=body_of(ANTHROPIC)).status_code == 200
        gateway.change(sonnet, is_enabled=False)
        opened()
        assert caller.post(ANTHROPIC, content=body_of(ANTHROPIC)).status_code == 404


def test_a_port_can_become_another_endpoints(gateway):
    sonnet, gpt = gateway.pin("sonnet", "claude-test"), gateway.pin("gpt", "gpt-test")
    port = sonnet.port
    gateway.change(sonnet, port=None)
    gateway.change(gpt, port=port)
    opened(gpt)
    with client(gateway, port) as caller:
        assert caller.get("/v1/models").json()["data"][0]["id"] == "gpt-test"


def test_the_listed_networks_hold_at_a_port(gateway):
    sonnet = gateway.pin("sonnet", "claude-test", networks=["192.0.2.0/24"])
    opened(sonnet)
    with client(gateway, sonnet.port) as caller:
        assert caller.post(ANTHROPIC, content=body_of(ANTHROPIC)).status_code == 403


class Late(Gateway):
    """Under a server that sends no lifespan, as Daphne: the first call starts the engine."""

    def serve_with(self, config):
        config.lifespan = "off"
        return super().serve_with(config)


def test_a_host_name_is_pinned_from_the_first_call_on(world):
    model = Model.objects.get(name="claude-test")
    catalog.create_endpoint(actor=world.alice, name="sonnet", model=model, hosts=["sonnet.example"])
    late = Late(world)
    try:
        with client(late, late.port, host="sonnet.example") as caller:
            assert caller.post(OPENAI, content=body_of(OPENAI, model="gpt-test")).json()["model"] == "claude-test"
    finally:
        late.call(engines.stop())
        late.stop()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine speaks IPv4 alone")
def test_a_port_for_both_families_knows_ipv4s_addresses(gateway):
    sonnet = gateway.pin("sonnet", "claude-test", networks=["127.0.0.0/8"], address="::")
    opened(sonnet)
    with client(gateway, sonnet.port) as caller:
        assert caller.post(ANTHROPIC, content=body_of(ANTHROPIC)).status_code == 200
    gateway.settle()
    assert Entry.objects.get().client_address == "127.0.0.1"
