"""What models cost and have cost, on the pages of deployments, models and providers."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from apps.audit import cells
from apps.audit.panels import Listing, listing_of
from apps.catalog.models import Deployment, Model, Price, Provider
from apps.domain import money

MOST_LISTED = 10
_WIDTH, _HEIGHT = 400, 60
_LEAST_SPAN = datetime.timedelta(days=1)


@listing_of(Deployment)
def _history(request: HttpRequest, row: Any) -> Listing | None:
    """Of one deployment: steps through time, and the newest prices with how far each moved."""
    if not request.user.has_perm("catalog.view_price"):
        return None
    prices = list(row.prices.order_by("-effective_from", "-id")[: MOST_LISTED + 1])
    link = f"{reverse('admin:catalog_price_changelist')}?deployment__id__exact={row.pk}"
    rows = [
        (
            cells.link(
                reverse("admin:catalog_price_change", args=[price.pk]), f"{price.effective_from:%Y-%m-%d %H:%M}"
            ),
            _amount(price.input, before.input if before else None),
            _amount(price.output, before.output if before else None),
        )
        for price, before in itertools.pairwise([*prices, None])
    ][:MOST_LISTED]
    heads = ("From (UTC)", cells.amount("Input $"), cells.amount("Output $"))
    table = format_html("{}{}", steps(prices[::-1]), cells.table(heads, rows)) if rows else ""
    return Listing("Price history", table, link, "It has no price: no call that a budget pays for goes there.")


def _amount(now: int, before: int | None) -> SafeString | str:
    moved = f" ({100 * (now - before) / before:+.0f} %)" if before and before != now else ""
    return cells.amount(f"{money.exact(now)}{moved}")


def steps(prices: list[Price]) -> SafeString | str:
    """Input and output through time, oldest first, each a line of steps; nothing for a single price."""
    if len(prices) < 2:
        return ""
    first, last = prices[0].effective_from, max(prices[-1].effective_from, timezone.now())
    span = max(last - first, _LEAST_SPAN)
    most = max(max(price.input, price.output) for price in prices) or 1
    lines = []
    for name in ("output", "input"):
        points = [
            f"{round(_WIDTH * ((moment - first) / span))},{_height(getattr(price, name), most)}"
            for price, after in itertools.pairwise([*prices, None])
            for moment in (price.effective_from, after.effective_from if after is not None else last)
        ]
        lines.append((name, " ".join(points)))
    told = f"Input and output prices from {first:%Y-%m-%d} to {last:%Y-%m-%d}, up to {money.exact(most)}"
    return format_html(
        '<svg class="weir-steps-chart" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">{}'
        "</svg>"
        '<p class="weir-note weir-ends"><span>{}</span><span>output above, input below</span>'
        "<span>{}</span></p>",
        _WIDTH,
        _HEIGHT,
        told,
        format_html_join("", '<polyline class="weir-steps-{}" points="{}"/>', lines),
        f"{first:%Y-%m-%d}",
        f"{last:%Y-%m-%d}",
    )


def _height(amount: int, most: int) -> int:
    return _HEIGHT - 2 - round((_HEIGHT - 4) * amount / most)


@listing_of(Model, Provider)
def _in_force(request: HttpRequest, row: Any) -> Listing | None:
    """What each deployment costs now, since when, and what comes next."""
    if not request.user.has_perm("catalog.view_price"):
        return None
    scope = "model" if isinstance(row, Model) else "provider"
    found = _priced(Deployment.objects.filter(**{scope: row}).select_related("model", "provider"))
    rows = [_now(deployment) for deployment in found.order_by("model__name", "priority", "id")[:MOST_LISTED]]
    heads = ("Deployment", cells.amount("$ per 1M, in / out"), "Since", "Next")
    link = f"{reverse('admin:catalog_deployment_changelist')}?{scope}__id__exact={row.pk}"
    return Listing("Prices in force", cells.table(heads, rows) if rows else "", link, "Nothing is deployed yet.")


def _priced(deployments: QuerySet[Deployment]) -> QuerySet[Deployment]:
    now = timezone.now()
    past = Price.objects.filter(deployment=OuterRef("pk"), effective_from__lte=now).order_by("-effective_from", "-pk")
    coming = Price.objects.filter(deployment=OuterRef("pk"), effective_from__gt=now).order_by("effective_from", "-pk")
    return deployments.annotate(
        input_price=Subquery(past.values("input")[:1]),
        output_price=Subquery(past.values("output")[:1]),
        since=Subquery(past.values("effective_from")[:1]),
        coming=Subquery(coming.values("effective_from")[:1]),
    )


def _now(deployment: Any) -> tuple[Any, ...]:
    named = cells.link(reverse("admin:catalog_deployment_change", args=[deployment.pk]), deployment)
    coming = f"{deployment.coming:%Y-%m-%d}" if deployment.coming is not None else cells.NOTHING
    if deployment.input_price is None:
        return named, cells.amount(cells.badge("no price", "bad")), cells.NOTHING, coming
    price = f"{money.exact(deployment.input_price)} / {money.exact(deployment.output_price)}"
    return named, cells.amount(price), f"{deployment.since:%Y-%m-%d}", coming
