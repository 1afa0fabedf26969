"""Callers of both dialects, and Bedrock behind: Claude through InvokeModel, others through Converse, signed or not."""

from __future__ import annotations

import json

import anthropic
import pytest

from apps.simulator.bedrock import signature
from apps.usage.models import Entry
from tests.domain import frames as aws
from tests.gateway.calls import ANTHROPIC, MESSAGES, OPENAI, anthropic_error, ask, frames, openai_error
from tests.gateway.test_calls import text_of
from tests.gateway.upstreams import upstream

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

CLAUDE, NOVA = "us.anthropic.claude-sonnet-4-6-v1:0", "amazon.nova-pro-v1:0"
PROTOCOLS = {CLAUDE: "bedrock_invoke", NOVA: "bedrock_converse"}
USER = f"{signature.USER}:{signature.SECRETS[signature.USER]}"
SESSION = f"{signature.SESSION}:{signature.SECRETS[signature.SESSION]}:{signature.SESSION_TOKEN}"
SECRETS = {"user": USER, "session": SESSION, "api key": "bedrock-api-key-YmVkcm9jaw=="}
COUNT = "/v1/messages/count_tokens"


@pytest.fixture
def deployed(world, gateway):
    def deploy(upstream: str, *, vendor: str = "bedrock", secret: str = USER, region: str = "eu-central-1") -> str:
        name = "titan-claude" if PROTOCOLS.get(upstream, "bedrock_invoke") == "bedrock_invoke" else "nova-test"
        options = {"region": region} if vendor == "bedrock" else {}
        world.deploy(name, upstream=upstream, vendor=vendor, secret=secret, options=options)
        gateway.refresh()
        return name

    return deploy


def check_booked(gateway, simulator, calls: int, *, protocol: str, model: str) -> None:
    gateway.settle()
    entry = Entry.objects.get()
    (metered,) = simulator.readings()[calls:]
    assert (entry.status, entry.state, entry.usage_source) == ("ok", "settled", "provider")
    assert (entry.in_fresh, entry.out_total) == (metered.billed.fresh, metered.billed.output)
    assert entry.cost_nano == gateway.world.price_of(model, entry)
    assert entry.upstream_protocol == protocol
    assert entry.provider_request_id


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("upstream", PROTOCOLS)
@pytest.mark.parametrize("vendor", ["bedrock", "simulated"])
def test_every_family_answers_every_caller_and_is_booked(gateway, simulator, deployed, vendor, upstream, path, stream):
    model = deployed(upstream, vendor=vendor)
    calls = len(simulator.readings())
    response = ask(gateway, path, model=model, change={"stream": stream})
    assert response.status_code == 200, response.text
    assert len(text_of(path, response, stream)) > 3
    check_booked(gateway, simulator, calls, protocol=PROTOCOLS[upstream], model=model)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=list(SECRETS))
@pytest.mark.parametrize("upstream", PROTOCOLS)
def test_every_kind_of_credential_is_taken(gateway, simulator, deployed, upstream, secret):
    model = deployed(upstream, secret=secret)
    assert ask(gateway, ANTHROPIC, model=model, change={"stream": True}).status_code == 200
    sent = simulator.calls()[-1]["headers"]
    assert ("x-amz-date" in sent) == (":" in secret)
    assert ("x-amz-security-token" in sent) == (secret == SESSION)
    assert "x-api-key" not in sent


def test_the_machines_own_role_signs_too(gateway, deployed, monkeypatch):
    from apps.outbound import signing

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", signature.USER)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", signature.SECRETS[signature.USER])
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.setattr(signing, "_role", signing._Role())
    signing._session.cache_clear()
    model = deployed(CLAUDE, secret="role")
    assert ask(gateway, ANTHROPIC, model=model).status_code == 200
    signing._session.cache_clear()


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_tier_goes_to_claude_in_a_header_that_is_signed(gateway, simulator, deployed, path):
    """The simulated provider refuses one of AWS's that is not."""
    model = deployed(CLAUDE)
    asked = ask(gateway, path, model=model, change={"service_tier": "priority"})
    assert asked.status_code == 200, asked.text
    sent = simulator.calls()[-1]["headers"]
    assert sent["x-amzn-bedrock-service-tier"] == "priority"
    gateway.settle()
    assert not any("service_tier" in step for step in Entry.objects.get().trail)


