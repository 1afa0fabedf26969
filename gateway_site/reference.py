"""The tables of `docs/configuration.md`, made of what is declared (`gateway_site.declared`) and how the code reads it.

    python -m gateway_site.reference            writes them anew; the architecture tests compare

Nothing is imported for it: kind, default and bounds are read off the calls of `gateway_site.env`, so that a page is the
same whatever is set where it is made.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gateway_site import env
from gateway_site.declared import SECTIONS, Section, Setting

FOLDER = Path(__file__).resolve().parent
PAGE = FOLDER.parent / "docs/configuration.md"
KINDS = {
    "text": "text",
    "embedded": "address",
    "address": "address",
    "number": "number",
    "integer": "whole number",
    "flag": "on or off",
    "words": "list",
    "networks": "list of ranges",
    "secret": "secret",
}
READERS = frozenset(
    name
    for name, it in inspect.getmembers(env, inspect.isfunction)
    if [*inspect.signature(it).parameters][:1] == ["name"]
)
_TABLE = re.compile(r"(<!-- settings: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_HEAD = "| Variable | Kind | Default | Meaning |\n|---|---|---|---|\n"


class Untold(Exception):
    """A setting that is read and not declared, or the other way round, or said in two places."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A call such as `env.integer("PORT", 8000, least=1)`."""

    reader: str
    arguments: tuple[ast.expr, ...]  # after the name
    keywords: dict[str, ast.expr]


def readings(folder: Path = FOLDER) -> dict[str, Reading]:
    """By variable. Where one is read in several places, what `settings.py` says of it counts."""
    found: dict[str, Reading] = {}
    for path in sorted(folder.rglob("*.py"), key=lambda path: (path.name != "settings.py", path)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (reader := _reader(node.func)) and node.args:
                name = node.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    keywords = {word.arg: word.value for word in node.keywords if word.arg}
                    found.setdefault(name.value, Reading(reader, tuple(node.args[1:]), keywords))
    return found


def _reader(function: ast.expr) -> str:
    """Empty: something else is called. `env.py` itself asks its parser, `_env`, for what it must know first."""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        if function.value.id == "env" and function.attr in READERS:
            return function.attr
        if function.value.id == "_env":
            return "text"
    return ""


def kind(setting: Setting, reading: Reading) -> str:
    if setting.kind:
        return setting.kind
    if reading.reader == "choice":
        *others, last = [f"`{ast.literal_eval(option)}`" for option in reading.arguments]
        return f"{', '.join(others)} or {last}"
    if reading.reader not in KINDS:
        raise Untold(f"{setting.name}: env.{reading.reader} has no kind in {Path(__file__).name}.")
    return KINDS[reading.reader] + _bounds(reading)


def _bounds(reading: Reading) -> str:
    least, most = (
        _told(_evaluated(reading.keywords[word], production=True)) if word in reading.keywords else ""
        for word in ("least", "most")
    )
    if most:
        return f", {least or 0} to {most}"
    return f", {least} or more" if least else ""


def default(setting: Setting, reading: Reading) -> str:
    """For both profiles, where they differ."""
    if reading.reader == "secret":
        required = "required" not in reading.keywords or bool(_evaluated(reading.keywords["required"], production=True))
        return "made once, in `WEIR_VAR`; production: **required**" if required else "none"
    given = [_told(_computed(reading, production=production)) for production in (False, True)]
    if setting.default:
        if given[0] not in ("none", ""):
            raise Untold(f"{setting.name} has a default in the code, and is declared with another one.")
        given = [setting.default] * 2
    if not given[0]:
        raise Untold(f"{setting.name}: its default is worked out, so it must be told where it is declared.")
    if reading.reader == "embedded":
        return f"{given[0]}; production: **required**"
    return given[0] if given[0] == given[1] else f"{given[0]}; production: {given[1]}"


def _computed(reading: Reading, *, production: bool) -> Any:
    """Raises nothing: what hangs on more than the profile is `...`."""
    if reading.reader == "networks":
        return []
    if not reading.arguments:
        return ...
    return _evaluated(reading.arguments[0], production=production)


def _evaluated(expression: ast.expr, *, production: bool) -> Any:
    code = compile(ast.Expression(expression), "default", "eval")
    try:
        return eval(code, {"env": SimpleNamespace(PRODUCTION=production)})  # noqa: S307  # our own source
    except NameError:
        return ...


def _told(value: Any) -> str:
    if value is ...:
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, list):
        return "any" if value == ["*"] else ", ".join(f"`{word}`" for word in value) or "none"
    return f"`{value}`" if value else "none"


def table(section: Section, found: dict[str, Reading]) -> str:
    rows = [
        f"| `{setting.name}` | {kind(setting, found[setting.name])} | {default(setting, found[setting.name])} "
        f"| {' '.join(setting.meaning.split())} |\n"
        for setting in section.settings
    ]
    return _HEAD + "".join(rows)


def mistakes(found: dict[str, Reading]) -> Iterator[str]:
    declared = [setting.name for section in SECTIONS for setting in section.settings]
    yield from (
        f"{name} is declared twice." for name in sorted({name for name in declared if declared.count(name) > 1})
    )
    yield from (
        f"{name} is read, and declared nowhere below gateway_site/declared."
        for name in sorted(found.keys() - {*declared})
    )
    yield from (f"{name} is declared, and read by nothing." for name in sorted({*declared} - found.keys()))


def written(page: str) -> str:
    """The page with its tables as they ought to be. Raises Untold."""
    found = readings()
    if wrong := [*mistakes(found)]:
        raise Untold("\n".join(wrong))
    sections = {section.name: section for section in SECTIONS}
    places = [place[2] for place in _TABLE.finditer(page)]
    if sorted(places) != sorted(sections):
        raise Untold(f"The page has tables for {', '.join(places)}; declared are {', '.join(sections)}.")
    return _TABLE.sub(lambda place: f"{place[1]}\n{table(sections[place[2]], found)}\n{place[3]}", page)


def main() -> int:
    try:
        PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except Untold as wrong:
        sys.stderr.write(f"{wrong}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
