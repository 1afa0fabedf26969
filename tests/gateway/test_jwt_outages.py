"""Issuers that are away, slow, mad or new: what goes on, what is refused, and how often they are asked."""

from __future__ import annotations

import asyncio
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from apps.accounts import services as accounts
from apps.domain import errors
from apps.gateway import bearers
from apps.keys import issuers
from apps.outbound import jwks as reading
from apps.outbound.documents import MOST_BYTES, Documents
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, anthropic_error, ask, body_of
from tests.gateway.sockets import read_until, rest
from tests.gateway.tokens import call, encoded, issuer, refused, trusted
from tests.issuers import DISCOVERY, JWKS, document, issuing, jwk, jwks, signed
from tests.servers import until

__all__ = ["issuer", "trusted"]
pytestmark = pytest.mark.attack("F23")
NEW = rsa.generate_private_key(public_exponent=65537, key_size=2048)
DAY = 24 * 3600.0
FLOOD = 10_000


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """What documents grow old by."""
    found = Clock()
    for name, read in (("_key_sets", reading.read_keys), ("_discovered", bearers.read_discovery)):
        monkeypatch.setattr(bearers, name, Documents(read, clock=found, **bearers.LASTING))
    return found


def unavailable(gateway, token: str) -> None:
    response = call(gateway, token)
    assert "cannot be verified right now" in anthropic_error(response, 529, "overloaded_error")
    assert int(response.headers["retry-after"]) == reading.PAUSE_SECONDS


def test_an_issuer_that_was_never_there_is_asked_every_half_minute(gateway, issuer, trusted, clock):
    issuer.pages[JWKS] = (500, b"")
    gateway.refresh()
    for _ in range(5):
        unavailable(gateway, signed(issuer.claims()))
    assert issuer.asked[JWKS] == 1
    issuer.pages[JWKS] = jwks()
    clock.now += reading.PAUSE_SECONDS
    assert call(gateway, signed(issuer.claims())).status_code == 200


def test_known_keys_go_on_for_a_day_without_anybody_waiting(gateway, issuer, trusted, clock):
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    issuer.hanging.add(JWKS)
    clock.now += DAY - 1
    assert call(gateway, signed(issuer.claims(jti="1"))).status_code == 200
    until(lambda: issuer.asked[JWKS] == 2)
    assert call(gateway, signed(issuer.claims(jti="2"))).status_code == 200
    issuer.hanging.clear()
    issuer.released.set()


def test_after_a_day_they_are_too_old(gateway, issuer, trusted, clock):
    gateway.refresh()
    good = signed(issuer.claims())
    assert call(gateway, good).status_code == 200
    issuer.pages[JWKS] = (500, b"")
    clock.now += DAY
    unavailable(gateway, signed(issuer.claims(jti="1")))
    assert call(gateway, good).status_code == 200  # it was verified


@pytest.mark.parametrize(
    "page",
    [
        *((200, b""), (200, b"[]"), (200, b"\xff\xfe"), (200, b"<html>"), (404, b""), (302, b"")),
        (200, b'{"keys": "' + b"x" * MOST_BYTES + b'"}'),
    ],
)
def test_a_failure_never_replaces_good_keys(gateway, issuer, trusted, clock, page):
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    issuer.pages[JWKS] = page
    clock.now += 3600
    for number in range(3):
        assert call(gateway, signed(issuer.claims(jti=str(number)))).status_code == 200
        clock.now += reading.PAUSE_SECONDS


def test_a_new_key_is_taken_up_and_an_old_one_dropped(gateway, issuer, trusted, clock):
    gateway.refresh()
    old = signed(issuer.claims())
    assert call(gateway, old).status_code == 200
    new = signed(issuer.claims(), key=NEW, kid="new")
    issuer.pages[JWKS] = jwks(jwk("rsa", key=NEW, kid="new"))
    clock.now += reading.PAUSE_SECONDS
    assert call(gateway, new).status_code == 200
    refused(gateway, signed(issuer.claims(jti="1")))
    assert issuer.asked[JWKS] == 2


def test_tokens_of_unknown_keys_ask_the_issuer_once(gateway, issuer, trusted, clock):
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    clock.now += reading.PAUSE_SECONDS
    for number in range(50):
        refused(gateway, signed(issuer.claims(), kid=f"k{number}"))
    assert issuer.asked[JWKS] == 2
    assert call(gateway, signed(issuer.claims(jti="1"))).status_code == 200


