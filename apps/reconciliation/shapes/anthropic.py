"""Anthropic's Admin API: `GET /v1/organizations/usage_report/messages` and `GET /v1/organizations/cost_report`.

Times are RFC 3339. A cost's `amount` is in cents, as a decimal string, and may have fractions of them. Both after the
reference at platform.claude.com, "Usage and Cost API".
"""

from __future__ import annotations

from typing import Any

from apps.reconciliation.shapes import pages
from apps.reconciliation.shapes.lines import (
    Gatherer,
    Read,
    Unreadable,
    dollars,
    moment,
    only_dollars,
    text,
    whole,
)

CENTS = 100


def usage(found: list[dict[str, Any]]) -> Read:
    """Tokens by day, model and API key, where the report was grouped by them."""
    gathered = Gatherer()
    for where, bucket, results in pages.buckets(found):
        day = gathered.day(_begin(bucket, where), where)
        for place, result in results:
            if "uncached_input_tokens" not in result:
                raise Unreadable(f"{place}.uncached_input_tokens", "It is missing: this is no usage report.")
            made = result.get("cache_creation") or {}
            if not isinstance(made, dict):
                raise Unreadable(f"{place}.cache_creation", "This is no object.")
            tokens = (
                whole(result["uncached_input_tokens"], f"{place}.uncached_input_tokens"),
                whole(result.get("cache_read_input_tokens"), f"{place}.cache_read_input_tokens"),
                whole(made.get("ephemeral_5m_input_tokens"), f"{place}.cache_creation.ephemeral_5m_input_tokens"),
                whole(made.get("ephemeral_1h_input_tokens"), f"{place}.cache_creation.ephemeral_1h_input_tokens"),
                whole(result.get("output_tokens"), f"{place}.output_tokens"),
            )
            model = text(result.get("model"), f"{place}.model")
            gathered.add(place, day, model, **_whose(result, place), tokens=tokens)
    return gathered.read()


def cost(found: list[dict[str, Any]]) -> Read:
    """Money by day, model and workspace. What is not of a model (searches, say) stands under its kind."""
    gathered = Gatherer()
    for where, bucket, results in pages.buckets(found):
        day = gathered.day(_begin(bucket, where), where)
        for place, result in results:
            if "amount" not in result:
                raise Unreadable(f"{place}.amount", "It is missing: this is no cost report.")
            only_dollars(result.get("currency"), f"{place}.currency")
            amount = dollars(result["amount"], f"{place}.amount", per=CENTS)
            model = text(result.get("model"), f"{place}.model") or text(result.get("cost_type"), f"{place}.cost_type")
            if amount < 0:
                gathered.leave("credits", amount)
            else:
                gathered.add(place, day, model, **_whose(result, place), dollars=amount)
    return gathered.read()


def _begin(bucket: dict[str, Any], where: str) -> Any:
    begin = moment(bucket.get("starting_at"), f"{where}.starting_at")
    end = bucket.get("ending_at")
    pages.within_a_day(begin, None if end is None else moment(end, f"{where}.ending_at"), where)
    return begin.date()


def _whose(result: dict[str, Any], place: str) -> dict[str, str]:
    return {
        "key": text(result.get("api_key_id"), f"{place}.api_key_id"),
        "group": text(result.get("workspace_id"), f"{place}.workspace_id"),
    }
