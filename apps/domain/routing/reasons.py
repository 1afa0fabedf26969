"""A plan in words: a few steps for the ledger, all of it for who asks, and for its caller why it cannot be answered.

The caller is told nothing of providers, nor of anything that is not its own: its policies have names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apps.domain import errors, money
from apps.domain.routing import ranking
from apps.domain.routing.facts import UNMEASURED, Measured
from apps.domain.routing.plan import is_default, spelt

if TYPE_CHECKING:
    from apps.domain.routing.facts import Facts
    from apps.domain.routing.options import Option
    from apps.domain.routing.plan import Plan
    from apps.domain.snapshot import DataPolicy, Deployment

_MOST_SKIPS = 6
_AGAIN = 5.0  # seconds after which a call that nobody can serve is worth repeating


class Verdict(NamedTuple):
    """What became of one deployment. `place` counts from 1 in the order to try them; None: it was left out."""

    deployment: Deployment
    place: int | None
    why: str
    cost: int | None = None  # nano-USD of this call, likely
    seconds: float | None = None  # until it is answered, likely
    score: int | None = None
    measured: Measured = UNMEASURED


def steps(plan: Plan) -> list[str]:
    """For the ledger: where there was a choice or somebody was left out. `skipped …` for each of those, and who goes
    first."""
    if not plan.skips and len(plan.options.ways) < 2:
        return []
    told = [f"skipped {_name(skip.option, plan)}: {skip.why}" for skip in plan.skips[:_MOST_SKIPS]]
    if more := len(plan.skips) - len(told):
        told.append(f"skipped {more} more")
    if plan.tries:
        first = next(option for option in plan.order if option.deployment is plan.tries[0].deployment)
        told.append(f"chose {_name(first, plan)}: {_why(first, plan)}")
        needs = plan.wishes.needs
        if needs is not None and needs.thinks and not any(option.may_think for option in plan.order):
            told.append("thinking wished for, but nobody here thinks")
    return told


def verdicts(plan: Plan, *, facts: Facts | None = None) -> list[Verdict]:
    """Of every deployment, those to try first. `plan` is a whole one (`decide`)."""
    gauge = ranking.Gauge(plan.now, lambda: 0.0, ranking.Found(), facts, plan.wishes.needs, plan.wishes.expected)
    places = {deployment.id: place for place, deployment in enumerate(_places(plan), 1)}
    ordered = sorted(plan.order, key=lambda option: places[option.deployment.id])
    told = [
        _verdict(option, gauge, plan, place=places[option.deployment.id], why=_why(option, plan)) for option in ordered
    ]
    told += [_verdict(skip.option, gauge, plan, place=None, why=skip.why) for skip in plan.skips]
    return told + [Verdict(deployment, None, why) for deployment, why in plan.options.refused]


def refusal(plan: Plan) -> errors.GatewayError:
    """Why nobody can be tried, by the last thing that somebody was left out for."""
    model, causes = plan.options.model, {skip.cause for skip in plan.skips}
    confining = plan.wishes.policy if "policy" in causes else None
    under = "" if confining is None else f" under policy {confining.name}"
    if "breaker" in causes:
        soonest = min(skip.seconds for skip in plan.skips if skip.cause == "breaker")
        return errors.NoDeployment(
            f"every deployment of {model}{under} has failed too often of late and is left alone for a while",
            retry_after=soonest,
        )
    if "price" in causes:
        return errors.NoPrice(f"{model} has no price, and a budget applies to this call: its deployment needs a price")
    if "ability" in causes:
        return errors.LacksAbility(f"no deployment of {model} offers {_lacking(plan)}{under}")
    if confining is not None:
        return forbidden(model, by=confining)
    if plan.options.is_closed:
        return closed(model)
    return errors.NoDeployment(f"no deployment can serve {model} right now", retry_after=_AGAIN)


def forbidden(model: str, *, by: DataPolicy) -> errors.PolicyForbids:
    return errors.PolicyForbids(f"policy {by.name} allows no deployment of {model}")


def closed(model: str) -> errors.PermissionDenied:
    """Whoever could is for others: by tenant, network, or the models of a key's list."""
    return errors.PermissionDenied(f"no deployment of {model} may answer this key from where it calls")


def _lacking(plan: Plan) -> str:
    """What nobody has of those who were asked for it; if each has something else, all that they lack."""
    needs = plan.wishes.needs
    assert needs is not None
    lacks = [needs.abilities - skip.option.offers for skip in plan.skips if skip.cause == "ability"]
    return spelt(frozenset.intersection(*lacks) or frozenset.union(*lacks))


def _places(plan: Plan) -> list[Deployment]:
    """In the order of tries: who rests or is full is last."""
    ready = [option.deployment for option in plan.order if option.deployment.id not in plan.aside]
    aside = [option.deployment for option in plan.order if option.deployment.id in plan.aside]
    return ready + sorted(aside, key=lambda deployment: plan.aside[deployment.id])


def _verdict(option: Option, gauge: ranking.Gauge, plan: Plan, *, place: int | None, why: str) -> Verdict:
    deployment = option.deployment
    return Verdict(
        deployment,
        place,
        why,
        cost=ranking.cost(option, gauge),
        seconds=ranking.seconds(option, gauge),
        score=_score(option, plan),
        measured=UNMEASURED if gauge.facts is None else gauge.facts.measured(deployment),
    )


def _why(option: Option, plan: Plan) -> str:
    """What speaks for one that may be tried, the weightiest first."""
    deployment, wishes = option.deployment, plan.wishes
    if deployment.id in plan.aside:
        seconds = plan.aside[deployment.id]
        return f"rests {max(1, round(seconds))} s" if seconds > 0 else "full"
    told = []
    if not deployment.provider.healthy:
        told.append("fails its health checks")
    if wishes.policy is not None and (tags := wishes.policy.required_tags):
        told.append(", ".join(sorted(tags)))
    if wishes.prefers is not None and wishes.prefers(deployment):
        told.append("made for what the conversation carries")
    if wishes.needs is not None and is_default(deployment, wishes.needs):
        told.append("first choice for what it needs")
    if wishes.stays == deployment.id:
        told.append("answered this conversation before")
    if deployment.model_name:
        told.append(f"fallback {deployment.model_name}")
    return ", ".join((*told, _ranked_by(option, plan)))


def _ranked_by(option: Option, plan: Plan) -> str:
    deployment, strategy = option.deployment, plan.options.strategy
    if deployment.id == plan.explored:
        return "to be measured"
    if strategy == "weighted":
        return f"weight {deployment.weight}"
    values = plan.value(option)
    if not values:
        return f"priority {deployment.priority}"
    value = values[0]
    if strategy == "cheapest":
        return "cost unknown" if value is None else f"cost {money.text(ranking.rounded(int(value)))}"
    if strategy == "fastest":
        return "not measured yet" if value is None else f"some {value:.1f} s"
    return f"score {value:.0f}"


def _score(option: Option, plan: Plan) -> int | None:
    scores = plan.value(option) if plan.options.strategy == "balanced" else []
    return int(scores[0]) if scores and scores[0] is not None else None


def _name(option: Option, plan: Plan) -> str:
    """Its provider's, and where that has several, what it calls the model."""
    deployment = option.deployment
    provider = deployment.provider
    is_alone = sum(each.deployment.provider.id == provider.id for each in plan.options.ways) == 1
    return provider.name if is_alone else f"{provider.name} {deployment.upstream_model}"
