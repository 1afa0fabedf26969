"""Facts on a page about its row that only higher apps know: they hang them there, and nothing points upward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import models
from django.http import HttpRequest


class Panel(NamedTuple):
    """A fact on a page about its row that a higher app knows. `link` leads to where it can be looked at."""

    title: str
    figure: str
    note: str = ""
    link: str = ""


Maker = Callable[[HttpRequest, Any], Panel | None]
_makers: dict[type[models.Model], list[Maker]] = {}


def panel_of(model: type[models.Model]) -> Callable[[Maker], Maker]:
    """Decorates what makes a panel for the pages of `model`; None: nothing to say, or not to this person."""

    def keep(maker: Maker) -> Maker:
        _makers.setdefault(model, []).append(maker)
        return maker

    return keep


def panels(request: HttpRequest, row: models.Model) -> list[Panel]:
    """Those of the row's page that this person may see."""
    made = (maker(request, row) for maker in _makers.get(type(row), ()))
    return [panel for panel in made if panel is not None]
