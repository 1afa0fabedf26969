"""Qdrant: points in a folder of this process's, or on a server. It holds vectors and where their answers are kept; no
text, and no answer.

Its client is synchronous, and in a folder it is no more than a scan: it works in a thread of its own, and whoever asks
does not wait for long. One that fails or is slow is left alone for a while, and nobody is told more than that.
"""

from __future__ import annotations

import fcntl
import importlib.util
import logging
import math
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeVar

from django.conf import settings

from apps.runtime import clock

log = logging.getLogger(__name__)
Result = TypeVar("Result")

MOST_DIMENSIONS = 8_192
MOST_PENDING = 32  # before the thread
REST_SECONDS = 5.0  # after a failure
SERVER_SECONDS = 2  # for one request; whole ones only
_SERVER_THREADS = 4
_PAGE = 500
_TRIMS = 20  # while as many come as there may be
_NEAREST = 3  # of which one may have been dropped by now
_PREFIX = "weir_"


def is_installed() -> bool:
    return importlib.util.find_spec("qdrant_client") is not None


class Point(NamedTuple):
    """`scope`: what all have in common that may be found by each other. `ref`: where its answer is, which is `size`
    bytes. `policy` and its `generation`, and the tenant's, tell what is to be thrown away. Times in unix seconds."""

    id: str
    vector: list[float]
    scope: str
    ref: str
    tenant: int
    model: int
    policy: str
    generation: int
    of_tenant: int
    kept_at: float
    expires: float
    size: int


class Near(NamedTuple):
    """`likeness`: the cosine of the two vectors; `saved` in nano-USD, by `hits`."""

    id: str
    ref: str
    likeness: float
    hits: int
    saved: int


class Generations(NamedTuple):
    """What is not of these has been thrown away: by policy, and by tenant (0 where none is named)."""

    policies: Mapping[str, int]
    tenants: Mapping[int, int]


class Holding(NamedTuple):
    """What is kept of one tenant under one policy, of one model. `size` in bytes of answers; `saved` in nano-USD."""

    tenant: int
    policy: str
    model: int
    count: int
    size: int
    oldest: float
    newest: float
    hits: int
    saved: int


