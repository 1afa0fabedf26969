"""Policies are tried on a text, on every screen."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.test_looks import excesses
from tests.browser.windows import House

LONG = f"ann@example.org has the card 4111 1111 1111 1111 {'and nothing-else' * 40}"


def test_a_text_is_tried_and_no_page_sticks_out(page: Page, house: House) -> None:
    page.goto(house.url("/admin/policies/datapolicy/"))
    page.get_by_role("link", name="Try on a text").click()
    assert excesses(page) == {}
    page.get_by_label("A text, or a whole request").fill(LONG)
    page.get_by_label("Key, by its name").fill(f"weir_{house.gateway.key[5:17]}")
    page.get_by_role("button", name="Try", exact=True).click()
    expect(page.locator("#outcome")).to_contain_text("refused")
    expect(page.locator("pre")).to_contain_text("[email] has the card [card]")
    assert LONG[:20] not in page.url
    assert excesses(page) == {}
