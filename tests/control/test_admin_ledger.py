"""The ledger in the admin: a range of time, a search, and a page that says all that is known of a call."""

from __future__ import annotations

import re
import time
import uuid
from datetime import timedelta

import pytest
from django.test import override_settings
from django.utils import timezone
from msgspec.structs import replace

from apps.domain import ids, money
from apps.domain.protocols import registry
from apps.domain.tokens import TokenUsage
from apps.usage import ledger, repricing, rollups, services
from apps.usage.admin.entries import SPOKEN
from apps.usage.models import Entry, HourlyRollup, Kind
from tests import factories
from tests.control.desk import Desk
from tests.money.calls import CARD, intent, outcome

pytestmark = pytest.mark.django_db
HOUR = 3_600
DAY = 24 * HOUR


@pytest.fixture
def subject(website) -> dict[str, int]:
    return {"tenant_id": website.tenant_id, "project_id": website.pk}


@pytest.fixture
def call(subject):
    """Posts a call so many seconds ago; returns its entry."""

    def post(ago: float = 0, *, cost: int = 0, fields: dict | None = None, **of_intent) -> Entry:
        of = intent(at=time.time() - ago, **(subject | of_intent))
        ledger.post([outcome(of, cost=cost, **(fields or {}))])
        return Entry.objects.get(request_id=of.request_id, attempt=of.attempt)

    return post


def listed(desk: Desk, **query) -> list[Entry]:
    return list(desk.get("usage_entry_changelist", **query).context["cl"].result_list)


def test_the_list_begins_with_the_last_week(desk, call):
    new, old, older = call(HOUR), call(3 * DAY), call(20 * DAY)
    assert listed(desk) == [new, old]
    assert listed(desk, since="24h") == [new]
    assert listed(desk, since="30d") == [new, old, older]
    assert listed(desk, since="all") == [new, old, older]
    assert listed(desk, since="nonsense") == [new, old]


def test_a_call_is_found_by_its_id_whatever_the_range(desk, call):
    call(HOUR)
    old = call(20 * DAY)
    for term in (f"req_{old.request_id.hex}", str(old.request_id), str(old.pk), f"  req_{old.request_id.hex} "):
        assert listed(desk, q=term) == [old], term
    assert listed(desk, q=f"req_{old.request_id.hex}", since="24h") == []


def test_a_call_is_found_with_all_its_attempts(desk, subject, call):
    first = call(HOUR, fields={"status": "timeout"})
    of = replace(intent(at=time.time() - HOUR, **subject), request_id=first.request_id, attempt=2)
    ledger.post([outcome(of)])
    assert [entry.attempt for entry in listed(desk, q=first.request_id.hex)] == [2, 1]
    text = desk.text("usage_entry_change", first.pk)
    second = Entry.objects.get(attempt=2)
    assert desk.url("usage_entry_change", second.pk) in text


def test_a_call_is_found_by_its_trace_and_by_the_providers_id(desk, call):
    trace = uuid.uuid4().hex
    wanted = call(HOUR, trace_id=trace, fields={"provider_request_id": "req_011"})
    call(HOUR)
    assert listed(desk, q=trace) == [wanted]
    assert listed(desk, q="req_011") == [wanted]
    with override_settings(WEIR_TRACE_URL="https://tempo.example/trace/{trace_id}"):
        assert f'href="https://tempo.example/trace/{trace}"' in desk.text("usage_entry_change", wanted.pk)
    assert "Open the trace" not in desk.text("usage_entry_change", wanted.pk)


def test_what_no_index_serves_is_looked_for_in_so_many_calls_a_page(desk, call, monkeypatch):
    monkeypatch.setattr("apps.audit.keyset.MOST_LOOKED_AT", 3)
    wanted = call(5 * HOUR, trace_id=(trace := uuid.uuid4().hex))
    for hours in (4, 3, 2, 1):
        call(hours * HOUR)
    text = desk.text("usage_entry_changelist", q=trace)
    assert "Looked through the rows back to" in text
    assert listed(desk, q=trace) == []
    (onward,) = re.findall(r'rel="next" href="[^"]*\bp=([^"&]+)', text)
    assert listed(desk, q=trace, p=onward) == [wanted]
    assert "Looked through" not in desk.text("usage_entry_changelist", q=trace, p=onward)


