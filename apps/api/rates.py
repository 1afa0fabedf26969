"""How often somebody asks, by the minute: counted in Redis for all processes, else in this one."""

from __future__ import annotations

import threading
import time
from collections import Counter

import structlog
from django.conf import settings

from apps.runtime import standings

REQUESTS = 600  # a minute, of one token or one session's user
REFUSALS = 20  # a minute, from one address
MINUTE = 60
log = structlog.get_logger(__name__)
_lock = threading.Lock()
_counted: Counter[str] = Counter()
_minute = 0


def over(kind: str, who: str, *, most: int) -> int:
    """Counts one more. Seconds to wait where that is too many; 0: it is not."""
    now = time.time()
    minute = int(now) // MINUTE
    name = f"weir:api:{kind}:{who}:{minute}"
    count = _shared(name) if settings.REDIS_URL else _own(name, minute)
    return MINUTE - int(now) % MINUTE if count > most else 0


def _shared(name: str) -> int:
    """By itself where Redis is away: who manages things then must not be locked out."""
    from redis import RedisError  # 15 MB that a process without a Redis need not hold

    try:
        line = standings.client(settings.REDIS_URL).pipeline(transaction=False)
        count, _ = line.incr(name).expire(name, 2 * MINUTE).execute()
        return int(count)
    except RedisError as error:
        log.warning("api.rates_uncounted", reason=type(error).__name__)
        return _own(name, int(name.rpartition(":")[2]))


def _own(name: str, minute: int) -> int:
    global _minute
    with _lock:
        if minute != _minute:
            _counted.clear()
            _minute = minute
        _counted[name] += 1
        return _counted[name]


def forget() -> None:
    with _lock:
        _counted.clear()
