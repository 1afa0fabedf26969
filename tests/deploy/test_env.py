"""The environments: each loads, and those for people are what `check --deploy` wants."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT

FOLDER = ROOT / "deploy" / "env"
PROFILES = ("lab", "local", "prod", "sit", "uat")
SECRETS = {
    "WEIR_SECRET_KEY": "kAq7Zr2xP0vLw9YtB4nHc6MdF8sJgU1eXoR3iTqWb5KzNyVh-django",
    "WEIR_KEYRING": "1:b4nHc6MdF8sJgU1eXoR3iTqWb5KzNyVh",
    "WEIR_OPERATOR_TOKEN": "U1eXoR3iTqWb5KzNyVhkAq7Zr2xP0vLw9YtB-operator",
    "DATABASE_URL": "postgres://weir:word@db.example.org/weir",
    "REDIS_URL": "redis://:word@cache.example.org/0",
}
SECRET = re.compile(r"KEY|TOKEN|PASSWORD|KEYRING|DATABASE_URL|REDIS_URL|EMAIL_URL")


def values(name: str) -> dict[str, str]:
    lines = (FOLDER / f"{name}.env").read_text().splitlines()
    pairs = [line.partition("=") for line in lines if line and not line.startswith("#")]
    assert all(is_set for _, is_set, _ in pairs)
    return {variable: value for variable, _, value in pairs}


def check(name: str, folder: Path, *options: str) -> tuple[int, str]:
    """`manage.py check` in that environment, with secrets in files as an installation has them."""
    plain = {key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")}
    said = plain | values(name) | {"WEIR_VAR": str(folder), "DJANGO_SETTINGS_MODULE": "gateway_site.settings"}
    if said["WEIR_PROFILE"] == "production":
        for variable, value in SECRETS.items():
            (folder / variable).write_text(value)
            (folder / variable).chmod(0o600)
            said[f"{variable}_FILE"] = str(folder / variable)
        said["WEIR_JOURNAL_DIR"] = str(ROOT)  # no memory
    command = [sys.executable, "manage.py", "check", *options]
    done = subprocess.run(command, cwd=ROOT, env=said, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, done.stdout + done.stderr


def test_there_is_one_for_each_profile():
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(PROFILES)


@pytest.mark.parametrize("name", PROFILES)
def test_each_loads_and_holds_no_secret(name, tmp_path):
    assert [variable for variable in values(name) if SECRET.search(variable)] == []
    deployed = () if name == "local" else ("--deploy",)
    status, said = check(name, tmp_path, *deployed, "--fail-level", "WARNING")
    assert status == 0, said
