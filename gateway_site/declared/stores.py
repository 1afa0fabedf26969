"""Where things lie, how long they are kept, and what is secret."""

from __future__ import annotations

from gateway_site.declared.setting import Section, Setting

PLACES = (
    Setting(
        "WEIR_PROFILE",
        "`production` refuses every default that suits one machine only",
        kind="`embedded` or `production`",
    ),
    Setting(
        "WEIR_VAR",
        "Everything a process writes: database, journal, broker, secrets, logs",
        default="`var/` in the clone",
    ),
    Setting(
        "WEIR_JOURNAL_DIR",
        "The journals of the gateway processes; must survive a restart",
        default="`journal` in `WEIR_VAR`",
    ),
    Setting(
        "WEIR_STATIC_DIR",
        "Where `collectstatic` puts the files of pages, and pages have them from",
        default="`static` in `WEIR_VAR`",
    ),
    Setting(
        "DATABASE_URL",
        "`postgres://user:password@host/name`",
        default="SQLite in `WEIR_VAR`",
    ),
    Setting(
        "WEIR_STATEMENT_SECONDS",
        """PostgreSQL ends a statement after so many seconds, and a transaction that idles after twice as many. 0:
        never. See [below](#postgresql)""",
    ),
    Setting(
        "WEIR_SECOND_WALL",
        """PostgreSQL itself keeps the rows of other tenants from what is asked for a member
        ([how](security.md#a-second-wall-between-tenants)), unless a pooler stands before it. `1`, said: behind one that
        keeps a connection for a session, too. See [below](#postgresql)""",
    ),
    Setting(
        "REDIS_URL",
        "Limits, channel layer and broker of several processes. Without it only one gateway may run",
    ),
    Setting(
        "CELERY_BROKER_URL",
        "The worker's broker",
        default="`REDIS_URL`, else a folder",
    ),
    Setting(
        "WEIR_QDRANT_URL",
        """The Qdrant server on which [questions are compared](caching.md#questions-that-mean-the-same),
        `https://qdrant.example:6333`. Several gateways need one""",
        default="a folder in `WEIR_VAR`",
    ),
    Setting(
        "WEIR_EVENT_FOLDERS",
        "Folders below which events may be written to files",
        default="`events` in `WEIR_VAR`",
    ),
    Setting(
        "WEIR_REPLICA",
        "What this process is called in logs and leases",
        default="host name and process id",
    ),
    Setting(
        "WEIR_REVISION",
        "Of what revision of the code this is, for `weir_build_info`; the image says it",
    ),
    Setting(
        "WEIR_PROBE_PORT",
        """Where a worker or beat (`python -m gateway_site.worker`, `…beat`) answers `/health/live`, `/health/ready` and
        `/metrics`, on all addresses. 0: nowhere""",
    ),
    Setting(
        "WEIR_ROLE",
        """What a process of `python -m gateway_site.server` serves, unless `--role` says it: `gateway` the calls,
        `control` admin, portal and management API, `all` both""",
    ),
    Setting("PORT", "Where `make run` serves"),
)
KEEPING = (
    Setting(
        "WEIR_DURABILITY",
        """What is promised survives a killed process. `power`: a power cut too; journal and SQLite then wait for the
        disk with every group of calls""",
    ),
    Setting(
        "WEIR_FIRST_BYTE_GATE",
        """`database`: a client gets the first byte of an answer when the database, too, knows that the call runs. Then
        a host may be lost with its disk, and every call whose caller had a byte is in the ledger all the same.
        Costs nothing where the model takes longer than a write, else up to 20 ms. See
        [production](production.md#when-a-host-is-lost)""",
    ),
    Setting(
        "WEIR_BALLAST_MB",
        """Room that each gateway process keeps back beside its journal, to write down what runs when the disk is full.
        With less than twice as much free, new calls are refused. 0: none. See [below](#a-full-disk)""",
    ),
    Setting(
        "WEIR_CACHE_MB",
        """What [kept answers](caching.md) may take: of the process's memory, or, with `REDIS_URL`, in Redis of all
        processes together. 0 keeps none""",
    ),
    Setting(
        "WEIR_QDRANT_ENTRIES",
        """So many questions are remembered to be compared, of all tenants together. In a folder each comparison takes
        about 30 ms for every 1000""",
        default="1000 (with a server: 20000)",
    ),
    Setting(
        "WEIR_RETENTION_MONTHS",
        """So many months beside the present one the ledger keeps row by row; of older ones totals stay, see
        [production](production.md#old-months). 0: all of them""",
    ),
    Setting("WEIR_HEALTH_DAYS", "How long what came of [health checks](health.md) is kept, one by one"),
    Setting(
        "WEIR_INTERVENTION_DAYS",
        """How long it is kept, call by call, what [policies](policies.md#what-they-did-call-by-call) refused, routed,
        masked or ended""",
    ),
    Setting(
        "WEIR_EVENT_DAYS",
        """How long events can be sent again, and how long they are kept for a sink that is disabled""",
    ),
)
SECRETS = (
    Setting("WEIR_SECRET_KEY", "Django's: signs sessions and forms. Changing it signs everybody out"),
    Setting(
        "WEIR_KEYRING",
        """Where the keys are that seal credentials and the pepper of API keys: the keys themselves, `file:<path>`,
        `vault:<URL>` or `aws-kms:<region>?…` ([secrets](secrets.md#the-keyring))""",
    ),
    Setting("WEIR_VAULT_TOKEN", "The token for a `vault:` keyring"),
    Setting(
        "WEIR_VAULT_TOKEN_FILE",
        "A file with that token, read anew for every question: what an agent that renews tokens writes",
    ),
    Setting(
        "WEIR_KEY_PEPPER",
        """Only where keys were issued before peppers were kept under the keyring: the pepper of that time, until
        `secrets verify` counts no keys under pepper 0""",
    ),
    Setting("WEIR_QDRANT_API_KEY", "What the Qdrant server of `WEIR_QDRANT_URL` asks for"),
    Setting(
        "WEIR_OPERATOR_TOKEN",
        """Opens the telling pages: `/metrics`, `/health/detailed`, `/providers`, `/config`, `/settings`,
        `/redis-test`: sent as `Authorization: Bearer`. Embedded it is in `var/secrets/weir_operator_token`""",
    ),
)

SECTIONS = (
    Section("places", PLACES),
    Section("keeping", KEEPING),
    Section("secrets", SECRETS),
)
