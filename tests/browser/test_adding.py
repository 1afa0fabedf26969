"""A provider is added from its card: the test begins by itself, three rows turn good, and a model is taken up."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_looks import PHONE, STICKS_OUT
from tests.browser.windows import Colours, House, wear
from tests.servers import Simulator

WAYS = {"wide": {}, "phone": PHONE}
COLOURS: tuple[Colours, ...] = ("dark", "light")


def seen(page: Page, name: str) -> None:
    """Nothing sticks out in either colours; WEIR_PICTURES names a folder for pictures of the pages."""
    for colours in COLOURS:
        wear(page, colours)
        assert page.evaluate(STICKS_OUT) == 0, (name, colours)
        if folder := os.environ.get("WEIR_PICTURES"):
            page.screenshot(path=Path(folder) / f"{name}-{colours}.png", full_page=True)


@pytest.mark.parametrize("page", WAYS.values(), ids=WAYS, indirect=True)
def test_a_provider_is_added_from_its_card_and_tested(
    page: Page, house: House, provider: Simulator, request: pytest.FixtureRequest
) -> None:
    way = re.sub(r"\W+", "-", request.node.callspec.id)
    page.goto(house.url("/admin/catalog/provider/"))
    page.goto(house.url("/admin/catalog/provider/add/"))
    seen(page, f"presets-{way}")

    page.locator("a.weir-card", has_text="Simulated").press("Enter")
    expect(page.locator("#id_name")).to_have_value(re.compile("Simulated"))
    page.fill("#id_name", f"By card, {way}")
    page.fill("#id_base_url", provider.base_url)
    page.fill("#id_secret", "sk-typed-in-the-browser")
    seen(page, f"form-{way}")
    page.click("button[name=_save]")

    rows = page.locator(".weir-tests tr")
    expect(rows).to_have_count(3)
    for row in rows.all():
        expect(row.locator(".weir-badge")).to_have_text("works")
        expect(row).to_contain_text(re.compile(r"\d ms"))
    expect(page.get_by_role("button", name="Test again")).to_be_enabled()
    seen(page, f"test-{way}")

    offers = page.locator("#offers li:visible")
    count = offers.count()
    page.fill("[data-narrows]", page.input_value("[name=model]"))
    assert 0 < offers.count() <= count
    offers.first.locator("input").check()
    page.click("text=Add ticked models")
    expect(page.get_by_text("Models added: 1.")).to_be_visible()
    assert "sk-typed-in-the-browser" not in page.content()
    seen(page, f"provider-{way}")


@pytest.mark.parametrize("page", WAYS.values(), ids=WAYS, indirect=True)
def test_what_is_seldom_needed_opens_below(page: Page, house: House, request: pytest.FixtureRequest) -> None:
    way = re.sub(r"\W+", "-", request.node.callspec.id)
    for vendor in ("openai_compatible", "azure_openai", "bedrock"):
        page.goto(house.url(f"/admin/catalog/provider/add/?vendor={vendor}"))
        expect(page.locator("#id_tags")).to_be_hidden()
        page.get_by_text("More", exact=True).click()
        expect(page.locator("#id_tags")).to_be_visible()
        seen(page, f"more-{vendor}-{way}")


def test_what_fails_turns_bad_and_says_why(page: Page, house: House, provider: Simulator) -> None:
    page.goto(house.url("/admin/catalog/provider/add/?vendor=simulated"))
    page.fill("#id_name", "Failing")
    page.fill("#id_base_url", provider.base_url)
    page.fill("#id_secret", "sk-another-typed-key")
    page.click("button[name=_save]")
    expect(page.get_by_role("button", name="Test again")).to_be_enabled()
    page.fill("[name=model]", "claude-leak")
    page.click("text=Test again")
    failing = page.locator(".weir-tests tr[data-step=stream]")
    expect(failing.locator(".weir-badge")).to_have_text("fails")
    expect(failing.locator(".weir-words")).to_contain_text("[removed]")
    expect(page.locator(".weir-tests tr[data-step=list] .weir-badge")).to_have_text("works")
    assert "sk-another-typed-key" not in page.content()
    seen(page, "failing")
