"""When each alert of deploy/monitoring fires, and when it does not: series in promtool's notation, one value a minute,
and the minute at which it is looked. There time begins at the epoch."""

from __future__ import annotations

from typing import NamedTuple

DAY = 24 * 60


class Case(NamedTuple):
    fires: dict[str, str]
    silent: dict[str, str]
    minute: int = 30


def always(metric: str, fires: str, silent: str, *, minute: int = 30) -> Case:
    """A gauge that keeps a value."""
    return Case({metric: f"{fires}x{minute}"}, {metric: f"{silent}x{minute}"}, minute)


def grows(metric: str, fires: str, silent: str = "0", *, minute: int = 40) -> Case:
    """A counter, by so much a minute."""
    return Case({metric: f"0+{fires}x{minute}"}, {metric: f"0+{silent}x{minute}"}, minute)


def _failed(share: str, *, minute: int) -> dict[str, str]:
    """Of a hundred calls a minute."""
    calls = 'weir_calls_total{outcome="%s", fault="%s"}'
    return {calls % ("ok", "none"): f"0+100x{minute}", calls % ("timeout", "provider"): f"0+{share}x{minute}"}


def _slow(metric: str, bound: str, share: int, *, minute: int) -> dict[str, str]:
    """Of a hundred a minute."""
    quick = {f'{metric}_bucket{{le="{bound}"}}': f"0+{100 - share}x{minute}"}
    return quick | {f"{metric}_count{{}}": f"0+100x{minute}"}


def _burns(metric: str, bound: str, *, fast: int, slow: int) -> tuple[Case, Case]:
    most = {"fast": (fast, 0, 120), "slow": (slow, 0, 240)}
    made = [
        Case(_slow(metric, bound, fires, minute=minute), _slow(metric, bound, silent, minute=minute), minute)
        for fires, silent, minute in most.values()
    ]
    return made[0], made[1]


_overhead = _burns("weir_overhead_seconds", "0.025", fast=20, slow=5)
_first = _burns("weir_time_to_first_token_seconds", "10.0", fast=80, slow=20)
_fails = 'weir_upstream_requests_total{provider="one", outcome="%s"}'
_waits = 'weir_queue_wait_seconds_bucket{provider="one", model="m", le="%s"}'

_verified = 'weir_ledger_verified_timestamp_seconds{check="%s"}'


def _there(minute: int) -> dict[str, str]:
    """Processes that reach their database."""
    return {"weir_build_info{}": f"1x{minute}", 'weir_check_ok{check="database"}': f"1x{minute}"}


