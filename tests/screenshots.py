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
from tests.control.receivers import receiver
from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
SIZE = {"width": 1280, "height": 800}
PATIENCE = 120_000  # milliseconds for a page, on a machine that has other things to do
PAGES = {
    "dashboard": "/admin/",
    "ledger": "/admin/usage/entry/",
    "keys": "/admin/keys/key/",
    "vendors": "/admin/catalog/provider/add/",
    "provider": "/admin/catalog/provider/1/change/",
    "budgets": "/admin/quotas/budget/",
    "deployments": "/admin/catalog/deployment/",
    "health": "/admin/health/",
    "sinks": "/admin/events/sink/",
    "undelivered": "/admin/events/undelivered/",
}
WHOLE = frozenset({"health"})  # what matters goes on below the fold
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
EVENTS = "events"  # a folder for the files of a sink
GIVEN_UP = """
from django.utils.timezone import now
from apps.events.models import Undelivered
Undelivered.objects.filter(state="waiting").update(attempts=9, next_at=now())  # half a day has passed
"""
LETTER = "Please send Mrs. Jones, jones@example.com, her bill: her card is 4111 1111 1111 1111."


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    program = installed()
    if program is None:
        raise SystemExit("No Chromium on PATH.")
    with demo() as card, receiver() as taker, receiver() as refuser, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        refuser.judge = lambda heard: 422
        tell_others(chromium, card, taker=taker.url, refuser=refuser.url)
        for colours in ("light", "dark"):
            take(chromium, card, colours=colours, target=target)
        chromium.close()


@contextlib.contextmanager
def demo() -> Iterator[dict[str, str]]:
    """Its card, for as long as it runs."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / EVENTS).mkdir()
        environment = {**os.environ, "WEIR_VAR": folder, "PORT": str(free_port())}
        environment["WEIR_EVENT_FOLDERS"] = f"{folder}/{EVENTS}"
        environment.pop("MAKELEVEL", None)
        command = [sys.executable, "-m", "gateway_site.run"]
        running = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert running.stdout is not None
            if not any(line.startswith("  -d ") for line in iter(running.stdout.readline, "")):
                raise SystemExit("The demo did not start.")
            yield json.loads((Path(folder) / "demo.json").read_text()) | {"folder": folder}
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
    context.set_default_timeout(PATIENCE)
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
        page.screenshot(path=target / f"{name}-{colours}.png", full_page=name in WHOLE)
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
    page.goto(f"{card['base_url']}/admin/events/sink/add/", wait_until="networkidle")
    page.screenshot(path=target / f"sink-{colours}.png")
    try_a_sink(page, card)
    page.screenshot(path=target / f"sink-test-{colours}.png")
    issue(page, card)
    page.screenshot(path=target / f"key-issued-{colours}.png")
    context.close()


def tell_others(chromium: Browser, card: dict[str, str], *, taker: str, refuser: str) -> None:
    """Three sinks, one of which takes nothing of what it is sent. Ends when each knows of the calls that are made."""
    page = chromium.new_page(viewport=SIZE)
    page.set_default_timeout(PATIENCE)
    sign_in(page, card["base_url"], user=card["admin_user"], password=card["admin_password"])
    for name, kind, target in (
        ("Archive", "file", EVENTS),
        ("Spend board", "webhook", taker),
        ("Support desk", "webhook", refuser),
    ):
        page.goto(card["base_url"] + "/admin/events/sink/add/")
        page.select_option("#id_kind", kind)
        page.fill("#id_name", name)
        page.fill("#id_target", target)
        page.click("button[name=_save]")
        page.wait_for_load_state()
    use(card)
    wait_for(page, card, "waiting")
    environment = {**os.environ, "WEIR_VAR": card["folder"]}
    command = [sys.executable, "manage.py", "shell", "--verbosity", "0", "--command", GIVEN_UP]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    wait_for(page, card, "dead letter")
    page.close()


def wait_for(page: Page, card: dict[str, str], word: str) -> None:
    """Until an event is undelivered in this state."""
    for _ in range(60):
        page.goto(card["base_url"] + "/admin/events/undelivered/")
        if page.locator(f".weir-badge:text-is('{word}')").count():
            return
        page.wait_for_timeout(1000)
    raise SystemExit(f"No event became a {word}.")


def try_a_sink(page: Page, card: dict[str, str]) -> None:
    page.goto(card["base_url"] + "/admin/events/sink/")
    page.click("#result_list a:text-is('Spend board')")
    page.click("a:has-text('Send a test')")
    page.click("button:text-is('Send')")
    page.wait_for_selector("text=It was taken.")


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
