"""The table on the terminal, `latest.json` for programs, and RESULTS.md for readers."""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import figures, micro, pages_report
from benchmarks.figures import HEADLINE, Row, Target
from benchmarks.servers import Cores
from benchmarks.wire import EVENTS, LONG_EVENTS

NAMES = ("direct", "bare", "weir", "litellm", "portkey")
MODES = ("call", "stream", "idle")
MANY = 32
COLUMNS = (
    ("who", "name"),
    ("calls/s", "rps"),
    ("of bare", "ratio_to_bare"),
    ("by core time", "core_ratio_to_bare"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("added ms", "added_ms"),
    ("core busy", "busy"),
    ("core ms a call", "processor_ms"),
    ("resident MB", "rss_mb"),
)
IDLE_COLUMNS = (
    ("who", "name"),
    ("streams", "connections"),
    ("KB a stream", "kb_per_stream"),
    ("resident MB", "held_rss_mb"),
    ("opened/s", "rps"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
)
PACED_COLUMNS = (
    ("who", "name"),
    ("streams", "connections"),
    ("events/s", "rps"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("added ms", "added_ms"),
    ("added p99 ms", "added_p99_ms"),
    ("core busy", "busy"),
)
BOOKS_COLUMNS = (
    ("who", "name"),
    ("what", "mode"),
    ("connections", "connections"),
    ("p50 ms", "p50_ms"),
    ("p99 ms", "p99_ms"),
    ("accounting, p50 ms", "books_p50_ms"),
    ("accounting, p99 ms", "books_p99_ms"),
    ("accounting, core ms", "books_core_ms"),
)
SHARES = frozenset({"ratio_to_bare", "core_ratio_to_bare", "busy"})
PRIVATE = frozenset({"output", "results"})  # options that name places on this machine


@dataclass
class Outcome:
    """All that a run has found out. `missing`: contenders that were not measured, and why."""

    rows: list[Row]
    missing: dict[str, str]
    cores: Cores
    options: dict[str, Any]
    ledgers: dict[str, dict[str, int | None]]
    burst: int
    seconds: float = 0.0
    steps: list[micro.Figure] = field(default_factory=list)

    @property
    def headline(self) -> list[Row]:
        return [row for row in self.rows if _is_headline(row)]

    @property
    def others(self) -> list[Row]:
        """Other pairs of dialects, longer streams, the bare relay on the stock transport, other editions of Weir."""
        return [row for row in self.rows if not _is_headline(row)]

    @property
    def quiet(self) -> bool:
        """True also where the system does not tell how busy a process is."""
        return figures.is_quiet(self.rows, connections=MANY) is not False

    @property
    def targets(self) -> list[Target]:
        return figures.targets(self.rows, connections=MANY)


def _is_headline(row: Row) -> bool:
    return row["pair"] == HEADLINE and row["name"] in NAMES and row["mode"] in MODES


def write(outcome: Outcome, *, folder: Path, results: Path) -> None:
    """Prints the report and writes both files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(document(outcome), indent=2, ensure_ascii=False) + "\n")
    text = "\n".join(lines(outcome)).rstrip() + "\n"
    results.write_text(pages_report.keep(results, text))
    print("\n" + text, flush=True)


def document(outcome: Outcome) -> dict[str, Any]:
    """`runs` has one row a contender, mode and number of connections; what else was measured is kept apart."""
    return {
        "runs": outcome.headline,
        "others": outcome.others,
        "missing": outcome.missing,
        "targets": [vars(target) for target in outcome.targets],
        "quiet": outcome.quiet,
        "steps": [figure._asdict() for figure in outcome.steps],
        "ledger": outcome.ledgers["weir"],
        "ledgers": outcome.ledgers,
        "machine": machine(outcome.cores),
        "options": {name: value for name, value in outcome.options.items() if name not in PRIVATE},
        "measured_at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seconds": round(outcome.seconds, 1),
    }


def machine(cores: Cores) -> dict[str, Any]:
    """What figures depend on, and nothing that tells whose machine it is."""
    return {
        "cores": os.cpu_count(),
        "gateway_cores": 1 if cores.gateway is not None else None,
        "architecture": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in ("uvicorn", "uvloop", "aiohttp", "httpx2", "channels", "django")},
    }


def lines(outcome: Outcome) -> Iterator[str]:
    yield "# Weir beside a bare relay"
    yield ""
    yield from _preamble(outcome)
    yield from _targets(outcome.targets)
    for mode, title in (("call", "Calls that are not streamed"), ("stream", "Streams of 53 events")):
        for connections in sorted({row["connections"] for row in outcome.headline if row["mode"] == mode}):
            some = "1 connection" if connections == 1 else f"{connections} connections"
            rows = [
                row
                for row in outcome.rows
                if (row["mode"], row["connections"], row["pair"]) == (mode, connections, HEADLINE)
            ]
            yield from _section(f"{title}, {some}", rows, COLUMNS, missing=outcome.missing)
    yield from _books(outcome.rows)
    paced = [row | {"name": f"{row['name']}, {row['pair']}"} for row in outcome.rows if row["mode"] == "paced"]
    yield from _section("Streams at 50 events a second: how late each event is", paced, PACED_COLUMNS, missing={})
    idle = [row for row in outcome.headline if row["mode"] == "idle"]
    yield from _section("Idle open streams", idle, IDLE_COLUMNS, missing={})
    for pair in dict.fromkeys(row["pair"] for row in outcome.others if row["pair"] != HEADLINE):
        for mode in ("call", "stream"):
            rows = [row for row in outcome.others if (row["pair"], row["mode"]) == (pair, mode)]
            yield from _section(f"{pair}, {mode}, {MANY} connections", rows, COLUMNS, missing={})
    yield from _steps(outcome.steps)
    yield from _invalid(outcome.rows)
    for name, ledger in outcome.ledgers.items():
        yield from _ledger(name, ledger)


def _preamble(outcome: Outcome) -> Iterator[str]:
    facts, options = machine(outcome.cores), outcome.options
    pinned = "the gateway has one of them" if outcome.cores.gateway is not None else "nothing could be pinned"
    yield (
        f"Written by `make bench`. {facts['cores']} cores, {pinned}, load generator and simulated provider share the "
        f"rest; {facts['system']} on {facts['architecture']}, Python {facts['python']}. "
        f"Median of {options['rounds']} interleaved rounds of {options['seconds']:g} s a cell, warm-up discarded, "
        f"everything on loopback; streams of one dialect, *bare* and *weir*, {options['duels']} windows more a round. "
        "A call carries about 1 KB; each event of a stream leaves the provider in "
        f"{'a packet of its own' if outcome.burst == 1 else f'packets of {outcome.burst}'}."
    )
    yield ""
    yield (
        "*direct*: the load generator calls the provider itself. *bare*: Uvicorn, Channels' router and the gateway's "
        "transport, a key looked up in a dict, nothing else; *stock*: the same on httpx_aiohttp's own transport; "
        "*straight*: the same without the router, which Weir's completions pass by too. "
        "*weir*: authentication, limits and budgets on four levels, journal and ledger on, SQLite, no Redis; "
        "*weir-pg*: the same with limits in Valkey and the ledger in PostgreSQL, which is durable (`fsync` and "
        "`synchronous_commit` on) while Valkey saves nothing, both beside the provider; *off*: *weir* without leases, "
        "journal and ledger, which no setting of the product gives; *cached*: *weir* where every answer is a kept one. "
        "*litellm*: master key, no database. *portkey*: no keys, no ledger. *added* is the median above direct; *core "
        "busy* is how much of its core the gateway used, *by core time* compares calls a second of that time; shares "
        "of bare are medians of what the rounds say, so not the quotients of the medians beside them; *resident* is "
        "after all rounds."
    )
    yield ""
    if not outcome.quiet:
        yield (
            "**The machine was not quiet**: the bare relay, which always had work, did not get its core to itself. "
            "Calls a second and latencies are too low and too alike; *by core time* is the comparison to go by."
        )
        yield ""


def _targets(targets: Sequence[Target]) -> Iterator[str]:
    yield "| target | measured | |"
    yield "|---|---:|---|"
    words = {True: "reached", False: "**missed**", None: "not measured"}
    for target in targets:
        yield f"| {target.words} | {_quantity(target)} | {words[target.reached]} |"
    yield ""


def _quantity(target: Target) -> str:
    if target.value is None:
        return "–"
    if target.unit == "%":
        return f"{target.value:.0%}"
    return f"{target.value:.2f} {target.unit}" if target.value < 10 else f"{target.value:.1f} {target.unit}"


def _section(
    title: str, rows: Sequence[Row], columns: Sequence[tuple[str, str]], *, missing: dict[str, str]
) -> Iterator[str]:
    if not rows:
        return
    yield f"## {title}"
    yield ""
    yield "| " + " | ".join(head for head, _ in columns) + " |"
    yield "|---" + "|---:" * (len(columns) - 1) + "|"
    for row in rows:
        marked = row | {"name": row["name"] if row["valid"] else f"{row['name']} (invalid)"}
        yield "| " + " | ".join(_cell(marked, name) for _, name in columns) + " |"
    for name, reason in missing.items():
        yield f"| {name} | {reason} |" + " |" * (len(columns) - 2)
    yield ""


def _cell(row: Row, name: str) -> str:
    value = row.get(name)
    if value is None:
        return "–"
    if isinstance(value, str | int):
        return str(value)
    if name in SHARES:
        return f"{value:.0%}"
    if name == "rps":
        return f"{value:,.0f}"
    return f"{value:.1f}" if name in ("rss_mb", "held_rss_mb", "kb_per_stream") else f"{value:.2f}"


def _steps(steps: Sequence[micro.Figure]) -> Iterator[str]:
    """What single steps of a call cost."""
    if not steps:
        return
    yield from ("## Steps by themselves", "", "| step | median µs | 95 % within µs | at most |", "|---|---|---|---|")
    for name, median, spread, most in steps:
        bound = "" if most is None else f"{most:.0f}{'' if median <= most else ', missed'}"
        yield f"| {name} | {median:.0f} | {spread:.0f} | {bound} |"
    yield ""


def _invalid(rows: Sequence[Row]) -> Iterator[str]:
    bad = [row for row in rows if not row["valid"]]
    if not bad:
        yield "Every answer of every round was complete."
        yield ""
        return
    yield "## Invalid figures"
    yield ""
    for row in bad:
        reasons = (
            ", ".join(f"{count} × {reason}" for reason, count in row["errors"].items()) or "a round without a call"
        )
        yield f"- {row['name']}, {row['mode']}, {row['connections']} connections, {row['pair']}: {reasons}"
    yield ""


def _books(rows: Sequence[Row]) -> Iterator[str]:
    kept = [row for row in rows if "books_p50_ms" in row and row["mode"] in MODES]
    yield from _section("What accounting costs: above *off*", kept, BOOKS_COLUMNS, missing={})
    many = [row for row in rows if row["connections"] == MANY and row["pair"] == HEADLINE]
    events = {name: figures.event_us(many, name) for name in ("weir", "off")}
    if any(value is None for value in events.values()):
        return
    rates = {
        row["name"]: row["rps"] * LONG_EVENTS
        for row in many
        if row["mode"] == "long" and row["name"] in events and row["rps"]
    }
    said = ", ".join(f"*{name}* {value:.2f} µs" for name, value in events.items())
    yield (
        f"An event of a stream costs {said} of core, from streams of {EVENTS} and of {LONG_EVENTS} events; of the "
        f"longer ones, *weir* relays {rates.get('weir', 0):,.0f} events/s, *off* {rates.get('off', 0):,.0f}."
    )
    yield ""


def _ledger(name: str, ledger: dict[str, int | None]) -> Iterator[str]:
    answered, ok, other = ledger["answered"], ledger["ok"], ledger["other"]
    verdict = "one row a call" if answered == ok else "**these should be equal**"
    dollars = (ledger["cost_nano"] or 0) / 10**9
    yield (
        f"The callers of *{name}* saw {answered:,} complete answers and its ledger holds {ok:,} of them, {verdict}; "
        f"{other:,} rows are of streams that the benchmark cut off. In all they cost {dollars:,.2f} simulated dollars."
    )
    yield ""