def test_ids_of_a_request_embrace_its_entries():
    request = ids.request_id(now_ms=1_700_000_000_000, random_bits=7)
    first, last = ids.entries_of(request)
    for attempt, slot in ((1, 1), (255, 15)):
        entry = ids.entry_id(request, attempt=attempt, slot=slot)
        assert first <= entry <= last
        assert ids.request_of(entry) == request
    assert ids.request_of(request) == request


def test_outcomes_are_told_apart(desk, call):
    good = call(fields={"status": "ok"})
    gone = call(fields={"status": "client_gone"})
    bad = call(fields={"status": "upstream_error"})
    doubtful = call(fields={"state": "unconfirmed", "low": 1, "high": 9})
    unpriced = call(card=None)
    assert set(listed(desk, outcome="errors")) == {bad}
    assert set(listed(desk, outcome="ok")) == {good, doubtful, unpriced}
    assert set(listed(desk, outcome="client_gone")) == {gone}
    assert set(listed(desk, outcome="unconfirmed")) == {doubtful}
    assert set(listed(desk, outcome="unpriced")) == {unpriced}
    text = desk.text("usage_entry_changelist")
    assert text.count(">unpriced<") == 1
    assert text.count(">unconfirmed<") == 1


def test_calls_are_found_by_whose_they_are(desk, call, website):
    key = factories.key(website, name="Laptop").key
    mine = call(key_id=key.pk)
    call()
    assert listed(desk, key__id__exact=key.pk) == [mine]
    assert len(listed(desk, tenant__id__exact=website.tenant_id)) == 2
    assert listed(desk, tenant__id__exact=website.tenant_id + 1) == []


def test_a_sessions_calls_are_found_from_one_of_them(desk, call):
    old, new = call(20 * DAY, session="s-1"), call(HOUR, session="s-1", agent="a2", parent_agent="a1")
    call(HOUR, session="s-2")
    text = desk.text("usage_entry_change", new.pk)
    assert "a2, started by a1" in text
    assert "?session=s-1&amp;since=all" in text
    assert listed(desk, session="s-1", since="all") == [new, old]
    assert listed(desk, session="s-1") == [new]
    assert listed(desk, session="s") == []


def test_the_page_shows_how_the_cost_came_about(desk, call):
    price = factories.price(
        input=CARD.input, output=CARD.output, cache_read=CARD.cache_read,
        cache_write_5m=CARD.cache_write_5m, cache_write_1h=CARD.cache_write_1h,
    )  # fmt: skip
    usage = TokenUsage(in_fresh=1_000_000, in_cache_read=2_000_000, out_total=100_000, out_reasoning=40_000)
    cost = 3_000_000_000 + 600_000_000 + 1_500_000_000
    entry = call(
        cost=cost, card=replace(CARD, version=price.pk), fields={"usage": usage, "trail": ("tried a", "took b")}
    )
    text = desk.text("usage_entry_change", entry.pk)
    for shown in (
        *("1,000,000", "$3.00", "2,000,000", "$0.30", "$0.60", "100,000", "$15.00", "$1.50", "40,000"),
        *(money.exact(cost), f"req_{entry.request_id.hex}", str(entry.pk), "tried a", "took b"),
        desk.url("catalog_price_change", price.pk),
        f"{price.pk}, in force from {price.effective_from:%Y-%m-%d %H:%M} UTC",
    ):
        assert shown in text, shown


def test_the_page_shows_one_amount_of_one_call_whichever_way_it_is_told(desk, call):
    page = desk.text("usage_entry_change", call(cost=585_000).pk)
    assert page.count("$0.000585") >= 3  # cost, charged to budgets, attempts
    assert "$0.00058<" not in page.replace("$0.000585", "")
    assert "$0.00058 " not in page
    assert "$0.00059" in desk.text("usage_entry_changelist")


def test_keys_of_one_name_are_told_apart_in_the_ledger(desk, call, website):
    keys = [factories.key(website, name="Laptop").key for _ in range(2)]
    for key in keys:
        call(key_id=key.pk)
    text = desk.text("usage_entry_changelist")
    assert all(key.prefix in text for key in keys)


def test_a_call_without_a_price_is_never_shown_as_free(desk, call):
    entry = call(card=None)
    text = desk.text("usage_entry_change", entry.pk)
    assert "unpriced" in text
    assert "the deployment had no price" in text
    assert "$0.00</span>" not in text.split("Charged to budgets")[0].split("Money")[1]


