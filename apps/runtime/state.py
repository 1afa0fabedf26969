"""One object per process. Plain attributes: written from the event loop, read from anywhere."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple


class Resting(NamedTuple):
    """A credential that is set aside until a unix second. `model`: for that upstream model only; "": altogether."""

    provider: str
    credential: str
    model: str
    reason: str
    until: float


class DeploymentStanding(NamedTuple):
    """How a deployment fares in one process. `until` in unix seconds, None unless its breaker is open. `reason`: why it
    last opened. Measured of late, None: nobody knows; `first_token` in seconds. `calls`: the weight of what was.
    `in_flight` None: nothing is counted just now; `most`: the process's share of its room."""

    deployment: int
    provider: str
    model: str
    breaker: str  # "closed", "open", "half_open"
    until: float | None
    reason: str
    first_token: float | None
    tokens_per_second: float | None
    success: float | None
    calls: float
    in_flight: int | None = None
    most: int | None = None
    waiting: int = 0


class Leased(NamedTuple):
    """What a process holds of `budgets` of them, in nano-USD: `spent` and `reserved` for calls in flight are parts of
    `granted` and `credit`, which is of their overdrafts. `is_cut_off`: the database did not answer when asked last."""

    budgets: int
    granted: int
    credit: int
    spent: int
    reserved: int
    is_cut_off: bool


class ProcessState:
    """Gauges of one process. `…_at` are unix seconds, lags and ages seconds; `snapshot_revision` None: none yet."""

    def __init__(self) -> None:
        self.replica = f"{socket.gethostname()}-{os.getpid()}"  # settings may name it
        self.role = "all"  # "gateway", "control"; "worker", "beat": what this process is for
        self.started_at = time.time()
        self.consuming = False  # a worker that takes tasks from the broker
        self.pulse_at: float | None = None  # monotonic: when a worker's loop or the beat's schedule last came round
        self.broker_away_at: float | None = None  # monotonic: when it was last asked and did not answer
        self.unfit = ""  # why it could not start, where an operator can mend that
        self.draining = False
        self.in_flight = 0
        self.draining_calls = 0  # their clients have left; the provider is heard out
        self.drained = 0  # that have been heard out, or long enough
        self.leased: Callable[[], Leased] | None = None  # of a process that spends budgets
        self.snapshot_revision: int | None = None
        self.snapshot_at: float | None = None
        self.journal_lag = 0.0
        self.entries_forwarded = 0  # from the journal to the ledger
        self.forwards_failed = 0  # batches that the ledger could not be given, and will be again
        self.storage_full = False
        self.journals_orphaned = 0  # in this process's folder; unreadable ones too
        self.outcomes_refused = 0  # by the ledger, and kept in the folder's journals
        self.loop_lag = 0.0
        self.ports: dict[int, str] = {}  # of pinned endpoints: "" is open, else why it is not
        self.limiter_shared: bool | None = None  # None: its counters are meant to be this process's own
        self.limits_decided_alone = 0  # that should have been shared
        self.resting: tuple[Resting, ...] = ()  # some of them perhaps no more; replaced whole
        self.cool_downs: Counter[tuple[str, str, str]] = Counter()  # by provider, credential and reason
        self.deployments: tuple[DeploymentStanding, ...] = ()  # that were asked of late; replaced whole
        self.breaker_changes: Counter[tuple[str, str, str]] = Counter()  # by provider, upstream model and new phase
        self.retries: Counter[str] = Counter()  # by model: requests beyond a call's first
        self.retries_unpaid: Counter[str] = Counter()  # by model: what the budget had nothing left for
        self.refused: Counter[str] = Counter()  # by reason: calls that are in no ledger row
        self.standing_shared: bool | None = None  # None: what is known of deployments is this process's own

    def begin_drain(self) -> None:
        """Readiness turns false at once; what runs may finish. Safe in a signal handler."""
        self.draining = True

    @property
    def uptime(self) -> float:
        return time.time() - self.started_at

    @property
    def snapshot_age(self) -> float | None:
        return None if self.snapshot_at is None else max(0.0, time.time() - self.snapshot_at)


state = ProcessState()
