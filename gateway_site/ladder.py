"""An explanation as a picture: what its template shows, in the words and colours of the admin."""

from __future__ import annotations

from typing import Any

from apps.audit import cells
from apps.catalog.selectors import NO_KEY
from apps.domain import money
from apps.domain.explanation import ORDERS, Candidate, Explanation, State

TONES: dict[State, str] = {"first": "good", "next": "info", "waits": "warn", "refused": "bad"}
SAID: dict[State, str] = {"first": "goes here", "next": "if that fails", "waits": "when ready", "refused": "not for it"}
KINDS = {"requests": "requests a minute", "tokens": "tokens a minute", "concurrency": "at one time"}


def drawn(told: Explanation) -> dict[str, Any]:
    dearest = max((one.cost.most or 0 for one in told.deployments), default=0)
    return {
        "verdict": _verdict(told),
        "order": ORDERS.get(told.strategy, ""),
        "needs": cells.words([*told.needs, *(["streaming"] if told.stream and "streaming" not in told.needs else [])]),
        "rungs": [_rung(one, dearest=dearest) for one in told.deployments],
        "limits": [_limit(one) for one in told.limits],
        "budgets": [_budget(one) for one in told.budgets],
    }


def _verdict(told: Explanation) -> dict[str, str]:
    if told.refusal is not None:
        return {"tone": "bad", "word": f"refused, {told.refusal.status}", "text": told.refusal.message}
    if told.first is not None:
        return {"tone": "good", "word": "served", "text": f"It would go to {told.first.name}: {told.first.reason}."}
    return {"tone": "warn", "word": "waits", "text": "It would wait for a deployment that is ready."}


def _rung(one: Candidate, *, dearest: int) -> dict[str, Any]:
    cost = one.cost
    return {
        "order": one.order,
        "name": one.name,
        "upstream": one.upstream_model,
        "id": one.deployment_id,
        "badge": cells.badge(SAID[one.state], TONES[one.state]),
        "reason": one.reason,
        "tags": cells.words([*one.tags, *([one.region] if one.region else [])], none=""),
        "facts": ", ".join(_facts(one)),
        "cost": "no price" if cost.most is None else f"at most {money.text(cost.most)}",
        "likely": "" if cost.likely is None else f"likely {money.text(cost.likely)}",
        "width": _percent(cost.most, dearest),
        "likely_width": _percent(cost.likely, dearest),
    }


def _facts(one: Candidate) -> list[str]:
    found = [f"priority {one.priority}", f"weight {one.weight}"]
    if one.score is not None:
        found.append(f"score {one.score}")
    if one.seconds is not None:
        found.append(f"answers in {one.seconds:.1f} s")
    moment = one.moment
    if moment is not None:
        if moment.first_token is not None:
            found.append(f"first token {moment.first_token:.2f} s")
        if moment.tokens_per_second is not None:
            found.append(f"{moment.tokens_per_second:,.0f} tokens/s")
        if moment.success is not None:
            found.append(f"{100 * moment.success:.0f} % succeed")
    return found + [alias if alias == NO_KEY else f"key {alias}" for alias in one.credentials]


def _limit(one: Any) -> dict[str, Any]:
    if one.left is None:
        return {"label": f"{KINDS[one.kind]}, this {one.scope}", "gauge": f"{one.limit:,}; what is left is not known"}
    text = f"{one.left:,} of {one.limit:,} left"
    used = _percent(one.limit - one.left, one.limit)
    return {"label": f"{KINDS[one.kind]}, this {one.scope}", "gauge": cells.bar(used, text)}


def _budget(one: Any) -> dict[str, Any]:
    if one.spent is None:
        return {"label": one.subject, "gauge": f"{money.text(one.amount)}; what is spent is not known", "note": ""}
    text = f"{money.text(one.spent)} of {money.text(one.amount)} spent"
    held = _percent(one.promised, one.amount)
    return {
        "label": one.subject,
        "gauge": cells.bar(_percent(one.spent, one.amount), text, held=held),
        "note": one.note,
    }


def _percent(part: int | None, whole: int) -> int:
    return 100 * (part or 0) // whole if whole else 0
