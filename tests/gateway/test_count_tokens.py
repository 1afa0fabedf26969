"""How many tokens a prompt has: the provider's word or 501, for nothing."""

from __future__ import annotations

import contextlib
import http.server
import threading

import anthropic
import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Deployment
from apps.usage.models import Entry
from tests.gateway.calls import MESSAGES, anthropic_error, ask, openai_error
from tests.gateway.upstreams import upstream

pytestmark = pytest.mark.once

PATH = "/v1/messages/count_tokens"
UNCAPPED = {"max_tokens": None}
TOOL = {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("prefix", ["", "/anthropic"])
def test_the_providers_own_count_is_told(gateway, simulator, prefix):
    answer = ask(gateway, prefix + PATH, change=UNCAPPED)
    assert answer.status_code == 200, answer.text
    asked = simulator.calls()[-1]
    assert asked["path"] == PATH
    assert asked["body"] == {"model": "claude-upstream", "messages": MESSAGES}
    with anthropic.Anthropic(api_key="sk-any", base_url=simulator.base_url) as direct:
        theirs = direct.messages.count_tokens(model="claude-upstream", messages=MESSAGES)
    assert answer.json() == {"input_tokens": theirs.input_tokens}


def test_the_sdk_counts_what_it_will_send(gateway, world):
    with anthropic.Anthropic(api_key=world.key, base_url=gateway.url, max_retries=0) as claude:
        asked = {"model": "claude-test", "messages": MESSAGES, "system": "Be brief.", "tools": [TOOL]}
        bare = claude.messages.count_tokens(model="claude-test", messages=MESSAGES).input_tokens
        assert claude.messages.count_tokens(**asked).input_tokens > bare > 0


def test_counting_is_free(gateway, world):
    world.budget(tenant=world.tenant, amount=0)
    gateway.refresh()
    assert ask(gateway, PATH, change=UNCAPPED).status_code == 200
    gateway.settle()
    assert not Entry.objects.exists()


def test_what_has_no_price_can_be_counted_under_a_budget(gateway, world):
    priced = Deployment.objects.get(model__name="claude-test")
    model = world.model("claude-free")
    catalog.create_deployment(model, actor=world.alice, provider=priced.provider, upstream_model="claude-upstream")
    world.budget(tenant=world.tenant, amount=10**9)
    gateway.refresh()
    assert ask(gateway, PATH, model="claude-free", change=UNCAPPED).status_code == 200
    anthropic_error(ask(gateway, "/v1/messages", model="claude-free"), 529, "overloaded_error")


def test_no_count_is_made_up(gateway):
    message = anthropic_error(ask(gateway, PATH, model="gpt-test", change=UNCAPPED), 501, "api_error")
    assert "gpt-test" in message


def test_a_provider_that_cannot_count_is_passed_over(gateway, world):
    world.fallback("claude-either", first="404")
    gateway.refresh()
    assert ask(gateway, PATH, model="claude-either", change=UNCAPPED).status_code == 200


def test_a_failing_provider_is_passed_over_and_the_last_one_told(gateway, world):
    world.unreachable("claude-away")
    gateway.refresh()
    anthropic_error(ask(gateway, PATH, model="claude-away", change=UNCAPPED), 502, "api_error")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": None}, "messages"),
        ({"model": 7}, "model"),
        ({"tools": 7}, "tools"),
    ],
)
def test_what_is_wrong_is_named(gateway, change, field, costs_nothing):
    assert field in anthropic_error(ask(gateway, PATH, change=UNCAPPED | change), 400, "invalid_request_error")


def test_it_takes_from_the_requests_a_minute_and_from_no_tokens(gateway, world):
    world.limit(tenant=world.tenant, requests_per_minute=2, tokens_per_minute=1)
    gateway.refresh()
    assert [ask(gateway, PATH, change=UNCAPPED).status_code for _ in range(3)] == [200, 200, 429]


def test_a_key_for_messages_alone_counts_nothing(gateway, world):
    key = world.issue(endpoints=["messages"])
    anthropic_error(ask(gateway, PATH, key=key, change=UNCAPPED), 403, "permission_error")
    openai_error(ask(gateway, "/v1/chat/completions", key=key), 403)


@contextlib.contextmanager
def refusing(status: int, **headers: str):
    """A provider that refuses every request; its address, and the paths that it was asked for."""
    asked: list[str] = []

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            asked.append(self.path)
            self.send_response(status)
            for name, value in {**headers, "content-length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def test_a_refused_key_is_not_asked_with_again_and_again(gateway, world):
    with refusing(401) as (url, asked):
        world.deploy("claude-locked", upstream="claude-locked", url=url)
        gateway.refresh()
        for path in (PATH, PATH, PATH, "/v1/messages"):
            anthropic_error(ask(gateway, path, model="claude-locked"), 502, "api_error")
    assert asked == [PATH], "calls and counts share what is known of a key"


def test_a_limit_of_counting_holds_as_long_as_it_says_and_leaves_calls_alone(gateway, world):
    with refusing(429, **{"retry-after": "30"}) as (url, asked):
        world.deploy("claude-busy", upstream="claude-busy", url=url)
        gateway.refresh()
        for path in (PATH, PATH, PATH, "/v1/messages"):
            answer = ask(gateway, path, model="claude-busy")
            assert answer.status_code == 429, answer.text
            assert 0 < float(answer.headers["retry-after"]) <= 30
    assert asked == [PATH, "/v1/messages"]


def test_a_connection_that_was_closed_meanwhile_is_no_failure_of_a_count(gateway, world):
    with upstream(b'{"input_tokens": 7}', hangs_up=True) as url:
        world.deploy("claude-idle", upstream="claude-idle", url=url)
        gateway.refresh()
        told = [ask(gateway, PATH, model="claude-idle", change=UNCAPPED) for _ in range(3)]
    assert [answer.json() for answer in told] == [{"input_tokens": 7}] * 3
