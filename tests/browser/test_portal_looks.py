"""Every page of the portal, wide and dark, and on a phone in the light: nothing sticks out, no console complains, and
axe finds nothing serious."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
from playwright.sync_api import Page

from tests.browser.windows import House, each_way

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


def issues(page: Page) -> list[str]:
    """What axe finds that keeps people out."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    found = page.evaluate("axe.run(document, {resultTypes: ['violations'], reporter: 'no-passes'})")
    return [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in found["violations"] if one["impact"] in SERIOUS]


def test_every_page_fits_and_keeps_nobody_out(page: Page, house: House) -> None:
    wrong: dict[str, list[str]] = {}
    for path in (*(f"/t/acme/{one}" for one in PAGES), *OUTSIDE):
        page.goto(house.url(path), wait_until="load")
        for way in each_way(page):
            excess = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found = [f"{excess} pixels too wide"] if excess > 0 else []
            if found := found + issues(page):
                wrong[f"{path}, {way}"] = found
    assert wrong == {}
