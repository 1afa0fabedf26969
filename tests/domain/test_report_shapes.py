"""Providers' reports as they come, read to the unit; and whatever is none of them told where it is wrong."""

from __future__ import annotations

import gzip
import io
import json
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.reconciliation.shapes import cur, lines, registry
from apps.reconciliation.shapes.lines import Line, Unreadable

DAY, NEXT = date(2026, 11, 1), date(2026, 11, 2)


def page(*buckets, **fields):
    return {"data": list(buckets), "has_more": False, "next_page": None} | fields


def anthropic(*results, day=1, **fields):
    span = {"starting_at": f"2026-11-{day:02}T00:00:00Z", "ending_at": f"2026-11-{day + 1:02}T00:00:00Z"}
    return {**span, "results": list(results), **fields}


def openai(*results, day=1):
    begin = 1793491200 + (day - 1) * 86400
    return {"object": "bucket", "start_time": begin, "end_time": begin + 86400, "results": list(results)}


def used(**fields):
    """Of Anthropic's usage report."""
    return {
        "uncached_input_tokens": 1500,
        "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
        "cache_read_input_tokens": 200,
        "output_tokens": 500,
        "server_tool_use": {"web_search_requests": 10},
        "api_key_id": "apikey_01",
        "workspace_id": "wrkspc_01",
        "model": "claude-sonnet-4-20250514",
        "service_tier": "standard",
        "context_window": "0-200k",
    } | fields


def billed(**fields):
    """Of Anthropic's cost report: 123.78912 cents."""
    return {
        "currency": "USD",
        "amount": "123.78912",
        "workspace_id": "wrkspc_01",
        "description": "Claude Sonnet 4 Usage - Input Tokens",
        "cost_type": "tokens",
        "context_window": "0-200k",
        "model": "claude-sonnet-4-20250514",
        "service_tier": "standard",
        "token_type": "uncached_input_tokens",
    } | fields


def spent(value=0.06, line="gpt-4o-2024-08-06, input", **fields):
    amount = {"value": value, "currency": "usd"}
    return {"object": "organization.costs.result", "amount": amount, "line_item": line, "project_id": "proj_1"} | fields


def read(shape, *pages_):
    return registry.read(shape, json.dumps(list(pages_)).encode())


def refused(shape, body):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Unreadable) as error:
        registry.read(shape, body)
    return str(error.value)


def test_anthropic_usage_has_tokens_by_kind_and_key_and_no_money():
    second = used(output_tokens=1, service_tier="batch", cache_creation=None, cache_read_input_tokens=None)
    found = read("anthropic_usage", page(anthropic(used(), second), anthropic(day=2)))
    assert (found.first, found.last) == (DAY, NEXT)
    assert found.lines == (
        Line(DAY, "claude-sonnet-4-20250514", "apikey_01", tokens=(3000, 200, 500, 1000, 501)),
    )  # fmt: skip
    assert found.has_tokens
    assert not found.has_cost


def test_where_no_key_is_told_the_workspace_is_the_account_and_the_default_one_has_a_name():
    found = read("anthropic_usage", page(anthropic(used(api_key_id=None), used(api_key_id=None, workspace_id=None))))
    assert [line.account for line in found.lines] == [lines.UNNAMED, "wrkspc_01"]
    found = read("anthropic_usage", page(anthropic(used(api_key_id=None, workspace_id=None))))
    assert [line.account for line in found.lines] == [""]


def test_anthropic_costs_are_cents_and_a_line_is_rounded_once():
    """A thousand thirds of a nano-dollar are not nothing."""
    few = [billed(amount="0.00000003") for _ in range(1000)]
    (line,) = read("anthropic_cost", page(anthropic(billed(), *few))).lines
    assert (line.model, line.account, line.tokens) == ("claude-sonnet-4-20250514", "wrkspc_01", None)
    assert line.cost == 1_237_891_200 + 300


def test_what_is_no_model_stands_under_its_kind_and_credits_are_left_out():
    search = billed(model=None, cost_type="web_search", token_type=None, amount="100")
    found = read("anthropic_cost", page(anthropic(search, billed(amount="-50.5"))))
    assert [(line.model, line.cost) for line in found.lines] == [("web_search", 1_000_000_000)]
    assert [(left.what, left.lines, left.cost) for left in found.left_out] == [("credits", 1, -505_000_000)]


def test_openai_costs_are_exactly_the_number_that_is_written():
    found = read("openai_costs", page(openai(spent(0.06), spent(0.1, "gpt-4o-2024-08-06, output"))))
    assert found.lines == (Line(DAY, "gpt-4o-2024-08-06", "proj_1", cost=160_000_000),)
    assert found.has_cost
    assert not found.has_tokens


