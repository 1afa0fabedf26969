"""An installation in which there is nothing yet: its first page leads to a call that is answered, which is then seen
live, and still after the gateway was away."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests import migrated
from tests.browser.test_story import call, choose
from tests.browser.windows import WIDE, House, Watch, sign_in
from tests.sdk.gateways import run, start_gateway
from tests.servers import Simulator, until
from tests.services import free_port

NAME = "first"
PASSWORD = "a long word of nobody's"
MODEL = "claude-sonnet-4-6"
SOON = 60_000


class Site:
    """With nobody in it but an operator, and nothing else. It can be away for a while."""

    def __init__(self, var: Path) -> None:
        var.mkdir()
        shutil.copy(migrated.sqlite(), var)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DJANGO_SUPERUSER_PASSWORD", PASSWORD)
            run("manage.py", "createsuperuser", "--noinput", "--username", NAME, "--email", "a@example.com", var=var)
        self.var, self.port = var, free_port()
        self.start()

    def start(self) -> None:
        gateway = start_gateway("uvicorn", var=self.var, key="", port=self.port)
        self.house = House(gateway=gateway, user=NAME, password=PASSWORD, tight="")

    def stop(self) -> None:
        self.house.gateway.process.stop()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "var")
    yield made
    made.stop()


@pytest.fixture
def watch(site: Site) -> Watch:
    return Watch(origin=site.house.gateway.base_url)


@pytest.fixture
def page(chromium: Browser, site: Site, watch: Watch) -> Iterator[Page]:
    context = chromium.new_context(viewport=WIDE)
    context.set_default_timeout(SOON)
    context.on("page", watch.over)
    page = context.new_page()
    sign_in(page, site.house.gateway.base_url, user=NAME, password=PASSWORD)
    yield page
    context.close()
    assert watch.complaints == []


def next_step(page: Page, house: House, title: str) -> None:
    """By the button of the first page, which offers one thing at a time."""
    page.goto(house.url("/admin/"))
    offered = page.locator("section", has_text="Welcome to Weir").get_by_role("link")
    expect(offered).to_have_text([title])
    offered.click()


def save(page: Page) -> None:
    page.click("button[name=_save]")
    expect(page.get_by_text("was added successfully")).to_be_visible()


def add_provider_and_model(page: Page, house: House, address: str) -> None:
    page.goto(house.url("/admin/catalog/allowednetwork/add/"))
    page.fill("#id_cidr", "127.0.0.0/8")
    page.click("button[name=_save]")
    next_step(page, house, "Add a provider")
    page.locator("a.weir-card", has_text="Simulated").click()
    page.fill("#id_base_url", address)
    page.fill("#id_secret", "sk-typed-in-the-browser")
    page.click("button[name=_save]")
    expect(page.get_by_text("works", exact=True)).to_have_count(3)
    page.get_by_label(MODEL, exact=True).check()
    page.click("text=Add ticked models")
    expect(page.get_by_text("Models added: 1.")).to_be_visible()


def issue_key(page: Page, house: House) -> str:
    next_step(page, house, "Set a price")
    choose(page, "deployment", MODEL)
    page.fill("#id_input", "3")
    page.fill("#id_output", "15")
    save(page)
    next_step(page, house, "Add a tenant")
    page.locator("#id_name").press_sequentially("Fresh Fruit")
    page.click("a:text-is('Projects')")
    page.fill("#id_projects-0-name", "Juice")
    save(page)
    next_step(page, house, "Issue a key")
    page.fill("#id_name", "First")
    choose(page, "project", "Juice")
    page.click("button[name=_save]")
    return page.inner_text("#secret")


def test_an_empty_installation_leads_to_calls_that_are_seen_live_even_across_a_restart(
    page: Page, site: Site, watch: Watch, provider: Simulator
) -> None:
    add_provider_and_model(page, site.house, provider.base_url)
    secret = issue_key(page, site.house)
    until(lambda: call(site.house, secret, model=MODEL).status_code == 200)

    state, rows = page.locator("[data-live-state]"), page.locator("[data-rows] tr:has(.badge.good)")
    page.goto(site.house.url("/live/"))
    expect(state).to_have_text("Live", timeout=SOON)
    expect(rows).to_have_count(1, timeout=SOON)
    expect(rows).to_contain_text(MODEL)
    assert watch.complaints == []

    site.stop()
    expect(state).to_contain_text("Not live", timeout=SOON)
    site.start()
    assert call(site.house, secret, model=MODEL).status_code == 200
    expect(state).to_have_text("Live", timeout=SOON)
    expect(rows).to_have_count(2, timeout=SOON)  # the whole picture: what was missed, and nothing twice
    complaints = [heard for heard in watch.complaints if "ERR_CONNECTION" not in heard and "WebSocket" not in heard]
    watch.complaints[:] = complaints  # all others are the fault of nobody but the one who stopped it
