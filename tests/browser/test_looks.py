"""Every page on a wide screen in the dark and on a phone in the light: nothing sticks out, no console complains."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page

from tests.browser.windows import NARROW, WORN, Desk, House, each_way

PHONE = {"viewport": NARROW}
DARK = {"color_scheme": "dark"}
STICKS_OUT = """() => {
    const list = document.querySelector("#result_list");
    const boxes = [document.documentElement, ...(list ? [list.parentElement] : [])];
    return Math.max(...boxes.map(box => box.scrollWidth - box.clientWidth));
}"""


def lists(page: Page, house: House) -> list[str]:
    """Every list of the menu."""
    page.goto(house.url("/admin/"))
    menu = page.eval_on_selector_all("nav a, aside a", "links => links.map(link => link.getAttribute('href'))")
    found = sorted({link for link in menu if link and re.fullmatch(r"/admin/\w+/\w+/", link)})
    assert len(found) > 10, menu
    return found


def leads_to(page: Page, listing: str) -> list[str]:
    """The first row of the list that is open, and the empty form."""
    rows = page.eval_on_selector_all("#result_list a", "links => links.map(link => link.getAttribute('href'))")
    found = [link.partition("?")[0] for link in rows if link and "/change/" in link][:1]
    return found + ([f"{listing}add/"] if page.locator(f"a[href^='{listing}add/']").count() else [])


def excesses(page: Page) -> dict[str, int]:
    """By how many pixels the page that is open sticks out, where it does."""
    found = {}
    for way in each_way(page):
        if excess := page.evaluate(STICKS_OUT):
            found[way] = excess
    return found


def test_no_page_sticks_out_of_the_screen(page: Page, house: House) -> None:
    others = ["/admin/explain/?model=claude-test", "/admin/policies/cachepolicy/questions/"]
    waiting = ["/admin/", *others, *lists(page, house)]
    wrong, seen = {}, 0
    while waiting:
        path = waiting.pop()
        page.goto(house.url(path), wait_until="load")
        if found := excesses(page):
            wrong[path] = found
        if re.fullmatch(r"/admin/\w+/\w+/", path):
            waiting += leads_to(page, path)
        seen += 1
    assert wrong == {}
    assert seen > 30


def test_an_explanation_sticks_out_nowhere(page: Page, house: House) -> None:
    page.goto(house.url("/admin/explain/?model=claude-test"))
    page.locator("button:has-text('Explain')").click()
    page.wait_for_selector(".weir-ladder")
    assert page.locator(".weir-badge").first.inner_text().lower() == "served"
    assert excesses(page) == {}


@pytest.mark.parametrize(("page", "is_dark"), [({}, False), (DARK, True)], ids=["light", "dark"], indirect=["page"])
def test_the_page_follows_the_colours_of_the_system(page: Page, house: House, is_dark: bool) -> None:
    page.goto(house.url("/admin/"))
    assert page.evaluate("document.documentElement.classList.contains('dark')") is is_dark
    page.wait_for_function(WORN, arg=is_dark)


@pytest.mark.parametrize("page", [PHONE], indirect=True)
def test_a_phone_shows_labels_as_they_are_written(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/deployment/"))
    shown = "cell => [cell.dataset.label, getComputedStyle(cell, '::before').textTransform]"
    labels = dict(page.eval_on_selector_all("#result_list [data-label]", f"cells => cells.map({shown})"))
    assert labels["$ per 1M, in / out"] == labels["Calls, queue"] == "none"
    assert labels["model"] == "capitalize", "it begins in lower case"


def test_the_watch_hears_complaints_and_strangers(page: Page, desk: Desk, house: House) -> None:
    page.goto(house.url("/admin/login/"))
    assert desk.heard() == []
    with page.expect_event("console", lambda message: message.text == "ouch"):
        page.evaluate("() => { new Image().src = 'http://127.0.0.1:9/stranger.png'; console.error('ouch'); }")
    with page.expect_event("response", lambda response: response.status == 404):
        page.evaluate("() => { new Image().src = '/static/no-such.png'; }")
    heard = desk.heard()
    for each in ("off the origin: http://127.0.0.1:9/stranger.png", "console: ouch", "404: "):
        assert any(complaint.startswith(each) for complaint in heard), each
    page.goto("about:blank")  # or it would complain on
    desk.watch.complaints.clear()