def test_a_flood_of_key_ids_in_an_outage_asks_twice_a_minute_and_leaves_nothing(
    gateway, issuer, trusted, clock, figure
):
    """Five minutes of it, while the issuer is away; then it comes back with another key."""
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    issuer.pages[JWKS] = (500, b"")
    configuration = gateway.engine.configuration
    claims, signature = (encoded(part) for part in (issuer.claims(), b"x" * 256))

    async def flood(numbers: range) -> int:
        tokens = (f"{encoded({'alg': 'RS256', 'kid': f'k{number}'})}.{claims}.{signature}" for number in numbers)
        asked = [configuration.look_up(token) for token in tokens]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        return sum(isinstance(answer, errors.AuthenticationFailed) for answer in answers)

    refusals, labels = 0, len(list(bearers._refusals.collect()[0].samples))
    for start in range(0, FLOOD, 100):
        clock.now += 300 * 100 / FLOOD
        refusals += gateway.call(flood(range(start, start + 100)))
    assert refusals == FLOOD
    assert call(gateway, signed(issuer.claims(jti="1"))).status_code == 200
    ring = configuration.tokens
    assert sum(map(len, (ring._unknown, ring._loading, ring._digests, ring._principals))) <= 6
    assert len(bearers._key_sets._shelves) == 1
    assert len(list(bearers._refusals.collect()[0].samples)) <= labels + 2
    figure("F23", "questions to the issuer for 10,000 unknown key ids in five minutes", issuer.asked[JWKS] - 1, most=11)
    assert issuer.asked[JWKS] - 1 <= 300 / reading.PAUSE_SECONDS + 1
    issuer.pages[JWKS] = jwks(jwk("rsa", key=NEW, kid="new"))
    clock.now += reading.PAUSE_SECONDS
    assert call(gateway, signed(issuer.claims(), key=NEW, kid="new")).status_code == 200


def test_tokens_of_issuers_that_nobody_trusts_make_nobody_be_asked(gateway, issuer, trusted, clock):
    gateway.refresh()
    with issuing() as stranger:
        for number in range(50):
            refused(gateway, signed(stranger.claims(jti=str(number))))
            refused(gateway, signed(issuer.claims(iss=f"{stranger.url}/{number}"), jku=stranger.url + JWKS))
        assert not stranger.asked
    assert not issuer.asked


def test_whoever_comes_at_once_shares_one_question(gateway, issuer, trusted, clock):
    come = threading.Event()

    def slow(_):
        come.wait()
        return jwks()

    issuer.pages[JWKS] = slow
    gateway.refresh()
    tokens = [signed(issuer.claims(jti=str(number))) for number in range(8)]
    with ThreadPoolExecutor(9) as pool:
        waiting = [pool.submit(call, gateway, token) for token in tokens]
        until(lambda: issuer.asked[JWKS] == 1)
        assert ask(gateway, ANTHROPIC).status_code == 200  # callers with keys wait for nobody
        come.set()
        assert [one.result().status_code for one in waiting] == [200] * 8
    assert issuer.asked[JWKS] == 1


def test_keys_are_where_discovery_says(gateway, issuer, trusted, clock):
    issuers.update_issuer(trusted, actor=None, jwks_url="")
    issuer.pages[DISCOVERY] = document({"issuer": issuer.url, "jwks_uri": issuer.url + "/elsewhere"})
    issuer.pages["/elsewhere"] = jwks()
    gateway.refresh()
    assert call(gateway, signed(issuer.claims())).status_code == 200
    assert (issuer.asked[DISCOVERY], issuer.asked["/elsewhere"], issuer.asked[JWKS]) == (1, 1, 0)


@pytest.mark.parametrize("told", [{"issuer": "http://evil.example"}, {"jwks_uri": 7}, {"jwks_uri": "file:///keys"}])
def test_discovery_that_speaks_of_somebody_else_is_none(gateway, issuer, trusted, clock, told):
    issuers.update_issuer(trusted, actor=None, jwks_url="")
    issuer.pages[DISCOVERY] = document({"issuer": issuer.url, "jwks_uri": issuer.url + JWKS} | told)
    gateway.refresh()
    unavailable(gateway, signed(issuer.claims()))
    assert issuer.asked[JWKS] == 0


def test_keys_at_an_inward_address_are_not_fetched(gateway, issuer, trusted, clock):
    issuers.update_issuer(trusted, actor=None, jwks_url="http://169.254.169.254/latest/meta-data")
    gateway.refresh()
    unavailable(gateway, signed(issuer.claims()))


def stream(gateway, token: str) -> socket.socket:
    body = body_of(ANTHROPIC, model="claude-stall-after-9", change={"stream": True})
    found = socket.create_connection((gateway.host, gateway.port), timeout=30)
    head = f"POST {ANTHROPIC} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: {len(body)}\r\n"
    found.sendall(head.encode() + b"\r\n" + body)
    return found


def test_a_stream_goes_on_when_its_token_ends_and_not_when_its_person_does(
    gateway, world, issuer, trusted, monkeypatch
):
    world.scripted("stall-after-9")
    gateway.refresh()
    claims = issuer.claims()
    token = signed(claims)
    with stream(gateway, token) as raw:
        read_until(raw, b"content_block_delta")
        ended = claims["exp"] + 1000
        monkeypatch.setattr(bearers.clock, "now", lambda: ended)
        refused(gateway, token)
        gateway.refresh()
        raw.setblocking(False)
        with pytest.raises(BlockingIOError):
            raw.recv(1)
        raw.settimeout(30)
        accounts.deactivate(world.ada, actor=None)
        assert b"this API key has stopped working" in rest(raw)
    gateway.settle()
    assert Entry.objects.get().user_id == world.ada.pk
