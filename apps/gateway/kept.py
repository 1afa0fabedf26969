"""Answers that may be given again, by the key of their question: in this process, or in Redis for all of them.

In Redis they are sealed (AES-256-GCM) by names from which no question can be told, each tenant's under a key of its
own: the installation's secret and one in the tenant's row make it, and without that row they never open again. Nobody
waits for Redis: while it does not answer at once nothing is kept and nothing is found.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import math
import os
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings

from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.runtime import clock

log = logging.getLogger(__name__)

DEADLINE_SECONDS = 0.01  # which a call may lose to a slow server, once
LONG_SECONDS = 1.0  # for the rest of one that is long
CONNECT_SECONDS = 2.0
PROBE_SECONDS = (0.2, 1.0, 5.0)
MOST_WRITES = 64  # under way at a time
QUIET_SECONDS = 60.0  # after it was told what is wrong with it
_ROOM = 512  # bytes that an answer takes beside its own: its names, and its places in the books
_SMALL = 512  # bytes that are not worth packing
_LARGE = 256 * 1024  # and that are packed in 2 ms; more wait for a thread
_AT_ONCE = 64 * 1024  # bytes that come within the deadline
_NONCE = 12
_MOST_SEALS = 10_000
_PREFIX = "weir:{kept}:"
_BOOKS = tuple(_PREFIX + name for name in ("by expiry", "sizes", "sum"))
_SCRIPT = Path(__file__).with_name("keep.lua").read_text(encoding="utf-8")


class Key(NamedTuple):
    """Where an answer is kept: by the digest of its question, sealed with its tenant's secret."""

    question: bytes
    secret: bytes


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """Of the call that paid: who answered it, and what that cost in nano-USD."""

    request_id: str
    provider_id: int
    deployment_id: int
    upstream_model: str
    upstream_protocol: str
    stop_reason: str
    usage: TokenUsage
    cost: int
    card: PriceCard | None


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """What its client got, as it got it. `kept_at` in unix seconds; `tells_usage`: the stream's last frame does."""

    origin: Origin
    kept_at: float
    is_stream: bool
    tells_usage: bool
    body: bytes
    is_packed: bool

    @property
    def age(self) -> float:
        return max(0.0, clock.now() - self.kept_at)

    def text(self) -> bytes:
        return zlib.decompress(self.body) if self.is_packed else self.body


def answer(text: bytes, *, origin: Origin, is_stream: bool, tells_usage: bool) -> Answer:
    """A large one still to be `packed`."""
    is_packed = _SMALL < len(text) <= _LARGE
    body = zlib.compress(text, 1) if is_packed else text
    return Answer(origin, clock.now(), is_stream, tells_usage, body, is_packed)


async def packed(kept: Answer) -> Answer:
    if kept.is_packed or len(kept.body) <= _SMALL:
        return kept
    body = await asyncio.to_thread(zlib.compress, kept.body, 1)
    return msgspec.structs.replace(kept, body=body, is_packed=True)


async def unpacked(kept: Answer) -> bytes:
    return kept.text() if len(kept.body) <= _LARGE else await asyncio.to_thread(kept.text)


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Answer).decode


# Another version of these shapes has other names in Redis, so that neither meets what it cannot read.
_SHAPE = hashlib.sha256(msgspec.json.encode(msgspec.json.schema(Answer), order="sorted")).digest()


class Away(Exception):
    """Nobody can say now whether an answer is kept."""


class Store(Protocol):
    @property
    def is_up(self) -> bool:
        """Whether it keeps anything now."""

    def start(self) -> None: ...

    async def get(self, key: Key) -> Answer | None:
        """Raises Away, and nothing else."""

    async def put(self, key: Key, kept: Answer, *, ttl: float) -> bool:
        """Whether it is kept. Nothing is raised: what is not is asked for again."""

    async def close(self) -> None: ...


def make_store() -> Store:
    most = settings.WEIR_CACHE_MB * 1024 * 1024
    return Shared(settings.REDIS_URL, secret=settings.SECRET_KEY, most=most) if settings.REDIS_URL else Local(most=most)


class Local:
    """In this process; what was asked for longest ago goes first. `most` bytes."""

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._size = 0
        self._answers: OrderedDict[Key, tuple[bytes, float]] = OrderedDict()
        self.is_up = True

    def start(self) -> None:
        pass

    async def close(self) -> None:
        self._answers.clear()
        self._size = 0

    async def get(self, key: Key) -> Answer | None:
        found = self._answers.get(key)
        if found is None:
            return None
        written, expires = found
        if clock.now() >= expires:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return _decode(written)

    async def put(self, key: Key, kept: Answer, *, ttl: float) -> bool:
        written = _encode(kept)
        self._drop(key)
        if len(written) + _ROOM > self._most:
            return False
        self._answers[key] = (written, clock.now() + ttl)
        self._size += len(written) + _ROOM
        while self._size > self._most:
            self._drop(next(iter(self._answers)))
        return True

    def _drop(self, key: Key) -> None:
        if (gone := self._answers.pop(key, None)) is not None:
            self._size -= len(gone[0]) + _ROOM


