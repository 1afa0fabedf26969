"""Pictures of admin and portal for the documents: a demo of its own, a browser, each page in the light and in the dark.

python -m tests.screenshots [folder]        `make screenshots`; docs/images by default
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.windows import OPTIONS, installed, sign_in
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
SIZE = {"width": 1280, "height": 800}
PAGES = {
    "dashboard": "/admin/",
    "ledger": "/admin/usage/entry/",
    "keys": "/admin/keys/key/",
    "vendors": "/admin/catalog/provider/add/",
    "provider": "/admin/catalog/provider/1/change/",
    "budgets": "/admin/quotas/budget/",
    "deployments": "/admin/catalog/deployment/",
}
PORTAL = {
    "portal": "",
    "portal-keys": "keys/",
    "portal-usage": "usage/",
    "portal-costs": "costs/",
    "portal-budgets": "budgets/",
    "portal-models": "models/",
    "portal-start": "start/",
    "portal-members": "members/",
}
LETTER = "Please send Mrs. Jones, jones@example.com, her bill: her card is 4111 1111 1111 1111."


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    program = installed()
    if program is None:
        raise SystemExit("No Chromium on PATH.")
    with demo() as card, sync_playwright() as playwright:
        use(card)
        chromium = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        for colours in ("light", "dark"):
            take(chromium, card, colours=colours, target=target)
        chromium.close()


@contextlib.contextmanager
def demo() -> Iterator[dict[str, str]]:
    """Its card, for as long as it runs."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "WEIR_VAR": folder, "PORT": str(free_port())}
        environment.pop("MAKELEVEL", None)
        command = [sys.executable, "-m", "gateway_site.run"]
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert running.stdout is not None
            if not any(line.startswith("  -d ") for line in iter(running.stdout.readline, "")):
                raise SystemExit("The demo did not start.")
            yield json.loads((Path(folder) / "demo.json").read_text())
        finally:
            running.send_signal(signal.SIGINT)
            running.wait()


def use(card: dict[str, str]) -> None:
    """A few calls, so that today is not empty either."""
    for model in ("claude-sonnet-4-6", "claude-haiku-4-5", "gpt-5-mini"):
        body = {
            "model": model,
            "max_tokens": 300,
            "stream": True,
            "messages": [{"role": "user", "content": "What is a weir?"}],
        }
        headers = {"x-api-key": card["api_key"], "content-type": "application/json"}
        request = urllib.request.Request(card["base_url"] + "/v1/messages", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


def take(chromium: Browser, card: dict[str, str], *, colours: str, target: Path) -> None:
    context = chromium.new_context(viewport=SIZE, color_scheme=colours)
    page = context.new_page()
    sign_in(page, card["base_url"], user=card["admin_user"], password=card["admin_password"])
    for provider in (1, 2):  # the schedule may not have come to them yet
        page.goto(f"{card['base_url']}/admin/catalog/provider/{provider}/change/")
        page.click("text=Test connection")
        page.click("text=Test now")
        page.wait_for_selector("button:enabled:has-text('Test again')")
        if provider == 1:
            page.screenshot(path=target / f"connection-{colours}.png")
    for name, path in PAGES.items():
        page.goto(card["base_url"] + path, wait_until="networkidle")
        page.screenshot(path=target / f"{name}-{colours}.png")
    for name, path in PORTAL.items():
        page.goto(f"{card['base_url']}/t/acme/{path}", wait_until="networkidle")
        page.screenshot(path=target / f"{name}-{colours}.png")
    try_a_model(page, card)
    page.screenshot(path=target / f"portal-playground-{colours}.png")
    check(page, card)
    page.screenshot(path=target / f"checks-{colours}.png")
    explain(page, card)
    page.screenshot(path=target / f"explain-{colours}.png", full_page=True)
    try_policies(page, card)
    page.screenshot(path=target / f"policies-{colours}.png", full_page=True)
    issue(page, card)
    page.screenshot(path=target / f"key-issued-{colours}.png")
    context.close()


def try_a_model(page: Page, card: dict[str, str]) -> None:
    """Ends when what it cost is known."""
    page.goto(card["base_url"] + "/t/acme/playground/")
    page.select_option("#model", "claude-sonnet-4-6")
    page.fill("#message", "What is a weir?")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("[data-talk]:has-text('$0.0')", timeout=60_000)


def check(page: Page, card: dict[str, str]) -> None:
    """The last day of a provider that was away for some of it."""
    page.goto(card["base_url"] + "/admin/catalog/provider/2/change/", wait_until="networkidle")
    page.locator("text=Last 24 hours").first.scroll_into_view_if_needed()


def explain(page: Page, card: dict[str, str]) -> None:
    """A call that a policy keeps from most."""
    page.goto(card["base_url"] + "/admin/explain/")
    page.fill("#id_key", "Records desk")
    page.fill("#id_model", "fast")
    page.click("button:has-text('Explain')")
    page.wait_for_load_state("networkidle")


def try_policies(page: Page, card: dict[str, str]) -> None:
    page.goto(card["base_url"] + "/admin/policies/datapolicy/trial/")
    page.fill("#id_text", LETTER)
    page.fill("#id_key", "Records desk")
    page.fill("#id_model", "fast")
    page.click("button.weir-primary:has-text('Try')")
    page.wait_for_load_state("networkidle")


def issue(page: Page, card: dict[str, str]) -> None:
    """Ends at the page that shows the key; it is one of a demo that is gone when the picture is looked at."""
    page.goto(card["base_url"] + "/admin/keys/key/add/")
    page.fill("#id_name", "Release notes")
    page.click(".field-project .select2-selection")
    page.fill(".select2-search__field", "Coding")
    page.click(".select2-results__option:has-text('Coding')")
    page.click("button[name=_save]")
    page.wait_for_selector("#secret")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
