"""What the dashboards show of Weir itself: whether its books hold, and how its processes fare."""

from __future__ import annotations

from deploy.monitoring.build import BLUE, GREEN, RED, YELLOW, Dashboard, Row, line, stat
from deploy.monitoring.words import HERE, INSTALLED, INSTANCE, JOB, NAMESPACE, RATE, greatest, quantile, rate, total

_OF_TASKS = INSTALLED + ', task!=""'
_WRONG = ((None, GREEN), (1.0, RED))

_BOOKS_NOW = (
    stat(
        "Violations",
        "Promises about money that did not hold when the books were last checked.",
        greatest("weir_ledger_invariant_violations"),
        steps=_WRONG,
        incident="WeirLedgerWrong",
    ),
    stat(
        "Last check",
        "Since the books were last checked, quickly or fully.",
        f"time() - {greatest('weir_ledger_verified_timestamp_seconds')}",
        "s",
        steps=((None, GREEN), (7200, YELLOW), (10800, RED)),
        incident="WeirLedgerUnverified",
    ),
    stat(
        "Journal lag",
        "Age of the oldest outcome that the ledger lacks, in the process that is furthest behind.",
        greatest("weir_journal_lag_seconds", where=HERE),
        "s",
        steps=((None, GREEN), (30, YELLOW), (300, RED)),
        incident="WeirLedgerBehind",
    ),
    stat(
        "Unconfirmed",
        "Calls whose cost nobody knows yet.",
        f"sum({greatest('weir_usage_unconfirmed', 'tenant')}) or vector(0)",
        steps=((None, GREEN), (10, YELLOW), (100, RED)),
        incident="WeirUnconfirmedGrows",
    ),
    stat(
        "Gap",
        "What may have been spent beside all that is recorded.",
        greatest("weir_ledger_gap_usd"),
        "currencyUSD",
        steps=((None, GREEN), (0.01, RED)),
        incident="WeirLedgerGap",
    ),
    stat(
        "Refused by the ledger",
        "Outcomes that stay in journals as the ledger does not take them, and journals that nobody reads.",
        f"{total('weir_journal_refused')} + {total('weir_journals_orphaned')}",
        steps=_WRONG,
        incident="WeirJournalRefused",
    ),
)
ACCOUNTING = Dashboard(
    "weir-accounting",
    "Weir / Accounting health",
    "Whether what is promised of money holds: the way from journal to ledger, the books, what is in doubt.",
    (NAMESPACE, JOB, INSTANCE),
    (
        Row(4, _BOOKS_NOW),
        Row(
            8,
            (
                line(
                    "Journal lag",
                    "Of each process.",
                    {"{{replica}}": greatest("weir_journal_lag_seconds", "replica", HERE)},
                    "s",
                    steps=((None, GREEN), (300, RED)),
                    incident="WeirLedgerBehind",
                ),
                line(
                    "From journal to ledger",
                    "Outcomes a second, and batches that failed and will be tried again.",
                    {
                        "forwarded": rate("weir_journal_forwarded_total"),
                        "failed": rate("weir_journal_forward_failures_total"),
                    },
                    "ops",
                    incident="WeirLedgerUnwritable",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Unconfirmed by tenant",
                    "Calls whose cost nobody knows yet.",
                    {"{{tenant}}": greatest("weir_usage_unconfirmed", "tenant")},
                    stacked=True,
                    incident="WeirUnconfirmedGrows",
                ),
                line(
                    "Beyond what was reserved",
                    "US dollars booked beyond reservations since the beginning: steps are providers that ignore a cap.",
                    {"overrun": greatest("weir_usage_overrun_total")},
                    "currencyUSD",
                    incident="WeirOverrunGrows",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Events on their way",
                    "Age of the oldest event that a sink lacks.",
                    {"{{sink}}": greatest("weir_outbox_oldest_seconds", "sink")},
                    "s",
                    steps=((None, GREEN), (600, RED)),
                    incident="WeirOutboxBehind",
                ),
                line(
                    "Hourly sums",
                    "How far they are behind the ledger's newest entry.",
                    {"behind": greatest("weir_rollup_lag_seconds")},
                    "s",
                    steps=((None, GREEN), (1800, RED)),
                    incident="WeirRollupLate",
                ),
                line(
                    "Stores",
                    "How long the checks of database and Redis take, by process.",
                    {"{{check}} {{replica}}": f'weir_check_seconds{{{HERE}, check=~"database|redis"}}'},
                    "s",
                    incident="WeirDatabaseAway",
                ),
            ),
        ),
    ),
)

