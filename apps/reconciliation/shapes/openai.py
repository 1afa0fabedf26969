"""OpenAI's admin API: `GET /v1/organization/costs`, and `GET /v1/organization/usage/completions` and `…/embeddings`.

Times are seconds since 1970. A cost's `amount.value` is in dollars, a JSON number; `line_item` is the model, a comma,
and what was counted. `input_tokens` has the cached ones in it. After the reference at platform.openai.com, "Usage".
"""

from __future__ import annotations

from typing import Any

from apps.reconciliation.shapes import pages
from apps.reconciliation.shapes.lines import Gatherer, Read, Unreadable, dollars, only_dollars, text, whole


def usage(found: list[dict[str, Any]]) -> Read:
    """Tokens and requests by day, model and API key, where the report was grouped by them."""
    gathered = Gatherer()
    for where, bucket, results in pages.buckets(found):
        day = gathered.day(_begin(bucket, where), where)
        for place, result in results:
            if "input_tokens" not in result:
                raise Unreadable(
                    f"{place}.input_tokens", "It is missing: this is no usage of completions or embeddings."
                )
            taken = whole(result["input_tokens"], f"{place}.input_tokens")
            cached = whole(result.get("input_cached_tokens"), f"{place}.input_cached_tokens")
            if cached > taken:
                raise Unreadable(f"{place}.input_cached_tokens", "There are more of them than input_tokens.")
            given = whole(result.get("output_tokens"), f"{place}.output_tokens")
            requests = whole(result.get("num_model_requests"), f"{place}.num_model_requests")
            model = text(result.get("model"), f"{place}.model")
            tokens = (taken - cached, cached, 0, 0, given)
            gathered.add(place, day, model, **_whose(result, place), tokens=tokens, requests=requests)
    return gathered.read()


def costs(found: list[dict[str, Any]]) -> Read:
    """Money by day, model and project, where the report was grouped by them."""
    gathered = Gatherer()
    for where, bucket, results in pages.buckets(found):
        day = gathered.day(_begin(bucket, where), where)
        for place, result in results:
            amount = result.get("amount")
            if not isinstance(amount, dict):
                raise Unreadable(f"{place}.amount", "It is missing: this is no report of costs.")
            only_dollars(amount.get("currency"), f"{place}.amount.currency")
            value = dollars(amount.get("value"), f"{place}.amount.value")
            model = text(result.get("line_item"), f"{place}.line_item").partition(",")[0].strip()
            if value < 0:
                gathered.leave("credits", value)
            else:
                gathered.add(place, day, model, **_whose(result, place), dollars=value)
    return gathered.read()


def _begin(bucket: dict[str, Any], where: str) -> Any:
    begin = pages.unix(bucket.get("start_time"), f"{where}.start_time")
    end = bucket.get("end_time")
    pages.within_a_day(begin, None if end is None else pages.unix(end, f"{where}.end_time"), where)
    return begin.date()


def _whose(result: dict[str, Any], place: str) -> dict[str, str]:
    return {
        "key": text(result.get("api_key_id"), f"{place}.api_key_id"),
        "group": text(result.get("project_id"), f"{place}.project_id"),
    }
