"""Notices of what people ask of each other: that somebody wants more of a budget, and what became of it. By e-mail, to
those who decide and to who has asked; made from the rows themselves, so that none is lost between two processes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings

from apps.alerts import outbox
from apps.domain import money
from apps.quotas import increases
from apps.quotas.models import Increase

SINCE = timedelta(days=2)
_BATCH = 200


def tell(now: datetime) -> int:
    """Of what was asked or decided lately; each once."""
    told = 0
    since = now - SINCE
    asked = Increase.objects.filter(created_at__gte=since, state=Increase.State.REQUESTED)
    decided = Increase.objects.filter(decided_at__gte=since, state__in=["approved", "declined"])
    for row in asked.select_related("budget", "requested_by").order_by("pk")[:_BATCH]:
        people = {user.email for user in increases.deciders(row.budget) if user.email}
        told += _put(row, people, "increase.requested", f"{row.requested_by} asks for more of a budget")
    for row in decided.select_related("budget", "requested_by").order_by("pk")[:_BATCH]:
        people = {row.requested_by.email} if row.requested_by is not None and row.requested_by.email else set()
        told += _put(row, people, f"increase.{row.state}", f"More of a budget: {row.get_state_display().lower()}")
    return told


def _put(row: Increase, people: set[str], event: str, title: str) -> int:
    text = f"{money.text(row.amount)} more for the {row.budget}, until {row.until:%Y-%m-%d %H:%M} UTC: {row.reason}"
    if row.note:
        text += f"\nNote: {row.note}"
    data: dict[str, Any] = {"title": title, "text": text, "increase": row.pk, "url": f"{settings.WEIR_BASE_URL}/"}
    body = {"type": event, "timestamp": (row.decided_at or row.created_at).isoformat(), "data": data}
    return sum(outbox.put(f"increase:{row.pk}:{row.state}", event, body, address=address) for address in sorted(people))
