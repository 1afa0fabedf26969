"""An operator's day in a real browser, against a real gateway: from signing in to a key that is refused."""

from __future__ import annotations

import re

import httpx2
from playwright.sync_api import Page, expect

from tests.browser.windows import House, sign_in
from tests.servers import until


def call(house: House, key: str, *, model: str = "claude-test") -> httpx2.Response:
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": "What is a weir?"}]}
    return httpx2.post(house.url("/v1/messages"), json=body, headers={"x-api-key": key}, timeout=30)


def is_refused(house: House, key: str) -> bool:
    return call(house, key).status_code == 401


def choose(page: Page, field: str, text: str) -> None:
    """From a list that is searched on the server."""
    page.click(f".field-{field} .select2-selection")
    page.fill(".select2-search__field", text)
    page.click(f".select2-results__option:has-text('{text}')")


def issue(page: Page, house: House, name: str) -> str:
    page.goto(house.url("/admin/keys/key/add/"))
    page.fill("#id_name", name)
    choose(page, "project", "Rockets")
    page.click("button[name=_save]")
    expect(page.get_by_text("This is the only time the whole key is shown")).to_be_visible()
    return page.inner_text("#secret")


def test_an_operator_signs_in_and_sees_the_day(page: Page, house: House) -> None:
    page.context.clear_cookies()
    sign_in(page, house.gateway.base_url, user=house.user, password=house.password)
    for shown in ("Spend today", "Calls today", "Error rate", "Providers", "Spend, last 24 hours"):
        expect(page.get_by_text(shown).first).to_be_visible()


def test_a_key_is_issued_used_seen_rotated_and_revoked(page: Page, house: House) -> None:
    secret = issue(page, house, "Story")
    page.click("text=I have stored it")
    expect(page.locator("#id_name")).to_have_value("Story")
    assert secret not in page.content()

    answer = call(house, secret)
    assert answer.status_code == 200, answer.text
    key_page = page.url
    number = re.search(r"/key/(\d+)/", key_page)
    assert number is not None
    ledger = house.url(f"/admin/usage/entry/?key__id__exact={number[1]}")
    rows = page.locator("#result_list .data-row")
    until(lambda: page.goto(ledger) and rows.count())  # it is written a moment after the answer
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("claude-test")
    expect(rows).to_contain_text("Story")
    rows.locator("a").first.click()
    expect(page.get_by_text("How the cost came about")).to_be_visible()

    page.goto(key_page)
    page.click("text=Rotate")
    page.check("input[name=overlap][value='0']")
    page.click("button:has-text('Rotate')")
    rotated = page.inner_text("#secret")
    assert rotated != secret
    until(lambda: is_refused(house, secret))
    assert call(house, rotated).status_code == 200

    page.goto(key_page)
    page.click("text=Revoke")
    page.fill("input[name=typed]", "Story")
    page.click("button:has-text('Revoke')")
    expect(page.get_by_text("is revoked; every gateway refuses it")).to_be_visible()
    until(lambda: is_refused(house, rotated))


def test_a_connection_is_tested_when_somebody_says_so(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/provider/"))
    page.click("#result_list .data-row a >> nth=0")
    page.click("text=Test connection")
    expect(page.get_by_text("not yet", exact=True)).to_have_count(3)
    page.click("text=Test now")
    expect(page.get_by_text("works", exact=True)).to_have_count(3)
    expect(page.get_by_text(re.compile(r"^\d+ ms$"))).to_have_count(3)


def test_a_secret_is_copied_with_one_click(page: Page, house: House) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    secret = issue(page, house, "Copied")
    page.click("button[data-copy=secret]")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == secret


def test_the_page_with_the_secret_loaded_again_shows_none_and_makes_no_other_key(page: Page, house: House) -> None:
    secret = issue(page, house, "Reloaded")
    for again in (page.reload, page.go_back, page.go_forward):
        again()
    expect(page.get_by_text("A key is shown once")).to_be_visible()
    assert secret not in page.content()
    assert call(house, secret).status_code == 200
    page.goto(house.url("/admin/keys/key/?q=Reloaded"))
    expect(page.locator("#result_list .data-row")).to_have_count(1)


def test_choosing_a_vendor_fills_in_what_is_known_of_it(page: Page, house: House) -> None:
    page.goto(house.url("/admin/catalog/provider/"))
    page.click("#result_list .data-row a >> nth=0")
    address, protocol = page.locator("#id_base_url"), page.locator("#id_protocol")
    address.fill("")
    page.select_option("#id_vendor", "anthropic")
    expect(address).to_have_value("https://api.anthropic.com")
    page.select_option("#id_vendor", "openai")
    expect(address).to_have_value("https://api.openai.com/v1")
    expect(protocol).to_have_value("openai_chat")
    page.select_option("#id_vendor", "anthropic_compatible")
    expect(address).to_have_value("")
    expect(protocol).to_have_value("anthropic_messages")
    address.fill("https://own.example/v1")
    page.select_option("#id_vendor", "openai_compatible")
    expect(address).to_have_value("https://own.example/v1")


def test_a_subject_that_is_chosen_hides_those_that_it_excludes(page: Page, house: House) -> None:
    page.goto(house.url("/admin/quotas/budget/add/"))
    subjects = {
        name: page.locator(f".field-{name} .select2-selection") for name in ("tenant", "project", "user", "key")
    }
    for field in subjects.values():
        expect(field).to_be_visible()
    choose(page, "user", "alice")
    expect(subjects["project"]).to_be_hidden()
    expect(subjects["key"]).to_be_hidden()
    expect(subjects["tenant"]).to_be_visible()
    page.click(".field-user .select2-selection__clear")
    expect(subjects["project"]).to_be_visible()
    page.keyboard.press("Escape")
    choose(page, "project", "Rockets")
    expect(subjects["tenant"]).to_be_hidden()


def test_a_date_is_asked_for_only_where_it_is_wanted(page: Page, house: House) -> None:
    page.goto(house.url("/admin/keys/key/add/"))
    date = page.locator("#id_expires_at_0")
    expect(date).to_be_hidden()
    page.check("input[name=lifetime][value=other]")
    expect(date).to_be_visible()
    page.check("input[name=lifetime][value='90']")
    expect(date).to_be_hidden()


def test_what_is_wrong_is_told_at_its_field(page: Page, house: House) -> None:
    page.goto(house.url("/admin/keys/key/add/"))
    page.click("button[name=_save]")
    for name in ("name", "project"):
        expect(page.locator(f".field-{name}").get_by_text("This field is required.")).to_be_visible()


def test_members_on_the_second_page_can_be_changed(page: Page, house: House) -> None:
    page.goto(house.url("/admin/tenants/tenant/1/change/#memberships"))
    roles = page.locator("select[name$=-role]:visible")
    expect(roles).to_have_count(10)
    member = page.locator("option:checked", has_text="member-12")
    expect(member).to_have_count(0)
    page.locator(".inline-pagination:visible a", has_text="2").click()
    expect(member).to_have_count(1)
    role = member.locator("xpath=ancestor::tr[1]").locator("select[name$=-role]")
    role.select_option("viewer")
    page.click("button[name=_continue]")
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    page.goto(house.url("/admin/tenants/tenant/1/change/?memberships-page=2#memberships"))
    expect(role).to_have_value("viewer")
