"""The browser, the gateway that it looks at, and a watch over what goes wrong on its pages."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import Page, Response, ViewportSize

from tests.sdk.gateways import Gateway

NAMES = ("chromium", "chromium-browser", "google-chrome")
# Pages are as large as their viewport says. The window around them is drawn too, as long as one loads.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--window-size=500,400"]
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
Colours = Literal["light", "dark"]
WAYS: dict[str, tuple[ViewportSize, Colours]] = {"wide and dark": (WIDE, "dark"), "phone and light": (NARROW, "light")}
# Some colours change gradually; not here. What inherits one begins when that has ended.
PUT_ON = """async (isDark) => {
    document.documentElement.classList.toggle("dark", isDark);
    await new Promise(requestAnimationFrame);  // scripts have been told
    const changing = () => document.getAnimations().filter(each => each.transitionProperty?.endsWith("color"));
    for (let left = changing(); left.length; left = changing()) left.forEach(each => each.finish());
}"""
WORN = """(isDark) => {
    if (document.getAnimations().some(each => each.transitionProperty?.endsWith("color"))) return false;
    const context = document.createElement("canvas").getContext("2d");
    for (const ground of document.querySelectorAll("body, #main")) {
        context.fillStyle = getComputedStyle(ground).backgroundColor;
        context.fillRect(0, 0, 1, 1);
    }
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    return (red + green + blue) / 3 < 100 === isDark;
}"""


def installed() -> str | None:
    """The Chromium of this machine: Playwright's own download is not needed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@dataclass(frozen=True)
class House:
    """`password` is everybody's; `tight` is a key of bob's whose budget lasts for some thirty calls."""

    gateway: Gateway
    user: str
    password: str
    tight: str

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


@dataclass
class Desk:
    """One tab for all: in another window's every page would read its scripts, styles and fonts anew."""

    page: Page
    watch: Watch
    cookies: list[Any]

    def clear(self, *, viewport: ViewportSize = WIDE, color_scheme: Colours = "light") -> None:
        """What the last test left behind."""
        if self.page.url.startswith(self.watch.origin):
            self.page.evaluate("() => { localStorage.clear(); sessionStorage.clear(); }")
        self.page.goto("about:blank")
        self.page.context.clear_permissions()
        self.page.context.clear_cookies()
        self.page.context.add_cookies(self.cookies)
        self.page.set_viewport_size(viewport)
        self.page.emulate_media(color_scheme=color_scheme)
        self.watch.complaints.clear()

    def heard(self) -> list[str]:
        """What went wrong in this test."""
        return [*self.watch.complaints]


def wear(page: Page, colours: Colours) -> None:
    """Show the page that is open in other colours. One of the admin looks at the system's once, as it loads, and then
    has a class."""
    page.emulate_media(color_scheme=colours)
    page.evaluate(PUT_ON, colours == "dark")
    page.wait_for_function(WORN, arg=colours == "dark")


def each_way(page: Page) -> Iterator[str]:
    """Show the page that is open on a wide screen in the dark, and on a phone in the light: first as it was opened."""
    for way, (size, colours) in sorted(WAYS.items(), key=lambda way: way[1][0] != page.viewport_size):
        page.set_viewport_size(size)
        wear(page, colours)
        yield way


def sign_in(page: Page, base_url: str, *, user: str, password: str, to: str = "/admin/") -> None:
    """Ends where one wanted to go: on the page `to`, or before it, where a second factor is asked for."""
    page.goto(f"{base_url}/sign-in/?next={to}")
    page.fill("input[name=username]", user)
    page.fill("input[name=password]", password)
    page.click("button[type=submit]")
    page.wait_for_url(re.compile(rf"{re.escape(base_url)}({re.escape(to)}|/sign-in/code/.*)$"))
