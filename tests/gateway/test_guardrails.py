"""Data policies between caller and provider: what they find in a request never gets where it must not, and what they
stop in an answer never gets out whole. Providers are asked what they saw."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from apps.domain import errors
from apps.domain.guardrails.kinds import KINDS
from apps.gateway import guard, metrics, policy
from apps.policies import services as policies
from apps.policies.models import Tally
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, frames, told

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once, pytest.mark.attack("F31")]
CARD = "4111 1111 1111 1111"
BARE = CARD.replace(" ", "")
RESPONSES, COMPLETIONS, CHAT, EMBEDDINGS = "/v1/responses", "/v1/completions", "/chat", "/v1/embeddings"
COUNT = "/v1/messages/count_tokens"


def hold(world, gateway, name="pci", *, rules, **policy):
    made = policies.create_policy(actor=world.alice, name=name, rules=rules, **policy)
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()


def said(text, **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


def counted(kind, action, place="request"):
    return metrics.FINDINGS.labels(kind, action, place)._value.get()


def text_document(text):
    source = {"type": "base64", "media_type": "text/plain", "data": base64.b64encode(text.encode()).decode()}
    return {"type": "document", "source": source}


SMUGGLED = {
    (ANTHROPIC, "system"): {"model": "claude-test", "max_tokens": 9, "system": CARD, **said("Hello.")},
    (ANTHROPIC, "blocks"): {
        **{"model": "claude-test", "max_tokens": 9},
        **said([{"type": "text", "text": BARE[:9]}, {"type": "text", "text": BARE[9:]}]),
    },
    (ANTHROPIC, "document"): {"model": "claude-test", "max_tokens": 9, **said([text_document(CARD)])},
    (COUNT, "counted"): {"model": "claude-test", **said(CARD)},
    (OPENAI, "number"): {
        "model": "gpt-test",
        **said("Hello."),
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"const": int(BARE)}}}],
    },
    (OPENAI, "other dialect"): {"model": "claude-test", **said(CARD)},
    (RESPONSES, "data URL"): {
        "model": "gpt-test",
        "input": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "filename": "a.txt",
                        "file_data": "data:text/plain;base64," + base64.b64encode(CARD.encode()).decode(),
                    }
                ],
            }
        ],
    },
    (COMPLETIONS, "prompt"): {"model": "gpt-test", "prompt": CARD},
    (CHAT, "prompt"): {"model": "claude-test", "prompt": CARD},
    (EMBEDDINGS, "input"): {"model": "claude-test", "input": CARD},
}


def test_a_blocked_finding_reaches_no_provider_by_any_endpoint_and_is_told_by_its_name_alone(
    gateway, world, simulator, caplog
):
    vectors = world.model("gpt-vectors", capabilities=["embeddings"])
    world.deploy("gpt-vectors", upstream="text-embedding-3-small", model=vectors)
    hold(world, gateway, rules={"card": ("block", ""), "email": ("flag", "")})
    seen, before = simulator.seen(), counted("card", "block")
    for (path, _), body in SMUGGLED.items():
        body = {**body, "model": "gpt-vectors"} if path == EMBEDDINGS else body
        response = ask(gateway, path, body=json.dumps(body).encode())
        error = response.json()["error"]
        assert (response.status_code, "policy pci found card" in error["message"]) == (403, True), (path, error)
        assert "1111" not in response.text
    escaped = json.dumps({"model": "gpt-test", **said(CARD)}).replace("4111", "\\u00341\\u00311").encode()
    assert "policy pci found card" in told(OPENAI, ask(gateway, OPENAI, body=escaped), 403)
    twice = (
        json.dumps({"model": "gpt-test", **said(CARD)}).replace('"content"', '"content": "Hello.", "content"').encode()
    )
    assert "comes twice" in told(
        OPENAI, ask(gateway, OPENAI, body=twice.replace(b'"content"', b'"\\u0063ontent"', 1)), 400
    )
    assert simulator.seen() == seen
    assert counted("card", "block") - before == len(SMUGGLED) + 1
    assert "1111" not in caplog.text
    assert ask(gateway, OPENAI, change=said("Write to a@example.com.")).status_code == 200
    assert simulator.seen() == seen + 1
    gateway.settle()
    assert Entry.objects.get().trail[0] == "found: email x1, flagged"
    gateway.engine.configuration.findings.flush()
    assert {(row.kind, row.action, row.count) for row in Tally.objects.all()} == {
        ("card", "block", len(SMUGGLED) + 1),
        ("email", "flag", 1),
    }


def test_a_routed_finding_reaches_providers_with_the_tag_alone(gateway, world, simulator):
    model = world.model("claude-both")
    world.deploy("claude-both", upstream="claude-public", model=model, priority=0)
    world.deploy("claude-both", upstream="claude-private", model=model, priority=1, tags=["private"])
    hold(world, gateway, rules={"card": ("route", "")}, route_tag="private")
    for text in ("Hello.", CARD, f"Hello {CARD}"):
        assert ask(gateway, ANTHROPIC, model="claude-both", change=said(text)).status_code == 200
    models = [call["body"]["model"] for call in simulator.calls()[-3:]]
    assert models == ["claude-public", "claude-private", "claude-private"]
    seen = simulator.seen()
    assert CARD not in ask(gateway, ANTHROPIC, change=said(CARD)).text  # nobody of this model's has the tag
    assert simulator.seen() == seen
    gateway.settle()
    assert any("found: card x1, routed to private" in row.trail for row in Entry.objects.all())


def test_a_masked_finding_is_not_in_what_a_translated_provider_is_sent_and_blocks_where_bytes_are_relayed(
    gateway, world, simulator
):
    hold(world, gateway, rules={"card": ("mask", ""), "secret": ("mask", "")})
    key = "sk-ant-api03-" + "aB3_" * 8
    response = ask(gateway, OPENAI, model="claude-test", change=said(f"Pay with {CARD} and {key}, please."))
    assert response.status_code == 200, response.text
    sent = json.dumps(simulator.calls()[-1])
    assert "Pay with [card] and [secret], please." in sent
    assert "1111" not in sent
    seen = simulator.seen()
    assert "byte for byte" in told(ANTHROPIC, ask(gateway, ANTHROPIC, change=said(CARD)), 403)
    split = [{"type": "text", "text": "4111 1111"}, {"type": "text", "text": " 1111 1111"}]
    assert "cannot be told" in told(OPENAI, ask(gateway, OPENAI, model="claude-test", change=said(split)), 403)
    assert simulator.seen() == seen


def test_of_a_masked_call_nobody_gets_the_bytes_though_some_would_go_first(gateway, world, simulator):
    model = world.model("claude-mixed")
    world.deploy("claude-mixed", upstream="claude-bytes", model=model, priority=0)
    row = world.deploy("gpt-mixed", upstream="gpt-read", model=model, priority=1)
    assert row.model == model
    hold(world, gateway, rules={"card": ("mask", "")})
    assert ask(gateway, ANTHROPIC, model="claude-mixed", change=said("Hello.")).status_code == 200
    assert ask(gateway, ANTHROPIC, model="claude-mixed", change=said(CARD)).status_code == 200
    assert [call["body"]["model"] for call in simulator.calls()[-2:]] == ["claude-bytes", "gpt-read"]


@pytest.mark.parametrize("model", ["claude-test", "gpt-test"])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_finding_that_stops_an_answer_does_not_get_out_whole(gateway, world, path, model):
    hold(world, gateway, rules={"card": ("", "stop")})
    whole = ask(gateway, path, model=model, change=said(CARD))
    assert "the answer was stopped: it has card in it, by policy pci" in told(path, whole, 403)
    assert "1111" not in whole.text
    streamed = ask(gateway, path, model=model, change=said(CARD, stream=True))
    text = streamed.text.replace(" ", "")
    assert BARE not in text
    if streamed.status_code == 403:  # it came in one piece, of which nothing has gone out
        assert "by policy pci" in told(path, streamed, 403)
    else:
        last = [data for _, data in frames(streamed.text) if data != "[DONE]"][-1]
        assert "by policy pci" in last["error"]["message"], streamed.text
    gateway.settle()
    for row in Entry.objects.all():
        assert row.error_code == "policy_stopped"
        assert "found in the answer: card, stopped by pci" in row.trail
        assert row.cost_nano > 0


def test_a_stop_is_told_in_every_other_dialect_too(gateway, world):
    hold(world, gateway, rules={"card": ("", "stop")})
    asked = {RESPONSES: {"input": CARD}, COMPLETIONS: {"prompt": CARD}, CHAT: {"prompt": CARD}}
    for path, fields in asked.items():
        for model in ("gpt-test", "claude-test"):
            body = {"model": model, "stream": True, **fields}
            streamed = ask(gateway, path, body=json.dumps(body).encode())
            assert streamed.status_code in (200, 403)  # it may come in one piece, of which nothing has gone out
            assert "by policy pci" in streamed.text, (path, model)
            assert CARD not in streamed.text
            whole = ask(gateway, path, body=json.dumps({**body, "stream": False}).encode())
            assert (whole.status_code, "1111" in whole.text) == (403, False), (path, model)


def test_an_answer_that_is_only_flagged_is_relayed_byte_for_byte(gateway, world, simulator):
    hold(world, gateway, rules={"card": ("", "flag")})
    before = counted("card", "flag", "answer")
    plain = ask(gateway, ANTHROPIC, change=said(f"Hello {CARD}.", stream=True))
    said_text = "".join(data.get("delta", {}).get("text", "") for _, data in frames(plain.text))
    assert CARD in said_text
    assert counted("card", "flag", "answer") == before + 1
    gateway.settle()
    assert Entry.objects.get().trail == ["found in the answer: card, let pass"]


def test_others_calls_go_on_while_a_hostile_request_is_looked_into_and_one_that_takes_too_long_is_refused(monkeypatch):
    body = json.dumps(said("4111 1111 1111 1112 " * 30_000 + CARD)).encode()

    async def watched():
        reading = asyncio.ensure_future(guard.found(body, KINDS, tenant_id=1))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0.001)
            turns += 1
        return await reading, turns

    found, turns = asyncio.run(watched())
    assert found == {"card": 1}
    assert turns > 20  # read on the loop it would be one
    monkeypatch.setattr(policy, "MOST_SECONDS", 0.0)
    with pytest.raises(errors.PermissionDenied, match="takes too long"):
        asyncio.run(guard.found(body, KINDS, tenant_id=1))
