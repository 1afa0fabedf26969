"""AWS's Cost and Usage Report, as far as it is of Bedrock: CUR 2.0 and the older one, as CSV, CSV.gz or Parquet.

The older one's columns are called `lineItem/UsageStartDate`, the newer one's `line_item_usage_start_date`; the newer
one has a `product` map. Amounts are of thousands of tokens, unless `pricing_unit` says otherwise. Which model it was
tells the resource (an ARN), or the product's name on the marketplace, or else the usage type. After the user guides of
AWS Data Exports ("CUR 2.0 table dictionary") and Bedrock ("Understanding your Cost and Usage Report data").
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from apps.reconciliation.shapes import pages
from apps.reconciliation.shapes.lines import (
    MOST_TOKENS,
    Gatherer,
    Read,
    Unreadable,
    dollars,
    moment,
    number,
    only_dollars,
    text,
)

MOST_BYTES = 256 * 1024 * 1024  # unpacked
MOST_ROWS = 1_000_000
USAGE = frozenset({"Usage", "DiscountedUsage", "SavingsPlanCoveredUsage"})
NEEDED = (
    *("line_item_usage_start_date", "line_item_usage_end_date", "line_item_product_code", "line_item_usage_type"),
    *("line_item_unblended_cost", "line_item_usage_amount", "line_item_currency_code"),
)
WANTED = (
    *NEEDED,
    *("line_item_line_item_type", "line_item_resource_id", "line_item_usage_account_id", "line_item_iam_principal"),
    *("pricing_unit", "product", "product_product_name", "product_servicename"),
)
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_REGION = re.compile(r"\A[A-Z]{2,4}\d?(?:_?[A-Z0-9]{0,6})?-(?:MP:)?")
_SUFFIX = re.compile(
    r"[-_](?:mantle[-_])?(?:cross[-_]region[-_])?(?:cache[-_]?(?:read|write)[-_]?)?(?:input|output)[-_]?tokens?.*\Z"
    r"|[-_]cache[-_]?(?:read|write).*\Z",
    re.I,
)
_EDITION = re.compile(r"\s*\(Amazon Bedrock Edition\)\s*\Z", re.I)
_RESOURCE = re.compile(r":(?:foundation-model|inference-profile|imported-model|custom-model)/([^/]+)")
_NAME = re.compile(r'"product_name"\s*:\s*"([^"]{1,200})"')
_PARQUET = b"PAR1"
_BATCH = 5_000


def read(body: bytes) -> Read:
    """Raises Unreadable."""
    gathered = Gatherer()
    has_any = False
    for number_, row in enumerate(_rows(body), 2):
        if number_ > MOST_ROWS:
            raise Unreadable(f"row {number_}", f"{MOST_ROWS:,} rows are the most: export Bedrock's alone.")
        where = f"row {number_}, "
        begin = moment(row["line_item_usage_start_date"], f"{where}line_item_usage_start_date")
        if _is_of_a_model(row):
            gathered.day(begin.date(), where)
            _add(gathered, row, where)
            has_any = True
    if not has_any:
        raise Unreadable("line_item_product_code", "There is no usage of Amazon Bedrock in it.")
    return gathered.read()


def _is_of_a_model(row: Mapping[str, Any]) -> bool:
    """Models of others are sold through the marketplace, under product codes of their own."""
    return row["line_item_product_code"] == "AmazonBedrock" or "bedrock" in _product(row).lower()


def _product(row: Mapping[str, Any]) -> str:
    named = row.get("product_product_name") or row.get("product_servicename") or ""
    if not named and isinstance(row.get("product"), str):
        found = _NAME.search(row["product"])
        named = found[1] if found else ""
    return str(named)


def _add(gathered: Gatherer, row: Mapping[str, Any], where: str) -> None:
    only_dollars(row["line_item_currency_code"], f"{where}line_item_currency_code")
    cost = dollars(row["line_item_unblended_cost"], f"{where}line_item_unblended_cost")
    kind = text(row.get("line_item_line_item_type") or "Usage", f"{where}line_item_line_item_type")
    if kind not in USAGE or cost < 0:
        gathered.leave(kind if kind not in USAGE else "credits", cost)
        return
    usage = text(row["line_item_usage_type"], f"{where}line_item_usage_type")
    gathered.add(
        where,
        _day(row, where),
        _model(row, usage, where),
        key=text(row.get("line_item_iam_principal"), f"{where}line_item_iam_principal"),
        group=text(str(row.get("line_item_usage_account_id") or ""), f"{where}line_item_usage_account_id"),
        tokens=_tokens(row, usage, where),
        dollars=cost,
    )


def _day(row: Mapping[str, Any], where: str) -> date:
    """Reports may be of months: nothing tells how much of those was used on which day."""
    begin, end = (moment(row[name], f"{where}{name}") for name in NEEDED[:2])
    pages.within_a_day(begin, end, f"{where}{NEEDED[1]}", instead="export it with daily or hourly granularity")
    return begin.date()


def _model(row: Mapping[str, Any], usage: str, where: str) -> str:
    resource = text(row.get("line_item_resource_id"), f"{where}line_item_resource_id")
    if found := _RESOURCE.search(resource):
        return found[1]
    product = _EDITION.sub("", text(_product(row), f"{where}product"))
    if product and product != "Amazon Bedrock":
        return product
    return _SUFFIX.sub("", _REGION.sub("", usage)) or usage


def _tokens(row: Mapping[str, Any], usage: str, where: str) -> tuple[int, ...] | None:
    """None: it is no usage of tokens (of provisioned throughput, say)."""
    kind = usage.lower().replace("_", "-")
    if "token" not in kind and "cache" not in kind:
        return None
    many = number(row["line_item_usage_amount"], f"{where}line_item_usage_amount") * _unit(row)
    if not 0 <= many <= MOST_TOKENS:
        raise Unreadable(f"{where}line_item_usage_amount", "This is no number of tokens.")
    counted = int(many.to_integral_value())
    if "cache" in kind and "write" in kind:
        place = 3 if "1h" in kind else 2
    elif "cache" in kind:
        place = 1
    else:
        place = 4 if "output" in kind else 0
    return tuple(counted if index == place else 0 for index in range(5))


def _unit(row: Mapping[str, Any]) -> Decimal:
    told = str(row.get("pricing_unit") or "1K tokens").lower().replace(",", "")
    if "1m" in told or "million" in told:
        return Decimal(1_000_000)
    if "1k" in told or "1000" in told or "unit" in told:
        return Decimal(1_000)
    return Decimal(1)


# --- files ----------------------------------------------------------------------------------------------------------


def _rows(body: bytes) -> Iterator[Mapping[str, Any]]:
    if body[:4] == _PARQUET:
        return _parquet(body)
    return _csv(_unpacked(body) if body[:2] == b"\x1f\x8b" else io.BytesIO(body))


def _unpacked(body: bytes) -> io.BytesIO:
    """As much of it as may be."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as packed:
            plain = packed.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise Unreadable("", "The gzip file is damaged.") from None
    if len(plain) > MOST_BYTES:
        raise Unreadable("", f"Unpacked it is longer than {MOST_BYTES:,} bytes: export Bedrock's rows alone.")
    return io.BytesIO(plain)


