"""Facts on a page about its row that only higher apps know: they hang them there, and nothing points upward."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from django.db import models
from django.http import HttpRequest
from django.utils.safestring import SafeString


class Panel(NamedTuple):
    """A fact on a page about its row that a higher app knows. `link` leads to where it can be looked at."""

    title: str
    figure: str
    note: str = ""
    link: str = ""


class Listing(NamedTuple):
    """The first rows of a list that belongs to the row, as a table. `link` leads to exactly those and all others."""

    title: str
    table: SafeString | str
    link: str
    empty: str = ""


Maker = Callable[[HttpRequest, Any], Panel | None]
Lister = Callable[[HttpRequest, Any], Listing | None]
_makers: dict[type[models.Model], list[Maker]] = {}
_listers: dict[type[models.Model], list[Lister]] = {}


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


def listing_of(*of: type[models.Model]) -> Callable[[Lister], Lister]:
    """Decorates what makes a listing for the pages of those models; None: not for this person."""

    def keep(lister: Lister) -> Lister:
        for model in of:
            _listers.setdefault(model, []).append(lister)
        return lister

    return keep


def listings(request: HttpRequest, row: models.Model) -> list[Listing]:
    """Those of the row's page that this person may see."""
    made = (lister(request, row) for lister in _listers.get(type(row), ()))
    return [listing for listing in made if listing is not None]
