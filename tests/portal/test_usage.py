"""The list of calls and the page of one: whose they are, what they are filtered by, and what leaves as CSV."""

from __future__ import annotations

import copy
import csv
import io
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from msgspec.structs import replace

from apps.audit import cursors
from apps.audit.models import Record
from apps.domain.tokens import TokenUsage
from apps.tenants import services as tenants
from apps.usage import ledger
from apps.usage.models import Entry
from tests import factories
from tests.money.calls import hit, intent, outcome

USAGE = TokenUsage(in_fresh=1_000, in_cache_read=200, out_total=100)
MOST_QUERIES = 25
PAYLOAD = "<img src=x onerror=alert(1)>"


class Calls:
    """Posts calls of Acme's, each a second later than the one before."""

    def __init__(self, project, **whose):
        self.project, self.whose = project, whose
        self.deployment = factories.deployment(factories.model("claude-sonnet"), factories.provider("Upstream One"))
        self.price = factories.price(self.deployment)
        self.at = datetime.now(UTC) - timedelta(hours=2)

    def intent(self, **fields):
        self.at += timedelta(seconds=1)
        row = self.deployment
        known = {"model_id": row.model_id, "provider_id": row.provider_id, "deployment_id": row.pk}
        known |= {"tenant_id": self.project.tenant_id, "project_id": self.project.pk, "upstream_model": "up-1"}
        known |= {"model_name": "claude-sonnet", "endpoint": "messages", "credential": "platform-secret-alias"}
        at = fields.pop("at", self.at)
        return intent(at=at.timestamp(), **(known | self.whose | fields))

    def post(self, told=None, **fields):
        asked = self.intent(**fields)
        card = replace(asked.card, version=self.price.pk)
        made = outcome(
            replace(asked, card=card), **({"cost": 4_500_000, "usage": USAGE, "latency_ms": 900} | (told or {}))
        )
        ledger.post([made])
        return Entry.objects.get(pk=ledger.entry_id(made))


@pytest.fixture
def bobs(website, bob):
    return Calls(website, user_id=bob.pk, key_id=factories.key(website, name="Laptop", user=bob).key.pk)


@pytest.fixture
def alices(bobs, website, alice):
    calls = copy.copy(bobs)
    calls.at += timedelta(minutes=1)
    calls.whose = {"user_id": alice.pk, "key_id": factories.key(website, name="Desktop", user=alice).key.pk}
    return calls


def shown(response):
    return [row["entry"].pk for row in response.context["rows"]]


def listed(visitor, **query):
    response = visitor.get("usage", query)
    assert response.status_code == 200
    return shown(response)


# --- whose ---------------------------------------------------------------------------------------------------------


def test_developers_see_their_own_calls_and_others_see_all(visit, bobs, alices, alice, ann, vera, bob, operator):
    his, hers = bobs.post().pk, alices.post().pk
    assert listed(visit(bob)) == [his]
    for somebody in (alice, ann, vera, operator):
        assert listed(visit(somebody)) == [hers, his]
    assert visit(bob).get("usage-call", entry=his).status_code == 200
    assert visit(bob).get("usage-call", entry=hers).status_code == 404
    assert listed(visit(bob), key="Desktop") == [], "another's key is none"
    assert listed(visit(bob), user=str(alices.whose["user_id"])) == [his], "who is no filter of theirs"


def test_another_tenants_calls_are_not_there(visit, bobs, charlie, globex, alice):
    row = bobs.post()
    assert visit(charlie).get("usage").status_code == 404
    assert listed(visit(charlie, globex)) == []
    assert visit(charlie, globex).get("usage-call", entry=row.pk).status_code == 404
    assert visit(charlie, globex).get("usage", {"q": f"req_{row.request_id.hex}"}).context["rows"] == []
    foreign = factories.project(globex)
    answer = visit(alice).get("usage", {"project": foreign.pk})
    assert "project" in answer.context["form"].errors


def test_who_has_not_signed_in_is_asked_to(visit, bobs):
    for page, arguments in (("usage", {}), ("usage-export", {}), ("usage-call", {"entry": uuid.uuid4()})):
        assert visit(None).get(page, **arguments).status_code == 302


