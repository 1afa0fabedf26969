"""What a tenant's calls get while the shared counters are away, as the tenant wants it."""

from __future__ import annotations

import pytest

from apps.quotas import replicas
from apps.tenants import services as tenants
from tests import services
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, openai_error

pytestmark = pytest.mark.django_db(transaction=True)

LIMIT_HEADERS = {ANTHROPIC: "anthropic-ratelimit-requests-limit", OPENAI: "x-ratelimit-limit-requests"}


@pytest.fixture
def world(world, settings):
    """Nobody listens where the counters should be."""
    settings.REDIS_URL = f"redis://127.0.0.1:{services.free_port()}/0"
    world.limit(tenant=world.tenant, requests_per_minute=4)
    return world


def wants(world, policy: str) -> None:
    tenants.update_tenant(world.tenant, actor=None, on_outage=policy)


@pytest.mark.parametrize("path", LIMIT_HEADERS)
def test_open_lets_all_pass_and_tells_of_no_limit(gateway, world, path):
    wants(world, "open")
    gateway.refresh()
    for _ in range(6):
        answer = ask(gateway, path)
        assert answer.status_code == 200
        assert LIMIT_HEADERS[path] not in answer.headers


def test_closed_refuses_in_both_dialects_and_calls_nobody(gateway, world, costs_nothing):
    wants(world, "closed")
    gateway.refresh()
    answer = ask(gateway, ANTHROPIC)
    assert "cannot be counted" in anthropic_error(answer, 529, "overloaded_error")  # as Anthropic says 503
    assert answer.headers["retry-after"] == "1"
    answer = ask(gateway, OPENAI)
    openai_error(answer, 503, "limits_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_share_is_counted_by_default_and_refused_in_the_words_of_the_whole(gateway, world, monkeypatch):
    monkeypatch.setattr(replicas, "_live", 2)
    monkeypatch.setattr(replicas, "heard", lambda live: None)
    answers = [ask(gateway, OPENAI) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert "4 requests per minute for this tenant (2 of them here" in answers[-1].text


def test_a_call_that_no_limit_restrains_is_nobodys_concern(gateway, world):
    wants(world, "closed")
    other = tenants.create_tenant(actor=None, name="Globex")
    tenants.update_tenant(other, actor=None, on_outage="closed")
    key = world.issue_for(other)
    gateway.refresh()
    assert ask(gateway, OPENAI, key=key).status_code == 200
