"""A gateway as it is deployed, the simulated provider, and an installed Chromium with an operator signed in.

Every page is watched: what its console complains of, what fails to load, and what it asks other hosts for, fails the
test that opened it.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.windows import OPTIONS, Desk, House, Watch, installed, sign_in
from tests.sdk.gateways import card, start_gateway
from tests.servers import Simulator, start_simulator


@pytest.fixture(scope="session")
def program() -> str:
    found = installed()
    if found is None:
        pytest.skip("needs Chromium on PATH")
    return found


@pytest.fixture(scope="session")
def provider(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture(scope="session")
def house(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    var = tmp_path_factory.mktemp("house") / "var"
    seeded = card(var, simulator_url=provider.base_url, by="tests.browser.seed")
    gateway = start_gateway("uvicorn", var=var, key=seeded["key"])
    yield House(gateway=gateway, **{name: seeded[name] for name in ("user", "password", "tight")})
    gateway.process.stop()


@pytest.fixture(scope="package")
def chromium(program: str) -> Iterator[Browser]:
    """For this folder: as long as Playwright is open, its event loop counts as running and no other may run here."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture(scope="package")
def desk(chromium: Browser, house: House) -> Iterator[Desk]:
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    watch = Watch(origin=house.gateway.base_url)
    context.on("page", watch.over)
    page = context.new_page()
    sign_in(page, house.gateway.base_url, user=house.user, password=house.password)
    yield Desk(page=page, watch=watch, cookies=context.cookies())
    context.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Page]:
    """The operator's, as if it were new. Its size and colours can be given as the fixture's parameter."""
    desk.clear(**getattr(request, "param", {}))
    yield desk.page
    assert desk.heard() == []
