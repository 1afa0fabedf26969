"""What a section is made of, and how its entries and the rows that there are become one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import ProtectedError, QuerySet

from apps.audit.forms import reason
from apps.config.document import Mapping, Refused, entries
from apps.config.fields import Field

MOST_REFUSALS = 25
Identity = tuple[Any, ...]
Values = dict[str, Any]


class Difference(NamedTuple):
    """One field of a change; of what is made, `old` is empty."""

    field: str
    old: str
    new: str


class Change(NamedTuple):
    """`mark`: + made, ~ changed, - removed or disabled, and `note` which."""

    mark: str
    noun: str
    label: str
    differences: tuple[Difference, ...] = ()
    note: str = ""


class Kind:
    """One sort of entry. `key`: the fields by which an entry and a row are the same one; `is_late`: brought in after
    all sections, as its rows name rows of any of them; `repeats`: several may have one key, told apart by order;
    `above`: of those that stand below others, which column names the row above."""

    title: str
    noun: str
    fields: dict[str, Field]
    key: tuple[str, ...]
    children: tuple[Kind, ...] = ()
    is_late = False
    repeats = False
    above = ""

    def __init__(self) -> None:
        for name, field in self.fields.items():
            field.name = field.name or name

    def rows(self, parent: Any) -> Iterable[Any]:
        """In a stable order, which making them in that order repeats."""
        return self.in_order(self.all_rows().filter(**{self.above: parent}))

    def all_rows(self) -> QuerySet[Any]:
        """Of those that stand below others: whichever they stand below."""
        raise NotImplementedError

    def in_order(self, rows: QuerySet[Any]) -> Iterable[Any]:
        """Those below one row stand among others as they do alone."""
        return rows

    def create(self, parent: Any, values: Values, *, actor: Any) -> Any:
        raise NotImplementedError

    def update(self, row: Any, changes: Values, *, actor: Any) -> None:
        raise NotImplementedError

    def prune(self, row: Any, *, actor: Any) -> str:
        """Takes away what the text lacks; returns what was done, empty where it stays."""
        return ""

    def finish(self, row: Any) -> None:
        """When its children are as they shall be."""

    def urgency(self, values: Values) -> int:
        """Entries with a lower one are brought in first."""
        return 0

    def late(self, name: str) -> bool:
        """Whether a field is set when all sections have been brought in."""
        return False

    def early(self, row: Any, values: Values) -> Values:
        """What of a late field is set at once, so that nothing is in another entry's way."""
        return {}

    def identity(self, row: Any) -> Identity:
        return tuple(self.fields[name].out(self.fields[name].get(row)) for name in self.key)

    def label(self, identity: Identity) -> str:
        return " ".join(str(part) for part in identity if part not in (None, ""))

    def written(self, row: Any) -> dict[str, Any]:
        """Without what stands below it."""
        return {name: field.out(field.get(row)) for name, field in self.fields.items()}

    def listed(self) -> list[dict[str, Any]]:
        """All, with what stands below them. As many queries as there are kinds, whatever there is of each."""
        return [whole for _, whole in self._whole(self.rows(None))]

    def _whole(self, rows: Iterable[Any]) -> Iterator[tuple[Any, dict[str, Any]]]:
        below = {child.title: child._by_parent() for child in self.children}
        for row in rows:
            children = {title: found.get(row.pk, []) for title, found in below.items()}
            yield row, self.written(row) | children

    def _by_parent(self) -> dict[Any, list[dict[str, Any]]]:
        found: dict[Any, list[dict[str, Any]]] = {}
        for row, whole in self._whole(self.in_order(self.all_rows())):
            found.setdefault(getattr(row, f"{self.above}_id"), []).append(whole)
        return found


