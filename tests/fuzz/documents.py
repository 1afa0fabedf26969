"""What people and their tools bring: configuration, tables, reports, amounts, places in lists, events and secrets."""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
from cloudevents.core.bindings import http
from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from django.core.exceptions import ValidationError
from django.db.models import Model
from rest_framework.exceptions import ParseError

from apps.api.parsing import JSON
from apps.api.problems import Problem
from apps.audit import cursors, downloads
from apps.audit.fields import DollarsField, JsonField, WordsField
from apps.audit.models import Record
from apps.catalog.keyrings import local
from apps.catalog.keyrings.ring import KeyringRefused
from apps.catalog.models import Price, Provider
from apps.config import document, fields, tables
from apps.domain import money
from apps.events import doors, envelope
from apps.events.models import Event
from apps.events.sinks import pubsub
from apps.events.sinks.contract import CONTENT_TYPE
from apps.outbound import details, listing
from apps.reconciliation.shapes import registry
from apps.reconciliation.shapes.lines import Unreadable
from apps.usage.models import Entry
from tests.fuzz.contract import Target, check_words, encoded, target, text

NOW = datetime(2026, 11, 2, 12, tzinfo=UTC)
Read = Callable[[Any], Any]


def _refused(read: Read, value: Any, *named: type[Exception]) -> bool:
    """Whether it is, by an error that says why."""
    try:
        read(value)
    except named as error:
        check_words(error)
        return True
    return False


def read_config(data: bytes) -> None:
    """What is read means the same when it is written and read again."""
    try:
        found = document.parsed(text(data))
    except document.Refused as refused:
        check_words(refused)
        return
    assert document.parsed(document.written(_bare(found))) == found
    for name, value in found.items():
        assert found.line_of(name) >= 1
        for kind in (fields.Dollars(), fields.Moment(), fields.Day(), fields.Words(), fields.Json(), fields.Number()):
            _refused(kind.parse, value, ValueError)
        _keep_as_json(value)


def _keep_as_json(value: Any) -> None:
    """Among settings that every store can hold."""
    try:
        plain = fields.Json().parse({"x": value})
    except ValueError:
        return
    json.dumps(plain, allow_nan=False)


def _bare(value: Any) -> Any:
    """Without its lines."""
    if isinstance(value, dict):
        return {name: _bare(inner) for name, inner in value.items()}
    return [_bare(inner) for inner in value] if isinstance(value, list) else value


def read_table(data: bytes) -> None:
    """Rows as their file's form has them: CSV, or JSON."""
    for read in (lambda said: list(tables._from_csv(said, _MODELS)), lambda said: list(tables._from_json(said))):
        _refused(read, text(data), document.Refused)


def read_amount(data: bytes) -> None:
    """Dollars of a form, of a document, and of a report: to the nano-dollar, or not at all."""
    word = text(data)
    try:
        amount = DollarsField().clean(word)
    except ValidationError:
        amount = None
    if amount is not None:
        assert 0 <= amount <= 9 * 10**18
        assert money.nano(Decimal(money.exact(amount).replace("$", "").replace(",", ""))) == amount
    try:
        parsed = fields.Dollars().parse(Decimal(word))
    except (ValueError, ArithmeticError):
        return
    assert money.dollars(parsed) == Decimal(word)


def read_words(data: bytes) -> None:
    for field in (WordsField(), JsonField()):
        _refused(field.clean, text(data), ValidationError)


def read_body(data: bytes) -> None:
    """A body of the management API."""
    try:
        found = JSON().parse(io.BytesIO(data))
    except (ParseError, Problem):
        return
    json.dumps(found, allow_nan=False)


def read_cursor(data: bytes) -> None:
    """A place that a list may have given, and every database can look for; or nothing. Also of what it would pack."""
    for word in (text(data), cursors.OLDER + base64.urlsafe_b64encode(data).decode().rstrip("=")):
        _look_for(word)


def _look_for(word: str) -> None:
    for model, ordering in _LISTS:
        try:
            direction, values = cursors._read(model, ordering, word)
        except ValueError:
            continue
        assert direction in (cursors.OLDER, cursors.NEWER)
        for value in values:
            assert not isinstance(value, str) or document.is_text(value)
        if values:
            str(model._meta.default_manager.filter(cursors._beyond(ordering, values, back=False)).query)


