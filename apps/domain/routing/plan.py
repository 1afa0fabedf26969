"""Where a call goes, and why: the decision is data.

First who may not answer it is left out: by policy, ability, price, breaker. Then the others are put in order:

    1. who rests or is full comes last
    2. failing providers behind healthy ones
    3. whoever the call `prefers`, as they signed what it carries
    4. the default of an ability that it needs
    5. where its conversation was answered before
    6. by tier, then who can think before who cannot if it would like that, then by priority
    7. the model's strategy (see `ranking`)

Whose window or longest answer is too small by our estimate is left out while others have room; where nobody has, the
provider shall count for itself, as clients heed its words.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Literal, NamedTuple

from apps.domain import policies, pricing
from apps.domain.routing import ranking
from apps.domain.routing.options import FAILING, THOUGHTLESS
from apps.domain.routing.ranking import Found, Gauge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from apps.domain.routing.facts import Facts
    from apps.domain.routing.needs import Needs
    from apps.domain.routing.options import Option, Options
    from apps.domain.routing.turns import Turns
    from apps.domain.snapshot import Credential, DataPolicy, Deployment, PriceCard

MAX_TRIES = 4
_MOST_KNOWN = 256
_NONE: frozenset[str] = frozenset()
Cause = Literal["policy", "ability", "room", "price", "breaker"]
_PREFERRED, _DEFAULT, _STAYS = FAILING - 1, FAILING - 2, FAILING - 3


class Try(NamedTuple):
    """One way to serve the call. `card` None: the deployment has no price in force."""

    deployment: Deployment
    credential: Credential
    card: PriceCard | None


class Skip(NamedTuple):
    """Who may not answer: `why` in a few words, `seconds` until that may be over."""

    option: Option
    cause: Cause
    why: str
    seconds: float = 0.0


class Wishes(NamedTuple):
    """What a call wants besides an answer. `stays`: the deployment that answered its conversation. `priced_only` leaves
    out what cannot be charged to a budget."""

    needs: Needs | None = None
    policy: DataPolicy | None = None
    prefers: Callable[[Deployment], bool] | None = None
    stays: int | None = None
    priced_only: bool = False
    expected: int | None = None  # tokens of its answer


NO_WISHES = Wishes()


class Plan(NamedTuple):
    """`tries`: at most MAX_TRIES, best first. `order`: who was considered for them, as they come; `aside`: of these,
    who rests or is full, by id and for how many seconds. `weighed`: equals, with what `Ranked` tells of them. In words:
    `reasons`."""

    tries: Sequence[Try]
    options: Options
    wishes: Wishes
    skips: Sequence[Skip]
    order: Sequence[Option]
    aside: Mapping[int, float]
    weighed: Sequence[tuple[Sequence[Option], Sequence[float | None]]]
    explored: int | None
    now: int

    def value(self, option: Option) -> list[float | None]:
        """What its place among its equals goes by; empty: it was not weighed."""
        return [
            value for group, values in self.weighed for each, value in zip(group, values, strict=True) if each is option
        ]


def decide(
    options: Options,
    *,
    now: int,
    dice: Callable[[], float],
    turns: Turns,
    facts: Facts | None = None,
    wishes: Wishes = NO_WISHES,
    is_whole: bool = False,
) -> Plan:
    """`facts` None: the moment is quiet. `dice` yields floats in [0, 1); it is not thrown where there is no choice.
    `is_whole`: nobody is left unconsidered because enough others were found."""
    ways = options.ways
    if len(ways) == 1 and wishes.needs is None and wishes.policy is None:
        return _only(ways[0], options, now, turns, facts, wishes)
    skips: list[Skip] = []
    if wishes is not NO_WISHES:
        ways = _admitted(options, wishes, skips)
    gauge = Gauge(now, dice, _found_out(options, now, facts), facts, wishes.needs, wishes.expected)
    ready: list[Try] = []
    waiting: list[tuple[float, Try]] = []
    order: list[Option] = []
    aside: dict[int, float] = {}
    weighed: list[tuple[Sequence[Option], Sequence[float | None]]] = []
    explored = None
    for group in _grouped(ways, options, wishes):
        found = ranking.ranked(group, options.strategy, gauge)
        if found.values is not None:
            weighed.append((group, found.values))
        explored = explored if order else found.explored
        for option in found.options:
            card = pricing.card_at(option.deployment.prices, now)
            told = None if facts is None or facts.is_ready(option.deployment) else facts
            if skip := _barred(option, card, told, priced_only=wishes.priced_only):
                skips.append(skip)
                continue
            order.append(option)
            _place(option, card, told, turns, ready=ready, waiting=waiting, aside=aside)
            if len(ready) >= MAX_TRIES and not is_whole:
                break
        if len(ready) >= MAX_TRIES and not is_whole:
            break
    if waiting:
        waiting.sort(key=_seconds)
        ready += [one for _, one in waiting]
    return Plan(ready[:MAX_TRIES], options, wishes, skips, order, aside, weighed, explored, now)


def _only(option: Option, options: Options, now: int, turns: Turns, facts: Facts | None, wishes: Wishes) -> Plan:
    """What most calls take: there is one way, and nothing that could keep the call from it but how it stands. While
    nothing does, and no credentials take turns, all calls of a second have one plan."""
    told = None if facts is None or facts.is_ready(option.deployment) else facts
    known: Plan | None = options.memo.get("only")
    if told is None and known is not None and known.now == now and known.wishes is wishes:
        return known
    card = pricing.card_at(option.deployment.prices, now)
    if skip := _barred(option, card, told, priced_only=wishes.priced_only):
        return Plan([], options, wishes, [skip], [], {}, [], None, now)
    ready: list[Try] = []
    waiting: list[tuple[float, Try]] = []
    aside: dict[int, float] = {}
    _place(option, card, told, turns, ready=ready, waiting=waiting, aside=aside)
    ready += [one for _, one in sorted(waiting, key=_seconds)]
    plan = Plan(ready[:MAX_TRIES], options, wishes, [], [option], aside, [], None, now)
    if told is None and len(option.credentials) == 1:
        options.memo["only"] = plan
    return plan


def _found_out(options: Options, now: int, facts: Facts | None) -> Found:
    """In this second, by these facts."""
    known = options.memo.get("found")
    if known is None or known[0] != now or known[1] is not facts:
        known = options.memo["found"] = (now, facts, Found())
    found: Found = known[2]
    return found


def _place(
    option: Option,
    card: PriceCard | None,
    facts: Facts | None,
    turns: Turns,
    *,
    ready: list[Try],
    waiting: list[tuple[float, Try]],
    aside: dict[int, float],
) -> None:
    """A try for each credential. What rests comes behind all that does not, the soonest ready first; who is full, in
    between."""
    deployment, credentials = option.deployment, option.credentials
    if facts is None:
        ordered = credentials if len(credentials) == 1 else turns.order(deployment, credentials)
        ready += [Try(deployment, credential, card) for credential in ordered]
        return
    if len(credentials) > 1:
        credentials = tuple(turns.order(deployment, credentials, facts.rests))
    is_full = facts.is_full(deployment)
    soonest = None
    for credential in credentials:
        seconds = facts.rests(deployment, credential)
        soonest = seconds if soonest is None else min(soonest, seconds)
        one = Try(deployment, credential, card)
        if seconds > 0 or is_full:
            waiting.append((seconds, one))
        else:
            ready.append(one)
    if soonest or is_full:
        aside[deployment.id] = soonest or 0.0


def _barred(option: Option, card: PriceCard | None, facts: Facts | None, *, priced_only: bool) -> Skip | None:
    if card is None and priced_only:
        return Skip(option, "price", "no price, and a budget applies")
    if facts is not None and (seconds := facts.open_for(option.deployment)) > 0:
        return Skip(option, "breaker", f"breaker open {max(1, round(seconds))} s", seconds)
    return None


def _admitted(options: Options, wishes: Wishes, skips: list[Skip]) -> tuple[Option, ...]:
    policy, needs = wishes.policy, wishes.needs
    asked = _NONE if needs is None else needs.abilities
    limits = None if policy is None else (policy.required_tags, policy.forbidden_tags, policy.regions)
    known = options.memo.get((asked, limits))
    if known is None:
        barred: list[Skip] = []
        ways = options.ways if policy is None else _within(options.ways, policy, barred)
        known = (_able(ways, asked, barred) if asked else ways, barred)
        if len(options.memo) >= _MOST_KNOWN:
            options.memo.clear()
        options.memo[asked, limits] = known
    ways, barred = known
    skips += barred
    if needs is None or (needs.tokens <= options.least_window and (needs.max_tokens or 0) <= options.least_most):
        return ways
    return _roomy(ways, needs, skips)


def _able(ways: tuple[Option, ...], asked: frozenset[str], skips: list[Skip]) -> tuple[Option, ...]:
    able = []
    for option in ways:
        if asked <= option.offers:
            able.append(option)
        else:
            skips.append(Skip(option, "ability", f"no {spelt(asked - option.offers)}"))
    return ways if len(able) == len(ways) else tuple(able)


def _roomy(ways: tuple[Option, ...], needs: Needs, skips: list[Skip]) -> tuple[Option, ...]:
    least = needs.max_tokens or 0
    roomy = [option for option in ways if needs.tokens <= option.window and least <= option.most]
    if not roomy or len(roomy) == len(ways):
        return ways
    for option in ways:
        if needs.tokens > option.window:
            skips.append(Skip(option, "room", f"context of {option.window:,.0f} tokens, some {needs.tokens:,} needed"))
        elif least > option.most:
            skips.append(Skip(option, "room", f"answers of {option.most:,.0f} tokens at most, {least:,} asked for"))
    return tuple(roomy)


def _within(ways: tuple[Option, ...], policy: DataPolicy, skips: list[Skip]) -> tuple[Option, ...]:
    """Where the policy lets calls go."""
    if not policy.required_tags and not policy.forbidden_tags and policy.regions is None:
        return ways
    kept = []
    for option in ways:
        provider = option.deployment.provider
        if why := policies.hindrance(policy, tags=provider.tags, region=provider.region):
            skips.append(Skip(option, "policy", why))
        else:
            kept.append(option)
    return ways if len(kept) == len(ways) else tuple(kept)


def spelt(words: frozenset[str]) -> str:
    """Abilities, for people."""
    return " and ".join(sorted(words)).replace("_", " ")


def _grouped(ways: tuple[Option, ...], options: Options, wishes: Wishes) -> Iterable[Sequence[Option]]:
    """Equals, best first."""
    if ways is not options.ways or not _is_plain(options, wishes):
        return _groups(ways, options, wishes)
    return options.groups if wishes.stays is None else _staying(options, wishes.stays)


def _is_plain(options: Options, wishes: Wishes) -> bool:
    """Whether nothing of the call changes the order of groups."""
    if wishes.prefers is not None:
        return False
    needs = wishes.needs
    return needs is None or not (needs.thinks or (options.has_defaults and needs.abilities))


def _staying(options: Options, stays: int) -> Sequence[Sequence[Option]]:
    """The groups with this deployment before all that are as healthy."""
    known: list[Sequence[Option]] | None = options.memo.get(("stays", stays))
    if known is not None:
        return known
    place = next((option for option in options.ways if option.deployment.id == stays), None)
    if place is None:
        return options.groups
    found: list[Sequence[Option]] = []
    is_due = True
    for group in options.groups:
        if is_due and group[0].key >> FAILING == place.key >> FAILING:
            is_due = False
            found.append((place,))
        if rest := tuple(option for option in group if option is not place):
            found.append(rest)
    options.memo["stays", stays] = found
    return found


def _groups(ways: tuple[Option, ...], options: Options, wishes: Wishes) -> Iterator[Sequence[Option]]:
    """Of equals, best first."""
    keyed = [(_key(option, options, wishes), option) for option in ways]
    keyed.sort(key=_first)
    for _, group in groupby(keyed, _first):
        yield [option for _, option in group]


def _key(option: Option, options: Options, wishes: Wishes) -> int:
    key, deployment, needs = option.key, option.deployment, wishes.needs
    if wishes.prefers is not None and not wishes.prefers(deployment):
        key |= 1 << _PREFERRED
    if options.has_defaults and needs is not None and not is_default(deployment, needs):
        key |= 1 << _DEFAULT
    if wishes.stays is not None and deployment.id != wishes.stays:
        key |= 1 << _STAYS
    if needs is not None and needs.thinks and not option.may_think:
        key |= 1 << THOUGHTLESS
    return key


def is_default(deployment: Deployment, needs: Needs) -> bool:
    """Whether it goes first for something that the call needs."""
    defaults = deployment.defaults
    return bool(defaults) and (not defaults.isdisjoint(needs.abilities) or (needs.thinks and "thinking" in defaults))


def _first(keyed: tuple[int, Option]) -> int:
    return keyed[0]


def _seconds(waiting: tuple[float, Try]) -> float:
    return waiting[0]
