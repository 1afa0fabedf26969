"""The connection to the database, as the server sees it."""

from __future__ import annotations

import pytest
from django.db import connection

pytestmark = pytest.mark.django_db


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("limit", "value"), [("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "1min")]
)
def test_the_server_ends_what_goes_on_for_ever(limit, value):
    with connection.cursor() as cursor:
        cursor.execute(f"SHOW {limit}")
        assert cursor.fetchone() == (value,)
