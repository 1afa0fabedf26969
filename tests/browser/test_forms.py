"""A form that was refused opens where its first mistake is, whatever part of it was seen last."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_adding import seen
from tests.browser.test_looks import PHONE
from tests.browser.windows import House

FAULTY = "a.weir-faulty"


@pytest.mark.parametrize("page", [{}, PHONE], ids=["wide", "phone"], indirect=True)
def test_the_first_part_with_a_mistake_is_opened(page: Page, house: House, request: pytest.FixtureRequest) -> None:
    page.goto(house.url("/admin/catalog/deployment/"))
    page.locator("#result_list a[href*='/change/']").first.click()
    for part, field in (("Room", "#id_queue_seconds"), ("Circuit breaker", "#id_breaker_size")):
        page.get_by_role("button", name=part, exact=True).click()
        page.fill(field, "-1")
    page.click("button[name=_continue]")
    expect(page.locator(FAULTY)).to_have_text(["General 2", "Room 1", "Circuit breaker 1"])
    expect(page.locator("#id_queue_seconds")).to_be_visible()
    expect(page.locator("#id_breaker_size")).to_be_hidden()
    seen(page, f"faulty-{request.node.callspec.id}")


def test_what_is_wrong_before_the_rows_comes_first(page: Page, house: House) -> None:
    page.goto(house.url("/admin/policies/datapolicy/add/"))
    page.click("a:text-is('Who is under it')")
    page.click("text=Add another Subject")
    page.click("button[name=_save]")
    expect(page.locator(FAULTY).first).to_contain_text("General")
    expect(page.locator("#id_name")).to_be_visible()
    expect(page.locator("#assignments-group")).to_be_hidden()


def test_a_part_of_a_part_is_opened_by_keys(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/deployment/"))
    page.locator("#result_list a[href*='/change/']").first.click()
    part = page.get_by_role("button", name="Abilities", exact=True)
    part.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#id_abilities_0, #id_capabilities_0, .fieldset-abilities input").first).to_be_visible()
