"""Pages beside the data plane, in the same process."""

from __future__ import annotations

import gc

import pytest
from django.db import connection

from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]

PAGES = 20


def connected() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        return int(cursor.fetchone()[0])


def test_a_page_takes_its_connection_with_it(gateway):
    """Not when the collector comes by: a hundred pages, and PostgreSQL would let nobody in."""
    gateway.client.cookies.set("sessionid", "0123456789abcdef0123456789abcdef")
    gc.disable()
    try:
        before = connected()
        for _ in range(PAGES):
            assert gateway.client.get("/account/").status_code == 302
        until(lambda: connected() < before + PAGES // 2)
    finally:
        gc.enable()
