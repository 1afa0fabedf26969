"""A call that is refused is found in the log by the id that its caller has."""

from __future__ import annotations

import logging

import pytest

from apps.catalog import services as catalog
from apps.catalog.models import Model
from apps.domain import keys
from apps.gateway import refusals
from gateway_site import logs
from tests.gateway.calls import ANTHROPIC, OPENAI, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture
def lines(caplog, monkeypatch):
    """The lines of refusals so far, as fields. No flood of another test counts."""
    monkeypatch.setattr(refusals, "_told", refusals._Told())
    caplog.set_level(logging.INFO, logger=refusals.__name__)
    return lambda: [record.msg for record in caplog.records if record.name == refusals.__name__]


def of(lines, response):
    """The one line that bears the id of this answer."""
    given = response.headers.get("request-id") or response.headers["x-request-id"]
    (line,) = [line for line in lines() if line.get("request_id") == given]
    return line


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_a_refusal_is_found_by_its_trace_in_body_header_and_log(gateway, lines, path):
    trace = "0af7651916cd43dd8448eb211c80319c"
    response = ask(gateway, path, key=None, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    assert (response.json()["trace_id"], response.headers["x-trace-id"]) == (trace, trace)
    assert of(lines, response)["trace_id"] == trace
    own = ask(gateway, path, key=None)
    assert own.json()["trace_id"] == own.headers["x-trace-id"] == of(lines, own)["request_id"].removeprefix("req_")


def test_a_refused_key_is_logged_by_its_public_id_alone(gateway, world, lines):
    revoked = world.revoked_key()
    line = of(lines, ask(gateway, ANTHROPIC, key=revoked))
    assert line["event"] == "call.refused"
    assert line["level"] == "info"
    assert (line["kind"], line["code"], line["status"]) == ("authentication", "invalid_api_key", 401)
    assert (line["dialect"], line["endpoint"]) == ("anthropic_messages", "messages")
    assert line["public_id"] == keys.public_id(revoked)
    assert "tenant_id" not in line  # of whom nothing is known
    assert revoked.rpartition("_")[2] not in str(lines())
    assert of(lines, ask(gateway, OPENAI, key="not-a-key"))["public_id"] is None
    assert of(lines, ask(gateway, OPENAI, key=None))["public_id"] is None
    assert "not-a-key" not in str(lines())


@pytest.mark.parametrize(
    "name", ["m" * 5000, "quagga@example.com", "4111 1111 1111 1111", "sk-ant-api03-abc", "claude"]
)
def test_a_model_that_is_not_there_is_logged_without_its_name(gateway, world, lines, caplog, name):
    response = ask(gateway, OPENAI, model=name, change={"messages": [{"role": "user", "content": "quagga"}]})
    line = of(lines, response)
    assert (line["kind"], line["code"], line["status"]) == ("not_found", "model_not_found", 404)
    assert line["tenant_id"] == world.tenant.pk
    assert line["public_id"] == keys.public_id(world.key)
    assert line["model"] == refusals.UNKNOWN
    assert name == "claude" or name[:200] not in caplog.text
    assert "quagga" not in str(lines())


def test_a_body_a_limit_a_budget_and_a_path_that_refuse_are_each_one_line(gateway, world, lines):
    world.limit(key=world.key_row, requests_per_minute=1)
    poor = world.issue()
    world.budget(key=type(world.key_row).objects.latest("pk"), amount=0)
    gateway.refresh()
    assert of(lines, ask(gateway, ANTHROPIC, body=b"quagga"))["kind"] == "invalid_request"
    assert "quagga" not in str(lines())
    assert ask(gateway, ANTHROPIC).status_code == 200
    assert of(lines, ask(gateway, ANTHROPIC))["kind"] == "rate_limit"
    spent = of(lines, ask(gateway, OPENAI, key=poor))
    assert (spent["kind"], spent["model"]) == ("billing", "gpt-test")
    assert of(lines, ask(gateway, "/v1/batches"))["status"] == 404
    assert len(lines()) == 4


def test_a_call_that_is_in_the_ledger_is_not_logged_as_refused(gateway, world, lines):
    world.scripted("500")
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="claude-500").status_code == 502
    assert ask(gateway, ANTHROPIC).status_code == 200
    gateway.settle()
    assert lines() == []


def test_a_flood_is_counted_and_not_listed(gateway, lines, monkeypatch):
    monkeypatch.setattr(refusals, "MOST_A_SECOND", 3)
    asked = 0
    while not any(line["event"] == "call.refused_unlisted" for line in lines()):
        ask(gateway, ANTHROPIC, key=None)
        asked += 1
        assert asked < 10_000
    until(lambda: refusals._told.left_out == 0)
    listed = [line for line in lines() if line["event"] == "call.refused"]
    unlisted = [line["count"] for line in lines() if line["event"] == "call.refused_unlisted"]
    assert len(listed) + sum(unlisted) == asked
    assert sum(unlisted) > 0


@pytest.mark.parametrize("path", [ANTHROPIC, f"/e/sonnet{ANTHROPIC}"])
def test_every_field_of_the_line_has_a_name_that_the_log_lets_out(gateway, world, lines, path):
    catalog.create_endpoint(actor=world.alice, name="sonnet", model=Model.objects.get(name="claude-test"))
    gateway.refresh()
    ask(gateway, path, model="gone", change={"max_tokens": 0})
    (line,) = lines()
    told = logs.only_named_fields(None, "info", {name: value for name, value in line.items() if name[0] != "_"})
    assert "dropped" not in told
