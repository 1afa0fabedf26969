"""The site's settings, with a place of their own to write to: a test run touches neither `var/` nor another worker.

pytest reads settings before any conftest, so this module is what pyproject.toml names. Each xdist worker gets its own
folder and, where there is a Redis, its own database of it.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
ROOT = Path(os.environ.get("WEIR_TEST_VAR") or Path(__file__).resolve().parent.parent / "var" / "test")
os.environ["WEIR_VAR"] = str(ROOT / WORKER)
# Whom the world trusts is no matter of the tests, and takes every client 25 ms to read: for them it is nobody.
os.environ.pop("SSL_CERT_FILE", None)
os.environ["SSL_CERT_DIR"] = str(Path(__file__).parent)
if url := os.environ.get("REDIS_URL"):
    number = 0 if WORKER == "main" else int(WORKER.removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = urlunsplit(urlsplit(url)._replace(path=f"/{number}"))

from gateway_site.settings import *  # noqa: E402, F403

if template := os.environ.get("WEIR_TEST_TEMPLATE"):  # see `tests.migrated`
    DATABASES["default"]["TEST"] = {"TEMPLATE": template}  # noqa: F405
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # how slow the real one is, is Django's business
WHITENOISE_AUTOREFRESH = True  # else each test's client looks all files over, which takes longer than its page