def _csv(stream: io.BytesIO) -> Iterator[Mapping[str, Any]]:
    try:
        reader = csv.reader(io.TextIOWrapper(stream, "utf-8-sig", newline=""))
        heading = next(reader, [])
        places = _places(heading)
        for number_, cells in enumerate(reader, 2):
            if not cells:
                continue
            if len(cells) != len(heading):
                raise Unreadable(f"row {number_}", f"{len(cells)} cells, where the heading has {len(heading)}.")
            yield {name: cells[place] for name, place in places.items()}
    except UnicodeDecodeError:
        raise Unreadable("", "It is neither CSV in UTF-8, nor gzip, nor Parquet.") from None
    except csv.Error as error:
        raise Unreadable("", f"It is not CSV: {error}.") from None


def _places(heading: Iterable[str]) -> dict[str, int]:
    names = {_plain(name): place for place, name in enumerate(heading)}
    _check(names)
    return {name: names[name] for name in WANTED if name in names}


def _plain(name: str) -> str:
    """`lineItem/UsageStartDate` is `line_item_usage_start_date`."""
    return "_".join(_WORD.sub("_", part) for part in name.strip().split("/")).lower().replace("__", "_")


def _check(names: Iterable[str]) -> None:
    there = set(names)
    if missing := [name for name in NEEDED if name not in there]:
        raise Unreadable(missing[0], "There is no such column: this is no Cost and Usage Report.")


def _parquet(body: bytes) -> Iterator[Mapping[str, Any]]:
    """By batches of rows, and only the columns that are wanted."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise Unreadable("", "Parquet is not installed here (pyarrow): export it as CSV.") from None
    try:
        file = parquet.ParquetFile(io.BytesIO(body))
        names = {_plain(name): name for name in file.schema_arrow.names}
        _check(names)
        unpacked = sum(file.metadata.row_group(index).total_byte_size for index in range(file.metadata.num_row_groups))
        if unpacked > MOST_BYTES or file.metadata.num_rows > MOST_ROWS:
            raise Unreadable("", "It is too large: export Bedrock's rows alone.")
        wanted = {name: names[name] for name in WANTED if name in names}
        for batch in file.iter_batches(batch_size=_BATCH, columns=list(wanted.values())):
            for row in batch.to_pylist():
                yield {name: _cell(row[own]) for name, own in wanted.items()}
    except (pyarrow.ArrowException, OSError, KeyError):
        raise Unreadable("", "The Parquet file is damaged.") from None


def _cell(value: Any) -> Any:
    """As CSV has it."""
    match value:
        case None:
            return ""
        case list() | dict():
            pairs = value.items() if isinstance(value, dict) else value
            return "{" + ", ".join(f'"{key}": "{told}"' for key, told in pairs if told is not None) + "}"
        case float():
            return Decimal(repr(value))
        case _ if hasattr(value, "isoformat"):
            return value.isoformat()
    return value
