"""The units: sound to systemd, confined, and of commands and variables that there are."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.deploy import tools
from tests.deploy.test_env import values

FOLDER = tools.ROOT / "deploy" / "systemd"
UNITS = FOLDER / "units"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
STARTED = ("/usr/bin/env", "./venv/bin/python")
MOST_EXPOSED = 2.0  # of 10, by `systemd-analyze security`
SET_MDWE, REFUSE_EXEC_GAIN = 65, 1  # prctl(2), Linux 6.3


def said(name: str, key: str) -> list[str]:
    text = (UNITS / name).read_text()
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The units as on a machine that has Weir."""
    folder = tmp_path_factory.mktemp("units")
    for path in UNITS.iterdir():
        (folder / path.name.replace("@.", "@8000.")).write_text(path.read_text())
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
    assert command.startswith(f"{' '.join(STARTED)} ")
    program = shlex.split(command)[len(STARTED) :]
    file = tools.ROOT / (f"{program[1].replace('.', '/')}.py" if program[0] == "-m" else program[0])
    assert file.is_file()
    page = (tools.ROOT / "docs" / "configuration.md").read_text()
    for line in said(name, "Environment"):
        for variable, value in (pair.split("=", 1) for pair in line.split()):
            assert variable.startswith("PYTHON") or f"`{variable.removesuffix('_FILE')}`" in page, variable
            if value.startswith("%d/"):
                assert value[3:] in {credential.split(":")[0] for credential in said(name, "LoadCredential")}


