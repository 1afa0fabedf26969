"""Every new form and list can be read in both themes, and whoever does not see it is told what each field is."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.reading import pale, unnamed
from tests.browser.test_looks import excesses
from tests.browser.test_portal_looks import issues
from tests.browser.windows import Colours, House, wear

PAGES = (
    *("/admin/catalog/provider/", "/admin/catalog/model/", "/admin/catalog/model/add/", "/admin/catalog/deployment/"),
    *("/admin/policies/datapolicy/", "/admin/policies/datapolicy/add/", "/admin/policies/datapolicy/trial/"),
    *("/admin/policies/cachepolicy/", "/admin/policies/cachepolicy/add/", "/admin/policies/cachepolicy/questions/"),
    *("/admin/explain/", "/admin/usage/entry/", "/admin/catalog/provider/check/"),
)
FORMS = (  # with lists that are searched
    *("/admin/keys/key/add/", "/admin/catalog/deployment/add/", "/admin/policies/datapolicy/add/"),
    *("/admin/quotas/budget/add/", "/admin/keys/issuer/add/", "/admin/signin/identityprovider/add/"),
)
COLOURS: tuple[Colours, ...] = ("light", "dark")
LISTS = ("/admin/catalog/provider/", "/admin/catalog/deployment/", "/admin/policies/datapolicy/")


def tabs(page: Page) -> list[Any]:
    """What shows another part of the page that is open; the parts of a part are at the end."""
    return [tab for tab in page.locator("a[href^='#']:not(.weir-skip)").all() if tab.is_visible()]


def faults(page: Page, path: str) -> dict[str, list[str]]:
    """On any tab of the page that is open, in either colours."""
    found: dict[str, list[str]] = {}
    for tab in [None, *tabs(page)]:
        if tab is not None and tab.is_visible():
            tab.click()
        where = path if tab is None else f"{path} {tab.inner_text().strip()}"
        for colours in COLOURS:
            wear(page, colours)
            if wrong := pale(page):
                found[f"{where}, {colours}"] = wrong
        if wrong := unnamed(page):
            found[where] = wrong
    return found


@pytest.mark.parametrize("path", PAGES)
def test_words_stand_out_and_fields_have_names(page: Page, house: House, path: str) -> None:
    page.goto(house.url(path))
    assert faults(page, path) == {}


@pytest.mark.parametrize("listing", LISTS)
def test_so_they_do_on_the_page_of_a_row(page: Page, house: House, listing: str) -> None:
    page.goto(house.url(listing))
    page.locator("#result_list a[href*='/change/']").first.click()
    expect(page.locator("button[name=_save]")).to_be_visible()
    assert faults(page, listing) == {}


def test_axe_finds_nothing_that_keeps_people_out_of_the_main_pages(page: Page, house: House) -> None:
    found: list[str] = []
    for path in ("/admin/", "/admin/keys/key/", "/admin/tenants/tenant/1/change/", "/admin/explain/", *FORMS):
        page.goto(house.url(path))
        found += [f"{path} {issue}" for issue in issues(page)]
    assert found == []


def test_pale_words_and_nameless_fields_are_noticed(page: Page, house: House) -> None:
    page.goto(house.url("/admin/policies/cachepolicy/questions/"))
    page.evaluate("""() => {
        const box = document.querySelector("#main");
        box.insertAdjacentHTML("beforeend", "<input id='nameless'>");
        box.insertAdjacentHTML("beforeend", "<p style='color: #999; background: #fff'>too pale</p>");
        box.insertAdjacentHTML("beforeend", "<p style='color: #707070; background: #fff'>well told</p>");
    }""")
    assert [words.partition(":")[0] for words in pale(page)] == ["too pale"]
    assert ["nameless" in field for field in unnamed(page)] == [True]


def test_rules_and_subjects_fit_a_wide_screen(page: Page, house: House) -> None:
    page.goto(house.url("/admin/policies/datapolicy/add/"))
    page.click("a:text-is('Who is under it')")
    page.click("text=Add another Subject")
    table = page.locator("#assignments-group table").first
    assert table.evaluate("each => each.scrollWidth - each.parentElement.clientWidth") <= 0
    assert excesses(page) == {}
