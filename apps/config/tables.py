"""Models, deployments and prices as flat tables, CSV or JSON, brought in by the same rules as the whole configuration:
all or nothing, nothing removed, and no price ever changed in its place.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import transaction

from apps.audit import downloads
from apps.catalog.models import Deployment, Model
from apps.config.document import Mapping, Refused, is_text
from apps.config.fields import Field, Number, SeveralNamed, Words
from apps.config.kinds import Kind, Run, Values
from apps.config.sections.routing import Deployments, Models, Prices, model, provider
from apps.config.services import Outcome

LARGEST = 1_000_000  # characters
MOST_ROWS = 5_000
FORMATS = ("csv", "json")


class Table(NamedTuple):
    """`parents`: fields that name whose row it is; `kind`: the rest."""

    parents: dict[str, Field]
    kind: Kind

    @property
    def columns(self) -> dict[str, Field]:
        return {**self.parents, **self.kind.fields}


def table(name: str) -> Table:
    """`models`, `deployments` or `prices`. Raises KeyError."""
    own = Field(str)
    made = {
        "models": lambda: Table({}, Models()),
        "deployments": lambda: Table({"model": model()}, Deployments()),
        "prices": lambda: Table({"model": model(), "provider": provider(), "upstream_model": own}, Prices()),
    }
    return made[name]()


NAMES = ("models", "deployments", "prices")


# --- written -----------------------------------------------------------------------------------------------------


def rows(name: str) -> Iterator[dict[str, Any]]:
    """One at a time, in the order of their names."""
    found = table(name)
    if name == "models":
        yield from (_values(found.kind, row) for row in found.kind.rows(None))
        return
    for owner in Model.objects.order_by("name"):
        for deployment in Deployments().rows(owner):
            if name == "deployments":
                yield {"model": owner.name, **_values(found.kind, deployment)}
                continue
            where = {"model": owner.name, "provider": deployment.provider.name}
            for price in found.kind.rows(deployment):
                yield {**where, "upstream_model": deployment.upstream_model, **_values(found.kind, price)}


def _values(kind: Kind, row: Any) -> dict[str, Any]:
    return {name: field.out(field.get(row)) for name, field in kind.fields.items()}


def cells(name: str) -> Iterator[list[Any]]:
    """As a spreadsheet has them: lists with commas between the words."""
    for row in rows(name):
        yield [", ".join(value) if isinstance(value, list) else value for value in row.values()]


def as_json(name: str) -> str:
    return json.dumps(list(rows(name)), ensure_ascii=False, indent=1, default=float) + "\n"


# --- brought in --------------------------------------------------------------------------------------------------


def bring_in(name: str, text: str, *, form: str, actor: Any, dry_run: bool = False) -> Outcome:
    """Raises Refused, with line and column of what cannot be, and then nothing has changed."""
    found = table(name)
    if len(text) > LARGEST:
        raise Refused(f"The file is longer than {LARGEST:,} characters.")
    if not is_text(text):
        raise Refused("This is no text: it holds a NUL.")
    said = list(_from_csv(text, found) if form == "csv" else _from_json(text))
    if len(said) > MOST_ROWS:
        raise Refused(f"The file has more than {MOST_ROWS:,} rows: bring it in in parts.")
    run = Run(actor=actor, prune=False)
    with transaction.atomic():
        for parent, entries in _by_parent(found, said, run):
            path = f"{parent} / " if parent is not None else ""
            run.section(found.kind, entries, parent=parent, line=1, path=path)
        run.end()
        if dry_run:
            transaction.set_rollback(True)
    return Outcome(run.changes, dict(run.unchanged), {}, [])


def _by_parent(found: Table, said: list[Mapping], run: Run) -> list[tuple[Any, list[Mapping]]]:
    """Rows of one parent together, each without the columns that name it."""
    if not found.parents:
        return [(None, said)] if said else []
    grouped: dict[Any, list[Mapping]] = {}
    for row in said:
        with run.entry(row):
            grouped.setdefault(_parent(found, row), []).append(row)
    return list(grouped.items())


def _parent(found: Table, row: Mapping) -> Any:
    values: Values = {}
    for name, field in found.parents.items():
        try:
            values[name] = field.parse(row.pop(name, None))
        except ValueError as error:
            raise Refused(f"line {row.line}: {name}: {error}.") from None
    if "provider" not in values:
        return values["model"]
    deployment = Deployment.objects.select_related("model", "provider").filter(**values).first()
    if deployment is None:
        raise Refused(f"line {row.line}: {values['model']} is not deployed there under this name.")
    return deployment


def _from_csv(text: str, found: Table) -> Iterator[Mapping]:
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        _check_head(head, found)
        for cells_ in reader:
            if not any(cell.strip() for cell in cells_):
                continue
            if len(cells_) != len(head):
                raise Refused(f"line {reader.line_num}: There are {len(cells_)} cells under {len(head)} headings.")
            row = Mapping()
            row.line = reader.line_num
            for name, cell in zip(head, cells_, strict=True):
                try:
                    row[name] = _value(found.columns[name], downloads.meant(cell.strip()))
                except (ValueError, ArithmeticError, LookupError):
                    raise Refused(f"line {row.line}: {name}: “{cell[:40]}” is not what is expected here.") from None
            yield row
    except csv.Error as error:
        raise Refused(f"line {reader.line_num}: This is no CSV: {error}.") from None


def _check_head(head: list[str], found: Table) -> None:
    for name in head:
        if name not in found.columns:
            raise Refused(f"line 1: There is no column “{name[:40]}”; there are {', '.join(found.columns)}.")
        if head.count(name) > 1:
            raise Refused(f"line 1: The column “{name}” is there twice.")


def _value(field: Field, cell: str) -> Any:
    """A cell's text as the field's type; empty: nothing, or the empty text or list where there is no nothing."""
    if isinstance(field, Words | SeveralNamed):
        return [word.strip() for word in cell.split(",") if word.strip()] or (None if field.optional else [])
    if not cell:
        return "" if field.kinds == (str,) and not field.optional else None
    if bool in field.kinds:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[cell.lower()]
    if isinstance(field, Number) or Decimal in field.kinds:
        number = Decimal(cell.replace("$", ""))
        if not number.is_finite():
            raise ValueError(cell)
        return number
    return int(cell) if int in field.kinds else cell


def _from_json(text: str) -> Iterator[Mapping]:
    def paired(pairs: list[tuple[str, Any]]) -> Mapping:
        made = Mapping(pairs)
        words = [word for value in made.values() for word in (value if isinstance(value, list) else [value])]
        if not all(is_text(word) for word in (*made, *words) if isinstance(word, str)):
            raise Refused("In a text there is a NUL or half a character.")
        if len(made) != len(pairs):
            raise Refused("In an object a name is given twice.")
        return made

    try:
        said = json.loads(text.removeprefix("\ufeff"), parse_float=Decimal, object_pairs_hook=paired)
    except (ValueError, ArithmeticError, RecursionError) as error:  # Decimal has bounds, too
        raise Refused(f"This is no JSON: {error}.") from None
    if not isinstance(said, list) or not all(isinstance(row, Mapping) for row in said):
        raise Refused("A list of objects is expected.")
    for number, row in enumerate(said, 1):
        row.line = number
        yield row