def test_one_that_runs_on_while_another_release_comes_stays_with_its_own(tmp_path):
    """`/opt/weir` leads elsewhere then, and what it has not imported yet must come from where the rest came from."""
    release, link = tmp_path / "weir-0.2.0", tmp_path / "weir"
    venv.create(release / "venv", symlinks=True)
    link.symlink_to(release)
    assert said("weir-gateway@.service", "WorkingDirectory") == ["/opt/weir"]
    asked = [*STARTED, "-c", "import sys; print(sys.prefix)"]
    found = subprocess.run(asked, cwd=link, env={}, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == str(release.resolve() / "venv")


def optional() -> list[tuple[str, str]]:
    """Credential and variable of each secret that the drop-in has lines for."""
    text = (FOLDER / "secrets.conf").read_text()
    return re.findall(
        r"^# LoadCredential=(\w+):/etc/weir/secrets/\1\n# Environment=(\w+)_FILE=%d/\1$", text, re.MULTILINE
    )


def test_every_secret_has_a_place_in_units_or_the_drop_in_and_systemd_takes_it(installed, tmp_path):
    read = re.compile(r"env\.(?:secret|address|embedded)\(\"(\w+)\"")
    sources = ("settings.py", "telemetry/wanted.py")
    known = {name for file in sources for name in read.findall((tools.ROOT / "gateway_site" / file).read_text())}
    held = {line.split(":")[0] for line in said("weir-gateway@.service", "LoadCredential")}
    placed = {name for _, name in optional()} | {
        pair.split("_FILE=")[0] for line in said("weir-gateway@.service", "Environment") for pair in line.split()
    }
    # Headers of one signal alone are as rare as those of all are not.
    assert {name for name in known - placed if not re.search("TRACES|METRICS|LOGS", name)} == set()
    assert held & {credential for credential, _ in optional()} == set()
    shutil.copytree(installed, tmp_path, dirs_exist_ok=True)
    dropped = tmp_path / "weir-.service.d" / "secrets.conf"
    dropped.parent.mkdir()
    text = re.sub(r"^# (?=\w+=)", "", (FOLDER / "secrets.conf").read_text(), flags=re.MULTILINE)

    def verified(text: str) -> str:
        dropped.write_text(text)
        units = ("weir-beat.service", "weir-gateway@8000.service")
        path = {"SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        return tools.run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *units, variables=path).text

    assert verified(text).strip() == ""
    assert "Lode" in verified(text.replace("Load", "Lode"))


def test_a_command_by_weir_manage_has_every_secret_and_its_user_s_home(tmp_path):
    """The script, its folders moved, with a `setpriv` that writes down the environment it is given."""
    script = re.sub(r"/(etc|opt)/weir", rf"{tmp_path}/\1", (FOLDER / "weir-manage").read_text())
    (tmp_path / "weir-manage").write_text(script)
    for folder in ("etc/secrets", "opt", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "etc" / "weir.env").write_text("WEIR_PROFILE=production\n")
    pairs = optional()
    for name in SERVICES:
        for line in said(name, "Environment"):
            pairs += [(named, variable) for variable, named in re.findall(r"\b([A-Z_]+)_FILE=%d/(\w+)", line)]
    for credential, _ in pairs:
        (tmp_path / "etc" / "secrets" / credential).write_text(f"{credential} $of 'it\n")
    (tmp_path / "bin" / "setpriv").write_text(f'#!/bin/sh\nenv -0 >{tmp_path}/told\necho "$@"\n')
    (tmp_path / "bin" / "setpriv").chmod(0o755)
    command = ["sh", tmp_path / "weir-manage", "doctor", "--quiet"]
    variables = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": "/root"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, env=variables)
    assert done.stdout.endswith("manage.py doctor --quiet\n")
    told = dict(pair.split("=", 1) for pair in (tmp_path / "told").read_text().split("\0") if pair)
    assert {variable: told.get(variable) for _, variable in pairs} == {
        variable: f"{credential} $of 'it" for credential, variable in pairs
    }
    assert (told["HOME"], told["WEIR_PROFILE"]) == ("/var/lib/weir", "production")


def test_nothing_is_killed_before_it_has_ended_and_everything_comes_back():
    known = values("prod")
    least = int(known["WEIR_PRESTOP_SECONDS"]) + int(known["WEIR_DRAIN_SECONDS"]) + 30
    assert int(said("weir-gateway@.service", "TimeoutStopSec")[0].removesuffix("s")) >= least
    for name in ("weir-gateway@.service", "weir-control.service"):
        (waits,) = said(name, "TimeoutStopSec")
        assert f"WEIR_STOP_SECONDS={waits.removesuffix('s')}" in said(name, "Environment")
    for name in SERVICES:
        if name != "weir-migrate.service":
            assert said(name, "Restart") == ["on-failure"]
            assert said(name, "LimitNOFILE") == ["65536"]
            assert "weir-migrate.service" in " ".join(said(name, "After"))


def test_the_user_and_the_folders_are_made(tmp_path):
    (tmp_path / "etc" / "weir").mkdir(parents=True)
    (tmp_path / "etc" / "group").write_text("root:x:0:\nwww-data:x:33:\n")
    (tmp_path / "etc" / "weir" / "weir.env").touch(mode=0o600)
    for program, file in (("systemd-sysusers", "weir.sysusers"), ("systemd-tmpfiles", "weir.tmpfiles")):
        create = ["--create"] if "tmpfiles" in program else []
        command = [*tools.find(program), f"--root={tmp_path}", *create, FOLDER / file]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if os.geteuid() == 0:
            assert done.returncode == 0, done.stderr
    if os.geteuid() == 0:
        assert "weir:" in (tmp_path / "etc" / "passwd").read_text()
        assert (tmp_path / "etc" / "weir" / "secrets").stat().st_mode & 0o777 == 0o700
        known = re.search(r"^weir:x:(\d+):", (tmp_path / "etc" / "group").read_text(), re.MULTILINE)
        settings = (tmp_path / "etc" / "weir" / "weir.env").stat()
        assert (settings.st_mode & 0o777, settings.st_uid, settings.st_gid) == (0o640, 0, int(known[1]))


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
        tools.lacks("linux", "needs Linux 6.3, which can refuse such memory by itself")
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "gateway_site.settings", "WEIR_PROFILE": "embedded"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=tools.ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
