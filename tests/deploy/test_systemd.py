"""The units: sound to systemd, confined, and of commands and variables that there are."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy import tools
from tests.deploy.test_env import values

FOLDER = tools.ROOT / "deploy" / "systemd"
UNITS = FOLDER / "units"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
MOST_EXPOSED = 2.0  # of 10, by `systemd-analyze security`
SET_MDWE, REFUSE_EXEC_GAIN = 65, 1  # prctl(2), Linux 6.3


def said(name: str, key: str) -> list[str]:
    text = (UNITS / name).read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The units as on a machine that has Weir: what they start is there, and as root the folder of the code is too."""
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS.iterdir():
        name = path.name.replace("@.", "@8000.")
        (folder / name).write_text(path.read_text().replace("/opt/weir/venv/bin/python", sys.executable))
    return folder


def test_systemd_finds_nothing_wrong_but_in_a_planted_fault(installed, tmp_path):
    units = sorted(installed.iterdir())
    verified = tools.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units)
    assert (verified.status, verified.text.strip()) == (0, "")
    wrong = tmp_path / "weir-beat.service"
    wrong.write_text((installed / "weir-beat.service").read_text().replace("NoNewPrivileges=yes", "NoNewPrivilege=y"))
    assert "NoNewPrivilege" in tools.run("systemd-analyze", "verify", "--man=no", wrong).text


@pytest.mark.parametrize("name", SERVICES)
def test_each_is_confined(installed, name):
    unit = installed / name.replace("@.", "@8000.")
    told = tools.run("systemd-analyze", "security", "--offline=true", "--no-pager", unit).text
    assert float(re.search(r"exposure level for \S+: ([\d.]+)", told)[1]) <= MOST_EXPOSED, told
    assert said(name, "ProtectSystem") == ["strict"]
    assert said(name, "StateDirectory") == ["weir"]


@pytest.mark.parametrize("name", SERVICES)
def test_each_starts_what_there_is_with_variables_that_there_are(name):
    (command,) = said(name, "ExecStart")
    assert command.startswith("/opt/weir/venv/bin/python ")
    program = shlex.split(command)[1:]
    file = tools.ROOT / (f"{program[1].replace('.', '/')}.py" if program[0] == "-m" else program[0])
    assert file.is_file()
    page = (tools.ROOT / "docs" / "configuration.md").read_text()
    for line in said(name, "Environment"):
        for variable, value in (pair.split("=", 1) for pair in line.split()):
            assert variable.startswith("PYTHON") or f"`{variable.removesuffix('_FILE')}`" in page, variable
            if value.startswith("%d/"):
                assert value[3:] in {credential.split(":")[0] for credential in said(name, "LoadCredential")}


def test_nothing_is_killed_before_it_has_ended_and_everything_comes_back():
    known = values("prod")
    least = int(known["WEIR_PRESTOP_SECONDS"]) + int(known["WEIR_DRAIN_SECONDS"]) + 30
    assert int(said("weir-gateway@.service", "TimeoutStopSec")[0].removesuffix("s")) >= least
    for name in SERVICES:
        if name != "weir-migrate.service":
            assert said(name, "Restart") == ["on-failure"]
            assert said(name, "LimitNOFILE") == ["65536"]
            assert "weir-migrate.service" in " ".join(said(name, "After"))


def test_the_user_and_the_folders_are_made(tmp_path):
    for program, file in (("systemd-sysusers", "weir.sysusers"), ("systemd-tmpfiles", "weir.tmpfiles")):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program} (Debian's systemd has it)")
        users = tmp_path / "etc"
        users.mkdir(exist_ok=True)
        (users / "group").write_text("root:x:0:\nwww-data:x:33:\n")
        create = ["--create"] if "tmpfiles" in program else []
        command = [program, f"--root={tmp_path}", *create, FOLDER / file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if os.geteuid() == 0:
            assert done.returncode == 0, done.stderr
    if os.geteuid() == 0:
        assert "weir:" in (tmp_path / "etc" / "passwd").read_text()
        assert (tmp_path / "etc" / "weir" / "secrets").stat().st_mode & 0o777 == 0o700


def test_python_and_all_that_it_loads_do_without_memory_that_is_written_and_run():
    """MemoryDenyWriteExecute, by what Linux has for it since 6.3: a child asks for it and imports what runs."""
    assert {line for name in SERVICES for line in said(name, "MemoryDenyWriteExecute")} == {"yes"}
    program = (
        f"import ctypes; assert ctypes.CDLL(None).prctl({SET_MDWE}, {REFUSE_EXEC_GAIN}, 0, 0, 0) == 0, 'old';"
        "import mmap\n"
        "try: mmap.mmap(-1, 4096, prot=7); raise SystemExit('not refused')\n"
        "except OSError: pass\n"
        "import django; django.setup()\n"
        "import gateway_site.asgi, uvloop, httptools, psycopg, cryptography.fernet, aiohttp, pyarrow.parquet, hiredis\n"
        "uvloop.run(__import__('asyncio').sleep(0))\n"
        "cryptography.fernet.Fernet(cryptography.fernet.Fernet.generate_key())"
    )
    if ctypes.CDLL(None).prctl(66, 0, 0, 0, 0) < 0:
        pytest.skip("needs Linux 6.3, which can refuse such memory by itself")
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "gateway_site.settings", "WEIR_PROFILE": "embedded"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tools.ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