CASES: dict[str, Case] = {
    "WeirAvailabilityBurnsFast": Case(_failed("20", minute=120), _failed("0", minute=120), 120),
    "WeirAvailabilityBurnsSlowly": Case(_failed("3", minute=240), _failed("0.1", minute=240), 240),
    "WeirOverheadBurnsFast": _overhead[0],
    "WeirOverheadBurnsSlowly": _overhead[1],
    "WeirFirstTokenBurnsFast": _first[0],
    "WeirFirstTokenBurnsSlowly": _first[1],
    "WeirLedgerWrong": always('weir_ledger_invariant_violations{check="quick"}', "1", "0"),
    "WeirLedgerUnverified": Case(
        {_verified % "quick": "0x240", _verified % "full": "0x240", **_there(240)},
        {_verified % "quick": "0+60x240", **_there(240)},
        240,
    ),
    "WeirLedgerBehind": always('weir_journal_lag_seconds{replica="a"}', "400", "2"),
    "WeirLedgerUnwritable": grows('weir_journal_forward_failures_total{replica="a"}', "6", "0.2"),
    "WeirJournalRefused": always('weir_journal_refused{replica="a"}', "1", "0"),
    "WeirJournalOrphaned": always('weir_journals_orphaned{replica="a"}', "1", "0", minute=60),
    "WeirUnconfirmedGrows": Case(
        {'weir_usage_unconfirmed{tenant="acme"}': "_x360 50x60", "weir_ledger_gap_usd{}": "0x420"},
        {'weir_usage_unconfirmed{tenant="acme"}': "50x360 60x60", "weir_ledger_gap_usd{}": "0x420"},
        420,
    ),
    "WeirLedgerGap": always("weir_ledger_gap_usd{}", "0.5", "0"),
    "WeirOverrunGrows": Case(
        {"weir_usage_overrun_total{}": f"1x{DAY} 30x60"}, {"weir_usage_overrun_total{}": f"1x{DAY} 2x60"}, DAY + 60
    ),
    "WeirLeasesCutOff": always('weir_lease_database_away{replica="a"}', "1", "0"),
    "WeirNoGateway": always('up{job="weir-gateway", instance="a"}', "0", "1"),
    "WeirTargetDown": always('up{job="weir-control", instance="a"}', "0", "1"),
    "WeirDatabaseAway": always('weir_check_ok{replica="a", check="database"}', "0", "1"),
    "WeirRedisAway": always('weir_limiter_shared{replica="a"}', "0", "1"),
    "WeirSnapshotStale": always('weir_snapshot_age_seconds{replica="a"}', "200", "1"),
    "WeirStorageFull": always('weir_storage_full{replica="a"}', "1", "0"),
    "WeirLoopLags": always('weir_loop_lag_seconds{replica="a"}', "0.3", "0.01"),
    "WeirClockAhead": always('weir_clock_ahead_seconds{replica="a"}', "-9", "0.3"),
    "WeirPortsFailed": always('weir_ports_failed{replica="a"}', "1", "0"),
    "WeirFilesRunOut": Case(
        {'process_open_fds{job="weir-gateway"}': "900x30", 'process_max_fds{job="weir-gateway"}': "1000x30"},
        {'process_open_fds{job="weir-gateway"}': "90x30", 'process_max_fds{job="weir-gateway"}': "1000x30"},
    ),
    "WeirInternalErrors": grows('weir_calls_total{fault="gateway", outcome="api"}', "1"),
    "WeirVersionsDiffer": Case(
        {'weir_build_info{version="1"}': "1x150", 'weir_build_info{version="2"}': "1x150"},
        {'weir_build_info{version="1"}': "1x20 _x130", 'weir_build_info{version="2"}': "1x150"},
        150,
    ),
    "WeirLabelsCapped": grows('weir_labels_capped_total{metric="weir_calls"}', "1"),
    "WeirAllProvidersDown": Case(
        {'weir_provider_up{provider="one"}': "0x30", 'weir_provider_up{provider="two"}': "0x30"},
        {'weir_provider_up{provider="one"}': "0x30", 'weir_provider_up{provider="two"}': "1x30"},
    ),
    "WeirProviderDown": always('weir_provider_up{provider="one"}', "0", "1"),
    "WeirProvidersUnchecked": always('weir_provider_check_overdue{provider="one"}', "1", "0"),
    "WeirBreakerOpen": always('weir_breaker_state{provider="one", model="m"}', "2", "1"),
    "WeirProviderFails": Case(
        {_fails % "timeout": "0+10x40", _fails % "ok": "0+10x40"},
        {_fails % "refused": "0+10x40", _fails % "ok": "0+10x40"},
    ),
    "WeirCredentialRefused": grows(_fails % "auth", "1"),
    "WeirQueueLong": Case(
        {_waits % "1.0": "0x40", _waits % "60.0": "0+9x40", _waits % "+Inf": "0+9x40"},
        {_waits % "1.0": "0+9x40", _waits % "60.0": "0+9x40", _waits % "+Inf": "0+9x40"},
    ),
    "WeirQueueRefuses": grows('weir_queue_refusals_total{provider="one", model="m", reason="full"}', "30", "1"),
    "WeirWorkerAway": always('up{job="weir-worker", instance="a"}', "0", "1"),
    "WeirBeatAway": always('up{job="weir-beat", instance="a"}', "0", "1"),
    "WeirChoresLate": always('weir_periodic_task_late_seconds{task="a.b"}', "1000", "200"),
    "WeirTasksWait": always('weir_tasks_waiting{queue="celery"}', "300", "3"),
    "WeirTaskFails": grows('weir_tasks_total{task="a.b", outcome="failure"}', "1"),
    "WeirRollupLate": always("weir_rollup_lag_seconds{}", "4000", "200"),
    "WeirOutboxBehind": always('weir_outbox_oldest_seconds{sink="queue"}', "900", "2"),
    "WeirDeadLetters": always('weir_outbox_dead_letters{sink="queue"}', "1", "0"),
    "WeirCertificateEnds": Case(
        {'probe_ssl_earliest_cert_expiry{job="weir-tls"}': f"{86400 * 10}x120"},
        {'probe_ssl_earliest_cert_expiry{job="weir-tls"}': f"{86400 * 60}x120"},
        120,
    ),
}

# More of some alerts: what was told wrongly once.
OTHERS: tuple[tuple[str, Case], ...] = (
    # Never checked: a new installation may take its first hours, an old one may not.
    ("WeirLedgerUnverified", Case(_there(240), _there(120), 200)),
    ("WeirLedgerUnverified", Case(_there(2300) | {_verified % "quick": "0+60x2300"}, {}, 2280)),
    # While the database is away nobody tells of checks, and that has an alert of its own.
    (
        "WeirLedgerUnverified",
        Case(
            _there(240),
            {
                "weir_build_info{}": "1x240",
                'weir_check_ok{check="database"}': "0x240",
                'weir_check_ok{check="disk"}': "1x240",
            },
            200,
        ),
    ),
    # A Prometheus that is new does not know what there was six hours ago.
    (
        "WeirUnconfirmedGrows",
        Case(
            {'weir_usage_unconfirmed{tenant="acme"}': "5x360 50x60"},
            {'weir_usage_unconfirmed{tenant="acme"}': "_x360 50x60"},
            420,
        ),
    ),
    # One that is asked every hour is overdue later than others.
    (
        "WeirProvidersUnchecked",
        Case(
            {
                'weir_provider_check_overdue{provider="one"}': "0x60",
                'weir_provider_check_overdue{provider="two"}': "1x60",
            },
            {'weir_provider_checked_timestamp_seconds{provider="one"}': "0x60"},
            60,
        ),
    ),
)
