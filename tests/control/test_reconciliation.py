"""A provider's report from the file to the books and back: what differs is told, posted once, and can be taken back."""

from __future__ import annotations

import datetime
import json

import pytest
from django.core.exceptions import ValidationError
from django.db.models import Sum
from django.utils import timezone

from apps.audit.models import Record
from apps.domain import money
from apps.reconciliation import comparing, judging, services, working
from apps.reconciliation.grouping import plain
from apps.reconciliation.models import AdjustedDay, Adjustment, Difference, Report, Status
from apps.reconciliation.shapes import cur
from apps.usage import adjustments, days
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup, Kind
from tests import factories
from tests.control.ledgers import NOW, USAGE, settle
from tests.control.reports import DATED, DAY, MODEL, Office, billed, body, used

pytestmark = pytest.mark.django_db


def again(report, desk):
    services.compare_again(report, actor=desk.actor)
    working.work()
    report.refresh_from_db()
    return told(report)


def told(report):
    rows = report.differences.values_list("model", "credential", "status", "difference_nano")
    return [tuple(row) for row in rows]


def spent(**of):
    return HourlyRollup.objects.filter(**of).aggregate(total=Sum("cost_nano"))["total"]


def violations():
    return [(found.name, found.offenders) for found in verify.run().findings if found.violations]


@pytest.fixture
def desk(db) -> Office:
    return Office()


def test_what_is_equal_is_equal_under_a_dated_name_too(desk):
    desk.calls()
    report = desk.upload(billed(4 * desk.cost))
    assert (report.state, report.version, report.by_account) == (Report.State.READY, 1, False)
    assert told(report) == [(MODEL, "", Status.EQUAL, 0)]