def test_a_cost_in_doubt_is_shown_as_a_range(desk, call):
    entry = call(fields={"state": "unconfirmed", "low": 10_000_000, "high": 70_000_000})
    text = desk.text("usage_entry_change", entry.pk)
    assert "$0.01 to $0.07" in text
    assert desk.url("usage_unconfirmed_change", entry.pk) in text
    assert "$0.01 to $0.07" in desk.text("usage_entry_changelist")


def test_a_resolved_attempt_is_shown_with_what_it_comes_to(desk, call):
    entry = call(fields={"state": "unconfirmed", "low": 10_000_000, "high": 70_000_000})
    call(fields={"state": "unconfirmed", "high": 5})
    assert desk.text("usage_entry_changelist").count(">unconfirmed<") == 2
    correction = services.resolve(entry, actor=None, cost=25_000_000)
    text = desk.text("usage_entry_change", entry.pk)
    assert "$0.01 to $0.07; the attempt in all $0.025" in text
    assert desk.url("usage_unconfirmed_change", entry.pk) not in text
    assert desk.url("usage_entry_change", correction.pk) in text
    text = desk.text("usage_entry_change", correction.pk)
    assert "+$0.025; the attempt in all $0.025" in text
    listed_ = desk.text("usage_entry_changelist")
    assert [listed_.count(f">{shown}<") for shown in ("unconfirmed", "was unconfirmed", "correction")] == [1, 1, 1]
    assert entry not in listed(desk, outcome="unconfirmed")
    assert len(listed(desk, outcome="unconfirmed")) == 1


def test_a_price_that_came_late_is_shown_beside_what_was_booked(desk, call):
    price = factories.price(effective_from=timezone.now() - timedelta(days=1), input=10**9, output=10**9)
    usage = TokenUsage(in_fresh=1_000_000, out_total=500_000)
    entry = call(HOUR, card=None, deployment_id=price.deployment_id, fields={"usage": usage})
    assert listed(desk, outcome="unpriced") == [entry]
    repricing.reprice([price.deployment_id], since=timezone.now() - timedelta(days=1))
    assert listed(desk, outcome="unpriced") == []
    assert "unpriced; the attempt in all $1.50" in desk.text("usage_entry_change", entry.pk)
    (added,) = Entry.objects.filter(kind=Kind.REPRICE)
    text = desk.text("usage_entry_change", added.pk)
    assert "+$1.50; the attempt in all $1.50" in text
    assert "it had no price" in text


def test_other_requests_of_the_same_millisecond_are_not_attempts_of_this_one(desk, subject):
    at = time.time() - HOUR
    first, second = (intent(at=at, **subject) for _ in range(2))
    ledger.post([outcome(first, cost=1_000_000), outcome(second, cost=2_000_000)])
    entry = Entry.objects.get(request_id=first.request_id)
    assert "$0.002" not in desk.text("usage_entry_change", entry.pk)
    assert listed(desk, q=f"req_{first.request_id.hex}") == [entry]


def test_usage_outlives_what_it_was_used_on(desk, call):
    entry = call(key_id=987_654, model_id=987_654, provider_id=987_654, deployment_id=987_654, user_id=987_654)
    rollups.roll_up()
    assert desk.get("usage_entry_changelist").status_code == 200
    assert desk.get("usage_entry_change", entry.pk).status_code == 200
    assert desk.get("usage_hourlyrollup_changelist").status_code == 200


def test_nobody_edits_the_ledger(desk, call):
    entry = call()
    for page in ("usage_entry_change", "usage_entry_delete"):
        assert desk.client.post(desk.url(page, entry.pk), {"cost_nano": "0", "post": "yes"}).status_code == 403
    assert desk.get("usage_entry_add").status_code == 403


