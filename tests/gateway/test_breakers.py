"""What a process keeps of deployments that it has asked: figures and names, by what a deployment is, not by which copy
of it a snapshot holds."""

from __future__ import annotations

import gc
import weakref

import msgspec
import pytest

from apps.domain import errors
from apps.domain.snapshot import Breaker, Credential, Deployment, Provider, Secret
from apps.gateway.breakers import Breakers, is_failure

pytestmark = pytest.mark.once


class Traced(Secret):
    __slots__ = ("__weakref__",)


def deployment(secret=None, *, name="p", **fields):
    credential = Credential(id=1, alias="c", secret=secret or Secret("s", host="h"))
    provider = Provider(
        id=1, name=name, vendor="simulated", protocol="openai_chat", base_url="https://h", host="h",
        credentials=(credential,),
    )  # fmt: skip
    rules = Breaker(window="count", size=2, minimum_calls=2)
    return Deployment(id=1, provider=provider, upstream_model="m", breaker=rules, **fields)


def broken(one, *, breakers=None):
    breakers = breakers or Breakers(on_change=lambda known: None, now=lambda: 0.0)
    for _ in range(2):
        breakers.failed(breakers.take(one))
    return breakers


def test_no_secret_of_a_deployment_that_has_been_asked_is_kept():
    secret = Traced("s", host="h")
    gone = weakref.ref(secret)
    breakers = broken(deployment(secret))
    del secret
    gc.collect()
    assert gone() is None
    assert [known.breaker.phase for known in breakers] == ["open"]


def test_copies_of_a_deployment_share_a_breaker_and_its_newest_name_is_told():
    breakers = broken(deployment())
    assert breakers.take(deployment(tier=3, weight=7)) is None
    assert breakers.take(deployment(name="renamed")) is None
    assert [known.provider for known in breakers] == ["renamed"]


def test_a_deployment_that_is_asked_elsewhere_is_another_one():
    one = deployment()
    moved = msgspec.structs.replace(one, provider=msgspec.structs.replace(one.provider, base_url="https://other"))
    assert broken(one).take(moved) is not None
    assert broken(one).take(msgspec.structs.replace(one, upstream_model="n")) is not None
    assert broken(one).take(msgspec.structs.replace(one, version=1.0)) is not None


def test_what_another_process_has_found_is_not_told_on_as_found_here():
    """Else two processes would tell each other of it for ever."""
    told = []
    breakers = Breakers(on_change=lambda known: told.append(known.breaker.phase), now=lambda: 0.0)
    field = breakers.of(deployment()).field
    breakers.heard(field, "open", 30.0, "it fails")
    assert [known.breaker.phase for known in breakers] == ["open"]
    breakers.heard(field, "closed", 0.0, "")
    assert [known.breaker.phase for known in breakers] == ["closed"]
    assert told == []
    broken(deployment(), breakers=breakers)
    assert told == ["open"]


@pytest.mark.parametrize(("status", "fails"), [(0, True), (399, True), (400, False), (499, False), (500, True)])
def test_answers_from_400_to_499_are_no_failures(status, fails):
    assert is_failure(errors.UpstreamFailed("so it said", upstream_status=status)) == fails


def test_a_connection_that_had_been_closed_before_speaks_against_nobody():
    assert is_failure(errors.UpstreamBroken("it broke"))
    assert not is_failure(errors.ConnectionStale("it had been closed"))


def test_a_stream_that_breaks_in_a_half_open_round_takes_no_place_in_it():
    at = [0.0]
    breakers = Breakers(on_change=lambda known: None, now=lambda: at[0])
    rules = Breaker(window="count", size=2, minimum_calls=2, half_open_calls=2, open_seconds=10)
    one = msgspec.structs.replace(deployment(), breaker=rules)
    broken(one, breakers=breakers)
    at[0] = 11.0
    first = breakers.take(one)
    breakers.answered(first, first_token=0.1)
    breakers.broke(first)
    second = breakers.take(one)
    assert second is not None
    breakers.answered(second, first_token=0.1)
    assert [known.breaker.phase for known in breakers] == ["closed"]


def test_what_was_heard_and_is_over_opens_nothing():
    at = [0.0]
    breakers = Breakers(on_change=lambda known: None, now=lambda: at[0])
    breakers.heard(breakers.of(deployment()).field, "open", 0.0, "it failed")
    assert [known.breaker.phase for known in breakers] == ["closed"]


def test_that_it_is_closed_elsewhere_forgets_no_failure_of_one_that_is_closed_here():
    breakers = Breakers(on_change=lambda known: None, now=lambda: 0.0)
    one = deployment()
    breakers.failed(breakers.take(one))
    breakers.heard(breakers.of(one).field, "closed", 30.0, "")
    breakers.failed(breakers.take(one))
    assert [known.breaker.phase for known in breakers] == ["open"]
