"""A gateway as it is deployed, the simulated provider, and an installed Chromium with an operator signed in.

Every page is watched: what its console complains of, what fails to load, and what it asks other hosts for, fails the
test that opened it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, sync_playwright

from tests.sdk.gateways import Gateway, environment, start_gateway
from tests.servers import ROOT, Simulator, start_simulator

NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def program() -> str:
    """The installed one: Playwright's own download is not needed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs Chromium on PATH")
    return found


@pytest.fixture(scope="session")
def provider(program: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@dataclass(frozen=True)
class House:
    gateway: Gateway
    user: str
    password: str

    def url(self, path: str) -> str:
        return self.gateway.base_url + path


@pytest.fixture(scope="session")
def house(provider: Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    var = tmp_path_factory.mktemp("house") / "var"
    var.mkdir()
    seeded = subprocess.run(
        [sys.executable, "-m", "tests.browser.seed", provider.base_url],
        cwd=ROOT,
        env={**os.environ, **environment(var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert seeded.returncode == 0, seeded.stdout + seeded.stderr
    card = json.loads(seeded.stdout.splitlines()[-1])
    gateway = start_gateway("uvicorn", var=var, key=card["key"])
    yield House(gateway=gateway, user=card["user"], password=card["password"])
    gateway.process.stop()


@pytest.fixture(scope="session")
def chromium(program: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield opened
        opened.close()


@dataclass
class Watch:
    """What went wrong on the pages of a browser window."""

    origin: str
    complaints: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"script: {error}"))
        page.on("request", lambda request: self._asked(request.url))
        page.on("response", self._answered)

    def _heard(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"console: {message.text}")

    def _asked(self, url: str) -> None:
        if not url.startswith((f"{self.origin}/", "data:", "blob:")):
            self.complaints.append(f"off the origin: {url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


def sign_in(page: Page, house: House) -> None:
    page.goto(house.url("/admin/login/"))
    page.fill("input[name=username]", house.user)
    page.fill("input[name=password]", house.password)
    page.click("button[type=submit]")
    page.wait_for_url(house.url("/admin/"))


@pytest.fixture(scope="session")
def session(chromium: Browser, house: House) -> Any:
    """The cookies of an operator who has signed in."""
    context = chromium.new_context()
    sign_in(context.new_page(), house)
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def window(request: pytest.FixtureRequest, chromium: Browser, house: House, session: Any) -> Iterator[BrowserContext]:
    """Signed in. Its size and colours can be given as the fixture's parameter."""
    options = {"viewport": WIDE, **getattr(request, "param", {})}
    context = chromium.new_context(storage_state=session, **options)
    context.set_default_timeout(15_000)
    watch = Watch(origin=house.gateway.base_url)
    context.on("page", watch.over)
    yield context
    context.close()
    assert watch.complaints == []


@pytest.fixture
def page(window: BrowserContext) -> Page:
    return window.new_page()