_BACKGROUND_NOW = (
    stat(
        "Processes",
        "That answer Prometheus.",
        total("up", where=f'{INSTALLED}, job=~"$job"'),
        steps=((None, RED), (1, GREEN)),
        incident="WeirTargetDown",
    ),
    stat(
        "Chores late",
        "The longest that one has been due without being sent to the worker.",
        greatest("weir_periodic_task_late_seconds"),
        "s",
        steps=((None, GREEN), (300, YELLOW), (900, RED)),
        incident="WeirChoresLate",
    ),
    stat(
        "Tasks waiting",
        "At the broker, for a worker.",
        f"sum({greatest('weir_tasks_waiting', 'queue')})",
        steps=((None, GREEN), (50, YELLOW), (200, RED)),
        incident="WeirTasksWait",
    ),
    stat("Tasks running", "In all workers.", total("weir_tasks_running", where=INSTALLED), steps=((None, BLUE),)),
)
BACKGROUND = Dashboard(
    "weir-workers",
    "Weir / Workers and processes",
    "What is done in the background, and how every process fares.",
    (NAMESPACE, JOB, INSTANCE),
    (
        Row(4, _BACKGROUND_NOW),
        Row(
            8,
            (
                line(
                    "Tasks",
                    "That ended, by name and outcome.",
                    {
                        "{{task}}: {{outcome}}": "sum by (task, outcome)"
                        f" (increase(weir_tasks_total{{{INSTALLED}}}[{RATE}]))",
                    },
                    stacked=True,
                    incident="WeirTaskFails",
                ),
                line(
                    "How long tasks take",
                    "Nineteen of twenty, by name.",
                    {"{{task}}": quantile(0.95, "weir_task_duration_seconds", "task", _OF_TASKS)},
                    "s",
                ),
                line(
                    "How long tasks wait",
                    "From sending to beginning: nineteen of twenty.",
                    {"p95": quantile(0.95, "weir_task_queue_seconds", where=_OF_TASKS)},
                    "s",
                    incident="WeirTasksWait",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Since the last good end",
                    "Of each task.",
                    {"{{task}}": f"time() - {greatest('weir_task_last_success_timestamp_seconds', 'task')}"},
                    "s",
                ),
                line(
                    "Event loops",
                    "How late each process's loop ran its last tick.",
                    {"{{replica}}": greatest("weir_loop_lag_seconds", "replica", HERE)},
                    "s",
                    steps=((None, GREEN), (0.1, RED)),
                    incident="WeirLoopLags",
                ),
                line(
                    "Configuration",
                    "Its age in each process; it is asked for every second.",
                    {"{{replica}}": greatest("weir_snapshot_age_seconds", "replica", HERE)},
                    "s",
                    steps=((None, GREEN), (120, RED)),
                    incident="WeirSnapshotStale",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Memory",
                    "Resident, by process.",
                    {"{{job}} {{instance}}": f"process_resident_memory_bytes{{{HERE}}}"},
                    "bytes",
                ),
                line(
                    "Processor",
                    "Cores, by process.",
                    {"{{job}} {{instance}}": f"rate(process_cpu_seconds_total{{{HERE}}}[{RATE}])"},
                ),
            ),
        ),
    ),
)