@pytest.mark.parametrize(
    ("off", "status"),
    [
        (money.NANO // 100, Status.CLOSE),
        (-money.NANO // 100, Status.CLOSE),
        (money.NANO // 100 + 1, Status.MORE_THERE),
        (-money.NANO // 100 - 1, Status.MORE_HERE),
    ],
)
def test_a_cent_is_within_tolerance_and_a_nano_dollar_more_is_not(desk, off, status):
    desk.calls()
    assert told(desk.upload(billed(4 * desk.cost + off))) == [(MODEL, "", status, off)]


def test_tokens_are_compared_by_credential_where_the_report_tells_no_money(desk):
    desk.calls(3)
    desk.calls(2, credential="spare")
    report = desk.upload(used(3), used(1, key="apikey_2"), shape="anthropic_usage")
    names = [(row.credential, row.status) for row in report.differences.all()]
    assert names == [
        ("apikey_1", Status.NOT_HERE), ("apikey_2", Status.NOT_HERE),
        ("main", Status.NOT_THERE), ("spare", Status.NOT_THERE),
    ]  # fmt: skip
    for name, credential in zip(("apikey_1", "apikey_2"), desk.credentials, strict=True):
        services.create_name(actor=desk.actor, provider=desk.provider, name=name, credential=credential)
    again(report, desk)
    rows = list(report.differences.order_by("credential"))
    assert [(row.credential, row.status) for row in rows] == [("main", Status.EQUAL), ("spare", Status.MORE_HERE)]
    assert rows[1].kinds["counted"] == [2 * count for count in rows[1].kinds["reported"]]
    with pytest.raises(ValidationError, match="no money"):
        desk.post(report)


def test_a_workspace_of_two_credentials_is_compared_with_both(desk):
    desk.calls(3)
    desk.calls(2, credential="spare")
    for credential in desk.credentials:
        services.create_name(actor=desk.actor, provider=desk.provider, name="wrkspc_1", credential=credential)
    report = desk.upload(billed(5 * desk.cost, workspace="wrkspc_1"))
    assert told(report) == [(MODEL, "main, spare", Status.EQUAL, 0)]


def test_doubts_are_shown_where_they_explain_most(desk):
    desk.calls()
    desk.calls(1, state="unconfirmed", cost=700, low=0, high=5_000, usage_source="none")
    row = desk.upload(billed(4 * desk.cost + money.NANO)).differences.get()
    assert (row.unconfirmed, row.doubt_nano, row.calls) == (1, 5_000, 5)
    assert judging.hints(row)[0].startswith("Unconfirmed: 1 of its calls")


def test_tokens_that_differ_are_told_beside_money_and_alone(desk):
    desk.calls()
    alone = desk.upload(used(5, key=None), shape="anthropic_usage").differences.get()
    assert (alone.status, alone.difference_tokens) == (Status.MORE_THERE, USAGE.total)
    assert services.tokens(alone.report.differences.all()) == {Status.MORE_THERE: USAGE.total}
    services.withdraw(alone.report, actor=desk.actor)
    money_alone = desk.upload(billed(4 * desk.cost)).differences.get()
    assert money_alone.difference_tokens is None
    usage = f"{DAY}T09:00:00Z,{DAY}T10:00:00Z,AmazonBedrock,USE1-{MODEL}-input-tokens"
    row = f"{usage},5000,{money.dollars(4 * desk.cost):f},USD,Usage,1K tokens"
    heading = ",".join((*cur.NEEDED[:4], cur.NEEDED[5], cur.NEEDED[4], cur.NEEDED[6], *cur.WANTED[7:8], "pricing_unit"))
    made = services.upload(
        actor=desk.actor, provider=desk.provider, shape="aws_cur", body=f"{heading}\n{row}\n".encode()
    )
    working.work()
    both = made.differences.get()
    off = 5_000_000 - 4 * USAGE.total
    assert (both.status, both.difference_nano, both.difference_tokens) == (Status.EQUAL, 0, off)
    assert judging.hints(both) == [f"The provider tells {off:,} tokens more than Weir, which no other price explains."]


def test_traffic_that_went_past_weir_is_unknown_to_it_and_goes_where_somebody_says(desk):
    desk.calls()
    report = desk.upload(billed(4 * desk.cost), billed(7_000_000_000, model="gpt-past"))
    assert told(report)[1] == ("gpt-past", "", Status.NOT_HERE, 7_000_000_000)
    with pytest.raises(ValidationError, match="whose it is"):
        desk.post(report, Status.NOT_HERE)
    overhead = factories.project(desk.books.tenant)
    desk.post(report, Status.NOT_HERE, project=overhead)
    settle()
    assert spent(project=overhead.pk) == 7_000_000_000
    assert {status for _, _, status, _ in again(report, desk)} == {Status.EQUAL}
    assert violations() == []


@pytest.mark.parametrize("off", [1_234_567_891, -3 * 10**6])
def test_what_is_posted_is_in_the_books_to_the_unit_and_taken_back_leaves_nothing(desk, off):
    desk.calls()
    before, budget = spent(), desk.books.settled()
    report = desk.upload(billed(4 * desk.cost + off))
    made = desk.post(report, *services.USUAL, Status.CLOSE, note="November")
    settle()
    days.roll_up(NOW)
    assert (made.state, spent(), desk.books.settled()) == (Adjustment.State.POSTED, before + off, budget)
    assert made.items.get().rows == Entry.objects.filter(kind=Kind.ADJUSTMENT).count() > 1
    assert HourlyRollup.objects.filter(cost_nano__lt=0).count() == 0
    assert violations() == []
    assert again(report, desk) == [(MODEL, "", Status.EQUAL, 0)]
    services.take_back(made, actor=desk.actor)
    working.work()
    settle()
    made.refresh_from_db()
    assert (made.state, spent()) == (Adjustment.State.UNDONE, before)
    assert violations() == []
    actions = ["report.uploaded", "adjustment.posted", "report.compared", "adjustment.undone"]
    assert list(Record.objects.filter(action__in=actions).order_by("pk").values_list("action", flat=True)) == actions


def test_a_comparison_is_posted_once_and_a_double_click_is_told(desk):
    desk.calls()
    report = desk.upload(billed(5 * desk.cost + money.NANO))
    shown = report.version
    desk.post(report)
    working.work()
    rows = Entry.objects.filter(kind=Kind.ADJUSTMENT).count()
    with pytest.raises(ValidationError, match="posted before"):
        desk.post(report)
    again(report, desk)
    with pytest.raises(ValidationError, match="compared again"):
        services.post(report, actor=desk.actor, version=shown, statuses=services.USUAL)
    with pytest.raises(ValidationError, match="no money"):
        desk.post(report)
    adjustment = Adjustment.objects.get()
    services.take_back(adjustment, actor=desk.actor)
    with pytest.raises(ValidationError, match="Only what is posted"):
        services.take_back(adjustment, actor=desk.actor)
    assert Entry.objects.filter(kind=Kind.ADJUSTMENT).count() == rows


def test_what_has_changed_since_it_was_shown_is_not_posted(desk):
    desk.calls()
    report = desk.upload(billed(5 * desk.cost + money.NANO))
    made = services.post(report, actor=desk.actor, version=1, statuses=services.USUAL)
    desk.calls(1)
    working.work()
    assert made.items.get().state == AdjustedDay.State.CHANGED
    assert not Entry.objects.filter(kind=Kind.ADJUSTMENT).exists()


def test_two_reports_of_the_same_days_do_not_post_the_same_twice(desk):
    """Costs of another shape say the same: whoever comes second finds the books changed."""
    desk.calls()
    first = desk.upload(billed(5 * desk.cost + money.NANO))
    begin = int(datetime.datetime.combine(DAY, datetime.time(), datetime.UTC).timestamp())
    value = float(money.dollars(5 * desk.cost + money.NANO))
    result = {"amount": {"value": value, "currency": "usd"}, "line_item": DATED}
    bucket = {"start_time": begin, "end_time": begin + 86400, "results": [result]}
    openai = json.dumps({"data": [bucket], "has_more": False}).encode()
    second = services.upload(actor=desk.actor, provider=desk.provider, shape="openai_costs", body=openai)
    working.work()
    second.refresh_from_db()
    both = [
        services.post(report, actor=desk.actor, version=1, statuses=services.USUAL) for report in (first, second)
    ]  # fmt: skip
    working.work()
    assert [made.items.get().state for made in both] == ["posted", "changed"]
    assert violations() == []


def test_the_same_report_twice_and_days_that_are_here_are_told_at_the_file(desk):
    desk.calls()
    first = desk.upload(billed(4 * desk.cost), billed(5, model="other"))
    with pytest.raises(ValidationError, match=f"it is number {first.pk}") as refusal:
        desk.upload(billed(5, model="other"), billed(4 * desk.cost))
    assert list(refusal.value.message_dict) == ["file"]
    with pytest.raises(ValidationError, match="withdraw it first"):
        desk.upload(billed(4 * desk.cost + 1))
    assert Report.objects.count() == 1
    services.withdraw(first, actor=desk.actor)
    assert desk.upload(billed(4 * desk.cost)).pk != first.pk
    assert not Difference.objects.filter(report=first).exists()


@pytest.mark.parametrize(("content", "words"), [(b"{", "not JSON"), (b"x" * 101, "longer than 100 bytes")])
def test_what_cannot_be_read_leaves_nothing(desk, monkeypatch, content, words):
    monkeypatch.setattr(services, "MOST_BYTES", 100)
    with pytest.raises(ValidationError, match=words):
        services.upload(actor=desk.actor, provider=desk.provider, shape="anthropic_cost", body=content)
    assert not Report.objects.exists()
    assert not Record.objects.filter(action="report.uploaded").exists()


def test_a_day_that_is_not_over_and_one_whose_rows_are_sealed_are_not_posted(desk, monkeypatch):
    today = timezone.now().date()
    running = desk.upload(billed(9 * money.NANO), day=today)
    assert [status for _, _, status, _ in told(running)] == [Status.RUNNING]
    desk.calls()
    monkeypatch.setattr(adjustments, "is_sealed", lambda day: True)
    sealed = desk.upload(billed(9 * money.NANO))
    assert {status for _, _, status, _ in told(sealed)} == {Status.SEALED}
    for report in (running, sealed):
        with pytest.raises(ValidationError, match="no money"):
            desk.post(report, *services.USUAL)


def test_what_was_posted_under_a_name_too_long_for_the_ledger_is_there_when_it_is_compared_again(desk):
    desk.calls()
    key = "arn:aws:sts::123456789012:assumed-role/Bedrock-Caller-Production/i-0abc123def456789"
    report = desk.upload(used(2, key=key), shape="anthropic_usage")
    ((_, name, status, _), _) = told(report)
    assert (status, len(name)) == (Status.NOT_HERE, adjustments.CREDENTIAL_LENGTH)
    assert name != adjustments.fitting(f"{key}0", adjustments.CREDENTIAL_LENGTH)
    share = adjustments.Share(
        comparing.begin_of(DAY),
        (key, MODEL),
        (desk.books.tenant.pk, desk.books.project.pk, *[None] * 3, "", None),
        MODEL,
        7,
    )
    adjustments.post([share], name="one", provider_id=desk.provider.pk, note="")
    assert [credential for _, credential, _, _ in again(report, desk)].count(name) == 1


def test_what_is_sealed_meanwhile_is_not_taken_back(desk, monkeypatch):
    desk.calls()
    made = desk.post(desk.upload(billed(4 * desk.cost + money.NANO)))
    services.take_back(made, actor=desk.actor)
    monkeypatch.setattr(adjustments, "is_sealed", lambda day: True)
    working.work()
    made.refresh_from_db()
    assert (made.state, made.items.get().state) == (Adjustment.State.POSTED, AdjustedDay.State.POSTED)
    with pytest.raises(ValidationError, match="sealed"):
        services.take_back(made, actor=desk.actor)
    assert Entry.objects.filter(kind=Kind.ADJUSTMENT, cost_nano__lt=0).count() == 0


def test_a_worker_that_died_is_followed_by_another(desk):
    desk.calls()
    report = services.upload(actor=None, provider=desk.provider, shape="anthropic_cost", body=body(billed(5)))
    Report.objects.filter(pk=report.pk).update(claimed_at=timezone.now())
    assert working.work() == 0
    Report.objects.filter(pk=report.pk).update(claimed_at=timezone.now() - working.SILENT * 2)
    assert working.work() == 1
    assert len(comparing.days_of(report)) == 1


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("claude-sonnet-4-5-20250929", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("gpt-4o-2024-08-06", "gpt-4o"),
        ("Claude Haiku 4.5", "claude-haiku-4-5@20251001"),
    ],
)
def test_a_model_is_known_without_what_providers_add_to_its_name(name, same):
    assert plain(name) == plain(same).removeprefix("anthropic-")