# --- filters -------------------------------------------------------------------------------------------------------


def test_each_filter_finds_what_it_says(visit, bobs, alices, alice, bob):
    plain = bobs.post()
    failed = bobs.post({"status": "timeout", "state": "void", "cost": 0, "usage": TokenUsage()}, session="abc")
    other = alices.post(endpoint="chat_completions", trace_id="f" * 32)
    at = visit(alice)
    assert listed(at, status="errors") == [failed.pk]
    assert listed(at, status="timeout") == [failed.pk]
    assert listed(at, session="abc") == [failed.pk]
    assert listed(at, key="Laptop") == [failed.pk, plain.pk]
    assert listed(at, key=str(bobs.whose["key_id"]), status="ok") == [plain.pk]
    assert listed(at, user=str(alice.pk)) == [other.pk]
    assert listed(at, endpoint="chat_completions") == [other.pk]
    assert listed(at, q="f" * 32) == [other.pk]
    assert listed(at, q=f"req_{plain.request_id.hex}") == [plain.pk]
    everything = sorted((other.pk, failed.pk, plain.pk), reverse=True)
    for name, value in (("model", plain.model_id), ("provider", plain.provider_id), ("project", plain.project_id)):
        assert listed(at, **{name: str(value)}) == everything
    assert listed(at, span="1h") == []


def test_a_span_is_told_in_the_tenants_time_zone(visit, acme, bobs, alice):
    tenants.update_tenant(acme, actor=None, timezone="Asia/Kolkata")
    row = bobs.post(at=datetime(2026, 1, 31, 20, 0, tzinfo=UTC))  # half past one the next day, there
    at = visit(alice)
    assert listed(at, **{"span": "other", "from": "2026-02-01T01:29", "to": "2026-02-01T01:31"}) == [row.pk]
    assert listed(at, **{"from": "2026-01-31T00:00", "to": "2026-01-31T23:59"}) == []
    page = at.text("usage", {"span": "other", "from": "2026-02-01T00:00", "to": "2026-02-02T00:00"})
    assert "Asia/Kolkata" in page
    assert "2026-02-01 01:30:00" in page


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("span", "ever"), ("project", "x"), ("project", "99999999999999999999"), ("user", "-1"), ("model", "\x00")),
        *(("status", "odd"), ("key", "no such key"), ("key", "k" * 101), ("session", "s" * 65), ("q", "q" * 101)),
        *(("from", "yesterday"), ("from", "0001-01-01T00:00"), ("to", "9999-12-31T23:59"), ("endpoint", "e/secret")),
    ],
)
def test_what_is_no_filter_is_said_at_its_field_and_nothing_is_looked_for(visit, bobs, bob, name, value):
    bobs.post()
    query = {name: value} | ({"span": "other"} if name in ("from", "to") else {})
    visitor = visit(factories.member(bobs.project.tenant, role="viewer") if name == "user" else bob)
    response = visitor.get("usage", query)
    assert response.status_code == 200
    assert list(response.context["form"].errors) == [name]
    assert response.context["rows"] == []
    assert visitor.get("usage-export", query).status_code == 400


def test_a_span_that_ends_before_it_begins_is_none(visit, bobs, bob):
    response = visit(bob).get("usage", {"span": "other", "from": "2026-02-02T00:00", "to": "2026-02-01T00:00"})
    assert "to" in response.context["form"].errors


# --- pages ---------------------------------------------------------------------------------------------------------


def test_pages_go_on_where_the_last_one_ended(visit, bobs, bob):
    rows = [bobs.post().pk for _ in range(53)][::-1]
    first = visit(bob).get("usage")
    assert shown(first) == rows[:50]
    second = visit(bob).client.get(first.context["part"].older)
    assert shown(second) == rows[50:]
    assert not second.context["part"].older
    back = visit(bob).client.get(second.context["part"].newer)
    assert shown(back) == rows[:50]
    assert visit(bob).get("usage", {"page": "nonsense"}).status_code == 404


