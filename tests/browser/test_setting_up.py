"""From an empty catalog to a call that has cost something, with nothing but the admin's pages."""

from __future__ import annotations

import re
import time

from playwright.sync_api import Page, expect

from tests.browser.test_story import call, choose
from tests.browser.windows import House
from tests.servers import Simulator


def fill_row(page: Page, prefix: str, **values: str) -> None:
    for name, value in values.items():
        page.fill(f"#id_{prefix}-{name}", value)


def add_provider(page: Page, house: House, address: str) -> None:
    page.goto(house.url("/admin/catalog/provider/add/"))
    page.click("text=Anthropic-compatible")
    page.fill("#id_name", "Fresh")
    page.fill("#id_base_url", address)
    page.fill("#id_secret", "sk-fresh")
    page.click("button[name=_save]")
    expect(page.get_by_text("works", exact=True)).to_have_count(3)


def add_model(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/model/add/"))
    page.fill("#id_name", "fresh-model")
    page.click("a:text-is('Deployments')")
    page.click("#select2-id_deployments-0-provider-container")
    page.fill(".select2-dropdown .select2-search__field", "Fresh")
    page.click(".select2-results__option:has-text('Fresh')")
    fill_row(page, "deployments-0", upstream_model="claude-test")
    page.click("button[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def set_price(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/deployment/?q=fresh-model"))
    expect(page.locator("#result_list")).to_contain_text("no price")
    page.click("#result_list .data-row a >> nth=0")
    page.click("text=Set a new price")
    page.fill("#id_input", "3")
    page.fill("#id_output", "15")
    page.click("button[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def add_tenant(page: Page, house: House) -> None:
    page.goto(house.url("/admin/tenants/tenant/add/"))
    page.locator("#id_name").press_sequentially("Fresh Fruit")
    expect(page.locator("#id_slug")).to_have_value("fresh-fruit")
    page.click("a:text-is('Projects')")
    page.fill("#id_projects-0-name", "Juice")
    page.click("text=Add another Project")
    page.fill("#id_projects-1-name", "Jam")
    page.click("button[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def test_an_operator_comes_from_a_provider_to_a_call_and_its_cost(
    page: Page, house: House, provider: Simulator
) -> None:
    add_provider(page, house, provider.base_url)
    add_model(page, house)
    set_price(page, house)
    add_tenant(page, house)

    page.goto(house.url("/admin/keys/key/add/"))
    page.fill("#id_name", "First")
    choose(page, "project", "Juice")
    page.click("button[name=_save]")
    secret = page.inner_text("#secret")

    deadline = time.monotonic() + 60
    while (answer := call(house, secret, model="fresh-model")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.05)
    spent = page.locator(".weir-card", has_text="Spend, 30 days")
    page.click("text=I have stored it")
    while not spent.get_by_text("1 call", exact=True).count():
        assert time.monotonic() < deadline, spent.inner_text()
        page.reload()
    expect(spent).to_contain_text(re.compile(r"\$0\.00\d*[1-9]"))
