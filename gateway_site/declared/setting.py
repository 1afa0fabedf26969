"""What is said of a setting."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """`meaning` is a paragraph of Markdown; where its lines break does not matter.

    `default` is for what the code works out (a folder below another, a host's name), and `kind` for a text that must
    look like something; all else is read from the code.
    """

    name: str
    meaning: str
    default: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the page, between `<!-- settings: name -->` and `<!-- end -->`."""

    name: str
    settings: tuple[Setting, ...]
