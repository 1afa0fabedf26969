"""A report's days as bars: what the provider says beside what Weir has."""

from __future__ import annotations

from typing import Any

from django.db.models import Sum

from apps.domain import money
from apps.reconciliation import services
from apps.reconciliation.models import Report, Status

HEIGHT = 150  # pixels, labels not counted
MOST_LABELS = 16
STATES = {
    Status.EQUAL: "good",
    Status.CLOSE: "good",
    Status.MORE_HERE: "warn",
    Status.MORE_THERE: "bad",
    Status.NOT_HERE: "bad",
    Status.NOT_THERE: "warn",
    Status.RUNNING: "info",
    Status.SEALED: "plain",
}


def days(report: Report) -> dict[str, Any] | None:
    """Of money, or of tokens where the report tells none; None: there is nothing to draw. One query."""
    unit = "nano" if report.has_cost else "tokens"
    found = (
        report.differences.order_by()
        .values("day")
        .annotate(there=Sum(f"reported_{unit}"), here=Sum(f"counted_{unit}"))
        .order_by("day")
    )
    rows = [(row["day"], max(0, row["there"] or 0), max(0, row["here"] or 0)) for row in found]
    most = max((max(there, here) for _, there, here in rows), default=0)
    if not most:
        return None
    write = money.text if report.has_cost else "{:,} tokens".format
    step = -(-len(rows) // MOST_LABELS)
    return {
        "height": HEIGHT,
        "width": f"{100 / len(rows):.4f}",
        "bars": [
            {
                "x": f"{index * 100 / len(rows):.4f}",
                "there": HEIGHT * there // most,
                "there_y": HEIGHT - HEIGHT * there // most,
                "here": HEIGHT * here // most,
                "here_y": HEIGHT - HEIGHT * here // most,
                "label": f"{day:%m-%d}" if index % step == 0 else "",
                "told": f"{day}: provider {write(there)}, Weir {write(here)}",
            }
            for index, (day, there, here) in enumerate(rows)
        ],
    }


def by_status(report: Report) -> dict[str, tuple[int, int]]:
    """How many differences there are of each, and their money. One query."""
    return services.sums(report.differences.all())
