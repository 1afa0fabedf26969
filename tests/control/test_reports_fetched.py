"""Reports asked of a provider's admin API: a real server on a socket, page by page, with a key that nobody reads."""

from __future__ import annotations

import contextlib
import datetime
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork
from apps.reconciliation import fetching, services, working
from apps.reconciliation.models import Report, ReportSource
from tests.control.reports import DAY, MODEL, Office, billed, body

pytestmark = pytest.mark.django_db
KEY = "sk-ant-admin01-0123456789abcdef"
NEXT = DAY + datetime.timedelta(days=1)
REFUSED = json.dumps({"error": {"message": f"invalid x-api-key {KEY}"}}).encode()


class AdminApi:
    """Answers with `pages` in turn, then with the last one. `asked` are the paths and queries, `headers` the last."""

    def __init__(self) -> None:
        self.pages: list[bytes] = []
        self.asked: list[tuple[str, dict[str, list[str]]]] = []
        self.headers: dict[str, str] = {}
        self.status = 200
        self.url = ""


@contextlib.contextmanager
def serving() -> Iterator[AdminApi]:
    told = AdminApi()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            told.asked.append((parts.path, parse_qs(parts.query)))
            told.headers = {name.lower(): value for name, value in self.headers.items()}
            page = told.pages.pop(0) if len(told.pages) > 1 else told.pages[0]
            self.send_response(told.status)
            self.send_header("content-length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def serving_api() -> Iterator[AdminApi]:
    with serving() as found:
        yield found


@pytest.fixture
def api(serving_api) -> AdminApi:
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    serving_api.pages, serving_api.asked, serving_api.status = [], [], 200
    return serving_api


@pytest.fixture
def office(api) -> Office:
    made = Office()
    made.source = services.create_source(
        actor=made.actor, provider=made.provider, vendor="anthropic", address=api.url, secret=KEY
    )
    return made


def fetched(office, shape="anthropic_cost", first=DAY, last=DAY):
    report = services.fetch(actor=office.actor, source=office.source, shape=shape, first=first, last=last)
    working.work()
    report.refresh_from_db()
    return report


def more(page, token):
    return json.dumps(json.loads(page) | {"has_more": True, "next_page": token}).encode()


def test_pages_are_followed_to_the_last_and_compared(office, api):
    office.calls()
    api.pages = [more(body(billed(3 * office.cost)), "page_2"), body(billed(office.cost, model="other"), day=NEXT)]
    report = fetched(office, last=NEXT)
    assert (report.state, report.pages_read, report.failure) == (Report.State.READY, 2, "")
    assert list(report.lines.values_list("day", "cost_nano")) == [(DAY, 3 * office.cost), (NEXT, office.cost)]
    assert [row.model for row in report.differences.all()] == [MODEL, "other"]
    (path, query), (_, second) = api.asked
    assert path == "/v1/organizations/cost_report"
    assert query["starting_at"] == [f"{DAY}T00:00:00Z"]
    assert query["ending_at"] == [f"{NEXT + datetime.timedelta(days=1)}T00:00:00Z"]
    assert query["group_by[]"] == ["workspace_id", "description"]
    assert second["page"] == ["page_2"]
    assert (api.headers["x-api-key"], api.headers["anthropic-version"]) == (KEY, "2023-06-01")


def test_openai_is_asked_its_way_for_completions_and_embeddings(office, api):
    services.update_source(office.source, actor=office.actor, vendor="openai")
    begin = int(datetime.datetime.combine(DAY, datetime.time(), datetime.UTC).timestamp())
    bucket = {"start_time": begin, "end_time": begin + 86400}
    results = [{"input_tokens": 7, "output_tokens": 1, "model": "gpt-4o", "num_model_requests": 1}], []
    api.pages = [json.dumps({"data": [bucket | {"results": found}], "has_more": False}).encode() for found in results]
    report = fetched(office, "openai_usage")
    assert (report.state, report.failure) == (Report.State.READY, "")
    assert [path.rpartition("/")[2] for path, _ in api.asked] == ["completions", "embeddings"]
    assert api.asked[0][1]["start_time"] == [str(begin)]
    assert api.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("page", "status", "words"),
    [
        (
            b'{"error": {"message": "invalid x-api-key ' + KEY.encode() + b'"}}',
            401,
            "It answers 401: invalid x-api-key •••.",
        ),
        (b"{", 200, "What it answers cannot be read. The answer is not JSON."),
        (b'{"data": 5}', 200, "This is no page"),
        (more(body(billed(1)), ""), 200, "It says that there is more, and not where."),
        (more(body(billed(1)), "again"), 200, "It says that there is more, and not where."),
        (body(billed(1) | {"currency": "EUR"}), 200, "The ledger is in US dollars"),
        (body(billed(1), day=DAY - datetime.timedelta(days=1)), 200, "days that it was not asked for"),
        (b'{"data": [' + b" " * 9 * 1024 * 1024 + b"]}", 200, "cannot be asked: unreachable"),
    ],
)
def test_what_goes_wrong_is_told_and_leaves_no_lines(office, api, page, status, words):
    api.pages, api.status = [page], status
    report = fetched(office)
    assert report.state == Report.State.FAILED
    assert words in report.failure
    assert KEY not in report.failure
    assert not report.lines.exists()
    api.pages, api.status = [body(billed(1))], 200
    assert fetched(office).state == Report.State.READY


def test_a_provider_with_pages_without_end_is_left(office, api, monkeypatch):
    monkeypatch.setattr(fetching, "MOST_PAGES", 3)
    api.pages = [more(body(billed(count)), f"page_{count}") for count in range(1, 9)]
    assert "more than 3 pages" in fetched(office).failure
    assert len(api.asked) == 4


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"shape": "aws_cur"}, "shape"),
        ({"shape": "openai_costs"}, "shape"),
        ({"first": NEXT}, "last_day"),
        ({"last": timezone.now().date()}, "last_day"),
        ({"first": DAY - datetime.timedelta(days=93)}, "last_day"),
        ({"first": datetime.date(2019, 1, 1), "last": datetime.date(2019, 1, 2)}, "first_day"),
    ],
)
def test_what_cannot_be_fetched_is_told_at_its_field(office, options, field):
    with pytest.raises(ValidationError) as refusal:
        fetched(office, **options)
    assert list(refusal.value.message_dict) == [field]
    assert not Report.objects.exists()


def test_the_key_is_sealed_told_nowhere_and_sent_to_its_own_address_only(office, api):
    stored = ReportSource.objects.get()
    assert KEY not in stored.ciphertext
    assert stored.last_four == KEY[-4:]
    assert KEY not in str(list(Record.objects.values_list("before", "after")))
    with pytest.raises(ValidationError, match="meant for another address"):
        services.update_source(stored, actor=None, address="https://elsewhere.example.com")
    ReportSource.objects.update(address="http://127.0.0.1:9")
    report = fetched(office)
    assert "does not open any more" in report.failure
    assert api.asked == []


@pytest.mark.parametrize(
    "address", ["https://a.example.com/v1", "ftp://a.example.com", "http://10.0.0.1", "https://u@a.b"]
)
def test_a_source_is_where_weir_may_ask(office, address):
    with pytest.raises(ValidationError) as refusal:
        services.update_source(office.source, actor=None, address=address, secret=KEY)
    assert list(refusal.value.message_dict) == ["address"]
