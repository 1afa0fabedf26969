"""How a provider fared in the last 24 hours, drawn: a strip for a cell of a list, a chart for its page.

The classes are those of `static/admin/weir.css`. What colours tell, heights tell too.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.audit import cells
from apps.catalog.history import Slot
from apps.catalog.models import CheckKind, HealthCheck

_HEIGHT = 100
_STEP = 10  # units of the chart's width that a slot takes
_NEVER = "no checks in the last 24 hours"


def share(slots: list[Slot]) -> str:
    """Never 100 % while one failed."""
    checks, failures = sum(slot.checks for slot in slots), sum(slot.failures for slot in slots)
    if not checks:
        return _NEVER
    thousandths = 1000 * (checks - failures) // checks
    return f"{thousandths // 10}.{thousandths % 10} % of {checks:,} checks answered"


def strip(slots: list[Slot]) -> SafeString:
    """A bar each half hour, oldest first: high where checks failed, low where all was answered, a line where none was
    made."""
    bars = format_html_join("", '<rect class="weir-slot-{}" x="{}" y="{}" width="2" height="{}"/>', _bars(slots))
    told = f"Last 24 hours: {share(slots)}"
    return format_html(
        '<svg class="weir-strip" viewBox="0 0 {} 16" role="img" aria-label="{}"><title>{}</title>{}</svg>',
        2 * len(slots),
        told,
        told,
        bars,
    )


def _bars(slots: list[Slot]) -> Iterator[tuple[str, int, int, int]]:
    for number, slot in enumerate(slots):
        tone, height = _look(slot)
        yield tone, 2 * number, 16 - height, height


def _look(slot: Slot) -> tuple[str, int]:
    if not slot.checks:
        return "none", 2
    if not slot.failures:
        return "good", 10
    return ("bad", 16) if slot.failures == slot.checks else ("warn", 13)


def chart(slots: list[Slot]) -> SafeString:
    """A line of the mean milliseconds, broken where nothing was answered; from below, the share of failures."""
    slowest = max((slot.milliseconds for slot in slots if slot.milliseconds is not None), default=0)
    most = max(slowest, 1)
    told = f"Last 24 hours: {share(slots)}" + (f"; the slowest half hour took {slowest:,} ms" if slowest else "")
    return format_html(
        '<figure class="weir-health"><figcaption class="weir-note">{}</figcaption>'
        '<svg viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}{}</svg>'
        '<p class="weir-note weir-ends"><span>{}</span><span>{}</span></p></figure>',
        told,
        _STEP * len(slots),
        _HEIGHT,
        told,
        format_html_join("", _COLUMN, (_column(number, slot) for number, slot in enumerate(slots))),
        format_html_join("", '<polyline points="{}"/>', ((points,) for points in _lines(slots, most))),
        f"{slots[0].starts:%H:%M} UTC",
        "now",
    )


_COLUMN = (
    '<g><title>{}</title><rect class="weir-field" x="{}" y="0" width="{}" height="{}"/>'
    '<rect class="weir-slot-{}" x="{}" y="{}" width="{}" height="{}"/></g>'
)


def _column(number: int, slot: Slot) -> tuple[object, ...]:
    tone, _ = _look(slot)
    height = 2
    if slot.failures:
        height = max(6, _HEIGHT * slot.failures // slot.checks)
    x = _STEP * number
    return (_words(slot), x, _STEP, _HEIGHT, tone, x + 1, _HEIGHT - height, _STEP - 2, height)


def _words(slot: Slot) -> str:
    told = f"{slot.starts:%H:%M} UTC: "
    if not slot.checks:
        return f"{told}no checks"
    told += f"{slot.checks:,} checks, {slot.failures:,} failed"
    return told if slot.milliseconds is None else f"{told}; {slot.milliseconds:,} ms, at most {slot.slowest:,}"


def _lines(slots: list[Slot], most: int) -> Iterator[str]:
    """One line each stretch without a gap. A single half hour is as wide as it lasts."""
    for is_answered, stretch in groupby(enumerate(slots), key=lambda one: one[1].milliseconds is not None):
        if not is_answered:
            continue
        points = [(_STEP * number + _STEP // 2, 90 - 80 * (slot.milliseconds or 0) // most) for number, slot in stretch]
        if len(points) == 1:
            points = [(points[0][0] - _STEP // 2, points[0][1]), (points[0][0] + _STEP // 2, points[0][1])]
        yield " ".join(f"{x},{y}" for x, y in points)


def table(checks: list[HealthCheck]) -> SafeString:
    """The last ones, newest first."""
    rows = [
        (
            cells.stamp(check.at),
            CheckKind(check.kind).label,
            cells.badge("answered", "good") if check.ok else cells.badge("failed", "bad"),
            cells.number(check.milliseconds),
            check.message,
        )
        for check in checks
    ]
    return format_html(
        '<details class="mt-2"><summary class="cursor-pointer">The last checks</summary>'
        '<div class="weir-scroll">{}</div></details>',
        cells.table(("When (UTC)", "Asked for", "Outcome", "ms", "What came of it"), rows),
    )
