"""Whether a call that failed may be sent once more, to whomever, and after which pause.

A budget pays for every request beyond a call's first that a provider sees. Calls that are answered earn a fifth of one
each, so that however much fails, providers see at most 1.2 times what clients ask, and a burst that a breaker needs to
open: with three deployments of which two fail, 20 failures at each, 40 requests. Calls that fail earn nothing: where
all do, what is spent is the burst. A gateway that hardly anybody uses earns a little by time, as its breakers never
see the calls that they need. After Finagle's RetryBudget and gRPC's retry throttling.
https://twitter.github.io/finagle/guide/Clients.html#retries
https://github.com/grpc/proposal/blob/master/A6-client-retries.md#throttling-retry-attempts-and-hedged-rpcs

Pauses have full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

RATIO = 0.2
BURST = 50.0  # to begin with
MOST = 100.0
PER_SECOND = 1.0
FLOOR = 10.0  # up to which time earns

PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 2.0
# No caller is kept waiting longer for a provider that names a time.
LONGEST_WAIT_SECONDS = 5.0


class Budget:
    """Times are seconds of the caller's clock. `exhausted`: how often it had nothing to spend."""

    __slots__ = ("_at", "exhausted", "left", "spent")

    def __init__(self, now: float) -> None:
        self.left = BURST
        self._at = now
        self.spent = self.exhausted = 0

    def earn(self) -> None:
        """A call has been answered."""
        if self.left < MOST:
            self.left += RATIO

    def spend(self, now: float) -> bool:
        """Pays for one more request; False: it cannot."""
        if self.left < FLOOR:
            self.left = min(FLOOR, self.left + (now - self._at) * PER_SECOND)
        self._at = now
        if self.left < 1.0:
            self.exhausted += 1
            return False
        self.left -= 1.0
        self.spent += 1
        return True


def pause(tried: int, *, told: float | None, dice: float) -> float | None:
    """Seconds before the same deployment is asked again that has been `tried` times; `told` is its `Retry-After`, and
    `dice` in [0, 1). None: so long that nobody should wait for it."""
    jitter = dice * min(LONGEST_PAUSE_SECONDS, PAUSE_SECONDS * 2.0 ** min(tried, 16))
    if told is None:
        return jitter
    return told + jitter if told <= LONGEST_WAIT_SECONDS else None