def test_what_no_index_serves_is_looked_for_in_bounded_steps(visit, bobs, bob, monkeypatch):
    found = bobs.post(endpoint="responses").pk
    for _ in range(7):
        bobs.post()
    monkeypatch.setattr(cursors, "MOST_READ", 5)
    first = visit(bob).get("usage", {"endpoint": "responses"})
    assert shown(first) == []
    assert first.context["part"].last is not None
    assert "Looked through" in first.content.decode()
    second = visit(bob).client.get(first.context["part"].older)
    assert shown(second) == [found]
    assert not second.context["part"].older


def test_a_page_asks_a_few_questions_however_many_calls_there_are(visit, bobs, alice, bob):
    for _ in range(3):
        bobs.post()
    at = visit(alice)

    def queries(page, **options):
        with CaptureQueriesContext(connection) as found:
            assert at.get(page, **options).status_code == 200
        return len(found)

    few = queries("usage")
    for _ in range(20):
        bobs.post()
    assert queries("usage") == few <= MOST_QUERIES
    assert queries("usage", query={"status": "errors", "key": "Laptop"}) <= MOST_QUERIES
    assert queries("usage-call", entry=Entry.objects.first().pk) <= MOST_QUERIES


# --- costs that are not final --------------------------------------------------------------------------------------


def test_costs_that_are_not_final_say_so(visit, bobs, bob):
    bobs.post({"state": "unconfirmed", "status": "interrupted", "cost": 700, "low": 0, "high": 5_000_000_000})
    bobs.post({"usage_source": "estimated"})
    text = visit(bob).text("usage")
    assert "$0.00 to $5.00" in text
    assert "unconfirmed" in text
    assert "estimated" in text


def test_a_correction_is_told_with_its_call_and_not_as_another(visit, bobs, bob):
    asked = bobs.intent()
    doubt = outcome(asked, state="unconfirmed", status="interrupted", cost=700, low=0, high=5_000_000_000)
    ledger.post([doubt])
    ledger.post([replace(doubt, state="settled", status="ok", cost=2_000_000_000, low=None, high=None)])
    response = visit(bob).get("usage")
    assert len(response.context["rows"]) == 1
    assert response.context["rows"][0]["cost"] == "$2.00"
    assert response.context["rows"][0]["note"] == "confirmed later"
    page = visit(bob).text("usage-call", entry=response.context["rows"][0]["entry"].pk)
    assert "Correction" in page
    assert "$2.00" in page


def test_an_answer_from_the_cache_says_what_it_saved(visit, bobs, bob):
    ledger.post([hit(bobs.intent(provider_id=None, deployment_id=None), saved=3_000_000_000)])
    assert "cache hit, saved $3.00" in visit(bob).text("usage")


# --- one call ------------------------------------------------------------------------------------------------------


def test_a_call_tells_its_way_its_cost_and_its_ids(visit, bobs, bob):
    asked = bobs.intent()
    failed = outcome(asked, status="upstream_error", state="void", http_status=529, latency_ms=100, usage=TokenUsage())
    trail = ("skipped Upstream Two: breaker open 9 s", "chose Upstream One: priority 1, fallback claude-sonnet")
    second = replace(asked, attempt=2, card=replace(asked.card, version=bobs.price.pk), trace_id="a" * 32)
    done = outcome(
        second, cost=4_500_000, usage=USAGE, trail=trail, ttft_ms=300, latency_ms=900, provider_request_id="p-1"
    )
    ledger.post([failed, done])
    response = visit(bob).get("usage-call", entry=ledger.entry_id(done))
    text = response.content.decode()
    for word in (f"req_{asked.request_id.hex}", "p-1", "a" * 32, *trail, "HTTP 529", "$0.0045", "$3.00", "$15.00"):
        assert word in text, word
    assert [row["entry"].attempt for row in response.context["tried"]] == [1, 2]
    assert [part["took"] for part in response.context["times"]] == [300, 600]
    assert "Open the trace" not in text
    with override_settings(WEIR_TRACE_URL="https://tempo.example/trace/{trace_id}"):
        text = visit(bob).get("usage-call", entry=ledger.entry_id(done)).content.decode()
    assert f'<a href="https://tempo.example/trace/{"a" * 32}">Open the trace</a>' in text


