"""Keys that somebody guesses at: what they are told, and what it costs, is the same whatever they are wrong about."""

from __future__ import annotations

import contextlib
import random
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from apps.access import services as access
from apps.accounts import services as accounts
from apps.domain import errors
from apps.domain import keys as format_of_keys
from apps.gateway import bearers
from apps.keys import grants, selectors
from apps.keys.models import Key
from apps.tenants import invitations
from apps.tenants import services as tenants
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, told

pytestmark = [pytest.mark.once, pytest.mark.attack("F26"), pytest.mark.usefixtures("costs_nothing")]
MUTATED = 100_000
SEED = 20_261_123
LETTERS = format_of_keys.ALPHABET + "_-.+/= \0é"


def mutation(key: str, dice: random.Random) -> str:
    """One to three letters changed, or moved, or too many, or too few."""
    letters = list(key)
    for _ in range(dice.randint(1, 3)):
        place = dice.randrange(len(letters))
        match dice.randrange(4):
            case 0 | 1:
                letters[place] = dice.choice(LETTERS)
            case 2:
                letters.insert(place, dice.choice(LETTERS))
            case _:
                del letters[place]
    return "".join(letters)


def test_no_mutated_key_is_looked_up(gateway, world, monkeypatch, figure):
    """A hundred thousand of them, and of tokens of signed-in programs; another key's checksum is no help either."""
    asked: list[object] = []
    configuration = gateway.engine.configuration
    monkeypatch.setattr(configuration._look_ups, "ask", lambda *what: asked.append(what))
    dice = random.Random(SEED)
    access = format_of_keys.mint(public_bits=5, secret_bits=7, prefix=format_of_keys.OF_ACCESS)
    originals = (world.key, world.issue(), access)
    made = {mutation(dice.choice(originals), dice) for _ in range(MUTATED)} - set(originals)
    made |= {a[:-6] + b[-6:] for a in originals for b in originals if a != b}

    async def guess() -> int:
        found = 0
        for one in made:
            with contextlib.suppress(errors.AuthenticationFailed):  # with two dots it may be somebody's token
                found += await configuration.look_up(one) is not None
        return found

    assert gateway.call(guess()) == 0
    figure("F26", f"look-ups for {len(made):,} mutated keys (seed {SEED})", len(asked), most=0)
    assert not asked


def forged(public: str, number: int) -> str:
    """Well-formed, with a checksum that is right, and a secret that is none."""
    bits = sum(format_of_keys.ALPHABET.index(letter) * 62 ** (11 - at) for at, letter in enumerate(public))
    return format_of_keys.mint(public_bits=bits, secret_bits=number)


def wrong_keys(world: Any) -> dict[str, str]:
    """By what is wrong with them: of the latter, somebody has the very key."""
    parts = {
        "an active one's": world.key_row.public_id,
        "an expired one's": format_of_keys.public_id(world.expired_key()),
        "a revoked one's": format_of_keys.public_id(world.revoked_key()),
        "nobody's": "0" * 12,
    }
    guesses = {f"another secret, and {whose} public part": forged(part, 7) for whose, part in parts.items()}
    member = accounts.create_user(actor=None, username="mia")
    membership = tenants.add_member(world.tenant, actor=None, user=member)
    left = world.issue_for_member(member)
    tenants.remove_member(membership, actor=None)
    gone = accounts.create_user(actor=None, username="gone")
    tenants.add_member(world.tenant, actor=None, user=gone)
    shut_off = world.issue_for_member(gone)
    accounts.deactivate(gone, actor=None)
    globex = tenants.create_tenant(actor=None, name="Globex")
    theirs = world.issue_for(globex)
    tenants.deactivate_tenant(globex, actor=None)
    return guesses | {
        **{"expired": world.expired_key(), "revoked": world.revoked_key(), "of who has left": left},
        **{"of who was shut off": shut_off, "of a tenant that was": theirs},
        **{"not even a key": "weir_nonsense", "a token of the management API": "weirapi_" + world.key[5:]},
    }


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_what_is_wrong_with_a_key_is_told_nobody(gateway, world, path):
    wrong = wrong_keys(world)
    gateway.refresh()
    answers = {}
    for why, key in wrong.items():
        response = ask(gateway, path, key=key)
        assert told(path, response, 401) == bearers.REFUSED, why
        names = sorted(name for name in response.headers if name not in ("date",))
        answers[why] = (names, len(response.content), sorted(response.json()))
        assert key[-20:] not in response.text
    assert len({str(answer) for answer in answers.values()}) == 1, answers


