"""Where an installation leaves things: all places in which a canary could turn up, opened as far as they are packed."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from tests.attack.canaries import Part
from tests.attack.errands import Caller, Errands
from tests.attack.premises import NAMES

Sink = Callable[[Errands], Iterator[Part]]
COMMANDS = {
    "secrets verify": ("secrets", ["verify"]),
    "secrets verify --json": ("secrets", ["verify", "--json"]),
    "doctor": ("doctor", []),
    "check": ("check", ["--deploy"]),
    "ledger_verify": ("ledger_verify", []),
}
TOLD = ("/metrics", "/health/detailed", "/providers", "/config", "/settings", "/redis-test")


def crawl(errands: Errands) -> int:
    """Every page there is, as an operator and as an owner, and every route of the API as their programs. How many."""
    found = errands.premises.ask("addresses")
    base = errands.premises.url("control")

    def visit(caller: Caller, addresses: list[str]) -> int:
        return sum(caller("GET", address).status == 200 for address in addresses)

    second = Caller(base, errands.pages)
    second.cookies = dict(errands.root.cookies)
    half = len(found["site"]) // 2
    rounds = [(errands.root, found["site"][:half]), (second, [*found["site"][half:], "/", "/account/"])]
    with ThreadPoolExecutor(2) as threads:
        opened = sum(threads.map(lambda each: visit(*each), rounds))
        rounds = [(errands.alice, ["/", "/account/", *found["tenant"]])]
        rounds += [(program, found["api"]) for program in errands.programs.values()]
        opened += sum(threads.map(lambda each: visit(*each), rounds))
    second.close()
    return opened


def output(errands: Errands) -> Iterator[Part]:
    """What each process has written."""
    for log in sorted(errands.premises.folder.glob("*.log")):
        yield Part(log.name, log.read_bytes())


def command_lines(errands: Errands) -> Iterator[Part]:
    """What `ps` shows of them to everybody."""
    for name, member in errands.premises.members.items():
        if member.process is not None:
            yield Part(name, Path(f"/proc/{member.process.pid}/cmdline").read_bytes())


def files(errands: Errands) -> Iterator[Part]:
    """All that they write for themselves, the journals among them."""
    for path in sorted((errands.premises.folder / "var").rglob("*")):
        if path.is_file() and "static" not in path.parts:
            yield Part(str(path.relative_to(errands.premises.folder)), path.read_bytes())


def log_of_postgresql(errands: Errands) -> Iterator[Part]:
    yield Part("log", errands.premises.database.server.log.read_bytes())


def database(errands: Errands) -> Iterator[Part]:
    """As `manage.py backup` copies it, unpacked: bytes are in hex."""
    folder = errands.premises.folder / "backup"
    errands.premises.ask("run", command="backup", arguments=[str(folder)])
    yield from (Part(f"backup {path.name}", path.read_bytes()) for path in folder.rglob("*") if path.is_file())
    restore = str(errands.premises.environment()["PATH"].partition(":")[0] + "/pg_restore")
    command = [restore, "--file=-", str(folder / "weir.dump")]
    text = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    for block in text.split(b"\nCOPY "):
        yield Part(block.partition(b" ")[0].decode()[:60], block)


def sessions(errands: Errands) -> Iterator[Part]:
    yield Part("sessions", json.dumps(errands.premises.ask("sessions")).encode())


def dumpdata(errands: Errands) -> Iterator[Part]:
    yield Part("dumpdata", errands.premises.ask("run", command="dumpdata", arguments=[]).encode())


def configuration(errands: Errands) -> Iterator[Part]:
    yield Part("export", errands.premises.ask("run", command="config", arguments=["export"]).encode())


def commands(errands: Errands) -> Iterator[Part]:
    for name, (command, arguments) in COMMANDS.items():
        yield Part(name, errands.premises.ask("run", command=command, arguments=arguments).encode())


def redis_held(errands: Errands) -> Iterator[Part]:
    with redis.Redis.from_url(errands.premises.redis_url) as client:
        for key in client.scan_iter():
            yield Part(repr(key), key + b" " + (client.dump(key) or b""))


def redis_said(errands: Errands) -> Iterator[Part]:
    """Every command, with Celery's messages."""
    assert errands.premises.ear is not None
    yield Part("commands", bytes(errands.premises.ear.heard))


def told(errands: Errands) -> Iterator[Part]:
    """To whoever has the operator's token: figures among all else."""
    token = errands.words["operator token"]
    for name in NAMES:
        heard: list[Part] = []
        caller = Caller(errands.premises.url(name), heard, authorization=f"Bearer {token}")
        for path in TOLD if name in ("gateway", "control") else TOLD[:1]:
            assert caller("GET", path).status == 200, (name, path)
        caller.close()
        yield from heard


def telemetry(errands: Errands) -> Iterator[Part]:
    for path, _, body in errands.premises.collector.received:
        yield Part(path, body)


def providers(errands: Errands) -> Iterator[Part]:
    """What they were asked, heads and all."""
    yield from (Part(asked[:60].decode("latin-1"), asked) for asked in errands.premises.leaky.told)


def events(errands: Errands) -> Iterator[Part]:
    """What webhooks were sent; the file of events is among the files."""
    for heard in errands.premises.events.heard:
        yield Part(str(heard.headers.get("ce-type", "alert")), repr(heard.headers).encode() + heard.body)


def mail(errands: Errands) -> Iterator[Part]:
    for message in errands.premises.mail.mails:
        yield Part(str(message["subject"]), message.as_bytes() + message.get_content().encode())


SINKS: dict[str, Sink] = {
    "answers to callers": lambda errands: iter(errands.calls),
    "pages": lambda errands: iter(errands.pages),
    "API": lambda errands: iter(errands.api),
    "output": output,
    "command lines": command_lines,
    "files": files,
    "PostgreSQL's log": log_of_postgresql,
    "database": database,
    "sessions": sessions,
    "dumpdata": dumpdata,
    "configuration": configuration,
    "commands": commands,
    "Redis": redis_held,
    "Redis's commands": redis_said,
    "operator's pages": told,
    "telemetry": telemetry,
    "providers": providers,
    "events": events,
    "mail": mail,
}
