"""What callers of a pinned endpoint copy from its page."""

from __future__ import annotations

import json

from playwright.sync_api import Page, expect

from tests.browser.test_looks import excesses
from tests.browser.windows import House

PATH = "/admin/catalog/pinnedendpoint/1/clients/"


def test_the_callers_page_does_not_stick_out_of_the_screen(page: Page, house: House) -> None:
    page.goto(house.url(PATH), wait_until="load")
    assert excesses(page) == {}


def test_what_is_on_the_page_is_copied_and_kept_as_a_file(page: Page, house: House) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(house.url("/admin/catalog/pinnedendpoint/1/change/"))
    page.get_by_role("link", name="Client configuration").click()
    page.get_by_role("link", name="Show for the host name").click()
    button = page.locator("[data-copy=wave]")
    button.click()
    expect(button).to_have_text("Copied")
    copied = page.evaluate("() => navigator.clipboard.readText()")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download waveai.json").click()
    assert download.value.suggested_filename == "waveai.json"
    kept = download.value.path().read_text(encoding="utf-8")
    assert json.loads(copied) == json.loads(kept)
    assert "s.example" in kept
