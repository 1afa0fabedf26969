"""FOCUS as files: CSV in pieces as it is made, Parquet as a whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from apps.audit import downloads
from apps.usage.focus.columns import COLUMNS, DECIMAL, MOMENT, TEXT, WHOLE, Charge, row

_TOGETHER = 2_000
# Of dollars: as many digits as 64 bits of nano-dollars can have.
_DIGITS, _PLACES = 28, 9


def as_csv(charges: Iterable[Charge]) -> Iterator[str]:
    """Pieces of text. A null is empty, a moment ends in Z."""
    yield _lines([list(COLUMNS)])
    lines = []
    for charge in charges:
        cells = row(charge)
        lines.append([_plain(cells.get(name)) for name in COLUMNS])
        if len(lines) == _TOGETHER:
            yield _lines(lines)
            lines = []
    if lines:
        yield _lines(lines)


def write_parquet(charges: Iterable[Charge], path: Path) -> None:
    """By parts, so that a large tenant's year needs little memory."""
    import pyarrow
    from pyarrow import parquet

    schema = _schema(pyarrow)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        part: list[dict[str, Any]] = []
        for charge in charges:
            part.append(row(charge))
            if len(part) == _TOGETHER:
                writer.write_table(_table(pyarrow, part, schema))
                part = []
        writer.write_table(_table(pyarrow, part, schema))


def _table(pyarrow: Any, rows: list[dict[str, Any]], schema: Any) -> Any:
    columns = {name: [cells.get(name) for cells in rows] for name in COLUMNS}
    return pyarrow.Table.from_pydict(columns, schema=schema)


def _schema(pyarrow: Any) -> Any:
    kinds = {
        TEXT: pyarrow.string(),
        DECIMAL: pyarrow.decimal128(_DIGITS, _PLACES),
        MOMENT: pyarrow.timestamp("us", tz="UTC"),
        WHOLE: pyarrow.int64(),
    }
    return pyarrow.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()])


def _plain(value: Any) -> str:
    """As the specification writes values. Names that a spreadsheet would calculate have an apostrophe before them."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text if "." in text else f"{text}.0"  # for readers that guess what a column is of
    return str(downloads.cell(str(value)))


def _lines(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
