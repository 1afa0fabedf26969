"""The order among equals: deployments of one tier and priority, by their model's strategy.

    priority, weighted   a weighted shuffle (by weight alone, priorities do not make groups: see `options`)
    cheapest             what this very call is likely to cost, by the price in force
    fastest              seconds until it is answered, of late; the more often one fails the longer that takes
    balanced             a score from 0 to 100: success squared, times the mean of how near to the fastest and to the
                         cheapest one is

Ties are broken by the shuffle. Where speed counts, some calls are spent to measure it: on those of whom nothing is
known, and now and then on anyone, who may have become faster.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from apps.domain import pricing
from apps.domain.routing.facts import UNMEASURED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from apps.domain.routing.facts import Facts
    from apps.domain.routing.needs import Needs
    from apps.domain.routing.options import Option
    from apps.domain.snapshot import Strategy

    Dice = Callable[[], float]

EXPLORED = 0.1  # of the calls, while somebody is unknown
EXPLORED_ANEW = 0.02
USUAL_ANSWER = 300  # tokens, where nobody knows better
_FEW = 12
_DRAWS = 4
_NEVER = float("inf")
_ENDLESS = 1 << 62  # tokens
_HALF = pricing.MILLION // 2
_MOST_TABLES = 256
_T = TypeVar("_T")


class Figures(NamedTuple):
    """Of a deployment in this second. `price_in` and `price_out`: nano-USD of a million tokens; None: it has no price.
    `first_token` and `token`: seconds until the first, and of each; None: nobody knows."""

    price_in: int | None
    price_out: int
    cap: int
    first_token: float | None
    token: float
    success: float
    worth: float  # of its score, half of what is left of 100 by its success


class Table(NamedTuple):
    """The figures of a group, as far as many are looked at for every call by column. `paces`: first token and each;
    `prices`: of a prompt's and of an answer's tokens; None: somebody's is not known. `least_cap`: nobody's is lower."""

    group: Sequence[Option]
    figures: Sequence[Figures]
    paces: Sequence[tuple[float, float]] | None
    prices: Sequence[tuple[int, int]] | None
    least_cap: int
    worths: Sequence[float]


class Found:
    """What calls of one second have found out, by facts that they share: figures by deployment, tables by group."""

    __slots__ = ("figures", "tables")

    def __init__(self) -> None:
        self.figures: dict[int, Figures] = {}
        self.tables: dict[int, Table] = {}


class Ranked(NamedTuple):
    """`values`, of each in the order in which they were given: what their order goes by, which is 10**-15 USD for the
    cheapest, seconds for the fastest and 0 to 100 for the balanced; None: not known. None at all: nothing was weighed.
    `explored`: who goes first to be measured."""

    options: Iterable[Option]
    values: Sequence[float | None] | None = None
    explored: int | None = None


class Gauge(NamedTuple):
    """By what a call is ranked. `expected`: tokens of its answer, by experience."""

    now: int
    dice: Dice
    found: Found
    facts: Facts | None = None
    needs: Needs | None = None
    expected: int | None = None


def ranked(group: Sequence[Option], strategy: Strategy, gauge: Gauge) -> Ranked:
    if len(group) < 2:
        return Ranked(group)
    if strategy in ("priority", "weighted"):
        if len(group) > _FEW:
            return Ranked(_drawn(group, gauge.dice))
        return Ranked(shuffled(group, [option.deployment.weight for option in group], gauge.dice))
    table = _table(group, gauge)
    if strategy == "cheapest":
        costs = _costs(table, gauge)
        return Ranked(_by(_unknown_last(costs), group, gauge.dice), costs)
    lasting = _seconds(table, gauge)
    if strategy == "fastest":
        lasting = _with_failures(table, lasting)
        return _explored(table, _by(_unknown_last(lasting), group, gauge.dice), lasting, lasting, gauge)
    scores = _scores(table, lasting, _costs(table, gauge))
    return _explored(table, _by(scores, group, gauge.dice, is_best_most=True), scores, lasting, gauge)


def cost(option: Option, gauge: Gauge) -> int | None:
    """Nano-USD that the call is likely to cost there; None: it has no price."""
    exact = _costs(_table((option,), gauge), gauge)[0]
    return None if exact is None else rounded(exact)


def rounded(exact: int) -> int:
    """Nano-USD, of 10**-15 USD."""
    return (exact + _HALF) // pricing.MILLION


def seconds(option: Option, gauge: Gauge) -> float | None:
    """Until it is likely to be answered there; None: nobody knows."""
    return _seconds(_table((option,), gauge), gauge)[0]


def _unknown_last(values: Sequence[float | None]) -> list[float]:
    return [_NEVER if value is None else value for value in values]


def _by(
    values: Sequence[float], group: Sequence[Option], dice: Dice, *, is_best_most: bool = False
) -> Iterator[Option]:
    """The least first, or the most; those that are alike shuffled, as far as somebody comes to them."""
    order = sorted(range(len(values)), key=values.__getitem__, reverse=is_best_most)
    for _, run in groupby(order, values.__getitem__):
        alike = [group[index] for index in run]
        yield from shuffled(alike, [option.deployment.weight for option in alike], dice) if len(alike) > 1 else alike


def shuffled(items: Sequence[_T], weights: Sequence[int], dice: Dice) -> list[_T]:
    """A random order in which a heavier item tends to come first (Efraimidis and Spirakis, 2006)."""
    keyed = [(-(dice() ** (1 / weight)) if weight > 0 else 1.0, index) for index, weight in enumerate(weights)]
    return [items[index] for _, index in sorted(keyed)]


def _drawn(group: Sequence[Option], dice: Dice) -> Iterator[Option]:
    """As `shuffled`, of many of whom the first few are asked for: drawn one by one, and who has been drawn already is
    drawn over."""
    sums = list(accumulate([option.deployment.weight for option in group]))
    drawn: set[int] = set()
    for _ in range(_DRAWS):
        for _ in range(_FEW):
            index = bisect(sums, dice() * sums[-1])
            if index not in drawn:
                drawn.add(index)
                yield group[index]
                break
    rest = [option for index, option in enumerate(group) if index not in drawn]
    yield from shuffled(rest, [option.deployment.weight for option in rest], dice)


def _table(group: Sequence[Option], gauge: Gauge) -> Table:
    tables = gauge.found.tables
    found = tables.get(id(group))  # nobody else has its id: the table holds it
    if found is None:
        figures = [_figured(option, gauge) for option in group]
        paces = [(one.first_token, one.token) for one in figures if one.first_token is not None]
        prices = [(one.price_in, one.price_out) for one in figures if one.price_in is not None]
        if len(tables) >= _MOST_TABLES:
            tables.clear()
        found = tables[id(group)] = Table(
            group,
            figures,
            paces if len(paces) == len(figures) else None,
            prices if len(prices) == len(figures) else None,
            min(one.cap for one in figures),
            [one.worth for one in figures],
        )
    return found


def _figured(option: Option, gauge: Gauge) -> Figures:
    deployment = option.deployment
    found = gauge.found.figures.get(deployment.id)
    if found is None:
        card = pricing.card_at(deployment.prices, gauge.now)
        price_in, price_out = (None, 0) if card is None else (card.input, card.output)
        first_token, rate, success = UNMEASURED if gauge.facts is None else gauge.facts.measured(deployment)
        found = gauge.found.figures[deployment.id] = Figures(
            *(price_in, price_out, option.cap),
            first_token,
            1 / rate if rate else 0.0,
            1.0 if success is None else success,
            50.0 if success is None else 50 * success * success,
        )
    return found


def _costs(table: Table, gauge: Gauge) -> Sequence[int | None]:
    """10**-15 USD."""
    needs, expected = gauge.needs, gauge.expected
    tokens_in, asked = (0, None) if needs is None else (needs.tokens, needs.max_tokens)
    most = min(asked or _ENDLESS, expected or _ENDLESS)
    if table.prices is not None and most <= table.least_cap:
        return [tokens_in * price_in + most * price_out for price_in, price_out in table.prices]
    return [
        None if one.price_in is None else tokens_in * one.price_in + min(most, one.cap) * one.price_out
        for one in table.figures
    ]


def _seconds(table: Table, gauge: Gauge) -> Sequence[float | None]:
    tokens = gauge.expected or USUAL_ANSWER
    if table.paces is not None:
        return [first + tokens * each for first, each in table.paces]
    return [None if one.first_token is None else one.first_token + tokens * one.token for one in table.figures]


def _with_failures(table: Table, lasting: Sequence[float | None]) -> list[float | None]:
    """One that answers every other call takes twice as long."""
    return [
        None if each is None else each / max(one.success, 0.01)
        for one, each in zip(table.figures, lasting, strict=True)
    ]


def _scores(table: Table, lasting: Sequence[float | None], costs: Sequence[int | None]) -> list[int]:
    """Whose speed or cost nobody knows is taken for the mean of the others."""
    if table.paces is not None and table.prices is not None:  # as mostly: then one pass will do
        speeds, thrifts = cast("Sequence[float]", lasting), cast("Sequence[int]", costs)
        fastest, cheapest = min(speeds), min(thrifts)
        if fastest and cheapest:
            each = zip(table.worths, speeds, thrifts, strict=True)
            return [int(worth * (fastest / seconds + cheapest / cost) + 0.5) for worth, seconds, cost in each]
    shares = zip(table.worths, _shares(lasting), _shares(costs), strict=True)
    return [int(worth * (speed + thrift) + 0.5) for worth, speed, thrift in shares]


def _shares(values: Sequence[float | None]) -> list[float]:
    """How near each is to the least: 1 is the least itself, 0.5 twice as much."""
    known = [value for value in values if value is not None]
    least = min(known, default=0)
    shares = [least / value if value else 1.0 for value in known]
    if len(known) == len(values):
        return shares
    mean, each = sum(shares) / len(shares) if shares else 1.0, iter(shares)
    return [mean if value is None else next(each) for value in values]


def _explored(
    table: Table,
    ordered: Iterable[Option],
    values: Sequence[float | None],
    lasting: Sequence[float | None],
    gauge: Gauge,
) -> Ranked:
    group = table.group
    unknown = []
    if table.paces is None:
        unknown = [option for option, each in zip(group, lasting, strict=True) if each is None]
    if len(unknown) == len(group) or gauge.dice() >= (EXPLORED if unknown else EXPLORED_ANEW):
        return Ranked(ordered, values)
    chosen_from = unknown or group
    first = shuffled(chosen_from, [option.deployment.weight for option in chosen_from], gauge.dice)[0]
    return Ranked([first, *(option for option in ordered if option is not first)], values, first.deployment.id)