def write_event(data: bytes) -> None:
    """Whatever an event tells, CloudEvents' own reader takes it, and so does the binary mode of Pub/Sub."""
    subject, _, said = data.partition(b"\n")
    try:
        told = msgspec.json.decode(said)
    except (ValueError, RecursionError):
        told = {"raw": text(said)}
    event = Event(uid=uuid.UUID(int=7), kind="usage.settled", at=NOW, position=9, tenant_id=1)
    rendered = doors.Rendered(text(subject), told if isinstance(told, dict) else {"value": told})
    body = envelope._message(event, rendered, tenant="acme").body
    try:
        read = http.from_http(http.HTTPMessage({"content-type": CONTENT_TYPE}, body), JSONFormat())
    except CloudEventValidationError as error:
        raise AssertionError(str(error)) from error
    assert read.get_id() == str(event.uid)
    attributes, kept = pubsub.binary(body)
    assert json.loads(kept) == json.loads(body)["data"]
    assert attributes["ce-specversion"] == "1.0"


def read_report(shape: str) -> Callable[[bytes], None]:
    def read(data: bytes) -> None:
        try:
            found = registry.read(shape, data)
        except Unreadable:
            return
        assert found.first <= found.last
        assert all(line.cost is None or isinstance(line.cost, int) for line in found.lines)

    return read


def read_listing(data: bytes) -> None:
    """What providers say of their models; what cannot be read is left out."""
    for listed in listing.read(data):
        assert listed.name.isprintable()
        assert details.read(data, listed).name == listed.name


def read_secrets(data: bytes) -> None:
    """Keyrings, and the keys of service accounts."""
    _refused(local.read, text(data), KeyringRefused)
    _refused(pubsub.clean_secret, text(data), ValueError)


def write_cell(data: bytes) -> None:
    """A spreadsheet takes no cell for a formula, and what is brought in again is what was written."""
    word = text(data)
    cell = downloads.cell(word)
    assert not cell.startswith(downloads.FORMULAS)
    assert downloads.meant(cell) == word or word.startswith("'")


_MODELS = tables.table("models")
_LISTS: tuple[tuple[type[Model], tuple[str, ...]], ...] = (
    *((Record, ("-at", "-id")), (Entry, ("-id",)), (Provider, ("name", "id")), (Price, ("-effective_from", "-id"))),
)
_CONFIG = b"""weir: 1
tenants:
  - name: Acme
    slug: acme
    amount: 12.50
    is_active: yes
    networks: ["10.0.0.0/8", 2001:db8::/32]
    when: 2026-01-31T00:00:00+00:00
    day: "2026-01-31"
    nothing: null
    text: |
      two
      lines
"""
_YAML = (
    b": ",
    b"- ",
    b"\n",
    b"\n  ",
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"!!binary",
    b"1_000",
    b"0x1f",
    b"1e999",
    b"\t",
    b"? ",
)
_BUCKET = {
    **{"starting_at": "2026-11-01T00:00:00Z", "ending_at": "2026-11-02T00:00:00Z", "start_time": 1793491200},
    **{"end_time": 1793577600, "object": "bucket"},
}
_TOKENS = {
    **{"uncached_input_tokens": 1, "cache_read_input_tokens": 2, "cache_creation": {"ephemeral_5m_input_tokens": 3}},
    **{"output_tokens": 4, "model": "m", "api_key_id": "k", "workspace_id": None, "input_tokens": 5},
    **{"input_cached_tokens": 1, "num_model_requests": 2, "project_id": "p"},
}
_MONEY = {
    **{"amount": "12.345", "currency": "USD", "model": "m", "cost_type": "tokens", "workspace_id": "w"},
    **{"line_item": "m, input", "project_id": "p"},
}
_CUR = (
    b"lineItem/UsageStartDate,lineItem/UsageType,lineItem/UsageAmount,lineItem/UnblendedCost,product/ProductName,"
    b"lineItem/LineItemType,lineItem/CurrencyCode,lineItem/UsageAccountId,pricing/unit,product/model\n"
    b"2026-11-01T00:00:00Z,USE1-Claude-input-tokens,12,0.5,Amazon Bedrock,Usage,USD,123456789012,1K tokens,Claude\n"
)