@pytest.mark.parametrize("stream", [False, True])
def test_a_role_that_a_provider_repeats_reaches_nobody(gateway, world, monkeypatch, caplog, stream):
    from apps.outbound import signing

    key, token = "wJalrXUtnFEMI/K7MDENG/bPxRfiCY", "FwoGZXIvYXdzEBYaDH+session/token=="
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key)
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    monkeypatch.setattr(signing, "_role", signing._Role())
    signing._session.cache_clear()
    said = f"{token} of {key} is no good"
    answer = aws.exception("validationException", said) if stream else json.dumps({"message": said}).encode()
    head = b"x-amzn-requestid: %b\r\n" % token.encode()
    with upstream(answer, head=head) as url:
        world.deploy("titan-claude", upstream=CLAUDE, vendor="bedrock", secret="role", url=url)
        gateway.refresh()
        response = ask(gateway, ANTHROPIC, model="titan-claude", change={"stream": stream})
    signing._session.cache_clear()
    assert response.status_code == (400 if stream else 502)
    gateway.settle()
    entry = Entry.objects.get()
    told = f"{response.text} {response.headers} {entry.error_code} {entry.provider_request_id} {caplog.text}"
    assert ("[removed] of [removed] is no good" in response.text) == stream
    assert entry.provider_request_id == "[removed]"
    for part in (key, token):
        assert part not in told


def test_a_wrong_secret_is_the_gateways_fault_and_is_told_to_nobody(gateway, deployed):
    wrong = f"{signature.USER}:simulated/secret/key/not-the-one-at-all"
    model = deployed(CLAUDE, secret=wrong)
    response = ask(gateway, ANTHROPIC, model=model)
    anthropic_error(response, 502, "api_error")
    for part in wrong.split(":"):
        assert part not in response.text


def test_what_bedrock_does_not_know_does_not_reach_it(gateway, simulator, deployed):
    """Claude Code's own shape."""
    model = deployed(CLAUDE)
    change = {
        "stream": True,
        "context_management": {"edits": [{"type": "clear_thinking_20251015"}]},
        "service_tier": "auto",
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral", "scope": "global"}}],
        "metadata": {"user_id": "u"},
    }
    betas = {"anthropic-beta": "claude-code-20250219,interleaved-thinking-2025-05-14,fast-mode-2026-02-01"}
    response = ask(gateway, ANTHROPIC, model=model, change=change, headers=betas)
    assert response.status_code == 200, response.text
    sent = simulator.calls()[-1]["body"]
    assert sent == {
        "messages": MESSAGES,
        "max_tokens": 64,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "metadata": {"user_id": "u"},
        "anthropic_version": "bedrock-2023-05-31",
        "anthropic_beta": ["interleaved-thinking-2025-05-14"],
    }


def test_the_sdk_reads_a_relayed_stream(gateway, world, deployed):
    model = deployed(CLAUDE)
    with anthropic.Anthropic(api_key=world.key, base_url=gateway.url, max_retries=0) as claude:
        with claude.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
            assert len(stream.get_final_text()) > 3
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert message.usage.output_tokens > 0


def test_a_prompt_is_counted_by_the_model_behind_the_profile(gateway, simulator, deployed):
    model = deployed(CLAUDE)
    answer = ask(gateway, COUNT, model=model, change={"max_tokens": None})
    assert answer.status_code == 200, answer.text
    assert answer.json()["input_tokens"] > 0
    assert simulator.calls()[-1]["path"].replace("%3A", ":") == "/model/anthropic.claude-sonnet-4-6-v1:0/count-tokens"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("word", "status", "kind"),
    [
        ("429", 429, "rate_limit_error"),
        ("503", 529, "overloaded_error"),
        ("424", 502, "api_error"),
        ("408", 504, "timeout_error"),
    ],
)
@pytest.mark.parametrize("family", ["anthropic.claude-sonnet-4-6", "amazon.nova-pro"])
def test_a_failure_keeps_its_class(gateway, deployed, family, word, status, kind, stream):
    model = deployed(f"{family}-{word}-v1:0")
    anthropic_error(ask(gateway, ANTHROPIC, model=model, change={"stream": stream}), status, kind)


@pytest.mark.parametrize("family", ["anthropic.claude-sonnet-4-6", "amazon.nova-pro"])
def test_an_overlong_prompt_is_told_in_the_callers_own_words(gateway, deployed, family):
    model = deployed(f"{family}-overflow-v1:0")
    assert "prompt is too long" in anthropic_error(ask(gateway, ANTHROPIC, model=model), 400, "invalid_request_error")
    openai_error(ask(gateway, OPENAI, model=model), 400, "context_length_exceeded")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("error-after-3", "api_error"),
        ("throttled-error-after-3", "overloaded_error"),
        ("dies-after-3-chunks", "api_error"),
        ("ends-after-3", "api_error"),
        ("corrupt-after-3", "api_error"),
    ],
)
@pytest.mark.parametrize("family", ["anthropic.claude-sonnet-4-6", "amazon.nova-pro"])
def test_a_stream_that_breaks_ends_in_one_clean_error(gateway, deployed, family, word, kind):
    model = deployed(f"{family}-pace-40-{word}-v1:0")  # or the error may come with the beginning, and be the answer
    told = frames(ask(gateway, ANTHROPIC, model=model, change={"stream": True}).text)
    names = [name for name, _ in told if name != "ping"]
    assert names[0] == "message_start"
    assert names.count("error") == 1
    assert names[-1] == "error"
    assert told[-1][1]["error"]["type"] == kind
    assert "message_stop" not in names
