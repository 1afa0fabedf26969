"""Every operation of the description, asked as it says and as it does not, by who may do all and by who may do little:
no answer is a fault, and each is one that is described."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.core import signals
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from apps.api import rates

pytestmark = [pytest.mark.once, pytest.mark.attack("fuzz")]

CHECKS = [
    *("not_a_server_error", "status_code_conformance", "content_type_conformance"),
    *("response_schema_conformance", "response_headers_conformance"),
]
EACH = 2  # of a kind, for each caller
ROLES = ("operator", "developer")
ASKING = ("/check", "/test")  # these ask a provider
FEW = settings(
    max_examples=EACH,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def operations(world: Any) -> Iterator[list[Any]]:
    """The application closes the connection after each request; the test's own stays."""
    from schemathesis import openapi

    ends = (signals.request_started, signals.request_finished)
    for end in ends:
        end.disconnect(close_old_connections)
    schema = openapi.from_wsgi("/api/v1/openapi.yaml", get_wsgi_application())
    found = [each.ok() for each in schema.get_all_operations()]
    yield [each for each in found if not each.path.endswith(ASKING)]
    for end in ends:
        end.connect(close_old_connections)


def _placed(case: Any, ids: dict[str, Any]) -> None:
    """At a row that there is, where the path names one."""
    place = case.operation.path.removeprefix("/api/v1").lstrip("/").partition("/")[0]
    if "id" in case.path_parameters and place in ids:
        case.path_parameters["id"] = ids[place]


@pytest.mark.parametrize("mode", ["positive", "negative"])
def test_no_request_makes_a_fault_and_every_answer_is_described(world, operations, figure, mode):
    from schemathesis import GenerationMode, checks

    wanted = checks.CHECKS.get_by_names(CHECKS)
    told: Counter[int] = Counter()

    def ask(case: Any, role: str, is_there: bool) -> None:
        rates.forget()
        if is_there:
            _placed(case, world.ids)
        token = getattr(world, role).token
        point = transaction.savepoint()
        try:
            response = case.call(headers={"Authorization": f"Bearer {token}", "If-Match": "*"})
            told[response.status_code] += 1
            case.validate_response(response, checks=wanted)
        finally:
            transaction.savepoint_rollback(point)

    for operation in operations:
        try:
            strategy = operation.as_strategy(generation_mode=GenerationMode(mode))
            for role in ROLES:
                FEW(given(case=strategy, role=st.just(role), is_there=st.booleans())(ask))()
        except Exception as error:
            if type(error).__name__ not in ("Unsatisfiable", "SkipTest"):
                raise
    figure("fuzz", f"requests to {len(operations)} operations of the API, {mode}", told.total())
    assert told.total() > len(operations)
    assert told[200] + told[201] + told[204] > 100 if mode == "positive" else told[400] > 100