def _page(result: dict[str, Any]) -> bytes:
    return encoded({"data": [_BUCKET | {"results": [result]}], "has_more": False, "next_page": None})


_NUMBERS = (b"9", b"0", b".", b"-", b"e", b"E+99", b"_", b",", b"$", b"NaN", b"Infinity", "٣".encode())
_JSON = (b"{", b"}", b"[", b"]", b",", b"null", b"1e400", b'"\\ud800"', b'"\\u0000"', b'"a":1,"a":2')
TARGETS: tuple[Target, ...] = (
    target(
        "config", read_config, seeds=[_CONFIG, b'{"weir": 1, "models": [{"name": "m", "price": 0.1}]}'], words=_YAML
    ),
    target(
        "table",
        read_table,
        seeds=[
            b'name,display_name,context_tokens,max_output_tokens,is_enabled\nm,"M, x",1000,10,yes\n',
            encoded([{"name": "m", "capabilities": ["tools"], "max_output_tokens": 9, "is_enabled": True}]),
        ],
        words=(*_JSON, b",", b"\n", b'"', b"'=", b"\r"),
        is_json=True,
    ),
    target("amount", read_amount, seeds=[b"12.50", b"1e3", b"0.000000001", b"9000000000"], words=_NUMBERS),
    target("words_field", read_words, seeds=[b"a, b,\nc", b'{"a": [1, "x"]}'], words=_JSON, is_json=True),
    target(
        "api_body", read_body, seeds=[b'{"name": "x", "amount_nano_usd": 5, "words": ["a"]}'], words=_JSON, is_json=True
    ),
    target(
        "cursor",
        read_cursor,
        seeds=[
            (cursors.OLDER + cursors._packed(["2026-11-02 12:00:00+00:00", "7"])).encode(),
            (cursors.NEWER + cursors._packed([str(uuid.UUID(int=7))])).encode(),
            (cursors.NEWER + cursors._packed(["Anthropic", "7"])).encode(),
            b'["Anthropic", "7"]',
            b'["2026-11-02 12:00:00+00:00", "7"]',
        ],
        words=(b"o", b"n", b"=", b"W10", b"\\u0000", b"\\ud800", b"+23:59", b"0001-01-01", b"9" * 30),
        is_json=True,
    ),
    target("cloudevent", write_event, seeds=[b'req_1\n{"cost_nano": 5, "model": "m", "tags": [null]}'], words=_JSON),
    *(
        target(f"report_{shape}", read_report(shape), seeds=[_page(result)], words=(*_NUMBERS, *_JSON), is_json=True)
        for shape, result in {
            **dict.fromkeys((registry.ANTHROPIC_USAGE, registry.OPENAI_USAGE), _TOKENS),
            **{
                registry.ANTHROPIC_COST: _MONEY,
                registry.OPENAI_COSTS: _MONEY | {"amount": {"value": 0.5, "currency": "usd"}},
            },
        }.items()
    ),
    target("report_aws_cur", read_report(registry.AWS_CUR), seeds=[_CUR], words=(b",", b"\n", b'"', *_NUMBERS)),
    target(
        "listing",
        read_listing,
        seeds=[
            encoded({"data": [{"id": "m", "display_name": "M", "max_input_tokens": 9, "context_length": 9}]}),
            encoded({"models": [{"model": "m", "name": "m"}], "capabilities": ["tools"], "model_info": {"a.b": 1}}),
            encoded({"modelSummaries": [{"modelId": "m", "modelName": "M"}]}),
        ],
        words=_JSON,
        is_json=True,
    ),
    target(
        "secret",
        read_secrets,
        seeds=[
            b"1:" + b"A" * 43 + b"=",
            b'{"1": "' + b"A" * 43 + b'="}',
            b'{"type": "service_account", "client_email": "a@b", "private_key": "x", "token_uri": "y"}',
        ],
        words=(b":", b",", b"=", b"1:", *_JSON),
        is_json=True,
    ),
    target(
        "cell",
        write_cell,
        seeds=[b"=1+1", b"'x", b"plain", b"\t=2"],
        words=(b"=", b"+", b"-", b"@", b"'", b"\t", b"\r", b"\n"),
    ),
)