def test_openai_costs_that_are_not_grouped_tell_no_model_and_no_account():
    (line,) = read("openai_costs", page(openai(spent(line=None, project_id=None)))).lines
    assert (line.model, line.account) == ("", "")


def test_openai_usage_has_its_cached_tokens_inside_and_several_endpoints():
    chat = {"input_tokens": 1000, "input_cached_tokens": 300, "output_tokens": 50, "num_model_requests": 4}
    named = {"model": "gpt-4o", "api_key_id": "key_1", "project_id": "proj_1"}
    vectors = {"input_tokens": 70, "num_model_requests": 1, "model": "text-embedding-3-small", "api_key_id": None}
    found = read("openai_usage", page(openai(chat | named)), page(openai(vectors)))
    assert found.lines == (
        Line(DAY, "gpt-4o", "key_1", tokens=(700, 300, 0, 0, 50), requests=4),
        Line(DAY, "text-embedding-3-small", lines.UNNAMED, tokens=(70, 0, 0, 0, 0), requests=1),
    )


def test_pages_come_as_one_as_a_list_or_one_after_another():
    pages_ = [page(anthropic(used()), has_more=True, next_page="page_2"), page(anthropic(used(), day=2))]
    together = registry.read("anthropic_usage", json.dumps(pages_).encode())
    after = registry.read("anthropic_usage", "\n".join(json.dumps(one) for one in pages_).encode())
    assert together == after
    assert len(together.lines) == 2


def test_days_without_a_result_are_alike_and_the_same_day_with_some_is_not_counted_twice():
    read = registry.read(
        "anthropic_usage", json.dumps([page(anthropic()), page(anthropic()), page(anthropic(used()))]).encode()
    )
    assert len(read.lines) == 1
    first, second = anthropic(used()), anthropic(used(), starting_at="2026-11-02T00:00:00Z", ending_at=None)
    overlapping = [page(first, second), page(second)]
    assert "page 2: A bucket of it is there twice" in refused("anthropic_usage", overlapping)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "One to 400 pages"),
        (b"{", "It is not JSON"),
        (b"\xff", "It is not UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
        ([{"results": []}], "no list of data"),
        (page(anthropic(used()), has_more=True), "has_more: There are more pages"),
        ([page(anthropic(used())), page(anthropic(used()))], "page 2: A bucket of it is there twice"),
        (page({"starting_at": "2026-11-01T00:00:00Z"}), "data[0]: This is no bucket"),
        (page(anthropic(7)), "data[0].results[0]: This is no object"),
        (page(anthropic(used(), starting_at="yesterday")), "data[0].starting_at: Give a moment"),
        (page(anthropic(used(), starting_at="1999-01-01T00:00:00Z", ending_at=None)), "no day that a report is of"),
        (page(anthropic(used(), ending_at="2026-11-03T00:00:00Z")), "more than one day"),
        (page(anthropic(used(output_tokens=-1))), "data[0].results[0].output_tokens: Give a whole number"),
        (page(anthropic(used(output_tokens="5"))), "output_tokens: Give a whole number"),
        (page(anthropic(used(output_tokens=10**16))), "output_tokens: Give a whole number"),
        (page(anthropic(used(cache_creation=[1]))), "cache_creation: This is no object"),
        (page(anthropic(used(model="x" * 201))), "model: A name has at most 200"),
        (page(anthropic(used(model="a\0b"))), "model: A name has at most 200"),
        (page(anthropic(used(api_key_id={}))), "api_key_id: Give a text"),
        (page(anthropic(billed())), "uncached_input_tokens: It is missing"),
        (page(), "There is no day in it"),
    ],
)
def test_what_is_no_usage_report_is_told_where_it_is_wrong(body, words):
    assert words in refused("anthropic_usage", body)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"currency": "EUR"}, "currency: The ledger is in US dollars: nothing in EUR"),
        ({"currency": None}, "currency: The ledger is in US dollars"),
        ({"amount": "12,5"}, "amount: Give a number"),
        ({"amount": "NaN"}, "no number that is counted in"),
        ({"amount": "1e99"}, "no number that is counted in"),
        ({"amount": "1e-99"}, "no number that is counted in"),
        ({"amount": None}, "amount: Give a number"),
        ({"amount": True}, "amount: Give a number"),
        ({"amount": "9000000000001"}, "amount: This is"),
    ],
)
def test_money_that_cannot_be_is_told_at_its_field(change, words):
    assert words in refused("anthropic_cost", page(anthropic(billed(**change))))


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"object": "x"}, "results[0].amount: It is missing"),
        (spent("a"), "amount.value: Give a number"),
        (spent(amount={"value": 1}), "amount.currency: The ledger is in US dollars: nothing in none"),
    ],
)
def test_costs_of_openai_that_cannot_be_are_told_at_their_field(result, words):
    assert words in refused("openai_costs", page(openai(result)))