class Shared:
    """In Redis. `most` bytes of all processes together; `secret` seals, with each tenant's own."""

    def __init__(self, url: str, *, secret: str, most: int, deadline: float | None = None) -> None:
        import redis.asyncio as redis  # 15 MB that a process without a Redis need not hold
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError, ResponseError

        self._faults = (RedisError, OSError, TimeoutError)
        self._refusal = ResponseError  # of a server that is there
        self._redis = redis.Redis.from_url(
            url,
            protocol=2,
            socket_timeout=CONNECT_SECONDS,
            socket_connect_timeout=CONNECT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=64,
        )
        self._keep = self._redis.register_script(_SCRIPT)
        self._most = most
        self._deadline = deadline or DEADLINE_SECONDS
        self._naming = _derived(secret, purpose=f"names of tenants' kept answers {_SHAPE.hex()}")
        self._secret = secret
        self._seals: dict[bytes, AESGCM] = {}  # by the tenant's secret
        self._writes = 0
        self._probing: asyncio.Task[None] | None = None
        self._is_closing = False
        self._quiet_until = -math.inf
        self.is_up = False

    def start(self) -> None:
        self._probing = asyncio.create_task(self._probe())

    async def close(self) -> None:
        self._is_closing = True
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._redis.aclose()

    async def get(self, key: Key) -> Answer | None:
        if not self.is_up:
            raise Away
        loop = asyncio.get_running_loop()
        due = loop.time() + self._deadline
        name = self._name(key)
        try:
            async with asyncio.timeout_at(due):
                sealed = await self._redis.getrange(name, 0, _AT_ONCE - 1)
            if len(sealed) == _AT_ONCE:
                due = loop.time() + LONG_SECONDS
                async with asyncio.timeout_at(due):
                    sealed = await self._redis.get(name) or b""
        except self._refusal as error:
            self._complain(f"one cannot be read: {error}")
            return None
        except TimeoutError as error:
            if loop.time() - due < self._deadline:  # else it was the loop that was late
                self._go_down(error)
            raise Away from error
        except self._faults as error:
            self._go_down(error)
            raise Away from error
        return self._opened(sealed, name=name, secret=key.secret) if isinstance(sealed, bytes) and sealed else None

    async def put(self, key: Key, kept: Answer, *, ttl: float) -> bool:
        if not self.is_up or self._writes >= MOST_WRITES:
            return False
        name, nonce = self._name(key), os.urandom(_NONCE)
        sealed = nonce + self._seal(key.secret).encrypt(nonce, _encode(kept), name.encode())
        size = len(sealed) + _ROOM
        if size > self._most:
            return False
        self._writes += 1
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._keep(keys=[name, *_BOOKS], args=[sealed, max(1, int(ttl * 1000)), size, self._most])
        except self._refusal as error:  # its memory is full, say
            self._complain(f"one cannot be kept: {error}")
        except self._faults as error:
            self._go_down(error)
        else:
            return True
        finally:
            self._writes -= 1
        return False

    def _seal(self, secret: bytes) -> AESGCM:
        found = self._seals.get(secret)
        if found is None:
            if len(self._seals) >= _MOST_SEALS:
                self._seals.clear()
            found = AESGCM(_derived(self._secret, purpose=f"kept answers of a tenant {secret.hex()}"))
            self._seals[secret] = found
        return found

    def _name(self, key: Key) -> str:
        return _PREFIX + hashlib.blake2b(key.question, key=self._naming, digest_size=32).hexdigest()

    def _opened(self, sealed: bytes, *, name: str, secret: bytes) -> Answer | None:
        """None for what somebody else has put there."""
        try:
            return _decode(self._seal(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], name.encode()))
        except (InvalidTag, ValueError, msgspec.MsgspecError):
            self._complain("one is not as it was written")
            return None

    def _complain(self, why: str) -> None:
        """Of what concerns one answer. Not of each: somebody may see to it that there are many."""
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            log.warning("of the kept answers %s", why)

    def _go_down(self, error: Exception) -> None:
        self.is_up = False
        if (self._probing is None or self._probing.done()) and not self._is_closing:
            log.warning("no answers are kept: %s", str(error) or type(error).__name__)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Has time to connect; then the server must be quick."""
        tries = 0
        while not (self.is_up or self._is_closing):  # the client can swallow a cancel
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    await self._redis.ping()
                async with asyncio.timeout(self._deadline):
                    await self._redis.ping()
                self.is_up = True
            except self._faults:
                if self._is_closing:
                    return
                await asyncio.sleep(PROBE_SECONDS[min(tries, len(PROBE_SECONDS) - 1)])
                tries += 1


def _derived(secret: str, *, purpose: str) -> bytes:
    return hmac.digest(secret.encode(), purpose.encode(), hashlib.sha256)
