"""What stands in the cells of the admin's lists and pages: small pieces of HTML, every value escaped.

The classes are those of `static/admin/weir.css`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timesince import timesince, timeuntil
from unfold.decorators import display

NOTHING = "—"
WARN_PERCENT = 80
ZERO = timedelta(0)
A_MOMENT = timedelta(minutes=1)
MOST_DAYS = 100
NUMBER = SafeString('<span class="weir-number">')
TO_THE_RIGHT = SafeString(' class="weir-right"')


def ago(moment: datetime | None, *, never: str = NOTHING) -> str:
    """`5 minutes ago` or `in 3 days`; the moment itself as its title."""
    if moment is None:
        return never
    return format_html('<time datetime="{}" title="{}">{}</time>', moment.isoformat(), utc(moment), since(moment))


def since(moment: datetime) -> str:
    """`5 minutes ago`, `just now`, `in 3 days`. What comes is told by its days for long: 89 are not 2 months."""
    passed = timezone.now() - moment
    if abs(passed) < A_MOMENT:
        return "just now"
    if passed > ZERO:
        return f"{timesince(moment, depth=1)} ago"
    days = round(-passed / timedelta(days=1))
    return f"in {days} days" if 7 <= days <= MOST_DAYS else f"in {timeuntil(moment, depth=1)}"


def once(show: Callable[[Any, Any], str]) -> Callable[[Any, Any], str]:
    """For a read-only field that asks the database: a page's template asks the field several times."""

    @functools.wraps(show)
    def shown(page: Any, row: Any) -> str:
        kept: dict[str, str] = row.__dict__.setdefault("_shown_once", {})
        if show.__name__ not in kept:
            kept[show.__name__] = show(page, row)
        return kept[show.__name__]

    return shown


def utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def stamp(moment: datetime | None) -> str:
    """The moment to the second, in UTC; the column says so."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time datetime="{}" title="{} ago">{}</time>',
        moment.isoformat(),
        timesince(moment, depth=1),
        f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}",
    )


def badge(text: str, tone: str = "") -> SafeString:
    """A state as a coloured word. Tones: good, bad, warn, info, or none."""
    return format_html('<span class="weir-badge weir-badge-{}">{}</span>', tone or "plain", text)


def column(field: str, label: str) -> Callable[[Any], Any]:
    """A row's field as a column of a list. Phones write a label as it is, and a field's own begins in lower case."""

    def shown(row: Any) -> Any:
        return getattr(row, field)

    shown.__name__ = field  # the cell's class
    return display(shown, description=label, ordering=field)  # type: ignore[no-any-return]


def number(value: int | None) -> str:
    return amount(NOTHING if value is None else f"{value:,}")


def amount(text: str) -> str:
    """Money that is text already."""
    return format_html("{}{}</span>", NUMBER, text)


def code(text: Any) -> str:
    return format_html('<code class="weir-code">{}</code>', text) if text else NOTHING


def link(url: str, text: Any) -> SafeString:
    return format_html('<a class="weir-link" href="{}">{}</a>', url, text)


def words(values: Any, *, none: str = NOTHING) -> str:
    """A list as one chip a word."""
    if not values:
        return none
    return format_html_join(" ", '<span class="weir-chip">{}</span>', ((value,) for value in values))


def lines(values: list[Any]) -> str:
    """One value a line."""
    found = format_html_join("", "<div>{}</div>", ((value,) for value in values))
    return format_html('<div class="weir-lines">{}</div>', found) if found else NOTHING


def steps(values: list[Any]) -> str:
    """What was done, in order."""
    if not values:
        return NOTHING
    return format_html(
        '<ol class="weir-steps">{}</ol>', format_html_join("", "<li>{}</li>", ((value,) for value in values))
    )


def table(headings: tuple[str, ...], rows: list[tuple[Any, ...]]) -> SafeString:
    """A small table within a page. Cells that are numbers stand to the right, and so do the headings above them."""
    numbers = {place for row in rows for place, cell in enumerate(row) if str(cell).startswith(NUMBER)}
    head = format_html_join(
        "", "<th{}>{}</th>", ((TO_THE_RIGHT if place in numbers else "", each) for place, each in enumerate(headings))
    )
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html('<table class="weir-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)


def tone(percent: int) -> str:
    """How a bar that is so full is coloured."""
    return "bad" if percent >= 100 else "warn" if percent >= WARN_PERCENT else "good"


def bar(percent: int, text: str, *, held: int = 0, mark: int | None = None) -> SafeString:
    """How much of something is gone; it may be more than all. `held` per cent more are promised, and paler; `mark` is
    where a line stands, if the bar goes on behind what it is a part of. Both are per cent of the bar."""
    whole = 100 if mark is None else mark
    gone = min(100, percent * whole // 100)
    line = format_html('<rect class="weir-mark" x="{}" width="1" height="8"/>', mark) if mark is not None else ""
    return format_html(
        '<span class="weir-meter"><svg class="weir-bar weir-bar-{}" viewBox="0 0 100 8" preserveAspectRatio="none"'
        ' role="img" aria-label="{} %"><rect width="{}" height="8"/>'
        '<rect class="weir-held" x="{}" width="{}" height="8"/>{}</svg><span>{} · {} %</span></span>',
        tone(percent),
        percent,
        gone,
        gone,
        min(100 - gone, held),
        line,
        text,
        percent,
    )
