"""Every page of the portal, wide and dark, and on a phone in the light: nothing sticks out, no console complains, and
axe finds nothing serious."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from playwright.sync_api import Page

from tests.browser.windows import WIDE, House

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")
SERIOUS = ("serious", "critical")
PAGES = (
    *("", "keys/", "keys/new/", "keys/1/", "keys/1/rotate/", "keys/1/revoke/", "models/", "playground/", "start/"),
    *(
        "usage/",
        "costs/",
        "costs/focus/",
        "budgets/",
        "budgets/new/",
        "alerts/",
        "live/",
        "members/",
        "members/invite/",
    ),
    *("projects/", "projects/new/", "audit/", "settings/", "programs/"),
)
OUTSIDE = ("/sign-in/", "/account/", "/device/")
WAYS: dict[str, dict[str, Any]] = {
    "wide and dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone and light": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}


def issues(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found["violations"] if one["impact"] in SERIOUS]


@pytest.mark.parametrize("page", WAYS.values(), ids=WAYS.keys(), indirect=True)
def test_every_page_fits_and_keeps_nobody_out(page: Page, house: House) -> None:
    wrong: dict[str, Any] = {}
    for path in (*(f"/t/acme/{one}" for one in PAGES), *OUTSIDE):
        page.goto(house.url(path), wait_until="load")
        excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        if excess > 0:
            wrong[path] = f"{excess} pixels too wide"
        if found := issues(page):
            wrong[path] = found
    assert wrong == {}