def test_each_guess_costs_one_query_and_none_the_second_time(gateway, world):
    guesses = {why: key for why, key in wrong_keys(world).items() if why.startswith("another secret")}
    gateway.refresh()
    queries = {}
    for why, key in guesses.items():
        with CaptureQueriesContext(connection) as seen:
            assert selectors.principal(key) is None
        queries[why] = [query["sql"].replace(key[5:17], "") for query in seen.captured_queries]
        before = gateway.look_ups()
        for _ in range(3):
            assert ask(gateway, ANTHROPIC, key=key).status_code == 401
        assert gateway.look_ups() == before + 1, why
    assert {len(asked) for asked in queries.values()} == {1}
    assert len({asked[0] for asked in queries.values()}) == 1, "the same one"


def test_a_flood_of_well_formed_guesses_fills_no_memory(gateway, world):
    ring = gateway.engine.configuration.keyring
    ring._capacity = 100

    async def guess(number: int) -> None:
        assert await gateway.engine.configuration.look_up(forged("0" * 12, number)) is None

    for number in range(300):
        gateway.call(guess(number))
    assert len(ring._unknown) <= 100
    assert len(ring._digests.get("0" * 12, ())) <= 100
    assert not ring._loading
    assert ask(gateway, ANTHROPIC, model="nobody").status_code == 404


def test_what_a_dump_of_the_database_holds_opens_nothing(gateway, world):
    """Of a key there is a digest under a pepper that is sealed: neither the digest nor what it names is a key."""
    row = Key.objects.get(pk=world.key_row.pk).secrets.get()
    digest = bytes(row.digest)
    assert world.key.encode() not in digest
    for guess in (digest.hex(), digest.decode("latin-1"), row.public_id, forged(row.public_id, int.from_bytes(digest))):
        if guess.isascii() and guess.isprintable():
            assert ask(gateway, ANTHROPIC, key=guess).status_code == 401


def test_each_secret_opens_its_own_door_and_no_other(gateway, world, settings):
    """A key calls models, a token manages, a session is for pages; a refresh token is for others like it."""
    settings.WEIR_OPERATOR_TOKEN = "the operator's own, which is long enough"
    begun = grants.begin(client="claude-code", address=None)
    grants.approve(grants.awaited(begun.user_code), actor=world.alice, project=world.project)
    program = grants.exchange(begun.device_code)
    session = Client()
    session.force_login(world.alice)
    secrets = {
        "key": world.key,
        "token": access.issue(world.alice, name="a program", scope="write").plaintext,
        "program's": program.access,
        **{"refresh": program.refresh, "device code": begun.device_code, "user code": begun.user_code},
        **{"session": session.cookies[settings.SESSION_COOKIE_NAME].value},
        "invitation": invitations.invite(world.tenant, actor=world.alice, email="a@example.com", role="viewer").token,
        "operator's": settings.WEIR_OPERATOR_TOKEN,
    }
    gateway.refresh()
    opened = {
        door: {
            name
            for name, secret in secrets.items()
            if gateway.client.get(door, headers={"authorization": f"Bearer {secret}"}).status_code == 200
        }
        for door in ("/v1/models", "/api/v1/me", "/config")
    }
    assert opened == {"/v1/models": {"key", "program's"}, "/api/v1/me": {"token"}, "/config": {"operator's"}}
