"""The browser, the gateway that it looks at, and a watch over what goes wrong on its pages."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Page, Response

from tests.sdk.gateways import Gateway

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WIDE = {"width": 1280, "height": 900}


def installed() -> str | None:
    """The Chromium of this machine: Playwright's own download is not needed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class House:
    gateway: Gateway
    user: str
    password: str

    def url(self, path: str) -> str:
        return self.gateway.base_url + path


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


def sign_in(page: Page, base_url: str, *, user: str, password: str) -> None:
    page.goto(f"{base_url}/admin/login/")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(f"{base_url}/admin/")
