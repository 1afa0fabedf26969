"""A copy of a PostgreSQL whose address is a service of libpq's."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from django.db import connection

from apps.usage import backup
from tests import services

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


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
