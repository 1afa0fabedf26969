"""How many tokens a prompt has: the provider's word or 501, for nothing."""

from __future__ import annotations

import anthropic
import pytest

from apps.usage.models import Entry
from tests.gateway.calls import MESSAGES, anthropic_error, ask, openai_error

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
