"""What policies have found, as the admin shows it."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from typing import Any

from django.db.models import Sum
from django.db.models.functions import TruncDay
from django.utils import timezone

from apps.domain.guardrails.kinds import KINDS
from apps.policies.models import DataPolicy, Tally

DAYS = 14
WEEK = datetime.timedelta(days=7)
HEIGHT = 160  # pixels of the chart, its labels not counted
WIDTH = 100 / DAYS  # per cent


def of_late(policies: Iterable[DataPolicy]) -> dict[int, int]:
    """How many findings each has had within a week; those without any are left out. One query."""
    rows = Tally.objects.filter(policy__in=policies, hour__gte=timezone.now() - WEEK).order_by()
    return dict(rows.values_list("policy_id").annotate(total=Sum("count")))


def chart(policy: DataPolicy) -> dict[str, Any]:
    """A bar a day, of as many as there were and of those that were refused or ended, and all by kind. Two queries."""
    today = timezone.now().astimezone(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [today - datetime.timedelta(days=ago) for ago in reversed(range(DAYS))]
    rows = Tally.objects.filter(policy=policy, hour__gte=days[0]).order_by()
    daily = rows.annotate(day=TruncDay("hour", tzinfo=datetime.UTC)).values_list("day", "action")
    totals: Counter[datetime.datetime] = Counter()
    refused: Counter[datetime.datetime] = Counter()
    for day, action, count in daily.annotate(total=Sum("count")):
        totals[day] += count
        refused[day] += count if action in ("block", "stop") else 0
    most = max(totals.values(), default=0)
    return {
        "bars": [_bar(index, day, totals[day], refused[day], most) for index, day in enumerate(days)],
        "height": HEIGHT,
        "width": f"{WIDTH:.3f}",
        "days": DAYS,
        "total": sum(totals.values()),
        "kinds": _by_kind(rows),
    }


def _bar(index: int, day: datetime.datetime, total: int, refused: int, most: int) -> dict[str, Any]:
    height = round(HEIGHT * total / most) if most else 0
    inner = round(HEIGHT * refused / most) if most else 0
    return {
        "x": f"{index * WIDTH:.3f}",
        "y": HEIGHT - height,
        "height": height,
        "refused_y": HEIGHT - inner,
        "refused_height": inner,
        "label": f"{day:%d}",
        "day": f"{day:%Y-%m-%d}",
        "total": f"{total:,}",
        "refused": f"{refused:,}",
    }


def _by_kind(rows: Any) -> list[tuple[str, str, str, str]]:
    """Kind, where it was found, what was done, and how often; the most frequent first."""
    found = rows.values_list("kind", "is_answer", "action").annotate(total=Sum("count")).order_by("-total", "kind")
    return [
        (KINDS[kind].label if kind in KINDS else kind, "answer" if is_answer else "request", action, f"{total:,}")
        for kind, is_answer, action, total in found
    ]
