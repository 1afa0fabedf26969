"""What is refused before anybody is asked is counted for its key, with its reason, and no word of it is kept."""

from __future__ import annotations

import pytest
from django.core.serializers import serialize
from django.db.models import Sum

from apps.gateway import tally as tallies
from apps.keys.models import Key
from apps.runtime import clock
from apps.runtime.state import state
from apps.status import exposition
from apps.usage import refusals
from apps.usage.models import Entry, Refusal, RefusedCall
from tests.gateway.calls import ANTHROPIC, OPENAI, ask

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture(autouse=True)
def _unhurried(settings):
    """For a gateway that writes nothing down by itself."""
    settings.WEIR_REFRESH_SECONDS = 3_600.0


def counted(gateway):
    """By reason and status, of all that was refused so far."""
    gateway.call(gateway.engine.configuration._count_refusals())
    sums = Refusal.objects.order_by().values_list("reason", "status", "model_name").annotate(Sum("count"))
    return {tuple(what): times for *what, times in sums}


def test_each_reason_is_counted_for_its_key(gateway, world):
    limited = world.key_row
    world.limit(key=limited, requests_per_minute=1)
    poor = world.issue()
    world.budget(key=Key.objects.latest("pk"), amount=0)
    confined = world.issue(endpoints=["embeddings"])
    elsewhere = world.issue(networks=["10.0.0.0/8"])
    expired = world.expired_key()
    revoked = world.revoked_key()
    gateway.refresh()
    assert ask(gateway, ANTHROPIC).status_code == 200
    for _ in range(3):
        assert ask(gateway, ANTHROPIC, headers={"user-agent": "claude-cli/2.1"}).status_code == 429
    assert ask(gateway, OPENAI, key=poor).status_code == 429
    assert ask(gateway, OPENAI, key=poor, model="gpt-9").status_code == 404
    assert ask(gateway, OPENAI, key=poor, body=b"quagga").status_code == 400
    assert ask(gateway, ANTHROPIC, key=confined).status_code == 403
    assert ask(gateway, ANTHROPIC, key=elsewhere).status_code == 403
    assert ask(gateway, ANTHROPIC, key=expired).status_code == 401
    assert ask(gateway, ANTHROPIC, key=revoked).status_code == 401
    assert counted(gateway) == {
        ("requests", 429, "claude-test"): 3, ("budget", 429, "gpt-test"): 1, ("model", 404, ""): 1,
        ("invalid", 400, ""): 1, ("scope", 403, ""): 2, ("ended", 401, ""): 2,
    }  # fmt: skip
    gateway.settle()
    assert Entry.objects.count() == 1
    assert set(Refusal.objects.values_list("tenant_id", "project_id")) == {(world.tenant.pk, world.project.pk)}
    mine = Refusal.objects.get(key=limited)
    assert (mine.user_id, mine.count) == (world.alice.pk, 3)
    newest = RefusedCall.objects.filter(key=limited).latest("at")
    assert (newest.model_name, newest.endpoint, newest.client_address) == ("claude-test", "messages", "127.0.0.1")
    assert newest.user_agent == "claude-cli/2.1"
    assert RefusedCall.objects.get(reason="model").model_name == "gpt-9"


def test_callers_that_nobody_knows_are_counted_and_no_more(gateway, world):
    for key in (None, "not-a-key", "sk-ant-api03-quagga", world.key[:-1] + ("a" if world.key[-1] != "a" else "b")):
        assert ask(gateway, ANTHROPIC, key=key).status_code == 401
    assert ask(gateway, "/v1/batches").status_code == 404
    found = counted(gateway)
    assert {reason: count for (reason, _, _), count in found.items()} == {"nameless": 1, "strange": 3, "method": 1}
    assert not Refusal.objects.exclude(tenant=None, key=None).exists()
    assert not RefusedCall.objects.exists()
    assert "quagga" not in serialize("json", Refusal.objects.all())


@pytest.mark.parametrize(
    "name",
    ["m" * 5000, "quagga@example.com", "4111 1111 1111 1111", "4111111111111111", "sk-ant-api03-quagga", "eine Frage"],
)
def test_no_word_of_a_caller_is_kept_that_is_not_the_name_of_a_model(gateway, world, name):
    body = {"messages": [{"role": "user", "content": "my quagga"}]}
    request = ask(gateway, OPENAI, model=name, change=body).headers["x-request-id"]
    assert counted(gateway) == {("model", 404, ""): 1}
    (row,) = RefusedCall.objects.all()
    assert row.request_id.hex == request.removeprefix("req_")
    stored = serialize("json", [*Refusal.objects.all(), row])
    assert name not in stored
    assert "quagga" not in stored


def test_reasons_are_counted_for_prometheus(gateway, world):
    before = state.refused["model"]
    ask(gateway, ANTHROPIC, model="gone")
    assert state.refused["model"] == before + 1
    text = exposition.render("text/plain")[0].decode()
    (line,) = [line for line in text.splitlines() if line.startswith("weir_refused_calls_total") and '"model"' in line]
    assert float(line.split()[-1]) == before + 1


def test_what_the_ledger_tells_of_is_not_counted_here(gateway, world):
    world.scripted("500")
    gateway.refresh()
    assert ask(gateway, ANTHROPIC, model="claude-500").status_code == 502
    assert ask(gateway, ANTHROPIC).status_code == 200
    gateway.settle()
    assert Entry.objects.count() == 2
    assert counted(gateway) == {}


def test_a_process_that_ends_writes_what_it_has_counted(gateway, world):
    for _ in range(7):
        assert ask(gateway, ANTHROPIC, model="gone").status_code == 404
    assert not Refusal.objects.exists()
    gateway.stop()
    assert Refusal.objects.get().count == 7
    assert not tallies.tally


def test_while_the_database_does_not_take_them_they_wait(gateway, world, monkeypatch):
    def away(*_):
        raise OSError("away")

    ask(gateway, ANTHROPIC, model="gone")
    with monkeypatch.context() as patch:
        patch.setattr(refusals, "_is_new", away)
        with pytest.raises(OSError, match="away"):
            counted(gateway)
    ask(gateway, ANTHROPIC, model="gone")
    assert counted(gateway) == {("model", 404, ""): 2}
    assert Refusal.objects.get().hour.timestamp() <= clock.now()
