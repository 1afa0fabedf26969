"""Several data policies over one call, as one: each of them holds, so of every word the strictest does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from apps.domain.snapshot import DataPolicy, OnRequest, OnResponse

if TYPE_CHECKING:
    from apps.domain.snapshot import Policies

_NOTHING: frozenset[str] = frozenset()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one kind of finding. Of a block nothing else is told; else what is routed may be masked besides.
    `policies`: those whose doing it is, by id, with their names. `own`: what each of them asks. `tags`: of providers
    that it is routed to."""

    policies: dict[int, str]
    own: dict[int, OnRequest] = {}
    is_blocked: bool = False
    is_masked: bool = False
    tags: frozenset[str] = _NOTHING

    @property
    def action(self) -> OnRequest:
        if self.is_blocked:
            return "block"
        if self.is_masked:
            return "mask"
        return "route" if self.tags else "flag"

    @property
    def by(self) -> str:
        return ", ".join(sorted(self.policies.values()))

    @property
    def done(self) -> str:
        """In a step of a trail, where it is not blocked."""
        done = ["masked"] if self.is_masked else []
        if self.tags:
            done.append(f"routed to {', '.join(sorted(self.tags))}")
        return " and ".join(done) or "flagged"


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one kind of finding in an answer."""

    policies: dict[int, str]
    is_stopped: bool = False

    @property
    def action(self) -> OnResponse:
        return "stop" if self.is_stopped else "flag"

    @property
    def own(self) -> dict[int, OnResponse]:
        return dict.fromkeys(self.policies, self.action)

    @property
    def by(self) -> str:
        return ", ".join(sorted(self.policies.values()))


class Merged(msgspec.Struct, frozen=True, kw_only=True):
    """`policy` is for who chooses a provider; the others are by kind."""

    policy: DataPolicy
    requests: dict[str, Rule] = {}
    answers: dict[str, Ending] = {}


def applying(policies: Policies, *, tenant_id: int, project_id: int, key_id: int | None) -> tuple[DataPolicy, ...]:
    """From the widest subject to the narrowest, none twice."""
    found = (
        *policies.everyone,
        *policies.tenants.get(tenant_id, ()),
        *policies.projects.get(project_id, ()),
        *policies.keys.get(key_id or 0, ()),
    )
    return tuple({policy.id: policy for policy in found}.values())


def merged(policies: Sequence[DataPolicy]) -> Merged | None:
    """None: of none."""
    if not policies:
        return None
    requests = {kind: _rule(kind, policies) for kind in _kinds(policy.on_request for policy in policies)}
    answers = {kind: _ending(kind, policies) for kind in _kinds(policy.on_response for policy in policies)}
    policy = DataPolicy(
        id=policies[0].id if len(policies) == 1 else 0,
        name=", ".join(policy.name for policy in policies),
        required_tags=frozenset().union(*(policy.required_tags for policy in policies)),
        forbidden_tags=frozenset().union(*(policy.forbidden_tags for policy in policies)),
        regions=_shared([policy.regions for policy in policies if policy.regions is not None]),
        route_tag=policies[0].route_tag if len(policies) == 1 else "",
        on_request={kind: rule.action for kind, rule in requests.items()},
        on_response={kind: ending.action for kind, ending in answers.items()},
    )
    return Merged(policy=policy, requests=requests, answers=answers)


def routed(policy: DataPolicy, tags: Iterable[str]) -> DataPolicy:
    """The policy of a call that providers with these tags only may answer: all of them, where several are named."""
    return msgspec.structs.replace(policy, required_tags=policy.required_tags.union(tags))


def hindrance(policy: DataPolicy, *, tags: frozenset[str], region: str) -> str:
    """Why a call under the policy does not go to a provider with these tags in this region; "": it may."""
    if lacking := policy.required_tags - tags:
        return f"tag {', '.join(sorted(lacking))} missing"
    if having := policy.forbidden_tags & tags:
        return f"tag {', '.join(sorted(having))} forbidden"
    if policy.regions is not None and region not in policy.regions:
        return f"region {region or 'unknown'} not allowed"
    return ""


def _kinds(words: Iterable[Iterable[str]]) -> list[str]:
    return sorted({kind for named in words for kind in named})


def _shared(regions: list[frozenset[str]]) -> frozenset[str] | None:
    return frozenset.intersection(*regions) if regions else None


def _rule(kind: str, policies: Sequence[DataPolicy]) -> Rule:
    """Of a kind that is routed to nowhere in particular, as no policy that is saved says, nothing may go anywhere."""
    asked = {policy.id: (policy, policy.on_request[kind]) for policy in policies if kind in policy.on_request}
    blocking = {
        number: policy.name
        for number, (policy, action) in asked.items()
        if action == "block" or (action == "route" and not policy.route_tag)
    }
    if blocking:
        return Rule(policies=blocking, own=dict.fromkeys(blocking, "block"), is_blocked=True)
    acting = {number: each for number, each in asked.items() if each[1] != "flag"} or asked
    return Rule(
        policies={number: policy.name for number, (policy, _) in acting.items()},
        own={number: action for number, (_, action) in acting.items()},
        is_masked=any(action == "mask" for _, action in asked.values()),
        tags=frozenset(policy.route_tag for policy, action in asked.values() if action == "route"),
    )


def _ending(kind: str, policies: Sequence[DataPolicy]) -> Ending:
    asked = [policy for policy in policies if kind in policy.on_response]
    stopping = {policy.id: policy.name for policy in asked if policy.on_response[kind] == "stop"}
    return Ending(policies=stopping or {policy.id: policy.name for policy in asked}, is_stopped=bool(stopping))
