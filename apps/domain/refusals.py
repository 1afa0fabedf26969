"""Why calls are refused before anybody is asked, in words of a closed list: what is counted of them, and told.

Neither an error's message nor its code is such a word: both may repeat what a caller wrote.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from apps.domain import credentials, errors

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reason(NamedTuple):
    """What it is called, and what helps. `is_callers`: known of a key's calls; else nobody knows whose call it was."""

    label: str
    advice: str
    is_callers: bool = True


REASONS: Mapping[str, Reason] = {
    "requests": Reason("Too many requests a minute", "Send fewer, or wait as long as Retry-After says."),
    "tokens": Reason("Too many tokens a minute", "A lower max_tokens takes less; else wait as Retry-After says."),
    "concurrency": Reason("Too many calls at one time", "Wait for others to end before the next one."),
    "budget": Reason("A budget is spent", "The next period, a cheaper call, or more budget: ask for it under Budgets."),
    "held": Reason("A budget is held by calls in flight", "Try again in a moment; a lower max_tokens holds less."),
    "policy": Reason("A data policy forbids it", "Leave out what the answer names, or ask who made the policy."),
    "model": Reason("No such model for this key", "Compare the name with Models: the key may be confined to some."),
    "scope": Reason("The key may not do this", "The key is for other endpoints, or not for the caller's address."),
    "ended": Reason("The key has ended", "It has expired, was revoked, or its project is off: use another."),
    "length": Reason("Too long for the model", "Shorten the conversation, or choose a model with a larger window."),
    "ability": Reason("The model cannot do it", "Choose a model that can: Models lists what each one does."),
    "size": Reason("Too large, or too slow to come", "Send less: files by URL, fewer images."),
    "invalid": Reason("Not a valid request", "The answer's message names the field, or where the JSON breaks."),
    "queue": Reason("No place in time", "All places at the providers are taken: fewer calls at a time, or later."),
    "nobody": Reason("Nobody can answer just now", "The providers fail or rest: see Live; try again."),
    "price": Reason("No price is known", "A budget applies and the model has no price: tell the operators."),
    "uncounted": Reason("Limits or budgets cannot be counted", "The gateway's stores are away: try again."),
    "unavailable": Reason("The gateway is not ready", "It starts or ends, or waits for a store: try again."),
    "unsupported": Reason("No provider can do it", "What was asked for has no words in the provider's language."),
    "method": Reason("No such method or path", "Compare the client's base URL with Quick start."),
    "fault": Reason("A fault of the gateway", "Tell the operators the request's id."),
    "nameless": Reason("No key", "The client sends none: x-api-key, or Authorization: Bearer.", is_callers=False),
    "unknown": Reason("A key that nobody has", "It is mistyped, or its secret is another.", is_callers=False),
    "strange": Reason(
        "Neither key nor token", "What was sent has the shape of neither, or was refused.", is_callers=False
    ),
}

_BY_CODE = {
    "policy_blocked": "policy",
    "policy_unanswered": "policy",
    "queue_full": "queue",
    "queue_timeout": "queue",
    "limits_unavailable": "uncounted",
    "ledger_unavailable": "uncounted",
}
# The first that it is: what is narrower stands before.
_BY_CLASS: tuple[tuple[type[errors.GatewayError], str], ...] = (
    (errors.BudgetHeld, "held"),
    (errors.BudgetExhausted, "budget"),
    (errors.RateLimited, "requests"),
    (errors.PolicyForbids, "policy"),
    (errors.PermissionDenied, "scope"),
    (errors.AuthenticationFailed, "ended"),
    (errors.ModelNotFound, "model"),
    (errors.NotFound, "method"),
    (errors.MethodNotAllowed, "method"),
    (errors.BodyTooLarge, "size"),
    (errors.BodyTooSlow, "size"),
    (errors.ContextOverflow, "length"),
    (errors.LacksAbility, "ability"),
    (errors.ClientError, "invalid"),
    (errors.NoPrice, "price"),
    (errors.NoDeployment, "nobody"),
    (errors.Unsupported, "unsupported"),
    (errors.Unavailable, "unavailable"),
)
# What a model may be called. Anything else that stands in its place is the caller's own words, and may be anything.
_NAME = re.compile(r"(?=.{0,63}[a-zA-Z])[a-zA-Z0-9][a-zA-Z0-9._:/-]{0,63}")
_SECRET = re.compile(rf"{credentials.SHAPE}|weir")


class Counted(NamedTuple):
    """What one number is of. `hour` in unix seconds; `model` is one that there is, or "". All ids None: of callers that
    nobody knows."""

    hour: int
    tenant_id: int | None
    project_id: int | None
    user_id: int | None
    key_id: int | None
    model: str
    reason: str
    status: int


class Often(NamedTuple):
    """How many times, and when first and last, in unix seconds."""

    times: int
    first: float
    last: float


class Call(NamedTuple):
    """One that was refused. `place`: of the few that are kept of its caller, which one it replaces."""

    of: Counted
    place: int
    at: float
    request_id: UUID
    asked: str
    endpoint: str
    address: str
    agent: str


class Batch(NamedTuple):
    """What one process writes at a time. `number` is greater than that of its batch before, so that whoever is sent it
    twice knows."""

    number: int
    counts: Mapping[Counted, Often]
    calls: tuple[Call, ...]


def reason(error: errors.GatewayError) -> str:
    """One of REASONS, of somebody whose key is known. Which limit it was, the decision knows."""
    by_code = _BY_CODE.get(error.code or "")
    if by_code is not None:
        return by_code
    return _of_class(type(error))  # type: ignore[arg-type]  # classes have a hash


@lru_cache(maxsize=64)
def _of_class(family: type[errors.GatewayError]) -> str:
    return next((word for wider, word in _BY_CLASS if issubclass(family, wider)), "fault")


def asked(model: str) -> str:
    """What was asked for, if it has the shape of a model's name and not that of a secret; else ""."""
    return model if _NAME.fullmatch(model) and not _SECRET.match(model) else ""
