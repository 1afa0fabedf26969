"""Every process that holds secrets forbids its own dumps as soon as it has read the settings."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.servers import ROOT

TELL = """
import ctypes, json, resource
print(json.dumps([ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE)]))
"""
BEFORE = "import resource; resource.setrlimit(resource.RLIMIT_CORE, (resource.getrlimit(resource.RLIMIT_CORE)[1],) * 2)"
STARTS = {
    "a server": "import gateway_site.asgi",
    "the worker": "from gateway_site.celery import app; app.loader.import_default_modules()",
    "a command": "import django; django.setup()",
}


def told(start: str) -> str:
    program = "\n".join((BEFORE, start, TELL))
    variables = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={**os.environ, **variables}, capture_output=True, check=True
    )
    return result.stdout.decode().splitlines()[-1]


@pytest.mark.attack("F25")
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_it_can_neither_be_dumped_nor_looked_into(start: str) -> None:
    assert told(start) == "[0, 0, 0]"


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_a_process_without_the_settings_can() -> None:
    assert told("").startswith("[1, ")
