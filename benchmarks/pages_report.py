"""What a walk through all pages has come to, as a section of RESULTS.md."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

BEGINS = "# Pages of a large installation"
TELEMETRY = "# What telemetry costs"  # stands before it
COLUMNS = ("page", "addresses", "median ms", "p95 ms", "its core ms", "database core ms", "queries", "slowest address")
WIDEST = 90


class Row:
    """What opening one address has come to."""

    def __init__(self, sight: Any) -> None:
        self.sight = sight
        self.opened: list[Any] = []

    def ms(self, name: str) -> float:
        return 1000 * median(getattr(each, name) or 0 for each in self.opened)

    @property
    def p95(self) -> float:
        return 1000 * sorted(each.seconds for each in self.opened)[-1 - len(self.opened) // 20]

    @property
    def queries(self) -> int:
        return max(len(each.asked) for each in self.opened)

    def exceeds(self, *, ms: float, queries: int) -> bool:
        return not self.sight.is_file and (self.ms("seconds") > ms or self.queries > queries)


def keep(results: Path, written: str) -> str:
    """What another benchmark writes, with the sections that stand behind it in the file."""
    text = results.read_text() if results.exists() else ""
    found = re.search(rf"^({TELEMETRY}|{BEGINS})$", text, re.MULTILINE)
    return f"{written.rstrip()}\n\n{text[found.start() :]}" if found else written


def keep_telemetry(results: Path, lines: Sequence[str]) -> None:
    """Writes that section anew; the others stay."""
    text = results.read_text()
    before, found, pages = text.partition(f"{BEGINS}\n")
    section = "\n".join(lines).rstrip()
    results.write_text(
        f"{before.partition(f'{TELEMETRY}{chr(10)}')[0].rstrip()}\n\n{section}\n\n{found}{pages}".rstrip() + "\n"
    )


def write(results: Path, lines: Sequence[str]) -> None:
    before = results.read_text().partition(BEGINS)[0] if results.exists() else ""
    results.write_text(f"{before.rstrip()}\n\n" + "\n".join(lines).rstrip() + "\n")


def lines(
    rows: Sequence[Row], sizes: dict[str, int], *, buffers: str, rounds: int, ms: float, queries: int
) -> Iterator[str]:
    over = [row for row in rows if row.exceeds(ms=ms, queries=queries)]
    pages = [row for row in rows if not row.sight.is_file]
    yield from (BEGINS, "")
    yield (
        f"Written by `make bench-pages`: PostgreSQL with {sizes['tenants']:,} tenants, {sizes['keys']:,} keys and "
        f"{sizes['entries']:,} ledger rows of {sizes['days']} days (`manage.py seed_scale`), {buffers} of its own "
        f"memory, on {os.cpu_count()} cores that others worked on too. {len(pages):,} addresses of "
        f"{len({row.sight.name for row in pages}):,} pages: as the owner of the largest tenant, of the one in the "
        f"middle, as a developer and as an operator, with filters and second pages; each {rounds} times. Times are "
        "the server's, without the network; a page's are those of its slowest address. *Core ms* is what Django's and "
        "PostgreSQL's processes took of a core."
    )
    yield ""
    told = "no address" if not over else f"**{len(over)} addresses**"
    yield f"Over {ms:g} ms at the median, or over {queries} queries: {told} of {len(pages):,}."
    yield from ("", _line(COLUMNS), "|---" + "|---:" * (len(COLUMNS) - 2) + "|---|")
    for name in dict.fromkeys(row.sight.name for row in pages):
        mine = [row for row in pages if row.sight.name == name]
        yield _line(_cells(name, mine, over))
    yield ""
    files = [row for row in rows if row.sight.is_file]
    if files:
        yield from ("Files, which stream:", "", _line(("file", "s", "MB", "queries")), "|---|---:|---:|---:|")
        for row in sorted(files, key=lambda row: (row.sight.name, row.sight.url)):
            size = max(each.size for each in row.opened) / 1e6
            told = f"{row.sight.name}, {_short(row.sight.url)}"
            yield _line((told, f"{row.ms('seconds') / 1000:.1f}", f"{size:.1f}", row.queries))
        yield ""


def _cells(name: str, rows: Sequence[Row], over: Sequence[Row]) -> tuple[Any, ...]:
    slowest = max(rows, key=lambda row: row.ms("seconds"))
    times = (slowest.ms("seconds"), slowest.p95, slowest.ms("busy"), slowest.ms("database_busy"))
    mark = f"**{name}**" if any(row in over for row in rows) else name
    most = max(row.queries for row in rows)
    return (
        mark,
        len(rows),
        *(f"{time:.0f}" for time in times),
        most,
        f"{slowest.sight.who}: {_short(slowest.sight.url)}",
    )


def _short(url: str) -> str:
    """Without the cursors of pages."""
    text = re.sub(r"((?:page|p|cursor|before)=)[^&]{12,}", r"\1…", url)
    return f"`{text if len(text) <= WIDEST else text[: WIDEST - 1] + '…'}`"


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
