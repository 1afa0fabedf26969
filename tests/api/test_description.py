"""The description is what the code says. That it is also what the API does: `test_fuzzed_routes`."""

from __future__ import annotations

import io

import pytest
from django.core.management import call_command

from apps.api import pages
from apps.api.management.commands import openapi as command

pytestmark = pytest.mark.once


def test_the_file_is_what_the_code_says_and_one_that_is_not_is_told(tmp_path, monkeypatch):
    stale = tmp_path / "openapi.yaml"
    stale.write_text("openapi: 3.1.0\n")
    monkeypatch.setattr(command, "FILE", stale)
    told = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("openapi", check=True, stderr=told)
    assert "make openapi" in told.getvalue()
    call_command("openapi", stderr=told)
    assert stale.read_text() == pages.FILE.read_text()
