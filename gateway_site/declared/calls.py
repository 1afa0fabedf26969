"""What the gateway does with calls, what is logged, and how it is broken on purpose."""

from __future__ import annotations

from gateway_site.declared.setting import Section, Setting

GATEWAY = (
    Setting("WEIR_BASE_URL", "Where people and programs reach this installation"),
    Setting(
        "WEIR_EVENT_SOURCE",
        """The `source` of events: receivers know an event by it and its `id`, so that it stays when the
        address changes""",
        default="`WEIR_BASE_URL`",
    ),
    Setting(
        "PUBSUB_EMULATOR_HOST",
        """Events for Google Pub/Sub go to an emulator at this `host:port`, unencrypted and without credentials""",
    ),
    Setting("WEIR_MAX_BODY_BYTES", "A request's body may be this long; a longer one gets a 413"),
    Setting(
        "WEIR_KEY_CACHE",
        "API keys remembered by a process, so that they need no look-up; and as many tokens beside them",
    ),
    Setting("WEIR_REFRESH_SECONDS", "How often a process asks whether the configuration has changed"),
    Setting(
        "WEIR_CORS_ORIGINS",
        "Origins whose pages may call the gateway; a [pinned endpoint](endpoints.md) may have its own",
    ),
    Setting("WEIR_PRIVATE_NETWORKS", "Private ranges that providers may lie in, besides those opened in the admin"),
    Setting(
        "WEIR_FETCH_URLS",
        """Fetch [pictures and documents that callers give by URL](providers.md#pictures-and-documents-by-url) for
        providers who fetch nothing. Off: such a call gets a 400""",
    ),
    Setting(
        "WEIR_FETCH_NETWORKS",
        "Private ranges that such a URL may lie in. Those that providers may lie in are closed to it",
    ),
    Setting(
        "WEIR_PRESIDIO_URL",
        """A [Presidio analyzer](policies.md#names-and-places-by-presidio) that is asked for names and places, where a
        policy looks for them""",
    ),
    Setting("WEIR_PRESIDIO_SECONDS", "For how many seconds a Presidio analyzer may be asked about one request"),
    Setting("WEIR_PRESIDIO_LANGUAGE", "The language of the texts that a Presidio analyzer is given"),
    Setting(
        "WEIR_PRESIDIO_FAILURE",
        """When a Presidio analyzer does not answer: `closed` refuses the call (503), `open` lets it go, and its ledger
        row says so""",
    ),
    Setting(
        "WEIR_TRUSTED_PROXIES",
        """Ranges whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed, and nobody else's: your load balancers;
        `none`: there are none, and only the latter is believed. Production must have one of the two""",
    ),
    Setting("WEIR_DRAIN_SECONDS", "How long running calls may go on after SIGTERM; `make run` sets 10"),
    Setting(
        "WEIR_STALL_SECONDS",
        "A client that takes less than the least of its answer for so long (`WEIR_MIN_BYTES_PER_SECOND`) is cut off",
    ),
    Setting(
        "WEIR_HEADER_SECONDS",
        """A request's line and headers must have come within so many seconds of their first byte, and those of a new
        connection's first request of its beginning""",
    ),
    Setting(
        "WEIR_MAX_HEADER_BYTES",
        "So long a request's line and headers may be; longer ones, and more than 100 headers, get a 431",
    ),
    Setting(
        "WEIR_BODY_SECONDS",
        "A body of which less than the least comes within so many seconds gets a 408; in all it may take longer",
    ),
    Setting(
        "WEIR_MIN_BYTES_PER_SECOND",
        """The least that a client must send of a body and, when it is behind, take of an answer, on an average; over
        links with large segments, which are taken in large steps, about 2 KB of an answer""",
    ),
    Setting(
        "WEIR_MAX_CONNECTIONS",
        """Connections of a process, half of the files that it may open at most. Who comes when there are so many takes
        the place of the one that has asked for nothing for longest. 0: any number""",
    ),
    Setting(
        "WEIR_MAX_CONNECTIONS_PER_ADDRESS",
        """Connections of one IPv4 address or IPv6 /64, WebSockets until their handshake only; those of
        `WEIR_TRUSTED_PROXIES` may have any number. One more gets a 429. 0: any number, as behind a balancer of layer 4
        or a NAT, where all callers have one address""",
    ),
    Setting(
        "WEIR_STOP_SECONDS",
        """How long the supervisor waits before it kills a process (`TimeoutStopSec`, `stop_grace_period`,
        `terminationGracePeriodSeconds`), to be compared with what a process may take to end. 0: unknown""",
    ),
    Setting(
        "WEIR_PRESTOP_SECONDS",
        "How long a process still accepts calls after SIGTERM, while load balancers notice",
    ),
)
LOGS = (
    Setting(
        "PROMETHEUS_MULTIPROC_DIR",
        """A folder for the figures of several processes of one host that are asked as one
        ([how](observability.md)). A worker with `WEIR_PROBE_PORT` makes one of its own""",
    ),
    Setting("WEIR_LOG_LEVEL", "The least that is logged"),
    Setting("WEIR_LOG_FORMAT", "One JSON object a line, or lines for people"),
)
FAULTS = (
    Setting(
        "WEIR_FAILPOINT",
        """`name:action[:nth]`: what this process does when it passes that place for the nth time: kill, stop, raise or
        sleep=SECONDS""",
    ),
    Setting("WEIR_FAULTS", "Production starts with a failpoint only if this is on"),
)

SECTIONS = (
    Section("gateway", GATEWAY),
    Section("logs", LOGS),
    Section("faults", FAULTS),
)
