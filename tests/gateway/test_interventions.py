"""What policies did is written down call by call, by kinds and counts: nothing that was found, or stood around it."""

from __future__ import annotations

import contextlib
import json

import pytest
from django.core.serializers import serialize
from django.db import connection

from apps.policies import interventions
from apps.policies import services as policies
from apps.policies.models import Intervention
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI, ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
CARD = "4111 1111 1111 1111"
WORDS = f"Mrs. Quagga's card is {CARD}, and again {CARD}; she is at quagga@example.com."


def hold(world, gateway, name="pci", *, rules, **policy):
    made = policies.create_policy(actor=world.alice, name=name, rules=rules, **policy)
    policies.assign(made, actor=world.alice, tenant=world.tenant)
    gateway.refresh()
    return made


def said(text, **fields):
    return {"messages": [{"role": "user", "content": text}], **fields}


@pytest.fixture
def unhurried(settings):
    """For a gateway that writes nothing down by itself."""
    settings.WEIR_REFRESH_SECONDS = 3_600.0


@contextlib.contextmanager
def away():
    """The table cannot be written to."""
    with connection.schema_editor() as editor:
        editor.alter_db_table(Intervention, "policies_intervention", "policies_elsewhere")
    try:
        yield
    finally:
        with connection.schema_editor() as editor:
            editor.alter_db_table(Intervention, "policies_elsewhere", "policies_intervention")


def flush(gateway):
    """By the thread that writes them, behind whatever it has begun."""
    configuration = gateway.engine.configuration
    gateway.call(configuration._noting.ask(configuration.findings.interventions.flush))


def written(gateway):
    flush(gateway)
    return list(Intervention.objects.order_by("id"))


def request_of(response):
    return response.headers.get("request-id") or response.headers["x-request-id"]


def test_a_blocked_call_leaves_one_row_that_holds_no_text(gateway, world, simulator, caplog):
    policy = hold(world, gateway, rules={"card": ("block", ""), "email": ("flag", "")})
    response = ask(gateway, ANTHROPIC, change=said(WORDS))
    assert response.status_code == 403
    (row,) = written(gateway)
    assert (row.action, row.is_answer, row.attempt, row.kinds) == ("block", False, 0, {"card": 2})
    assert (row.policy_id, row.policy_name) == (policy.pk, "pci")
    assert row.public_request_id == request_of(response)
    key = world.key_row
    assert (row.tenant_id, row.project_id, row.key_id) == (world.tenant.pk, key.project_id, key.pk)
    assert row.user_id == key.user_id
    stored = serialize("json", [row])
    for piece in ("4111", "1111", "Quagga", "quagga", "example.com"):
        assert piece not in stored
    assert "1111" not in caplog.text
    assert ask(gateway, ANTHROPIC, change=said("Write to quagga@example.com.")).status_code == 200
    assert [each.pk for each in written(gateway)] == [row.pk]  # what is only noted is in the tally and the trail


def test_each_policy_has_its_own_row_with_all_kinds_that_it_acted_on(gateway, world):
    hold(world, gateway, rules={"card": ("block", ""), "email": ("block", "")})
    second = hold(world, gateway, "mail", rules={"email": ("block", ""), "iban": ("block", "")})
    assert ask(gateway, OPENAI, change=said(WORDS)).status_code == 403
    rows = {row.policy_name: row for row in written(gateway)}
    assert {name: row.kinds for name, row in rows.items()} == {"pci": {"card": 2, "email": 1}, "mail": {"email": 1}}
    policies.remove_policy(second, actor=world.alice)
    assert Intervention.objects.filter(policy_name="mail").count() == 1  # it outlives its policy


def test_what_is_masked_or_routed_is_found_beside_its_ledger_row(gateway, world, simulator):
    model = world.model("claude-both")
    world.deploy("claude-both", upstream="claude-private", model=model, tags=["private"])
    hold(world, gateway, rules={"card": ("route", "")}, route_tag="private")
    hold(world, gateway, "hide", rules={"card": ("mask", ""), "email": ("mask", "")})
    response = ask(gateway, OPENAI, model="claude-both", change=said(WORDS))
    assert response.status_code == 200, response.text
    assert "1111" not in json.dumps(simulator.calls()[-1])
    rows = {row.policy_name: row for row in written(gateway)}
    assert {name: (row.action, row.kinds) for name, row in rows.items()} == {
        "pci": ("route", {"card": 2}),
        "hide": ("mask", {"card": 2, "email": 1}),
    }
    gateway.settle()
    assert {row.request_id for row in rows.values()} == {Entry.objects.get().request_id}


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_is_ended_has_one_row_with_its_attempt(gateway, world, stream):
    hold(world, gateway, rules={"card": ("", "stop"), "email": ("", "flag")})
    response = ask(gateway, ANTHROPIC, change=said(CARD, stream=stream))
    assert "by policy pci" in response.text
    (row,) = written(gateway)
    assert (row.action, row.is_answer, row.attempt, row.kinds) == ("stop", True, 1, {"card": 1})
    gateway.settle()
    assert (Entry.objects.get().request_id, Entry.objects.get().attempt) == (row.request_id, row.attempt)


def test_what_is_malformed_is_refused_without_a_row(gateway, world, simulator):
    hold(world, gateway, rules={"card": ("block", "")})
    seen = simulator.seen()
    bodies = (b"", b"{", b"[" * 20_000, b'{"model":"claude-test","max_tokens":9,"messages":"' + CARD.encode())
    for body in bodies:
        assert ask(gateway, ANTHROPIC, body=body).status_code == 400
    assert written(gateway) == []
    assert simulator.seen() == seen


def test_rows_survive_a_store_that_is_away_and_are_written_once(unhurried, gateway, world, monkeypatch):
    hold(world, gateway, rules={"card": ("block", "")})
    pending = gateway.engine.configuration.findings.interventions
    with away():
        for _ in range(3):
            assert ask(gateway, ANTHROPIC, change=said(CARD)).status_code == 403
        assert len(pending) == 3
        with pytest.raises(Exception, match="policies_intervention"):
            flush(gateway)
        assert len(pending) == 3
        monkeypatch.setattr(interventions, "MOST_PENDING", 4)
        for _ in range(3):
            assert ask(gateway, ANTHROPIC, change=said(CARD)).status_code == 403
        assert len(pending) == 4
    assert len(written(gateway)) == 4


def test_a_clean_stop_writes_what_is_pending(unhurried, gateway, world):
    hold(world, gateway, rules={"card": ("block", "")})
    for path in (ANTHROPIC, OPENAI):
        assert ask(gateway, path, model="claude-test", change=said(CARD)).status_code == 403
    assert Intervention.objects.count() == 0
    gateway.stop()
    assert Intervention.objects.count() == 2
