"""A member's day in the portal, in a real browser against a real gateway: from a key to its bill, live on the way."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.test_story import call, is_refused
from tests.browser.windows import House
from tests.servers import until


def portal(house: House, path: str = "") -> str:
    return house.url(f"/t/acme/{path}")


def make_key(page: Page, house: House, name: str) -> str:
    page.goto(portal(house, "keys/new/"))
    page.fill("#id_name", name)
    page.click("text=Make the key")
    return page.inner_text("#secret")


def test_a_key_is_made_called_with_seen_live_and_billed(page: Page, house: House) -> None:
    secret = make_key(page, house, "Portal story")
    expect(page.get_by_text("ANTHROPIC_AUTH_TOKEN").first).to_be_visible()
    page.click("text=I have stored it")
    key_page = page.url
    assert secret not in page.content()

    page.goto(portal(house, "live/"))
    expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=60_000)
    assert call(house, secret).status_code == 200
    row = page.locator("[data-rows] tr", has_text="claude-test").first
    expect(row).to_be_visible(timeout=60_000)  # without loading the page again
    row.locator("a").first.click()
    expect(page.locator("main")).to_contain_text("claude-test")
    expect(page.locator("main")).to_contain_text("$0.0")

    page.goto(portal(house, "usage/"))
    expect(page.locator("tbody tr").first).to_contain_text("Portal story")

    page.goto(key_page)
    page.click("text=Rotate")
    page.check("input[name=overlap][value='0']")
    page.click("button:has-text('Rotate')")
    rotated = page.inner_text("#secret")
    until(lambda: is_refused(house, secret))
    assert call(house, rotated).status_code == 200

    page.goto(key_page)
    page.click("main >> text=Revoke")
    page.fill("#id_typed", "Portal story")
    page.click("button:has-text('Revoke')")
    expect(page.get_by_text("is revoked; every gateway refuses it")).to_be_visible()
    until(lambda: is_refused(house, rotated))


def rotate(page: Page, key_page: str, *, hours: str) -> str:
    page.goto(key_page)
    page.click("text=Rotate")
    page.check(f"input[name=overlap][value='{hours}']")
    page.click("button:has-text('Rotate')")
    return page.inner_text("#secret")


def test_while_two_secrets_overlap_both_call_and_then_the_older_ones_end(page: Page, house: House) -> None:
    first = make_key(page, house, "Overlapping")
    page.click("text=I have stored it")
    key_page = page.url
    second = rotate(page, key_page, hours="24")
    assert second != first
    until(lambda: call(house, second).status_code == 200)
    assert call(house, first).status_code == 200
    page.goto(key_page)
    for secret in (first, second):
        expect(page.locator("tbody tr", has_text=secret[-4:]).first).to_be_visible()
    third = rotate(page, key_page, hours="0")  # which ends the overlap, too
    until(lambda: is_refused(house, first) and is_refused(house, second))
    assert call(house, third).status_code == 200


def test_a_model_is_tried_in_the_playground(page: Page, house: House) -> None:
    page.goto(portal(house, "playground/"))
    page.select_option("#model", "claude-test")
    page.fill("#message", "What is a weir?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-talk]")).to_contain_text("8 in, 40 out", timeout=60_000)
    expect(page.locator("[data-talk]")).to_contain_text("$0.0", timeout=60_000)
    assert "weir_" not in page.content(), "its secret is nowhere on the page"


def test_a_key_is_made_with_the_keyboard_alone(page: Page, house: House) -> None:
    page.goto(portal(house, "keys/"))
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").strip() == "New key":
            break
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("/keys/new/"))
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "id_name":
            break
    page.keyboard.type("By keyboard")
    page.keyboard.press("Enter")
    expect(page.locator("#secret")).to_be_visible()


def test_the_menu_opens_on_a_phone(page: Page, house: House) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(portal(house))
    expect(page.get_by_role("link", name="Costs")).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Costs").first.click()
    expect(page.locator("h1")).to_have_text("Costs")


def test_the_theme_that_is_chosen_is_kept(page: Page, house: House) -> None:
    page.goto(portal(house))
    for theme in ("light", "dark"):
        page.click("[data-theme-button]")
        expect(page.locator("html")).to_have_attribute("data-theme", theme)
    page.goto(portal(house, "keys/"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
