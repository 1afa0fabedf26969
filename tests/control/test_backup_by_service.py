"""Copies of a PostgreSQL: its address is a service of libpq's, or the login owns nothing there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from apps.tenants.models import Tenant
from apps.usage import backup
from tests import services

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def copier() -> Iterator[dict[str, str]]:
    """A login that may read everything and is no superuser."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE ROLE copier LOGIN PASSWORD 'word'")
        for kind in ("TABLES", "SEQUENCES"):
            cursor.execute(f"GRANT SELECT ON ALL {kind} IN SCHEMA public TO copier")
    yield {"user": "copier", "password": "word"}
    with connection.cursor() as cursor:
        cursor.execute("DROP OWNED BY copier")
        cursor.execute("DROP ROLE copier")


def test_a_login_that_owns_nothing_copies_every_tenant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copier: dict[str, str]
) -> None:
    monkeypatch.setenv("PATH", f"{services.client_programs()}{os.pathsep}{os.environ['PATH']}")
    Tenant.objects.create(name="Behind the wall", slug="behind-the-wall")
    given = connection.get_connection_params() | copier
    monkeypatch.setattr(backup, "_parameters", lambda: given)
    dump = backup._dumped(tmp_path / "weir.dump")
    restored = subprocess.run(
        ["pg_restore", "--data-only", "--table=tenants_tenant", "--file=-", dump],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    assert "behind-the-wall" in restored.stdout


def test_what_a_service_says_is_what_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{services.client_programs()}{os.pathsep}{os.environ['PATH']}")
    own = connection.settings_dict
    said = {"host": own["HOST"], "port": own["PORT"], "dbname": own["NAME"], "user": own["USER"]}
    said["password"] = own["PASSWORD"]
    file = tmp_path / "services.conf"
    file.write_text("\n".join(["[weir]", *(f"{name}={value}" for name, value in said.items() if value), ""]))
    monkeypatch.setenv("PGSERVICEFILE", str(file))
    connection.close()
    for name in ("HOST", "PORT", "NAME", "USER", "PASSWORD"):
        monkeypatch.setitem(own, name, "")
    monkeypatch.setitem(own, "OPTIONS", {**own["OPTIONS"], "service": "weir"})
    dump = backup._dumped(tmp_path / "weir.dump")
    listed = subprocess.run(
        ["pg_restore", "--list", dump], capture_output=True, text=True, timeout=60, check=True, stdin=subprocess.DEVNULL
    )
    connection.close()
    assert "usage_entry" in listed.stdout
