"""What policies would do with a text, without sending it anywhere, keeping it or writing it down."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from apps.catalog.models import Deployment, Model
from apps.catalog.selectors import stand_ins
from apps.domain import policies, snapshot
from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS
from apps.keys.models import Key
from apps.policies import reach, selectors
from apps.policies.models import DataPolicy

_SAYING = ("messages", "input", "prompt")  # where a request of each endpoint has what it says


class Found(NamedTuple):
    """`action` "": no policy says what to do; `by` names those that do."""

    label: str
    count: int
    action: str
    by: str


class Place(NamedTuple):
    """A deployment, or a provider where no model is asked for. `hindrance` "": calls may go there."""

    name: str
    detail: str
    hindrance: str


class Outcome(NamedTuple):
    """`model` "": none was asked for. `masked` is the text with placeholders, as policies that mask would send it.
    `doubt`: what it was read as, where that may not be what was meant."""

    policies: list[str]
    found: list[Found]
    masked: str
    model: str
    places: list[Place]
    doubt: str = ""

    @property
    def actions(self) -> set[str]:
        return {found.action for found in self.found}

    @property
    def open_places(self) -> int:
        return sum(not place.hindrance for place in self.places)


def held(key: Key | None, policy: DataPolicy | None) -> tuple[snapshot.DataPolicy, ...]:
    """What a call is under: with a key all that its key is; else everyone's. And the named one, disabled or not."""
    known = selectors.snapshot_policies()
    under = policies.applying(
        known,
        tenant_id=key.tenant_id if key is not None else 0,
        project_id=key.project_id if key is not None else 0,
        key_id=key.pk if key is not None else 0,
    )
    if policy is not None and policy.pk not in {held.id for held in under}:
        under = (*under, selectors.snapshot_policy(policy))
    return under


def look(text: str, *, model: str, key: Key | None, policy: DataPolicy | None) -> Outcome:
    """`text` is a text, or a whole request; `model` "": the request's."""
    under = held(key, policy)
    merged = policies.merged(under)
    rules = merged.requests if merged is not None else {}
    request, body = _body(text)
    counts = reading.count(body, KINDS)
    found = [
        Found(
            known.label,
            counts[kind],
            rules[kind].action if kind in rules else "",
            rules[kind].by if kind in rules else "",
        )
        for kind, known in KINDS.items()
        if counts[kind]
    ]
    tags = frozenset(tag for kind, rule in rules.items() if counts[kind] for tag in rule.tags)
    if tags:
        under = (*under, snapshot.DataPolicy(id=0, name="what was found", required_tags=tags))
    asked = model or _asked(request)
    return Outcome(
        [policy.name for policy in under if policy.id],
        found,
        _masked(body),
        asked,
        _places(asked, key, under),
        _doubt(text, request),
    )


def _body(text: str) -> tuple[Any, bytes]:
    """The request, if it is one, and what is read: whatever the text is, as JSON. Raises RecursionError."""
    try:
        request = msgspec.json.decode(text)
    except msgspec.DecodeError:
        request = None
    if isinstance(request, dict | list):
        return request, text.encode()
    return None, msgspec.json.encode(text)


def _doubt(text: str, request: Any) -> str:
    """Nothing of the text is told again: a place in it at most."""
    if request is None:
        return _broken(text) if text.lstrip()[:1] in ("{", "[") else ""
    if isinstance(request, list):
        return "This is JSON, but a list: a request is an object. All texts in it were read."
    if not any(name in request for name in _SAYING):
        return f"This is JSON, but no request: it has no {', '.join(_SAYING[:-1])} or {_SAYING[-1]}. All was read."
    return ""


def _broken(text: str) -> str:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        where = f" from line {error.lineno}, column {error.colno} on"
    except RecursionError:
        where = ""
    else:
        where = ""
    return f"This begins as JSON does, but is none{where}. It was read as a text; the gateway would refuse it."


def _masked(body: bytes) -> str:
    masked = reading.masked(body, KINDS)
    told = msgspec.json.decode(masked)
    return told if isinstance(told, str) else msgspec.json.format(masked, indent=2).decode()


def _asked(request: Any) -> str:
    name = request.get("model") if isinstance(request, dict) else None
    return name if isinstance(name, str) else ""


def _places(asked: str, key: Key | None, under: Sequence[snapshot.DataPolicy]) -> list[Place]:
    """Of the model that is asked for, or every provider that anything is asked of."""
    rows = Deployment.objects.filter(is_enabled=True, provider__is_enabled=True, model__is_enabled=True)
    rows = rows.select_related("provider", "model").order_by("provider__name", "model__name")
    if asked:
        model = _model(asked)
        if model is None or (key is not None and not _offered(model, key.tenant_id)):
            return []
        chosen = [(row.provider, _detail(row, model)) for row in stand_ins(model)]
    else:
        served: dict[Any, list[str]] = {}
        for row in rows:
            served.setdefault(row.provider, []).append(row.model.name)
        chosen = [(provider, ", ".join(dict.fromkeys(models))) for provider, models in served.items()]
    return [
        Place(provider.name, detail, reach.refusal(under, tags=provider.tags, region=provider.region))
        for provider, detail in chosen
    ]


def _detail(row: Deployment, model: Model) -> str:
    fallback = f", fallback {row.model.name}" if row.model_id != model.pk else ""
    return f"{row.upstream_model}, priority {row.priority}{fallback}"


def _model(asked: str) -> Model | None:
    """By its name or an alias."""
    found = Model.objects.filter(is_enabled=True, name=asked).first()
    if found is not None:
        return found
    return next((row for row in Model.objects.filter(is_enabled=True).order_by("pk") if asked in row.aliases), None)


def _offered(model: Model, tenant_id: int) -> bool:
    tenants = set(model.tenants.values_list("pk", flat=True))
    return not tenants or tenant_id in tenants
