"""`make bench-pages`: how long the server takes for every page there is, on an installation of any size.

    python -m benchmarks.pages [--tenants N] [--keys N] [--entries N] [--days N] [--rounds N]
                               [--only WORD] [--slowest N] [--results FILE]

DATABASE_URL names a database that `manage.py seed_scale` has filled, or an empty one, which is filled first, as is one
of a PostgreSQL that is started where none is named. Every page is opened once unmeasured, then in rounds; what is told
is the median. A page is over where that is more than 300 ms, or where it asks more than 25 questions. Ends with 1 if
one is, or does not open.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from http import HTTPStatus
from pathlib import Path

from benchmarks import pages_report
from benchmarks.pages_report import Row
from tests import services

MOST_MS, MOST_QUERIES = 300, 25
SIZES = {"tenants": 1_000, "keys": 1_000_000, "entries": 20_000_000, "days": 60}
RESULTS = Path(__file__).with_name("RESULTS.md")
SLOWEST = 30  # addresses that are named at the end


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, usual in SIZES.items():
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="pages whose names begin so; nothing is written then")
    parser.add_argument("--slowest", type=int, default=0, help="tell so many queries of each of the slowest addresses")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-", dir="/tmp"))
        os.environ |= {"DJANGO_SETTINGS_MODULE": "gateway_site.settings", "WEIR_VAR": folder}
        if not os.environ.get("DATABASE_URL"):
            os.environ["DATABASE_URL"] = stack.enter_context(services.postgresql()).url
        return measure(options)


def measure(options: argparse.Namespace) -> int:
    import django

    django.setup()
    from django.core.management import call_command

    from apps.tenants.models import Tenant

    call_command("migrate", verbosity=0)
    if not Tenant.objects.exists():
        call_command("seed_scale", **{name: getattr(options, name) for name in SIZES})
    rows, unopened = walk(options)
    tell(rows, options)
    if not options.only:
        told = pages_report.lines(
            rows, sizes(), buffers=buffers(), rounds=options.rounds, ms=MOST_MS, queries=MOST_QUERIES
        )
        pages_report.write(options.results, list(told))
    for row in unopened:
        print(f"does not open: {row.sight}")
    return int(bool(unopened) or any(row.exceeds(ms=MOST_MS, queries=MOST_QUERIES) for row in rows))


def sizes() -> dict[str, int]:
    """Of what is there, which need not be what was asked for."""
    from apps.keys.models import Key
    from apps.tenants.models import Tenant
    from apps.usage.models import Entry

    ends = [Entry.objects.order_by(way).values_list("started_at", flat=True)[0] for way in ("id", "-id")]
    counts = {"tenants": Tenant, "keys": Key, "entries": Entry}
    return {name: model._default_manager.count() for name, model in counts.items()} | {
        "days": (ends[1] - ends[0]).days + 1
    }


def buffers() -> str:
    """How much of the database PostgreSQL keeps in memory itself, as it says it: `512MB`."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SHOW shared_buffers")
        return str(cursor.fetchone()[0])


def walk(options: argparse.Namespace) -> tuple[list[Row], list[Row]]:
    """All that was opened, and what did not open."""
    from benchmarks.walking import FINE, Walk

    rows, unopened = [], []
    road = Walk()
    for sight, first in road.sights(options.only):
        row = Row(sight)
        rows.append(row)
        if first.status not in FINE:
            unopened.append(row)
        rounds = 1 if sight.is_file else options.rounds
        row.opened = [road.open(sight)._replace(text="") for _ in range(rounds)] or [first._replace(text="")]
        print(line(row), "" if first.status == HTTPStatus.OK else f"status {first.status}", flush=True)
    return rows, unopened


def line(row: Row) -> str:
    mark = "OVER" if row.exceeds(ms=MOST_MS, queries=MOST_QUERIES) else "file" if row.sight.is_file else ""
    figures = [row.ms(name) for name in ("seconds", "busy", "in_database", "database_busy")]
    times = "{:7.0f} ms  cpu {:6.0f}  db {:6.0f} cpu {:6.0f}".format(*figures)
    return f"{mark:4} {row.queries:3} q  {times}  {row.sight.who:10} {row.sight.name:30} {row.sight.url}"


def tell(rows: list[Row], options: argparse.Namespace) -> None:
    print(f"\nThe slowest of {len(rows):,}:")
    for row in sorted(rows, key=lambda row: -row.ms("seconds"))[:SLOWEST]:
        print(line(row))
        for asked in sorted(row.opened[-1].asked, key=lambda each: -each.seconds)[: options.slowest]:
            print(f"      {1000 * asked.seconds:.0f} ms {asked.sql[:1500]}")


if __name__ == "__main__":
    sys.exit(main())
