"""Numbers, moments and small drawings as the portal shows them. Every value is escaped; nothing carries a style of its
own, which the pages' policy forbids."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from apps.audit import cells
from apps.domain import money
from apps.portal import budgets

register = template.Library()
NOTHING = "—"
WARN_PERCENT = 80
THEMES = ("light", "dark")
TONES = frozenset({"good", "warn", "bad", "soft"})


@register.filter
def dollars(nano: int | None) -> str:
    """`$1,234.50`; small amounts with two digits that count. No amount: a dash."""
    return NOTHING if nano is None else money.text(nano)


@register.filter
def about(nano: int | None) -> str:
    """As `dollars`, but large amounts without cents: a card's one figure."""
    return NOTHING if nano is None else money.brief(nano)


@register.filter
def exact_dollars(nano: int | None) -> str:
    """Nothing rounded away."""
    return NOTHING if nano is None else money.exact(nano)


@register.filter
def count(number: int | None) -> str:
    """`12,345`."""
    return NOTHING if number is None else f"{number:,}"


@register.filter
def short(number: int | None) -> str:
    """`12.3 M`: for tokens, where the last digits say nothing."""
    if number is None:
        return NOTHING
    for size, unit in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if abs(number) >= 10 * size or (size > 10**3 and abs(number) >= size):
            return f"{number / size:,.1f} {unit}"
    return f"{number:,}"


@register.filter
def duration(milliseconds: int | None) -> str:
    """`850 ms`, `2.4 s`."""
    if milliseconds is None:
        return NOTHING
    return f"{milliseconds:,} ms" if milliseconds < 1_000 else f"{milliseconds / 1_000:,.1f} s"


@register.filter
def ago(moment: datetime | None) -> str:
    """`5 minutes ago` or `in 3 days`; the moment itself, in UTC, as its title."""
    if moment is None:
        return "never"
    title = f"{moment:%Y-%m-%d %H:%M:%S}"
    return format_html('<time datetime="{}" title="{} UTC">{}</time>', moment.isoformat(), title, cells.since(moment))


@register.filter
def moment(value: datetime | None, zone: str = "UTC") -> str:
    """To the second, in the time zone that the page states."""
    if value is None:
        return NOTHING
    there = value.astimezone(zoneinfo.ZoneInfo(zone))
    return format_html('<time datetime="{}">{}</time>', value.isoformat(), f"{there:%Y-%m-%d %H:%M:%S}")


@register.simple_tag
def badge(text: str, tone: str = "soft") -> SafeString:
    """A state as a coloured word. Tones: good, warn, bad, soft."""
    return format_html('<span class="badge {}">{}</span>', tone if tone in TONES else "soft", text)


@register.simple_tag
def meter(gone: int, whole: int, held: int = 0) -> SafeString:
    """How much of `whole` is gone, and how much more is held: paler. It says its figure to those who do not see it."""
    percent = 100 * gone // whole if whole else 100
    tone = "bad" if percent >= 100 else "warn" if percent >= WARN_PERCENT else "good"
    width = min(100, max(0, percent))
    more = min(100 - width, 100 * held // whole if whole else 0)
    return format_html(
        '<svg class="meter {}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{} %">'
        '<rect class="track" width="100" height="8"/><rect class="gone" width="{}" height="8"/>'
        '<rect class="held" x="{}" width="{}" height="8"/></svg>',
        *(tone, percent, width, width, more),
    )


@register.simple_tag
def sparkline(values: Sequence[int], label: str = "") -> SafeString:
    """A line of the values, oldest first. Flat where all are the same."""
    if len(values) < 2:
        return SafeString("")
    most, step = max(*values, 1), 100 / (len(values) - 1)
    points = [f"{index * step:.2f},{23 - 21 * max(value, 0) / most:.2f}" for index, value in enumerate(values)]
    line = "M" + "L".join(points)
    return format_html(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path class="under" d="{}L100,24L0,24Z"/><path d="{}"/></svg>',
        *(label, line, line),
    )


@register.inclusion_tag("portal/icon.html")
def icon(name: str) -> dict[str, Any]:
    return {"name": name}


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> SafeString:
    """The attribute of the page for whoever has chosen a theme."""
    chosen = _theme(context)
    return format_html(' data-theme="{}"', chosen) if chosen else SafeString("")


@register.simple_tag(takes_context=True)
def theme_name(context: template.Context) -> str:
    return _theme(context) or "system"


def _theme(context: template.Context) -> str:
    chosen = context["request"].COOKIES.get("theme", "") if "request" in context else ""
    return chosen if chosen in THEMES else ""


@register.inclusion_tag("portal/in_the_way.html", takes_context=True)
def budgets_in_the_way(context: template.Context) -> dict[str, Any]:
    """Says which budgets refuse the visitor's calls, until when, and what can be done."""
    return {"visit": context["visit"], "rows": budgets.in_the_way(context["visit"])}


@register.simple_tag(takes_context=True)
def portal_url(context: template.Context, name: str, **arguments: Any) -> str:
    """Of a page of the visited tenant."""
    return str(context["visit"].url(name, **arguments))
