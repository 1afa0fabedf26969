"""Several data policies as one."""

from __future__ import annotations

from typing import Any

from apps.domain import policies
from apps.domain.snapshot import DataPolicy, Policies


def _policy(number: int, **fields: Any) -> DataPolicy:
    return DataPolicy(id=number, name=f"p{number}", **fields)


def _merged(*found: DataPolicy) -> policies.Merged:
    merged = policies.merged(found)
    assert merged is not None
    return merged


def test_no_policy_is_none() -> None:
    assert policies.merged(()) is None


def test_tags_add_up_and_regions_are_those_that_all_allow() -> None:
    policy = _merged(
        _policy(1, required_tags=frozenset({"hipaa"}), regions=frozenset({"eu", "us"})),
        _policy(2, required_tags=frozenset({"private"}), forbidden_tags=frozenset({"beta"})),
        _policy(3, regions=frozenset({"eu", "ch"})),
    ).policy
    assert policy.required_tags == {"hipaa", "private"}
    assert policy.forbidden_tags == {"beta"}
    assert policy.regions == {"eu"}
    assert policy.name == "p1, p2, p3"
    assert _merged(_policy(1)).policy.regions is None
    disjoint = _merged(_policy(1, regions=frozenset({"eu"})), _policy(2, regions=frozenset({"us"})))
    assert disjoint.policy.regions == frozenset()  # nowhere, and not anywhere


def test_of_every_kind_the_strictest_action_holds_and_its_policy_is_named() -> None:
    merged = _merged(
        _policy(1, on_request={"card": "flag", "email": "flag", "iban": "mask"}, on_response={"secret": "flag"}),
        _policy(2, on_request={"card": "block", "email": "mask"}, on_response={"secret": "stop"}),
        _policy(3, on_request={"card": "mask"}, route_tag="private"),
    )
    assert merged.policy.on_request == {"card": "block", "email": "mask", "iban": "mask"}
    assert merged.policy.on_response == {"secret": "stop"}
    assert [merged.requests[kind].by for kind in ("card", "email", "iban")] == ["p2", "p2", "p1"]
    assert merged.answers["secret"].by == "p2"


def test_two_tags_to_route_to_are_both_required_and_what_is_routed_may_be_masked_besides() -> None:
    merged = _merged(
        _policy(1, on_request={"card": "route"}, route_tag="private"),
        _policy(2, on_request={"card": "route"}, route_tag="hipaa"),
        _policy(3, on_request={"card": "mask"}),
    )
    rule = merged.requests["card"]
    assert (rule.action, rule.is_masked, rule.tags) == ("mask", True, {"private", "hipaa"})
    assert policies.routed(merged.policy, rule.tags).required_tags == {"private", "hipaa"}
    assert merged.policy.required_tags == frozenset()


def test_what_is_routed_to_nowhere_is_blocked() -> None:
    assert _merged(_policy(1, on_request={"card": "route"})).requests["card"].is_blocked


def test_who_is_under_a_policy_twice_is_under_it_once() -> None:
    own, other = _policy(1), _policy(2)
    found = policies.applying(
        Policies(everyone=(own,), tenants={5: (other,)}, projects={6: (own,)}, keys={7: (_policy(3),)}),
        tenant_id=5,
        project_id=6,
        key_id=8,
    )
    assert [policy.id for policy in found] == [1, 2]