def test_a_call_keeps_from_its_tenant_what_is_not_the_tenants(visit, acme, globex, bobs, bob):
    own = factories.credential(bobs.deployment.provider, alias="our own", tenant=acme)
    others = factories.model("globex-only")
    others.tenants.set([globex])
    trail = (
        "credential platform: secret: alias: 429, cooling 5 s",
        f"credential {own.alias}: 401, cooling 60 s",
        "chose Upstream One: priority 1, fallback globex-only",
    )
    row = bobs.post({"trail": trail})
    text = visit(bob).text("usage-call", entry=row.pk)
    for hidden in ("platform", "globex-only"):
        assert hidden not in text, hidden
    assert "a credential: 429, cooling 5 s" in text
    assert "credential our own: 401" in text
    assert "a fallback" in text


# --- CSV -----------------------------------------------------------------------------------------------------------


def rows_of(response):
    text = b"".join(response.streaming_content).decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_csv_is_what_the_list_shows_and_is_recorded(visit, acme, bobs, alices, alice, bob):
    bobs.post()
    alices.post()
    response = visit(bob).get("usage-export", {"key": "Laptop"})
    assert response["Content-Disposition"] == 'attachment; filename="acme-calls.csv"'
    (row,) = rows_of(response)
    assert (row["input_tokens"], row["cache_read_tokens"], row["cost_usd"]) == ("1000", "200", "0.0045")
    assert len(rows_of(visit(alice).get("usage-export"))) == 2
    record = Record.objects.filter(action="usage.exported").order_by("pk").first()
    assert (record.actor_id, record.tenant_id, record.area) == (bob.pk, acme.pk, "reads")


def test_csv_calculates_nothing(visit, bobs, bob):
    for name in ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1"):
        bobs.post(model_name=name)
    names = {row["requested_model"] for row in rows_of(visit(bob).get("usage-export"))}
    assert names == {"'=1+1", "'+1", "'-1", "'@SUM(A1)", "'\t=1"}


def test_hostile_names_are_text(visit, bobs, bob):
    payload = "<img src=x onerror=alert(1)>"
    row = bobs.post(
        {"error_code": payload, "trail": (payload,)}, model_name=payload, session=payload, user_agent=payload
    )
    for text in (visit(bob).text("usage"), visit(bob).text("usage-call", entry=row.pk)):
        assert "<img src=x" not in text
        assert "&lt;img src=x" in text


# --- sessions of coding agents -------------------------------------------------------------------------------------


def test_a_session_tells_what_each_of_its_agents_cost(visit, bobs, alices, alice, bob, charlie, globex):
    bobs.post(session="s-1")
    bobs.post(session="s-1", agent="searcher", parent_agent="main")
    alices.post(session=PAYLOAD)
    assert [row["session"].name for row in visit(bob).get("usage-sessions").context["rows"]] == ["s-1"]
    (theirs, his) = visit(alice).get("usage-sessions").context["rows"]
    assert (theirs["session"].name, his["session"].name) == (PAYLOAD, "s-1")
    assert PAYLOAD not in visit(alice).text("usage-sessions")
    page = visit(bob).get("usage-session", {"id": "s-1"})
    assert [(agent.name, agent.figures.cost) for agent in page.context["agents"]] == [
        ("", 4_500_000),
        ("searcher", 4_500_000),
    ]
    assert PAYLOAD not in visit(alice).text("usage-session", {"id": PAYLOAD})
    assert visit(bob).get("usage-session", {"id": PAYLOAD}).status_code == 404, "another's"
    assert visit(charlie, globex).get("usage-session", {"id": "s-1"}).status_code == 404
    assert visit(charlie, globex).get("usage-sessions").context["rows"] == []


@pytest.mark.parametrize("query", [{}, {"id": ""}, {"id": "x" * 65}, {"id": "\x00"}, {"id": "none"}])
def test_what_is_no_session_is_not_there(visit, bob, query):
    assert visit(bob).get("usage-session", query).status_code == 404


def test_a_made_up_page_of_sessions_is_none(visit, bob):
    assert visit(bob).get("usage-sessions", {"before": "x"}).status_code == 404
