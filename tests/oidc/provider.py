"""A real OpenID provider on a port of its own, and the part of its visitors: they type a name and agree.

For any test, whether its Weir listens somewhere or not: `standing(folder, backs=[".../sign-in/with/<slug>/back/"])`.
Allow its network (127.0.0.0/8) first. Clients are those of provider.mjs, with `SECRET` and `SCOPES`.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx2
import pytest

from tests.servers import ROOT, start_process

HERE = ROOT / "tests" / "oidc"
SECRET = "a secret that both of them know"  # of a client that a test registers
SCOPES = "openid email profile groups"
INSTALL_SECONDS = 180
_READY = re.compile(r'^\{"ready":"issuer","url":"(http://[^"]+)"\}', re.MULTILINE)
_FORM = re.compile(r'<form[^>]*action="([^"]+)"')
_SECRET = re.compile(r'name="xsrf" value="([^"]+)"')
_PROMPT = re.compile(r'name="prompt" value="([^"]+)"')


def install(folder: Path) -> Path:
    """As the lock names it. Skips where there is no Node."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm on PATH")
    made = folder / "oidc"
    shutil.copytree(HERE, made, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


@contextlib.contextmanager
def standing(folder: Path, *, backs: list[str], told: str = "") -> Iterator[str]:
    """Its issuer. `folder`: where it is installed; `backs`: all addresses that it may send people back to; `told`: the
    one that hears who has left."""
    command = ["node", str(folder / "provider.mjs"), json.dumps(backs), *([told] if told else [])]
    process = start_process(command, ready=_READY, log=folder / "provider.log")
    try:
        yield process.announced
    finally:
        process.stop()


def visit(address: str, *, name: str, agrees: bool = True, browser: httpx2.Client | None = None) -> str:
    """Where the provider sends its visitor in the end, who is let in as `name`. `agrees` False: who leaves instead.
    `browser`: one that is open, and stays so."""
    with contextlib.nullcontext(browser) if browser else httpx2.Client(timeout=60) as browser:
        answer = browser.get(address)
        for _ in range(12):
            if answer.status_code in (302, 303):
                address = urljoin(str(answer.url), answer.headers["location"])
                if not address.startswith(str(answer.url.copy_with(path="/", query=None))):
                    return address
                answer = browser.get(address)
                continue
            assert answer.status_code == 200, answer.text
            form, prompt = _FORM.search(answer.text), _PROMPT.search(answer.text)
            assert form is not None, answer.text
            assert prompt is not None, answer.text
            if not agrees:
                answer = browser.get(f"{urljoin(str(answer.url), form[1])}/abort")
                continue
            typed = {"prompt": prompt[1], "login": name, "password": "anything"}
            answer = browser.post(urljoin(str(answer.url), form[1]), data=typed)
    raise AssertionError("it leads in a circle")


def leave(issuer: str, *, browser: httpx2.Client) -> None:
    """Its visitor signs out there."""
    asked = browser.get(f"{issuer}/session/end")
    form, secret = _FORM.search(asked.text), _SECRET.search(asked.text)
    assert form is not None, asked.text
    assert secret is not None, asked.text
    answer = browser.post(urljoin(issuer, form[1]), data={"xsrf": secret[1], "logout": "yes"})
    assert answer.status_code in (200, 302, 303), answer.text
