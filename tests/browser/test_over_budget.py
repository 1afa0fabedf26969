"""A budget is used up: calls are refused, pages are not. More is asked for and approved, and calls pass again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx2
from playwright.sync_api import Page, expect

from tests.browser.test_portal import portal
from tests.browser.test_portal_looks import issues
from tests.browser.windows import House, sign_in
from tests.servers import until

MOST_CALLS = 60
BODY = {"model": "claude-test", "max_tokens": 50, "messages": [{"role": "user", "content": "What is a weir?"}]}


def spend_all(house: House) -> httpx2.Response:
    """The first answer that is a refusal."""
    with httpx2.Client(headers={"x-api-key": house.tight}, timeout=30) as caller:
        for _ in range(MOST_CALLS):
            answer = caller.post(house.url("/v1/messages"), json=BODY)
            if answer.status_code != 200:
                return answer
    raise AssertionError("nothing was refused")


def passes(house: House) -> bool:
    answer = httpx2.post(house.url("/v1/messages"), json=BODY, headers={"x-api-key": house.tight}, timeout=30)
    return answer.status_code == 200


def become(page: Page, house: House, name: str) -> None:
    page.context.clear_cookies()
    sign_in(page, house.gateway.base_url, user=name, password=house.password, to="/t/acme/budgets/")


def test_who_has_used_up_a_budget_sees_that_asks_for_more_and_gets_it(page: Page, house: House) -> None:
    refusal = spend_all(house)
    assert "budget" in refusal.text
    become(page, house, "bob")
    notice = page.get_by_role("region", name="Budgets that refuse calls")
    # What calls have cost is in the ledger a moment after their end.
    until(lambda: page.goto(portal(house, "keys/")) and notice.count())
    for path in ("", "keys/", "usage/", "costs/", "playground/", "start/"):
        page.goto(portal(house, path))
        expect(notice).to_contain_text("The budget of the key Tight is nearly used up")
        expect(notice).to_contain_text("when it begins anew")
    assert issues(page) == []

    notice.get_by_role("link", name="Ask for more").click()
    page.get_by_label("How much more (USD)").fill("1")
    page.get_by_label("Until (UTC)").fill(f"{datetime.now(UTC) + timedelta(days=2):%Y-%m-%dT%H:%M}")
    page.get_by_label("Reason").fill("A workshop on Friday")
    page.get_by_role("button", name="Ask").click()
    expect(page.locator("main")).to_contain_text("You are told when somebody has decided")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    assert not passes(house)

    become(page, house, house.user)
    request = page.locator("li", has_text="A workshop on Friday")
    request.get_by_label("Note").fill("Have fun")
    request.get_by_role("button", name="Approve").click()
    expect(page.locator("main")).to_contain_text("Approved")
    until(lambda: passes(house))

    become(page, house, "bob")
    expect(page.locator("main")).to_contain_text("Have fun")
    page.goto(portal(house, "keys/"))
    expect(notice).to_have_count(0)
