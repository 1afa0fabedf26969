"""The keyring gets another version, every secret is sealed anew, twice, and the first version is taken away: while
streams run through two gateways, which are restarted one after the other. And what starts under a wrong keyring."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests import migrated, services
from tests.faults.installation import Gateway, Installation, opened
from tests.faults.load import Ask, Load, Said
from tests.servers import ROOT, start_simulator

pytestmark = [pytest.mark.attack("F25"), pytest.mark.timeout(600)]

CALLERS = 8
SCRIPT = "tokens-40,pace-10"
MODELS = (("claude", "anthropic"), ("gpt", "openai"))


class Site:
    """An installation with a keyring in a file, and a balancer's list of who gets new calls."""

    def __init__(self, installation: Installation, keyring: str) -> None:
        self.installation, self.keyring = installation, keyring
        self.texts = [keyring.partition(":")[2], secrets.token_urlsafe(32)]
        self.serving: list[Gateway] = []
        self.environment = {
            **os.environ,
            **installation.environment(installation.database.url, installation.redis.url),  # type: ignore[union-attr]
        }

    def hold(self, *versions: int) -> None:
        """From now on processes start with these."""
        self.keyring = ",".join(f"{version}:{self.texts[version - 1]}" for version in versions)

    def restart_all(self) -> None:
        """One after the other: another one serves before it leaves, and its streams end."""
        for former in list(self.serving):
            (begun,) = self.installation.start(WEIR_KEYRING=self.keyring)
            self.serving = [each for each in self.serving if each is not former] + [begun]
            assert former.terminate() == 0, former.output()[-3000:]

    def manage(self, *arguments: str) -> str:
        """In a process of its own, as an operator does it, with the keyring as it is now."""
        done = self._run([sys.executable, "manage.py", *arguments])
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def verified(self) -> dict[str, object]:
        told = json.loads(self.manage("secrets", "verify", "--json"))
        assert (told["ok"], told["unreadable"]) == (True, [])
        found: dict[str, object] = told["keyring"]
        return found

    def begun_wrongly(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self._run([sys.executable, "-m", *command], **variables)

    def _run(self, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
        environment = self.environment | {"WEIR_KEYRING": self.keyring} | variables
        return subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def ciphertexts(self) -> dict[int, str]:
        assert self.installation.database is not None
        with psycopg.connect(self.installation.database.url) as connection:
            return dict(connection.execute("SELECT id, ciphertext FROM catalog_credential").fetchall())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("rotation")
    keyring = f"1:{secrets.token_urlsafe(32)}"
    provider = start_simulator(folder, "--fast")
    try:
        with services.postgresql(copied=migrated.cluster()) as postgresql, services.valkey() as valkey:
            database = migrated.database(postgresql.url)
            stores = {"database": services.Service(postgresql.name, database, postgresql.server), "redis": valkey}
            variables = {"WEIR_KEYRING": keyring}
            with opened(folder / "site", provider=provider, variables=variables, **stores) as installation:
                yield Site(installation, keyring)
    finally:
        provider.stop()


async def while_streaming(site: Site, keys: list[str], change: Callable[[], None]) -> list[Said]:
    """What callers were told who stream all the time while it happens."""
    turns = 0

    def choose() -> str:
        nonlocal turns
        turns += 1
        return site.serving[turns % len(site.serving)].base_url

    def ask(number: int) -> Ask:
        model, dialect = MODELS[number % 2]
        return Ask(keys[number % len(keys)], model=model, dialect=dialect, script=SCRIPT)  # type: ignore[arg-type]

    async with Load(choose) as load:
        return await load.during(change, ask, at_once=CALLERS)


def test_no_call_fails_while_all_that_seals_is_changed(site, figure):
    made = site.installation.ask("tenant", name="Acme", budgets=[])
    site.serving = site.installation.start(2)
    before = site.ciphertexts()
    steps: list[dict[str, object]] = []

    def rotate() -> None:
        site.hold(1, 2)
        site.restart_all()
        assert "resealed" in site.manage("secrets", "rotate-kek")
        steps.append(site.verified())
        assert "resealed" in site.manage("secrets", "rotate-dek", "--all")
        site.hold(2)
        site.restart_all()
        steps.append(site.verified())

    said = asyncio.run(while_streaming(site, [plaintext for _, plaintext in made["keys"]], rotate))
    failed = [each for each in said if each.status != 200 or not each.is_whole]
    figure("F25", "calls that ran while keys were rotated", len(said), least=100)
    figure("F25", "calls that failed meanwhile", len(failed), most=0)
    assert failed == []
    assert len(said) > 2 * CALLERS
    assert [(step["active"], step["min_decryption_version"]) for step in steps] == [(2, 2), (2, 2)]
    after = site.ciphertexts()
    assert before.keys() == after.keys()
    assert not before.items() & after.items(), "every secret lies there otherwise"
    used = Counter(each.ask.model for each in said)
    assert used.keys() == {"claude", "gpt"}


ROLES = {
    "gateway": ("gateway_site.server", "--role", "gateway", "--port", "0"),
    "control": ("gateway_site.server", "--role", "control", "--port", "0"),
    "worker": ("gateway_site.worker", "--concurrency", "1"),
}


def test_nothing_starts_under_a_wrong_keyring_and_one_line_says_why(site):
    """Not under another key of the version that is in use, and not without that version."""
    held = site.verified()["active"]
    wrong = {"another key": f"{held}:{secrets.token_urlsafe(32)}", "none that is needed": "9:" + "x" * 40}
    tries = [*((role, wrong["another key"]) for role in ROLES), ("gateway", wrong["none that is needed"])]
    with ThreadPoolExecutor(2) as threads:
        ended = list(threads.map(lambda each: site.begun_wrongly(*ROLES[each[0]], WEIR_KEYRING=each[1]), tries))
    for (role, text), done in zip(tries, ended, strict=True):
        told = [line for line in done.stderr.splitlines() if line.startswith("gateway_site.")]
        assert done.returncode == 1, (role, done.stdout, done.stderr)
        assert len(told) == 1, (role, done.stderr)
        assert "WEIR_KEYRING" in told[0], told
        assert text.partition(":")[2] not in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
