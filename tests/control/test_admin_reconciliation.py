"""The operator's way through a report: bring it in, look at it, post it, take it back; and what hostile reports say."""

from __future__ import annotations

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test.utils import CaptureQueriesContext

from apps.domain import money
from apps.reconciliation import working
from apps.reconciliation.models import Adjustment, Report, ReportSource
from apps.usage.models import Entry, Kind
from tests import factories
from tests.control.desk import Desk
from tests.control.reports import DAY, MODEL, Office, billed, body

pytestmark = pytest.mark.django_db
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def office(db) -> Office:
    made = Office()
    made.calls()
    return made


@pytest.fixture
def desk(office) -> Desk:
    return Desk(office.actor)


def send(desk, office, content, *, shape="anthropic_cost", name="november.json"):
    file = SimpleUploadedFile(name, content)
    values = {"provider": office.provider.pk, "shape": shape, "file": file}
    return desk.client.post(desk.url("reconciliation_report_add"), values)


def brought_in(desk, office, *results):
    answer = send(desk, office, body(*results))
    assert answer.status_code == 302, answer.content.decode()
    working.work()
    return Report.objects.latest("pk")


def test_a_file_is_brought_in_shown_posted_once_and_taken_back(desk, office):
    report = brought_in(desk, office, billed(5 * office.cost + money.NANO))
    text = desk.text("reconciliation_report_change", report.pk)
    assert "november.json" in text
    assert "Provider has more" in text
    assert f"{DAY}: provider $" in text
    url = desk.url("reconciliation_report_post_differences", report.pk)
    preview = desk.client.get(url).content.decode()
    assert f"Provider has more: 1, +{money.text(office.cost + money.NANO)}" in preview
    values = {"version": report.version, "statuses": ["more_there"], "note": "November"}
    assert desk.client.post(url, values).status_code == 302
    assert "This comparison was posted" in desk.client.post(url, values).content.decode()
    working.work()
    made = Adjustment.objects.get()
    rows = Entry.objects.filter(kind=Kind.ADJUSTMENT)
    assert f"+{money.text(office.cost + money.NANO)}" in desk.text("reconciliation_adjustment_change", made.pk)
    assert "adjustment" in desk.text("usage_entry_change", rows[0].pk)
    count = rows.count()
    take_back = desk.url("reconciliation_adjustment_take_back", made.pk)
    assert desk.client.post(take_back).status_code == 302
    assert "Only what is posted" in desk.client.post(take_back).content.decode()
    working.work()
    assert rows.count() == 2 * count


@pytest.mark.parametrize("version", ["", "0", "7", "x", "9" * 40])
def test_a_comparison_that_was_not_shown_is_not_posted(desk, office, version):
    report = brought_in(desk, office, billed(5 * office.cost + money.NANO))
    url = desk.url("reconciliation_report_post_differences", report.pk)
    answer = desk.client.post(url, {"version": version, "statuses": ["more_there"]})
    assert "compared again since" in answer.content.decode()
    assert not Adjustment.objects.exists()


def test_what_goes_past_weir_needs_a_project_and_says_so_at_the_field(desk, office):
    report = brought_in(desk, office, billed(5 * money.NANO, model="past"))
    url = desk.url("reconciliation_report_post_differences", report.pk)
    values = {"version": 1, "statuses": ["not_here"]}
    answer = desk.client.post(url, values)
    assert answer.context["form"].errors == {"project": ["Say whose it is, what nobody called through Weir."]}
    assert desk.client.post(url, values | {"statuses": ["sealed"]}).context["form"].errors.keys() == {"statuses"}
    project = factories.project(office.books.tenant)
    assert desk.client.post(url, values | {"project": project.pk}).status_code == 302


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{}", "This is no page"),
        (body(billed(1) | {"currency": "EUR"}), "The ledger is in US dollars"),
        (body(billed(1) | {"amount": SCRIPT}), "Give a number"),
        (b"", "empty"),
    ],
)
def test_what_is_no_report_is_told_at_the_file_and_nothing_is_kept(desk, office, content, words):
    answer = send(desk, office, content)
    assert answer.status_code == 200
    assert words in str(answer.context["adminform"].form.errors["file"])
    assert not Report.objects.exists()