def test_more_cached_tokens_than_tokens_are_refused():
    wrong = {"input_tokens": 5, "input_cached_tokens": 6, "output_tokens": 0}
    assert "input_cached_tokens: There are more" in refused("openai_usage", page(openai(wrong)))
    assert "start_time: Give seconds" in refused("openai_usage", page(openai() | {"start_time": 10**30}))


# --- AWS ------------------------------------------------------------------------------------------------------------

NEWER = {
    "line_item_usage_start_date": "2026-11-01T13:00:00.000Z",
    "line_item_usage_end_date": "2026-11-01T14:00:00.000Z",
    "line_item_product_code": "AmazonBedrock",
    "line_item_usage_type": "USE1-Claude4.5Sonnet-input-tokens",
    "line_item_usage_amount": "1.5",
    "line_item_unblended_cost": "0.0045",
    "line_item_currency_code": "USD",
    "line_item_line_item_type": "Usage",
    "line_item_resource_id": "",
    "line_item_usage_account_id": "123456789012",
    "pricing_unit": "1K tokens",
    "product": "{}",
    "bill_invoice_id": "unasked",
}
ARN = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"


MONTH = {
    "line_item_usage_start_date": "2026-11-01T00:00:00.000Z",
    "line_item_usage_end_date": "2026-12-01T00:00:00.000Z",
}


def as_csv(*rows, heading=None):
    names = list(NEWER)
    text = [",".join(heading or names)]
    text += [",".join('"' + (NEWER | row)[name].replace('"', '""') + '"' for name in names) for row in rows]
    return "\r\n".join(text).encode()


def test_cur_2_is_read_by_model_kind_of_token_and_account():
    body = as_csv(
        {},
        {
            "line_item_usage_type": "USE1-Claude4.5Sonnet-output-tokens",
            "line_item_usage_start_date": "2026-11-01T23:00:00Z",
            "line_item_usage_end_date": "2026-11-02T00:00:00Z",
        },
        {"line_item_usage_type": "USE1-Claude4.5Sonnet-cache-read-input-token-count"},
        {"line_item_usage_type": "USE1-Claude4.5Sonnet-cache-write-input-token-count", "line_item_usage_amount": "2"},
        {"line_item_product_code": "AmazonEC2", "line_item_currency_code": "EUR"},
        {"line_item_line_item_type": "Tax", "line_item_unblended_cost": "1.25", **MONTH},
    )
    found = cur.read(body)
    assert found.lines == (
        Line(DAY, "Claude4.5Sonnet", "123456789012", tokens=(1500, 1500, 2000, 0, 1500), cost=18_000_000),
    )  # fmt: skip
    assert [(left.what, left.cost) for left in found.left_out] == [("Tax", 1_250_000_000)]
    assert cur.read(gzip.compress(body)) == found


def test_a_day_of_a_daily_report_ends_with_the_next_one_s_first_moment():
    day = {"line_item_usage_start_date": "2026-11-01T00:00:00Z", "line_item_usage_end_date": "2026-11-02T00:00:00Z"}
    assert [line.day for line in cur.read(as_csv(day)).lines] == [DAY]
    told = refused("aws_cur", as_csv(day | {"line_item_usage_end_date": "2026-11-02T00:00:01Z"}))
    assert told.endswith("export it with daily or hourly granularity.")


def test_the_older_report_has_other_names_for_the_same():
    older = {
        "line_item_usage_start_date": "lineItem/UsageStartDate",
        "line_item_usage_end_date": "lineItem/UsageEndDate",
        "line_item_product_code": "lineItem/ProductCode",
        "line_item_usage_type": "lineItem/UsageType",
        "line_item_usage_amount": "lineItem/UsageAmount",
        "line_item_unblended_cost": "lineItem/UnblendedCost",
        "line_item_currency_code": "lineItem/CurrencyCode",
        "line_item_line_item_type": "lineItem/LineItemType",
        "line_item_resource_id": "lineItem/ResourceId",
        "line_item_usage_account_id": "lineItem/UsageAccountId",
        "pricing_unit": "pricing/unit",
        "product": "product/ProductName",
        "bill_invoice_id": "bill/InvoiceId",
    }
    rows = [{"product": "Amazon Bedrock"}]
    assert cur.read(as_csv(*rows, heading=list(older.values()))).lines == cur.read(as_csv(*rows)).lines


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ({"line_item_resource_id": ARN}, "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        (
            {
                "line_item_product_code": "dz4lhu54",
                "line_item_usage_type": "USE1-MP:USE1_InputTokenCount-Units",
                "product": '{"product_name": "Claude Haiku 4.5 (Amazon Bedrock Edition)", "region": "us-east-1"}',
            },
            "Claude Haiku 4.5",
        ),
        ({"line_item_usage_type": "EUW1-NovaLite-output-tokens"}, "NovaLite"),
        ({"line_item_usage_type": "USE1-Claude4.5Sonnet-input-tokens-cross-region-global"}, "Claude4.5Sonnet"),
    ],
)
def test_the_model_is_told_by_the_resource_the_product_or_the_usage_type(row, model):
    assert [line.model for line in cur.read(as_csv(row)).lines] == [model]


