"""Every page on a wide screen in the dark and on a phone in the light: nothing sticks out, no console complains."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.browser.windows import House, Watch

PHONE = {"viewport": {"width": 390, "height": 844}}
DARK = {"color_scheme": "dark"}
WAYS = {"wide and dark": DARK, "phone and light": PHONE}
STICKS_OUT = """() => {
    const list = document.querySelector("#result_list");
    const boxes = [document.documentElement, ...(list ? [list.parentElement] : [])];
    return Math.max(...boxes.map(box => box.scrollWidth - box.clientWidth));
}"""
LUMINANCE = """() => {
    const context = document.createElement("canvas").getContext("2d");
    context.fillStyle = getComputedStyle(document.querySelector("#main")).backgroundColor;
    context.fillRect(0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    return (red + green + blue) / 3;
}"""


def paths(page: Page, house: House) -> list[str]:
    """The first page, every list of the menu, and of each list the first row and the empty form."""
    page.goto(house.url("/admin/"))
    menu = page.eval_on_selector_all("nav a, aside a", "links => links.map(link => link.getAttribute('href'))")
    lists = sorted({link for link in menu if link and re.fullmatch(r"/admin/\w+/\w+/", link)})
    assert len(lists) > 10, menu
    found = ["/admin/", *lists]
    for listing in lists:
        page.goto(house.url(listing))
        rows = page.eval_on_selector_all("#result_list a", "links => links.map(link => link.getAttribute('href'))")
        found += [link.partition("?")[0] for link in rows if link and "/change/" in link][:1]
        if page.locator(f"a[href^='{listing}add/']").count():
            found.append(f"{listing}add/")
    assert len(found) > 30, found
    return found


@pytest.mark.parametrize("window", WAYS.values(), ids=WAYS, indirect=True)
def test_no_page_sticks_out_of_the_screen(window: BrowserContext, house: House) -> None:
    page = window.new_page()
    wrong = {}
    for path in paths(page, house):
        page.goto(house.url(path), wait_until="load")
        if excess := page.evaluate(STICKS_OUT):
            wrong[path] = excess
    assert wrong == {}


@pytest.mark.parametrize(("window", "is_dark"), [({}, False), (DARK, True)], ids=["light", "dark"], indirect=["window"])
def test_the_page_follows_the_colours_of_the_system(window: BrowserContext, house: House, is_dark: bool) -> None:
    page = window.new_page()
    page.goto(house.url("/admin/"))
    assert (page.evaluate(LUMINANCE) < 100) is is_dark


@pytest.mark.parametrize("window", [PHONE], indirect=True)
def test_a_phone_shows_labels_as_they_are_written(window: BrowserContext, house: House) -> None:
    page = window.new_page()
    page.goto(house.url("/admin/catalog/deployment/"))
    shown = "cell => [cell.dataset.label, getComputedStyle(cell, '::before').textTransform]"
    labels = dict(page.eval_on_selector_all("#result_list [data-label]", f"cells => cells.map({shown})"))
    assert labels["$ per 1M, in / out"] == labels["Upstream model"] == "none"
    assert labels["provider"] == "capitalize", "it begins in lower case"


def test_the_watch_hears_complaints_and_strangers(chromium: Browser, house: House) -> None:
    context = chromium.new_context()
    watch = Watch(origin=house.gateway.base_url)
    context.on("page", watch.over)
    page = context.new_page()
    page.goto(house.url("/admin/login/"))
    assert watch.complaints == []
    with page.expect_event("console", lambda message: message.text == "ouch"):
        page.evaluate("() => { new Image().src = 'http://127.0.0.1:9/stranger.png'; console.error('ouch'); }")
    with page.expect_event("response", lambda response: response.status == 404):
        page.evaluate("() => { new Image().src = '/static/no-such.png'; }")
    context.close()
    for heard in ("off the origin: http://127.0.0.1:9/stranger.png", "console: ouch", "404: "):
        assert any(complaint.startswith(heard) for complaint in watch.complaints), heard
