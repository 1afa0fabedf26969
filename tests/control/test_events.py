"""What is told of the ledger, from the transaction that writes it to a sink; with files, which need no server."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import ids
from apps.events import outbox, placing, relay, selectors, services, tidying
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.status import outbox as measured
from apps.status.remembered import Remembered
from apps.usage import ledger, rows
from apps.usage.models import Entry
from tests import factories
from tests.control.events import calls, file_sink, run, sequences, told
from tests.money.calls import intent, outcome

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folder(settings, tmp_path) -> None:
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]


def kinds() -> list[tuple[str, str]]:
    return [(event.kind, str(event.uid)) for event in Event.objects.order_by("id")]


def test_nothing_is_written_while_nobody_wants_it():
    with CaptureQueriesContext(
        connection,
    ) as queries:
        ledger.post([*calls(1, of=3)])
    assert not Event.objects.exists()
    assert sum("events_" in query["sql"] for query in queries) == 1
    file_sink(kinds=["budget.threshold"])
    ledger.post([*calls(1, of=3)])
    assert not Event.objects.exists()


def test_each_entry_is_told_of_by_its_kind_and_once():
    file_sink()
    doubt = outcome(intent(tenant_id=3), cost=500, low=100, high=900, state="unconfirmed", status="interrupted")
    (unconfirmed,) = ledger.post([doubt])
    truth = outcome(doubt.intent, cost=600)
    void = outcome(cost=0, state="void", status="upstream_error")
    new = ledger.post([truth, void, doubt])
    (correction,) = Entry.objects.filter(kind=3).values_list("pk", flat=True)
    ledger.post([truth, void])
    assert kinds() == [
        ("usage.unconfirmed", str(unconfirmed)),
        ("usage.settled", str((new - {correction}).pop())),
        ("usage.corrected", str(correction)),
    ]


def test_an_event_is_gone_with_the_transaction_that_wrote_it():
    file_sink()
    with transaction.atomic():
        ledger.post([*calls(1)])
        outbox.emit("key.created", tenant_id=1, subject="key/a", data={})
        assert Event.objects.count() == 2
        transaction.set_rollback(True)
    assert not Entry.objects.exists()
    assert not Event.objects.exists()


def test_a_call_is_told_with_what_it_used_and_cost(tmp_path):
    made = factories.project()
    file_sink()
    call = intent(
        tenant_id=made.tenant_id, project_id=made.pk, credential="main",
        upstream_model="claude-4", stream=True, trace_id="a" * 32,
    )  # fmt: skip
    (entry,) = ledger.post([outcome(call, cost=1_234_500, latency_ms=12, stop_reason="end_turn")])
    assert run() == 1
    (event,) = told(tmp_path)
    data = event.pop("data")
    assert event == {
        "specversion": "1.0", "id": str(entry), "source": "http://127.0.0.1:8000", "type": "weir.usage.settled.v1",
        "subject": f"project/{made.slug}", "time": event["time"], "datacontenttype": "application/json",
        "dataschema": "urn:weir:event:usage.settled.v1", "sequence": event["sequence"], "tenant": made.tenant.slug,
    }  # fmt: skip
    assert (data["model"], data["input_tokens"], data["output_tokens"], data["total_tokens"]) == ("claude-4", 10, 5, 15)
    assert (data["cost_nano"], data["cost_usd"], data["state"]) == (1_234_500, "0.0012345", "settled")
    assert (data["key_alias"], data["stream"], data["stop_reason"], data["latency_ms"]) == (
        "main",
        True,
        "end_turn",
        12,
    )
    assert data["tenant"] == {"id": made.tenant_id, "slug": made.tenant.slug, "name": made.tenant.name}
    assert (data["project"]["slug"], data["trace_id"], data["corrects"]) == (made.slug, "a" * 32, None)


def test_what_is_of_nobody_any_more_is_told_by_number(tmp_path):
    file_sink()
    ledger.post([*calls(77_777, provider_request_id="req_1", message_id="msg_1")])
    run()
    (event,) = told(tmp_path)
    assert (event["data"]["provider_request_id"], event["data"]["message_id"]) == ("req_1", "msg_1")
    assert (event["tenant"], event["data"]["tenant"]) == ("77777", {"id": 77_777})


def test_a_sink_hears_from_when_it_is_made_and_keeps_its_place_while_it_is_disabled(tmp_path):
    file_sink("old")
    ledger.post([*calls(1)])
    run()
    new = file_sink("new")
    ledger.post([*calls(1, of=2)])
    services.update_sink(new, actor=None, is_enabled=False)
    ledger.post([*calls(1)])
    run()
    assert (len(told(tmp_path, "old")), told(tmp_path, "new")) == (4, [])
    services.update_sink(new, actor=None, is_enabled=True)
    run()
    assert sequences(told(tmp_path, "new")) == sequences(told(tmp_path, "old"))[1:] == [2, 3, 4]


def test_a_sink_that_is_away_keeps_no_other_and_loses_nothing(tmp_path):
    (tmp_path / "away").write_text("no folder")
    sinks = [file_sink("away"), file_sink("here", kinds=["usage.settled"])]
    ledger.post([*calls(1, of=5)])
    assert [relay.deliver(sink) for sink in sinks] == [0, 0]  # nothing has a position yet
    run()
    assert len(told(tmp_path, "here")) == 5
    lag, _ = selectors.lags()
    assert (lag.undelivered, lag.dead, lag.failing_since is not None) == (5, 0, True)
    assert lag.message == f"{tmp_path / 'away'}: File exists"[:200]
    assert lag.age > 0
    (tmp_path / "away").unlink()
    run()
    assert told(tmp_path, "away") == told(tmp_path, "here")
    assert [(lag.undelivered, lag.failing_since, lag.delivered) for lag in selectors.lags()] == [(0, None, 5)] * 2


def test_what_has_happened_is_sent_again_from_a_moment_on_under_the_same_ids(tmp_path):
    sink = file_sink()
    ledger.post([*calls(1, of=3)])
    run()
    Event.objects.filter(position=1).update(at=timezone.now() - timedelta(hours=1))
    assert services.replay(sink, actor=None, since=timezone.now() - timedelta(minutes=1)) == 2
    run()
    first, again = told(tmp_path)[1:3], told(tmp_path)[3:]
    assert first == again
    assert Record.objects.filter(action="sink.replayed").get().after["events"] == 2


def test_whoever_is_sending_while_that_is_asked_does_not_move_the_cursor_back(tmp_path):
    sink = file_sink()
    ledger.post([*calls(1, of=2)])
    run()
    assert relay._claim(sink, "zombie")
    services.replay(sink, actor=None, since=timezone.now() - timedelta(hours=1))
    assert not Cursor.objects.filter(sink=sink, holder="zombie").exists()
    assert run() == 2


def test_old_events_go_when_all_sinks_have_them(settings, tmp_path):
    sink, other = file_sink("one"), file_sink("other")
    services.update_sink(other, actor=None, is_enabled=False)
    ledger.post([*calls(1, of=3)])
    run()
    Event.objects.update(at=timezone.now() - timedelta(days=settings.WEIR_EVENT_DAYS, minutes=1))
    assert tidying.forget(timezone.now()) == 0
    Sink.objects.filter(pk=other.pk).update(kept_until=timezone.now() - timedelta(seconds=1))
    Undelivered.objects.create(sink=sink, event=Event.objects.get(position=2), position=2, state="dead")
    assert tidying.forget(timezone.now()) == 2
    assert services.drop([row.pk for row in selectors.letters(sink)], sink=sink, actor=None) == 1
    assert tidying.forget(timezone.now()) == 1


def test_what_is_old_goes_part_by_part_and_what_was_committed_late_with_those_around_it(settings, monkeypatch):
    monkeypatch.setattr(tidying, "_AT_ONCE", 2)
    now, old = timezone.now(), timezone.now() - timedelta(days=settings.WEIR_EVENT_DAYS, minutes=1)
    sink = file_sink()
    ledger.post([*calls(1, of=9)])
    run()
    for position in (1, 2):
        event = Event.objects.get(position=position)
        Undelivered.objects.create(sink=sink, event=event, position=position, state="dead")
    Event.objects.filter(position__in=(1, 2, 3, 4, 5, 9)).update(at=old)
    assert tidying.forget(now) == 3
    Event.objects.filter(position__in=(6, 7)).update(at=old)
    assert tidying.forget(now) == 3
    assert set(Event.objects.values_list("position", flat=True)) == {1, 2, 8}


def test_a_claim_holds_whatever_the_clock_of_another_worker_says(monkeypatch):
    sink, right = file_sink(), timezone.now
    ledger.post([*calls(1)])
    placing.place()
    assert relay._claim(sink, "first")
    monkeypatch.setattr(timezone, "now", lambda: right() + timedelta(hours=1))
    assert not relay.due().exists()
    assert not relay._claim(sink, "second")


def test_what_another_version_has_written_is_told_or_waits(tmp_path):
    file_sink()
    Event.objects.create(kind="moon.full", tenant_id=1, subject="moon", data={"phase": 1})
    Event.objects.create(kind="sun.risen", tenant_id=1)
    ledger.post([*calls(1), *calls(2)])
    run()
    assert [event["type"] for event in told(tmp_path)] == ["weir.moon.full.v1", "weir.usage.settled.v1"]
    assert [row.message[:12] for row in Undelivered.objects.order_by("position")] == ["this version", ""]


def test_what_is_told_of_may_be_gone_and_is_a_dead_letter_then(tmp_path):
    file_sink()
    outbox.refer([(uuid.uuid4(), "usage.settled", 1)])
    ledger.post([*calls(1)])
    run()
    assert (len(told(tmp_path)), Undelivered.objects.get().state) == (1, "dead")


def test_repricings_and_adjustments_are_corrections():
    file_sink(kinds=["usage.corrected"])
    (entry,) = ledger.post([*calls(1)])
    row = Entry.objects.get(pk=entry)
    change = rows.of_entry(row) | {
        "id": ids.in_slot(entry, slot=3),
        "kind": 4,
        "cost_nano": -100,
        "error_code": "price",
    }
    ledger.append([change])
    assert kinds() == [("usage.corrected", str(change["id"]))]


@pytest.mark.parametrize("target", ["../out", "/etc/weir", "a\0b"])
def test_a_file_lies_in_a_folder_that_is_allowed(target):
    with pytest.raises(ValidationError, match="folder within"):
        services.create_sink(actor=None, name="x", kind="file", target=target)


def test_a_line_that_was_cut_off_is_not_left_before_the_next_one(tmp_path):
    file_sink()
    ledger.post([*calls(1, of=2)])
    run()
    (file,) = (tmp_path / "file").glob("*.jsonl")
    file.write_bytes(file.read_bytes() + b'{"specversion": "1.')
    ledger.post([*calls(1)])
    run()
    assert len(told(tmp_path)) == 3


def test_the_metrics_tell_how_far_each_sink_is_behind(tmp_path):
    (tmp_path / "away").write_text("no folder")
    sinks = [file_sink("away"), file_sink("here"), file_sink("off", is_enabled=False)]
    ledger.post([*calls(1, of=3)])
    run()
    ledger.post([*calls(1)])
    Undelivered.objects.create(sink=sinks[1], event=Event.objects.get(position=2), position=2, state="dead")
    found = {
        (sample.name.removeprefix("weir_outbox_"), sample.labels["sink"]): sample.value
        for family in Remembered(measured.read).collect()
        for sample in family.samples
    }
    assert {sink for _, sink in found} == {"away", "here"}
    of_each = ("undelivered", "waiting", "dead_letters", "sink_away", "delivered_total")
    assert [found[name, "away"] for name in of_each] == [4, 0, 0, 1, 0]
    assert [found[name, "here"] for name in of_each] == [1, 0, 1, 0, 3]
    assert found["oldest_seconds", "away"] >= found["oldest_seconds", "here"] > 0
