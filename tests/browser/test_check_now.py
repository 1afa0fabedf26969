"""Providers are checked by hand: each is shown as it ends."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_looks import excesses
from tests.browser.windows import House

STEPS = (
    "() => [...document.querySelectorAll('#result_list a[href*=\"/change/\"]')].map(link => link.textContent.trim())"
)


def check_all(page: Page, house: House) -> int:
    """From the list, by its action. How many there are."""
    page.goto(house.url("/admin/catalog/provider/"))
    names = page.evaluate(STEPS)
    page.check("#action-toggle")
    page.select_option("select[name=action]", label="Check now")
    page.click("button[name=index]")
    return len(names)


def test_those_that_were_chosen_in_the_list_are_checked_at_once(page: Page, house: House) -> None:
    count = check_all(page, house)
    expect(page.locator("#checked")).to_have_text(f"{count} of {count} checked")
    expect(page.get_by_role("button", name="Check again")).to_be_enabled()
    rows = page.locator("tr[data-provider]")
    expect(rows).to_have_count(count)
    expect(rows.first).to_contain_text(re.compile(r"\d+ ms"))
    assert page.locator("#check progress").evaluate("bar => bar.value === bar.max")
    assert excesses(page) == {}


def test_one_is_asked_for_at_its_page_and_by_a_button(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/provider/"))
    page.locator("#result_list a[href*='/change/']").first.click()
    page.get_by_role("link", name="Check now").click()
    expect(page.locator("#checked")).to_have_text("0 of 1 checked")
    page.get_by_role("button", name="Check now").click()
    expect(page.locator("#checked")).to_have_text("1 of 1 checked")
    again = page.get_by_role("button", name="Check again")
    again.click()
    expect(page.locator("#checked")).to_have_text("1 of 1 checked")
    expect(again).to_be_enabled()
