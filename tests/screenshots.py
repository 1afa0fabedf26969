"""Pictures of the admin for the documents: a demo of its own, a browser, and a page at a time.

python -m tests.screenshots [folder]        `make screenshots`; docs/images by default
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.services import free_port

ROOT = Path(__file__).resolve().parent.parent
SIZE = {"width": 1440, "height": 900}
PAGES = {"admin": "/admin/"}


def browser() -> str:
    """The installed Chromium; Playwright's own download is not needed. Raises SystemExit."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    raise SystemExit("No chromium on PATH.")


def main(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    program = browser()
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "WEIR_VAR": folder, "PORT": str(free_port())}
        environment.pop("MAKELEVEL", None)
        command = [sys.executable, "-m", "gateway_site.run"]
        demo = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        try:
            assert demo.stdout is not None
            if not any(line.startswith("  -d ") for line in iter(demo.stdout.readline, "")):
                raise SystemExit("The demo did not start.")
            card = json.loads((Path(folder) / "demo.json").read_text())
            _use(card)
            with sync_playwright() as playwright:
                opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
                page = opened.new_page(viewport=SIZE, device_scale_factor=1.25)
                _sign_in(page, card)
                for name, path in PAGES.items():
                    page.goto(card["base_url"] + path, wait_until="networkidle")
                    page.screenshot(path=target / f"{name}.png")
                opened.close()
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait()


def _use(card: dict[str, str]) -> None:
    """A few calls, so that today is not empty either."""
    for model in ("claude-sonnet-4-5", "claude-haiku-4-5", "gpt-5-mini"):
        body = {"model": model, "max_tokens": 300, "messages": [{"role": "user", "content": "What is a weir?"}]}
        headers = {"x-api-key": card["api_key"], "content-type": "application/json"}
        request = urllib.request.Request(card["base_url"] + "/v1/messages", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            answer.read()


def _sign_in(page: Page, card: dict[str, str]) -> None:
    page.goto(card["admin_url"])
    page.fill("input[name=username]", card["admin_user"])
    page.fill("input[name=password]", card["admin_password"])
    page.click("button[type=submit]")
    page.wait_for_url("**/admin/")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
