"""What the description says is what the API does: requests made of it are answered as it says, and never with a 500."""

from __future__ import annotations

import io

import pytest
from django.core import signals
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings

from apps.api import pages, rates
from apps.api.management.commands import openapi as command

pytestmark = pytest.mark.once

CHECKS = [
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    "response_schema_conformance",
]
FEW = settings(
    max_examples=1,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
ASKING = ("/check", "/test")  # these ask a provider


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


@pytest.fixture
def operations(world):
    """The application closes the connection after each request; the test's own stays."""
    from schemathesis import openapi

    ends = (signals.request_started, signals.request_finished)
    for end in ends:
        end.disconnect(close_old_connections)
    schema = openapi.from_wsgi("/api/v1/openapi.yaml", get_wsgi_application())
    yield [found.ok() for found in schema.get_all_operations()]
    for end in ends:
        end.connect(close_old_connections)


def test_requests_made_of_the_description_are_answered_as_it_says(world, operations):
    from schemathesis import checks

    wanted = checks.CHECKS.get_by_names(CHECKS)
    headers = {"Authorization": f"Bearer {world.operator.token}", "If-Match": "*"}

    def ask(case):
        rates.forget()
        point = transaction.savepoint()
        try:
            case.call_and_validate(headers=headers, checks=wanted)
        finally:
            transaction.savepoint_rollback(point)

    for operation in operations:
        if not operation.path.endswith(ASKING):
            FEW(given(case=operation.as_strategy())(ask))()
