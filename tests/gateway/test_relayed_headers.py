"""Headers that go on to a provider as the caller wrote them: few, shaped as names, and looked into as the body is. And
of a provider's, none comes back as it wrote it."""

from __future__ import annotations

import json

import pytest

from apps.policies import services as policies
from apps.policies.models import Intervention
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, told
from tests.gateway.upstreams import upstream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
CARD = "4111 1111 1111 1111"
ADDRESS = "mrs.jones@example.com"


def hold(world, gateway, action, **policy):
    rules = {"card": (action, ""), "email": (action, "")}
    made = policies.create_policy(actor=world.alice, name="pci", rules=rules, **policy)
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()


def test_of_betas_only_names_go_on_whether_there_is_a_policy_or_none(gateway, simulator):
    headers = {"anthropic-beta": f"context-1m-2025-08-07, {ADDRESS}, {CARD}, made-up-2027-01-01"}
    assert ask(gateway, ANTHROPIC, headers=headers).status_code == 200
    seen = simulator.calls()[-1]
    assert seen["headers"]["anthropic-beta"].replace(" ", "") == "context-1m-2025-08-07,made-up-2027-01-01"
    assert "1111" not in json.dumps(seen)
    assert ask(gateway, ANTHROPIC, headers={"anthropic-beta": ADDRESS}).status_code == 200
    assert "anthropic-beta" not in simulator.calls()[-1]["headers"]


@pytest.mark.parametrize(
    "headers",
    [
        *({"anthropic-beta": f"context-1m-2025-08-07,{CARD}"}, {"anthropic-new-thing": ADDRESS}),
        *({"anthropic-4111111111111111": "x"}, {"anthropic-beta": "card-4111-1111-1111-1111"}),
    ],
)
@pytest.mark.parametrize("action", ["block", "mask"])
def test_what_is_found_in_one_blocks_the_call(gateway, world, simulator, action, headers, caplog):
    hold(world, gateway, action)
    seen = simulator.seen()
    for path in (ANTHROPIC, OPENAI):
        response = ask(gateway, path, model="claude-test", headers=headers)
        where = "the request" if action == "block" else "the headers, which it masks: no header is masked"
        message = told(path, response, 403)
        assert "policy pci found" in message
        assert where in message
        assert "1111" not in response.text
        assert ADDRESS not in response.text
    assert simulator.seen() == seen
    assert "1111" not in caplog.text
    gateway.call(gateway.engine.configuration._noting.ask(gateway.engine.configuration.findings.interventions.flush))
    assert {row.action for row in Intervention.objects.all()} == {"block"}
    assert Intervention.objects.count() == 2


def test_what_is_found_in_one_routes_the_call(gateway, world, simulator):
    model = world.model("claude-both")
    world.deploy("claude-both", upstream="claude-public", model=model, priority=0)
    world.deploy("claude-both", upstream="claude-private", model=model, priority=1, tags=["private"])
    hold(world, gateway, "route", route_tag="private")
    for headers in ({"anthropic-new-thing": "yes"}, {"anthropic-new-thing": ADDRESS}):
        assert ask(gateway, ANTHROPIC, model="claude-both", headers=headers).status_code == 200
    assert [call["body"]["model"] for call in simulator.calls()[-2:]] == ["claude-public", "claude-private"]


def test_the_headers_of_usual_clients_are_no_findings(gateway, world, simulator):
    hold(world, gateway, "block")
    headers = {
        "anthropic-version": "2023-06-01",
        "anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14",
        "anthropic-dangerous-direct-browser-access": "true",
    }
    assert ask(gateway, ANTHROPIC, headers=headers).status_code == 200
    assert simulator.calls()[-1]["headers"]["anthropic-beta"] == headers["anthropic-beta"]


STRANGE = {
    **dict.fromkeys(("x-forwarded-for", "x-forwarded-host", "forwarded", "via", "x-real-ip", "cookie"), "forged"),
    **dict.fromkeys(("proxy-authorization", "proxy-connection", "keep-alive", "te", "trailer", "range"), "forged"),
    **dict.fromkeys(("x-http-method-override", "x-original-url", "x-rewrite-url", "origin", "referer"), "forged"),
    **dict.fromkeys(("anthropic_beta", "Anthropic_Version", "x_api_key", "host_"), "forged"),
    **dict.fromkeys(("openai-organization", "openai-beta", "x-goog-api-key", "api-key", "priority"), "forged"),
    "connection": "close, anthropic-hop, anthropic-beta",
    "anthropic-hop": "forged",
    "anthropic-beta": "forged",
    "anthropic-kept": "as it was",
    "authorization": "Bearer forged",
    "accept": "forged/*",
    "accept-encoding": "gzip",
    "user-agent": "forged",
}
SENT = {"host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "x-weir-request"}
SENT |= {"authorization", "x-api-key", "anthropic-version"}  # the simulated provider takes its credential in both


@pytest.mark.attack("F20")
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_provider_is_sent_what_is_on_a_list_and_nothing_else(gateway, world, path):
    heads: list[bytes] = []
    with upstream(heads=heads) as url:
        world.deploy("claude-heard", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, path, model="claude-heard", headers=STRANGE, change={"stream": True})
    assert answer.status_code == 200, answer.text
    lines = [line.partition(b": ") for line in heads[0].split(b"\r\n")[1:]]
    sent = {name.decode().lower(): value.decode() for name, _, value in lines}
    assert len(lines) == len(sent), "a header was sent twice"
    assert sent.keys() == SENT | {"anthropic-kept"}
    assert sent["anthropic-kept"] == "as it was"
    assert not [value for value in sent.values() if "forged" in value]


@pytest.mark.attack("F20")
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_of_a_providers_headers_none_comes_back(gateway, world, path):
    names = ("keep-alive", "proxy-authenticate", "trailer", "set-cookie", "location", "link", "server", "via", "x-a")
    names += ("access-control-allow-origin", "strict-transport-security", "content-disposition", "x-accel-redirect")
    head = b"connection: x-a\r\n" + b"".join(f"{name}: forged\r\n".encode() for name in names)
    with upstream(head=head + b"request-id: req_\x1b[31m\x7f\xff\r\nx-request-id: forged\r\n") as url:
        world.deploy("claude-said", upstream="m", url=url)
        gateway.refresh()
        answer = ask(gateway, path, model="claude-said", change={"stream": True})
    assert answer.status_code == 200
    assert not [value for value in answer.headers.values() if "forged" in value]
    gateway.settle()
    assert Entry.objects.get().provider_request_id == "req_?[31m??"


@pytest.mark.attack("F20")
def test_a_length_for_who_takes_one_sign_for_another_ends_the_connection(gateway):
    answer = ask(gateway, ANTHROPIC, headers={"content_length": "5"})
    assert (answer.status_code, answer.headers["connection"]) == (400, "close")