@pytest.mark.parametrize(("unit", "tokens"), [("1K tokens", 1500), ("1M tokens", 1_500_000), ("Tokens", 2), ("", 1500)])
def test_an_amount_is_of_thousands_unless_its_unit_says_otherwise(unit, tokens):
    amount = "1.5" if unit != "Tokens" else "2"
    (line,) = cur.read(as_csv({"pricing_unit": unit, "line_item_usage_amount": amount})).lines
    assert line.tokens == (tokens, 0, 0, 0, 0)


def test_parquet_says_the_same_as_csv():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    def table(**columns):
        file = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), file)
        return file.getvalue()

    columns = {name: [value, None if name == "line_item_resource_id" else value] for name, value in NEWER.items()}
    typed = {
        "line_item_usage_amount": pyarrow.array([1.5, 1.5]),
        "line_item_unblended_cost": pyarrow.array([0.0045, 0.0045]),
        "product": pyarrow.array([[("region", "us-east-1")], []], pyarrow.map_(pyarrow.string(), pyarrow.string())),
    }
    assert cur.read(table(**columns | typed)) == cur.read(as_csv({}, {}))
    assert "damaged" in refused("aws_cur", table(**columns)[:-20])
    assert "no such column" in refused("aws_cur", table(line_item_product_code=["AmazonBedrock"]))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "line_item_usage_start_date: There is no such column"),
        (b"a,b\n1,2\n", "line_item_usage_start_date: There is no such column"),
        (as_csv({}) + b"\r\n1,2", "row 3: 2 cells, where the heading has 13"),
        (as_csv({"line_item_currency_code": "JPY"}), "row 2, line_item_currency_code: The ledger is in US dollars"),
        (as_csv({"line_item_unblended_cost": "x"}), "row 2, line_item_unblended_cost: Give a number"),
        (as_csv({"line_item_usage_amount": "-1"}), "row 2, line_item_usage_amount: This is no number of tokens"),
        (as_csv({"line_item_usage_start_date": ""}), "row 2, line_item_usage_start_date: Give a moment"),
        (as_csv({"line_item_usage_end_date": ""}), "row 2, line_item_usage_end_date: Give a moment"),
        (as_csv({}, MONTH), "row 3, line_item_usage_end_date: What is of more than one day of UTC"),
        (as_csv({"line_item_product_code": "AmazonEC2"}), "There is no usage of Amazon Bedrock"),
        (b"\x1f\x8bxx", "The gzip file is damaged"),
        (gzip.compress(as_csv({}))[:-4], "The gzip file is damaged"),
        (b"\xff\xfe\x00", "neither CSV in UTF-8"),
        (b"PAR1xxxxPAR1", "The Parquet file is damaged"),
    ],
)
def test_what_is_no_cur_is_told_where_it_is_wrong(body, words):
    assert words in refused("aws_cur", body)


def test_a_file_that_unpacks_to_more_than_may_be_is_refused(monkeypatch):
    monkeypatch.setattr(cur, "MOST_BYTES", 1000)
    assert "Unpacked it is longer than 1,000 bytes" in refused("aws_cur", gzip.compress(b"0" * 5000))


def test_more_rows_lines_or_days_than_may_be_are_refused(monkeypatch):
    monkeypatch.setattr(cur, "MOST_ROWS", 3)
    assert "row 4: 3 rows are the most" in refused("aws_cur", as_csv({}, {}, {}))
    monkeypatch.setattr(lines, "MOST_LINES", 1)
    assert "lines by day, model and account" in refused(
        "anthropic_usage", page(anthropic(used(), used(model="another")))
    )
    monkeypatch.setattr(lines, "MOST_DAYS", 2)
    assert "2 days are the most" in refused("anthropic_usage", page(anthropic(), anthropic(day=3)))


@given(cents=st.lists(st.decimals(min_value=0, max_value=10**9, places=9), min_size=1, max_size=20))
def test_a_sum_is_off_by_less_than_a_nano_dollar_however_many_parts_it_has(cents):
    (line,) = read("anthropic_cost", page(anthropic(*(billed(amount=f"{cent:f}") for cent in cents)))).lines
    exact = sum(cents, Decimal(0)) * 10**7
    assert abs(line.cost - exact) <= Decimal("0.5")
