"""From a page through the gateway and into the ledger: the quick start, a conversation in the playground, and calls as
they are seen live."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.windows import House

PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
RASCAL = "<img src=x onerror=alert(1)>"
SOON = 30_000


def wide(page: Page) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("page", [{}, PHONE], indirect=True, ids=["wide", "phone"])
def test_a_test_request_says_what_came_of_it(page: Page, house: House):
    page.goto(house.url("/t/acme/start/?model=claude-test"))
    page.get_by_role("button", name="Send a test request").click()
    expect(page.get_by_text("It works. What next?")).to_be_visible(timeout=SOON)
    expect(page.locator("[data-field=status]")).to_have_text("200 OK")
    expect(page.locator("[data-field=cost]")).to_contain_text("$")
    expect(page.locator("[data-field=request] a")).to_contain_text("req_")
    assert page.locator("[data-field=answer]").inner_text()
    assert wide(page) == 0


def test_a_conversation_streams_and_what_a_model_says_stays_text(page: Page, house: House):
    page.goto(house.url("/t/acme/playground/?model=claude-test"))
    message = page.get_by_label("Message")
    for count, words in enumerate(("hello", RASCAL), start=1):
        message.fill(words)
        message.press("Control+Enter")
        expect(page.locator(".turn-facts a")).to_have_count(count, timeout=SOON)
    expect(page.locator(".turn.user").nth(1)).to_contain_text(RASCAL)
    assert page.locator("[data-talk] img").count() == 0
    expect(page.locator(".turn-facts").last).to_contain_text("$")
    page.get_by_text("As code").click()
    expect(page.locator("#openai-python")).to_contain_text('"role": "assistant"')
    page.get_by_text("curl", exact=True).click()
    expect(page.locator("#curl-messages")).to_be_visible()
    expect(page.locator("#openai-python")).to_be_hidden()
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".turn")).to_have_count(0)


def test_a_call_is_seen_live(page: Page, house: House):
    page.goto(house.url("/t/acme/live/"))
    expect(page.locator("[data-live-state]")).to_have_text("Live", timeout=SOON)
    newest = page.locator("[data-rows] a").first
    before = newest.get_attribute("href") if newest.count() else ""
    with page.context.expect_page() as opened:
        page.evaluate("window.open('/t/acme/start/?model=claude-test')")
    other = opened.value
    other.get_by_role("button", name="Send a test request").click()
    expect(newest).not_to_have_attribute("href", before or "", timeout=SOON)
    expect(page.locator("[data-rows] tr").first).to_contain_text("claude-test")
    expect(page.locator("[data-calls-chart] rect").first).to_be_attached()
    other.close()