class Run:
    """One bringing in. What must wait is done in `end`; what was refused is told by it all at once."""

    def __init__(self, *, actor: Any, prune: bool) -> None:
        self.actor, self.prune = actor, prune
        self.changes: list[Change] = []
        self.unchanged: Counter[str] = Counter()
        self.left: dict[str, list[str]] = defaultdict(list)
        self.lacking: list[str] = []
        self.refusals: list[str] = []
        self._later: list[Callable[[], None]] = []
        self._last: list[Callable[[], None]] = []

    def end(self) -> None:
        """Raises Refused."""
        for waiting in (self._later, self._last):
            while waiting and len(self.refusals) < MOST_REFUSALS:
                waiting.pop(0)()
        if self.refusals:
            raise Refused(*sorted(self.refusals, key=_line_of)[:MOST_REFUSALS])

    @contextmanager
    def entry(self, said: Mapping) -> Iterator[None]:
        """What is refused inside is refused of that entry, and the others go on."""
        try:
            with transaction.atomic():
                yield
        except Refused as refusal:
            self.refusals += refusal.messages
        except (ValidationError, ProtectedError) as error:
            self.refusals += list(_at_lines(reason(error), said))

    def section(self, kind: Kind, value: Any, *, parent: Any, line: int, path: str = "") -> None:
        """Make the rows of `kind` below `parent` what the text says."""
        there: dict[Identity, Any] = {}
        for row in kind.rows(parent):
            there[self._numbered(kind, kind.identity(row), there, said=None)] = row
        asked: dict[Identity, tuple[Mapping, Values]] = {}
        for said in entries(value, name=kind.title, line=line):
            with self.entry(said):
                values = self._parsed(kind, said)
                identity = tuple(kind.fields[name].out(values[name]) for name in kind.key)
                asked[self._numbered(kind, identity, asked, said=said)] = (said, values)
        for identity, (said, values) in sorted(asked.items(), key=lambda pair: kind.urgency(pair[1][1])):
            with self.entry(said):
                self._one(kind, there.get(identity), values, said, parent=parent, path=path)
        for identity, row in there.items():
            if identity not in asked:
                self._lacking(kind, row, f"{path}{kind.label(kind.identity(row))}", line=line)

    def _numbered(
        self, kind: Kind, identity: Identity, known: dict[Identity, Any], *, said: Mapping | None
    ) -> Identity:
        number = 0
        while (*identity, number) in known:
            number += 1
        if number and said is not None and not kind.repeats:
            raise Refused(f"line {said.line}: The {kind.noun} “{kind.label(identity)}” is given twice.")
        return (*identity, number)

    def _parsed(self, kind: Kind, said: Mapping) -> Values:
        titles = {child.title for child in kind.children}
        for name in said:
            if name not in kind.fields and name not in titles:
                known = ", ".join([*kind.fields, *sorted(titles)])
                raise Refused(f"line {said.line_of(name)}: A {kind.noun} has no “{name}”; it has {known}.")
        for name in kind.key:
            if name not in said and not kind.fields[name].optional:
                raise Refused(f"line {said.line}: Say which {kind.noun}: “{name}” is missing.")
        values = dict.fromkeys(kind.key)
        for name, field in kind.fields.items():
            if name in said:
                values[name] = _read(field, said, name)
        return values

    def _one(self, kind: Kind, row: Any, values: Values, said: Mapping, *, parent: Any, path: str) -> None:
        label = f"{path}{kind.label(tuple(kind.fields[name].out(values[name]) for name in kind.key))}"
        now = {name: value for name, value in values.items() if not kind.late(name)}
        then = {name: value for name, value in values.items() if kind.late(name)}
        if row is None:
            row = kind.create(parent, now, actor=self.actor)
            told = [Difference(name, "", kind.fields[name].told(now[name])) for name in now if name not in kind.key]
            self.changes.append(Change("+", kind.noun, label, tuple(one for one in told if one.new != "nothing")))
            lacking = [name for name in values if kind.fields[name].lacks(values[name])]
            self.lacking += [f"{kind.noun} {label}: {name}" for name in lacking]
        elif not self._amend(kind, row, _others(kind, now) | kind.early(row, then), label):
            self.unchanged[kind.noun] += 1
        if then:
            self._later.append(lambda: self._guarded(said, lambda: self._amend(kind, row, then, label)))
        for child in kind.children:
            if child.title in said:
                self._below(child, said, row, path=f"{label} / ")
        self._last.append(lambda: self._guarded(said, lambda: kind.finish(row)))

    def _below(self, child: Kind, said: Mapping, row: Any, *, path: str) -> None:
        value, line = said[child.title], said.line_of(child.title)
        if child.is_late:
            self._later.append(lambda: self.section(child, value, parent=row, line=line, path=path))
        else:
            self.section(child, value, parent=row, line=line, path=path)

    def _guarded(self, said: Mapping, do: Callable[[], Any]) -> None:
        with self.entry(said):
            do()

    def _amend(self, kind: Kind, row: Any, values: Values, label: str) -> bool:
        """Whether anything was different."""
        changes = {name: value for name, value in values.items() if kind.fields[name].differs(row, value)}
        if not changes:
            return False
        told = []
        for name, value in changes.items():
            field = kind.fields[name]
            told.append(Difference(name, field.told(field.get(row)), field.told(value)))
        kind.update(row, changes, actor=self.actor)
        self.changes.append(Change("~", kind.noun, label, tuple(told)))
        return True

    def _lacking(self, kind: Kind, row: Any, label: str, *, line: int) -> None:
        if not self.prune:
            self.left[kind.noun].append(label)
            return

        def take() -> None:
            if done := kind.prune(row, actor=self.actor):
                self.changes.append(Change("-", kind.noun, label, note=done))
            else:
                self.left[kind.noun].append(label)

        said = Mapping()
        said.line = line
        self._later.append(lambda: self._guarded(said, take))


def _line_of(told: str) -> int:
    """As it is said at the beginning of a message."""
    number = told.removeprefix("line ").partition(":")[0]
    return int(number) if number.isdecimal() else 0


def _others(kind: Kind, values: Values) -> Values:
    """Those that do not say which entry it is."""
    return {name: value for name, value in values.items() if name not in kind.key}


def _read(field: Field, said: Mapping, name: str) -> Any:
    try:
        return field.parse(said[name])
    except ValueError as error:
        raise Refused(f"line {said.line_of(name)}: {name}: {error}.") from None


def _at_lines(error: ValidationError, said: Mapping) -> Iterator[str]:
    if hasattr(error, "error_dict"):
        for name, errors in error.error_dict.items():
            told = "" if name == "__all__" else f"{name}: "
            yield from (f"line {said.line_of(name)}: {told}{' '.join(one.messages)}" for one in errors)
    else:
        yield from (f"line {said.line}: {message}" for message in error.messages)