def test_names_in_a_report_are_text_wherever_they_are_shown(desk, office):
    report = brought_in(desk, office, billed(5 * money.NANO, model=SCRIPT, workspace=SCRIPT), billed(4 * office.cost))
    difference = report.differences.get(model=SCRIPT)
    url = desk.url("reconciliation_report_post_differences", report.pk)
    project = factories.project(office.books.tenant)
    desk.client.post(url, {"version": 1, "statuses": ["not_here"], "project": project.pk, "note": SCRIPT})
    working.work()
    adjustment = Adjustment.objects.get()
    pages = [
        ("reconciliation_report_changelist",), ("reconciliation_report_change", report.pk),
        ("reconciliation_difference_changelist",), ("reconciliation_difference_change", difference.pk),
        ("reconciliation_adjustment_change", adjustment.pk), ("usage_entry_changelist",),
        ("usage_entry_change", Entry.objects.filter(kind=Kind.ADJUSTMENT, upstream_model=SCRIPT).get().pk),
    ]  # fmt: skip
    for page in pages:
        assert SCRIPT not in desk.text(*page), page
    assert "&lt;script&gt;" in desk.text("reconciliation_difference_change", difference.pk)


def test_a_report_s_page_asks_few_questions_however_much_differs(desk, office):
    report = brought_in(
        desk, office, *(billed(money.NANO * (count + 1), model=f"model-{count}") for count in range(40))
    )
    with CaptureQueriesContext(
        connection,
    ) as few:
        desk.text("reconciliation_report_change", report.pk)
    assert len(few) <= 25
    with CaptureQueriesContext(connection) as listed:
        assert desk.text("reconciliation_difference_changelist").count("Unknown to Weir") >= 40
    assert len(listed) <= 25


def test_fetching_begins_with_a_key_and_tells_what_cannot_be(desk, office):
    url = desk.url("reconciliation_report_fetch")
    assert desk.url("reconciliation_reportsource_add") in desk.client.get(url).content.decode()
    key = "sk-ant-admin01-0123456789abcdef"
    values = {"provider": office.provider.pk, "vendor": "anthropic", "address": "https://api.anthropic.com"}
    refused = desk.client.post(desk.url("reconciliation_reportsource_add"), values)
    assert "Give the key." in refused.content.decode()
    assert desk.client.post(desk.url("reconciliation_reportsource_add"), values | {"secret": key}).status_code == 302
    source = ReportSource.objects.get()
    assert key not in desk.text("reconciliation_reportsource_change", source.pk)
    assert key[-4:] in desk.text("reconciliation_reportsource_changelist")
    wrong = {"source": source.pk, "shape": "openai_costs", "first_day": DAY, "last_day": DAY}
    assert desk.client.post(url, wrong).context["form"].errors.keys() == {"shape"}
    late = wrong | {"shape": "anthropic_cost", "last_day": "2099-01-01"}
    assert desk.client.post(url, late).context["form"].errors.keys() == {"last_day"}
    assert desk.client.post(url, late | {"last_day": DAY}).status_code == 302
    assert Report.objects.get().state == Report.State.FETCHING
    page = desk.get("reconciliation_report_change", Report.objects.get().pk)
    assert page["Refresh"] == "3"


def test_compare_and_withdraw_are_asked_for_and_said_in_words(desk, office):
    report = brought_in(desk, office, billed(4 * office.cost))
    compare = desk.url("reconciliation_report_compare", report.pk)
    assert desk.client.post(compare).status_code == 302
    assert "It is not compared yet." in desk.client.post(compare).content.decode()
    working.work()
    withdraw = desk.url("reconciliation_report_withdraw", report.pk)
    assert "Its lines are forgotten" in desk.client.get(withdraw).content.decode()
    assert desk.client.post(withdraw).status_code == 302
    assert "It was withdrawn." in desk.client.post(withdraw).content.decode()
    assert "Withdrawn" in desk.text("reconciliation_report_change", report.pk)
    assert "By day" not in desk.text("reconciliation_report_change", report.pk)


def test_who_may_only_look_can_neither_bring_in_nor_post(office):
    report = office.upload(billed(9 * office.cost + money.NANO))
    looker = Desk(factories.staff("reconciliation.view_report", "reconciliation.view_difference"))
    assert "Provider has more" in looker.text("reconciliation_report_change", report.pk)
    for name in ("post_differences", "compare", "withdraw"):
        url = looker.url(f"reconciliation_report_{name}", report.pk)
        assert looker.client.post(url, {"version": 1, "statuses": ["more_there"]}).status_code == 403
    assert looker.client.post(looker.url("reconciliation_report_fetch"), {}).status_code == 403
    assert send(looker, office, body(billed(1))).status_code == 403
    assert MODEL in looker.text("reconciliation_report_change", report.pk)
    assert not Adjustment.objects.exists()