class Vectors:
    """Of one process. Everything but `submit` and what it hands out is for the thread."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._client: Any = None
        self._lock: IO[str] | None = None
        self._sizes: set[int] = set()
        self._guard, self._connecting = threading.Lock(), threading.Lock()
        self._pending = 0
        self._written = 0
        self._rests_until = -math.inf
        self.trouble = ""  # why it keeps nothing, for people

    @property
    def is_open(self) -> bool:
        return self._pool is not None

    @property
    def is_up(self) -> bool:
        """Whether it is worth asking now."""
        return self._client is not None and time.monotonic() >= self._rests_until and self._pending < MOST_PENDING

    def open(self) -> None:
        """Again after a failure, if it is time. Returns at once."""
        if self._pool is None:
            threads = _SERVER_THREADS if settings.WEIR_QDRANT_URL else 1
            self._pool = ThreadPoolExecutor(threads, thread_name_prefix="qdrant")
        if self._client is None and time.monotonic() >= self._rests_until and not self._pending:
            self.submit(lambda: None)

    def close(self) -> None:
        """Waits for what is being done, not for what is to be."""
        if self._pool is None:
            return
        self._pool.shutdown(cancel_futures=True)
        self._shut()
        self._pool, self._rests_until, self.trouble = None, -math.inf, ""

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """For the thread, as soon as it is connected. The future raises whatever `work` does, and a `RuntimeError`."""
        assert self._pool is not None
        with self._guard:
            self._pending += 1
        future = self._pool.submit(self._run, work)
        future.add_done_callback(self._done)
        return future

    def rest(self, why: str) -> None:
        """Leaves it alone for a while."""
        if time.monotonic() >= self._rests_until:
            log.warning("no questions are compared: %s", why)
        self._rests_until, self.trouble = time.monotonic() + REST_SECONDS, why

    def _done(self, _: Future[Any]) -> None:
        with self._guard:
            self._pending -= 1

    def _run(self, work: Callable[[], Result]) -> Result:
        try:
            with self._connecting:
                if self._client is None:
                    self._connect()
            result = work()
            self.trouble = ""
        except Exception as error:
            self.rest(_told(error))
            raise
        return result

    # --- in the thread ------------------------------------------------------------------------------------------------

    def nearest(self, vector: list[float], *, scope: str, tenant: int, threshold: float) -> list[Near]:
        """The likest first. Only among those of the scope: likeness alone never finds anything."""
        from qdrant_client import models

        if not self._is_made(len(vector)):
            return []
        found = self._client.query_points(
            _name(len(vector)),
            query=vector,
            query_filter=models.Filter(must=[_equals("scope", scope), _equals("tenant", tenant)]),
            score_threshold=threshold,
            limit=_NEAREST,
        )
        now = clock.now()
        return [
            Near(str(point.id), payload["ref"], point.score, payload["hits"], payload["saved"])
            for point in found.points
            if (payload := point.payload)["expires"] > now and (payload["scope"], payload["tenant"]) == (scope, tenant)
        ]

    def put(self, point: Point, *, most: int) -> None:
        """`most` points of all tenants together, of vectors of this size."""
        from qdrant_client import models

        self._make(len(point.vector))
        told = {name: value for name, value in point._asdict().items() if name not in ("id", "vector")}
        payload = told | {"hits": 0, "saved": 0}
        self._client.upsert(
            _name(len(point.vector)), [models.PointStruct(id=point.id, vector=point.vector, payload=payload)]
        )
        self._written += 1
        if self._written % max(1, most // _TRIMS) == 0:
            self.sweep(most=most)

    def used(self, near: Near, *, size: int, saved: int) -> None:
        payload = {"hits": near.hits + 1, "saved": near.saved + saved}
        self._client.set_payload(_name(size), payload, points=[near.id])

    def drop(self, ids: list[str], *, size: int) -> None:
        self._client.delete(_name(size), ids)

    def sweep(self, *, most: int, current: Generations | None = None) -> None:
        """Drops what is over, what is not `current` any more, and what is too much: of the tenant with the most
        points what would be over first."""
        now = clock.now()
        self._look()
        for size in tuple(self._sizes):
            gone: list[str] = []
            left: list[tuple[float, str, int]] = []
            for id, told in self._scan(size):
                if told["expires"] <= now or (current is not None and not _is_current(told, current)):
                    gone.append(id)
                else:
                    left.append((told["expires"], id, told["tenant"]))
            gone += _surplus(left, most=most)
            for start in range(0, len(gone), _PAGE):
                self.drop(gone[start : start + _PAGE], size=size)

    def holdings(self) -> list[Holding]:
        sums: dict[tuple[int, str, int], Holding] = {}
        now = clock.now()
        self._look()
        for told in (told for size in tuple(self._sizes) for _, told in self._scan(size) if told["expires"] > now):
            key, at = (told["tenant"], told["policy"], told["model"]), told["kept_at"]
            one = sums.get(key) or Holding(*key, count=0, size=0, oldest=at, newest=at, hits=0, saved=0)
            sums[key] = one._replace(
                count=one.count + 1,
                size=one.size + told["size"],
                oldest=min(one.oldest, at),
                newest=max(one.newest, at),
                hits=one.hits + told["hits"],
                saved=one.saved + told["saved"],
            )
        return sorted(sums.values(), key=lambda one: (-one.count, one[:3]))

    def _scan(self, size: int) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        offset = None
        while True:
            points, offset = self._client.scroll(_name(size), limit=_PAGE, offset=offset, with_payload=True)
            found += [(str(point.id), point.payload) for point in points]
            if offset is None:
                return found

    def _make(self, size: int) -> None:
        """Vectors of another size, by another model, are points of another collection."""
        if self._is_made(size):
            return
        from qdrant_client import models

        name = _name(size)
        vectors = models.VectorParams(size=size, distance=models.Distance.COSINE)
        try:
            self._client.create_collection(name, vectors_config=vectors)
        except Exception:
            if not self._is_made(size):  # else another thread or gateway was quicker
                raise
        if settings.WEIR_QDRANT_URL:  # a folder has none
            for field, kind in (("scope", "keyword"), ("tenant", "integer")):
                self._client.create_payload_index(name, field, models.PayloadSchemaType(kind))
        self._sizes.add(size)

    def _is_made(self, size: int) -> bool:
        """On a server another gateway may have made it meanwhile."""
        if size not in self._sizes and self._client.collection_exists(_name(size)):
            self._sizes.add(size)
        return size in self._sizes

    def _look(self) -> None:
        names = [one.name.partition(_PREFIX) for one in self._client.get_collections().collections]
        self._sizes = {int(size) for before, _, size in names if not before and size.isdigit()}

    # --- where it is --------------------------------------------------------------------------------------------------

    def _connect(self) -> None:
        if not is_installed():
            raise RuntimeError("the package qdrant-client is not installed")
        self._client = _server() if settings.WEIR_QDRANT_URL else self._folder()
        try:
            self._look()
        except Exception:
            self._shut()
            raise

    def _folder(self) -> Any:
        """Without Redis the answers are gone with the process that kept them, and so what led to them. What cannot be
        read is put aside."""
        from qdrant_client import QdrantClient

        folder = Path(settings.VAR_DIR) / "qdrant"
        self._lock = folder.with_suffix(".lock").open("a")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._unlock()
            raise RuntimeError(f"another process has {folder}: several need WEIR_QDRANT_URL") from None
        try:
            if not settings.REDIS_URL:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700, exist_ok=True)
            try:
                return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
            except Exception as error:
                log.warning("%s cannot be read and is put aside: %s", folder, _told(error))
                aside = folder.with_suffix(".broken")
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)
                folder.mkdir(mode=0o700)
                return QdrantClient(path=str(folder), force_disable_check_same_thread=True)
        except BaseException:
            self._unlock()
            raise

    def _shut(self) -> None:
        client, self._client, self._sizes = self._client, None, set()
        try:
            if client is not None:
                client.close()
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


vectors = Vectors()


def _server() -> Any:
    """No proxy that the environment names stands in between; whose certificates are trusted is as with providers. The
    client would warn of a key sent in the clear each
    time it is made; `manage.py check` does."""
    from qdrant_client import QdrantClient

    from apps.outbound.pool import tls_context

    key = settings.WEIR_QDRANT_API_KEY
    return QdrantClient(
        url=settings.WEIR_QDRANT_URL,
        timeout=SERVER_SECONDS,
        check_compatibility=False,
        trust_env=False,
        verify=tls_context(),
        metadata={"api-key": key} if key else {},
    )


def _name(size: int) -> str:
    return f"{_PREFIX}{size}"


def _equals(field: str, value: str | int) -> Any:
    from qdrant_client import models

    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _is_current(told: dict[str, Any], current: Generations) -> bool:
    is_of_policy = current.policies.get(told["policy"]) == told["generation"]
    return is_of_policy and current.tenants.get(told["tenant"], 0) == told["of_tenant"]


def _surplus(points: list[tuple[float, str, int]], *, most: int) -> list[str]:
    """Of (expiry, id, tenant). Who has the most gives up what would be over first, until they fit."""
    counts = Counter(tenant for _, _, tenant in points)
    by_tenant: dict[int, list[str]] = {tenant: [] for tenant in counts}
    for _, id, tenant in sorted(points, reverse=True):
        by_tenant[tenant].append(id)
    gone: list[str] = []
    while len(points) - len(gone) > most:
        tenant, _ = counts.most_common(1)[0]
        counts[tenant] -= 1
        gone.append(by_tenant[tenant].pop())
    return gone


def _told(error: Exception) -> str:
    """One line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