def test_hours_are_listed_and_sorted_by_what_they_cost(desk, call):
    for hours, cost in ((1, 5), (2, 9), (200, 7)):
        call(hours * HOUR, cost=cost * 1_000_000_000)
    rollups.roll_up()

    def costs(**query) -> list[int]:
        rows = desk.get("usage_hourlyrollup_changelist", **query).context["cl"].result_list
        return [row.cost_nano // 1_000_000_000 for row in rows]

    assert costs() == [5, 9]
    assert costs(since="all") == [5, 9, 7]
    columns = desk.get("usage_hourlyrollup_changelist").context["cl"].list_display
    assert costs(o=f"-{columns.index('shown_cost') + 0}", since="all") == [9, 7, 5]


def test_the_first_page_shows_today(desk, call):
    call(1, cost=2_500_000_000)
    call(1, fields={"status": "timeout"})
    context = desk.get("index").context
    cards = {card["title"]: card for card in context["cards"]}
    # Just after midnight, a second ago was yesterday.
    if cards["Calls today"]["figure"] == "2":
        assert cards["Spend today"]["figure"] == "$2.50"
        assert (cards["Error rate"]["figure"], cards["Error rate"]["bad"]) == ("50.0 %", True)
    assert sum(int(bar["calls"]) for bar in context["chart"]["bars"]) == 2
    assert len(context["chart"]["bars"]) == 24
    assert len(context["calls"]) == 2


def test_what_is_uncertain_stands_on_the_first_page_until_it_is_resolved(desk, call):
    entry = call(3 * DAY, fields={"state": "unconfirmed", "low": 10_000_000, "high": 70_000_000})
    call(HOUR)

    def card() -> dict:
        return next(card for card in desk.get("index").context["cards"] if card["title"] == "Unconfirmed")

    assert (card()["figure"], card()["note"], card()["bad"]) == ("1", "$0.01 to $0.07", True)
    assert card()["link"] == desk.url("usage_unconfirmed_changelist")
    services.resolve(entry, actor=desk.user, cost="nothing")
    assert (card()["figure"], card()["note"], card()["bad"]) == ("0", "every cost is known", False)


def test_every_dialect_has_a_name_for_people():
    assert SPOKEN.keys() == registry.CLIENTS.keys() | registry.UPSTREAMS.keys()


def test_the_page_names_both_dialects(desk, call):
    made = call(client_protocol="prompt", upstream_protocol="ollama_chat")
    assert "POST /chat, Ollama upstream" in desk.text("usage_entry_change", made.pk)


def test_any_attempt_shows_in_order_who_was_asked_why_and_what_came_of_it(desk, subject):
    model = factories.model("claude")
    first, second = (
        factories.deployment(model, factories.provider(name), upstream_model="m") for name in ("far", "near")
    )
    trail = ("skipped mine: no vision", "chose far: cheapest", "tools renamed: 1")
    one = intent(at=time.time() - HOUR, deployment_id=first.pk, **subject)
    two = replace(one, attempt=2, deployment_id=second.pk)
    ledger.post(
        [
            outcome(one, status="upstream_error", http_status=429, latency_ms=300, trail=trail),
            outcome(two, cost=2_000_000, latency_ms=700),
        ]
    )
    for number in (1, 2):
        text = desk.text("usage_entry_change", Entry.objects.get(attempt=number).pk)
        table = text[text.index("Attempts of this request") : text.index("Charged to budgets")]
        told = [
            "claude at far",
            "cheapest",
            "Upstream error",
            "300 ms",
            "claude at near",
            "after HTTP 429",
            "OK",
            "700 ms",
        ]
        places = [table.index(word) for word in told]
        assert places == sorted(places)
        assert 'x="30" width="70"' in table
    text = desk.text("usage_entry_change", Entry.objects.get(attempt=1).pk)
    for colour, step in (("warn", trail[0]), ("good", trail[1])):
        assert f'<span class="weir-step weir-step-{colour}">{step}</span>' in text
    assert f"<li>{trail[2]}</li>" in text


def test_what_the_cache_saved_is_shown_and_found(desk, call):
    fields = {"usage": TokenUsage(), "usage_source": "none", "cached": "exact", "saved": 1_234_000, "saved_tokens": 15}
    paid, hit = call(cost=1_234_000), call(fields=fields)
    assert "cache hit, saved $0.001234" in desk.text("usage_entry_change", hit.pk)
    assert "cache hit" not in desk.text("usage_entry_change", paid.pk)
    assert listed(desk, outcome="cached") == [hit]
    rollups.roll_up()
    told = desk.text("usage_hourlyrollup_change", HourlyRollup.objects.get().pk)
    assert "$0.001234: 1 calls, 15 tokens" in told
