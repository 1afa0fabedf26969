"""Ways in beside a password: a code of an app, and an OpenID provider that an operator has set up in the admin."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator

import pytest
from django_otp.oath import TOTP
from playwright.sync_api import Page, expect

from tests.browser.test_portal_looks import issues
from tests.browser.windows import Desk, House, sign_in
from tests.oidc import provider as real

STEP_SECONDS = 30


def test_who_has_a_second_factor_is_asked_for_its_code(page: Page, house: House) -> None:
    page.context.clear_cookies()
    base_url = house.gateway.base_url
    sign_in(page, base_url, user="tina", password=house.password, to="/account/")
    page.get_by_role("link", name="Set up").click()
    assert issues(page) == []
    codes = TOTP(base64.b32decode(page.inner_text(".otp-secret").replace(" ", "")))
    codes.time = time.time()
    page.get_by_label("Code").fill(f"{codes.token():06}")
    page.get_by_role("button", name="Turn on").click()
    recovery = page.locator(".codes li").first.inner_text()
    assert issues(page) == []
    page.get_by_role("link", name="I have kept them").click()

    codes.time += STEP_SECONDS  # the one before has been used
    for code in (f"{codes.token():06}", recovery):
        page.get_by_role("button", name="Sign out", exact=True).click()
        sign_in(page, base_url, user="tina", password=house.password, to="/account/")
        page.get_by_label("Code").fill(code)
        page.get_by_role("button", name="Sign in").click()
        expect(page.locator("h1")).to_have_text("tina")
    expect(page.locator("main")).to_contain_text("9 recovery codes left")


@pytest.fixture(scope="module")
def issuer(house: House, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = real.install(tmp_path_factory.mktemp("issuer"))
    with real.standing(folder, backs=[house.url("/sign-in/with/example/back/")]) as url:
        yield url


def set_up(page: Page, house: House, issuer: str) -> None:
    """People of the group devs develop in Acme."""
    page.goto(house.url("/admin/signin/identityprovider/add/"))
    page.locator("#id_name").press_sequentially("Example")
    page.fill("#id_issuer", issuer)
    page.fill("#id_client_id", "weir-RS256")
    page.fill("#id_secret", real.SECRET)
    page.click("a:text-is('Whom it lets in')")
    page.check("#id_creates_people")
    page.click("a:text-is('Tokens')")
    page.fill("#id_scopes", real.SCOPES)
    page.click("a[href='#rules']")
    page.click("text=Add another Group")
    page.fill("#id_rules-0-group", "devs")
    page.click("#select2-id_rules-0-tenant-container")
    page.fill(".select2-dropdown .select2-search__field", "Acme")
    page.click(".select2-results__option:has-text('Acme')")
    page.select_option("#id_rules-0-role", "developer")
    page.click("button[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def visit_provider(page: Page, issuer: str) -> None:
    """As Ada of the group devs, who agrees. What its pages want of strangers they do not get."""
    page.route(lambda url: not url.startswith("http://127.0.0.1:"), lambda route: route.abort())
    page.get_by_role("link", name="Continue with Example").click()
    assert page.url.startswith(issuer)
    page.fill("input[name=login]", "ada.devs")
    page.fill("input[name=password]", "anything")
    page.click("button[type=submit]")
    page.get_by_role("button", name="Continue").click()
    page.unroute_all()


def test_people_come_in_by_a_provider_with_the_role_of_their_group(
    page: Page, desk: Desk, house: House, issuer: str
) -> None:
    set_up(page, house, issuer)
    page.context.clear_cookies()
    page.goto(house.url("/sign-in/?next=/t/acme/keys/"))
    assert desk.heard() == []
    visit_provider(page, issuer)
    expect(page.locator("h1")).to_have_text("Keys")
    desk.watch.complaints.clear()  # its own pages are the provider's affair
    page.reload()
    expect(page.get_by_role("link", name="New key").first).to_be_visible()
    expect(page.get_by_role("link", name="Audit log")).to_have_count(0)
    page.goto(house.url("/account/"))
    expect(page.locator("main")).to_contain_text("ada@example.com")
    expect(page.locator("main")).to_contain_text("You have none: you sign in with a provider.")
