"""What the dashboards show. How that looks in Grafana's schema is `build`'s."""

from __future__ import annotations

from deploy.monitoring.build import BLUE, GREEN, RED, YELLOW, Dashboard, Row, line, stat
from deploy.monitoring.pages_inside import ACCOUNTING, BACKGROUND
from deploy.monitoring.words import (
    HERE,
    INSTANCE,
    JOB,
    MODEL,
    NAMESPACE,
    OF_MODEL,
    OF_PROVIDER,
    PROVIDER,
    RATE,
    greatest,
    quantile,
    rate,
    total,
)

_FAILED = OF_MODEL + ', fault=~"gateway|provider"'
_NOT_SPOILT = OF_MODEL + ', fault!="caller"'
_HITS = OF_MODEL + ', result=~"hit|semantic"'
_THEIR_FAILURE = OF_PROVIDER + ', outcome!~"ok|refused|outpaced|client_gone|stopped|stale|fault"'
_OF_COST = f"{OF_MODEL}, {OF_PROVIDER.removeprefix(HERE + ', ')}"
_OF_INPUT = _OF_COST + ', direction="in"'

_TRAFFIC_NOW = (
    stat("Calls", "A second, all outcomes.", rate("weir_calls_total", where=OF_MODEL), "reqps", steps=((None, BLUE),)),
    stat(
        "Failed",
        "Share that the gateway or a provider failed; over 30 days it should be below 0.5%.",
        f"({rate('weir_calls_total', where=_FAILED)} or vector(0)) / {rate('weir_calls_total', where=_NOT_SPOILT)}",
        "percentunit",
        steps=((None, GREEN), (0.005, YELLOW), (0.05, RED)),
        incident="WeirAvailabilityBurnsFast",
    ),
    stat("In flight", "Calls being answered.", total("weir_calls_in_flight"), steps=((None, BLUE),)),
    stat(
        "First token",
        "Nineteen of twenty streams begin within so long of their request.",
        quantile(0.95, "weir_time_to_first_token_seconds"),
        "s",
        steps=((None, GREEN), (5, YELLOW), (10, RED)),
        incident="WeirFirstTokenBurnsFast",
    ),
    stat(
        "Overhead",
        "What Weir adds to 99 of 100 calls before the provider sees a byte.",
        quantile(0.99, "weir_overhead_seconds"),
        "s",
        steps=((None, GREEN), (0.025, YELLOW), (0.1, RED)),
        incident="WeirOverheadBurnsFast",
    ),
    stat(
        "From the cache",
        "Share of the calls under a cache policy that got an answer that was kept.",
        f"({rate('weir_cache_lookups_total', where=_HITS)} or vector(0))"
        f" / {rate('weir_cache_lookups_total', where=OF_MODEL)}",
        "percentunit",
        steps=((None, BLUE),),
    ),
)
TRAFFIC = Dashboard(
    "weir-traffic",
    "Weir / Traffic",
    "How many calls there are, how they end, how long they take, and what Weir adds to them.",
    (NAMESPACE, JOB, INSTANCE, MODEL),
    (
        Row(4, _TRAFFIC_NOW),
        Row(
            8,
            (
                line(
                    "Calls by outcome",
                    "ok, or the kind of the error, and whose it is: the caller's, a provider's, the gateway's.",
                    {"{{outcome}} ({{fault}})": rate("weir_calls_total", "outcome, fault", OF_MODEL)},
                    "reqps",
                    stacked=True,
                ),
                line(
                    "Calls by model",
                    "As callers name it.",
                    {"{{model}}": rate("weir_calls_total", "model", OF_MODEL)},
                    "reqps",
                    stacked=True,
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Time to first token",
                    "Of streams, from request to first event, by dialect.",
                    {
                        "{{dialect}} p50": quantile(0.5, "weir_time_to_first_token_seconds", "dialect"),
                        "{{dialect}} p95": quantile(0.95, "weir_time_to_first_token_seconds", "dialect"),
                    },
                    "s",
                    incident="WeirFirstTokenBurnsSlowly",
                ),
                line(
                    "What Weir adds",
                    "From request to the first byte towards a provider, without the body's way in and without queues.",
                    {f"p{share}": quantile(share / 100, "weir_overhead_seconds") for share in (50, 95, 99)},
                    "s",
                    incident="WeirOverheadBurnsSlowly",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Refused before anybody was asked",
                    "By reason: limits (requests, tokens, concurrency), budgets, policies, keys and so on.",
                    {"{{reason}}": rate("weir_refused_calls_total", "reason")},
                    "reqps",
                    stacked=True,
                ),
                line(
                    "Whole calls",
                    "From request to last byte, by dialect.",
                    {
                        "{{dialect}} p50": quantile(0.5, "weir_call_duration_seconds", "dialect"),
                        "{{dialect}} p95": quantile(0.95, "weir_call_duration_seconds", "dialect"),
                    },
                    "s",
                ),
            ),
        ),
    ),
)

_MONEY_NOW = (
    stat("An hour", "At the present pace.", f"3600 * {rate('weir_cost_usd_total', where=_OF_COST)}", "currencyUSD"),
    stat(
        "In this range",
        "By what processes counted while they lived; the exact figure is the ledger's.",
        f"sum(increase(weir_cost_usd_total{{{_OF_COST}}}[$__range]))",
        "currencyUSD",
    ),
    stat(
        "Saved by the cache",
        "What answers had cost that were given again, in this range.",
        f"sum(increase(weir_cache_saved_usd_total{{{OF_MODEL}}}[$__range])) or vector(0)",
        "currencyUSD",
    ),
    stat(
        "In doubt",
        "What budgets are charged for calls whose cost nobody knows yet.",
        f"sum({greatest('weir_usage_unconfirmed_usd', 'tenant')}) or vector(0)",
        "currencyUSD",
        steps=((None, GREEN), (1, YELLOW), (100, RED)),
        incident="WeirUnconfirmedGrows",
    ),
)
MONEY = Dashboard(
    "weir-money",
    "Weir / Money",
    "What calls cost and which tokens that is; what budgets have left in processes. Exact sums are in the ledger.",
    (NAMESPACE, JOB, INSTANCE, MODEL, PROVIDER),
    (
        Row(4, _MONEY_NOW),
        Row(
            8,
            (
                line(
                    "Cost by model",
                    "US dollars an hour.",
                    {"{{model}}": f"3600 * {rate('weir_cost_usd_total', 'model', _OF_COST)}"},
                    "currencyUSD",
                    stacked=True,
                ),
                line(
                    "Cost by provider",
                    "US dollars an hour.",
                    {"{{provider}}": f"3600 * {rate('weir_cost_usd_total', 'provider', _OF_COST)}"},
                    "currencyUSD",
                    stacked=True,
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Tokens",
                    "A second, by the five counters that never overlap.",
                    {"{{direction}} {{kind}}": rate("weir_tokens_total", "direction, kind", _OF_COST)},
                    stacked=True,
                ),
                line(
                    "Read from providers' caches",
                    "Share of the input that cost the price of a cache's hit, by model.",
                    {
                        "{{model}}": rate("weir_tokens_total", "model", _OF_COST + ', kind="cache_read"')
                        + f" / {rate('weir_tokens_total', 'model', _OF_INPUT)}"
                    },
                    "percentunit",
                    most=1,
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Leases",
                    "What processes hold of budgets, spent from memory, of all budgets together.",
                    {
                        "spent": total("weir_lease_spent_usd"),
                        "reserved for calls in flight": total("weir_lease_reserved_usd"),
                        "free": total("weir_lease_free_usd"),
                    },
                    "currencyUSD",
                    stacked=True,
                    incident="WeirLeasesCutOff",
                ),
                line(
                    "Refused for want of money",
                    "A budget is spent, held by calls in flight, cannot be counted, or a price is missing.",
                    {
                        "{{reason}}": rate(
                            "weir_refused_calls_total", "reason", HERE + ', reason=~"budget|held|price|uncounted"'
                        )
                    },
                    "reqps",
                    stacked=True,
                ),
            ),
        ),
    ),
)

_PROVIDERS_NOW = (
    stat(
        "Providers up",
        "By their health checks.",
        f"sum({greatest('weir_provider_up', 'provider')})",
        steps=((None, RED), (1, GREEN)),
        incident="WeirAllProvidersDown",
    ),
    stat(
        "Breakers open",
        "Deployments that some process does not ask just now.",
        f"count({greatest('weir_breaker_state', 'provider, model')} == 2) or vector(0)",
        steps=((None, GREEN), (1, RED)),
        incident="WeirBreakerOpen",
    ),
    stat(
        "Asked again", "Requests a second beyond a call's first.", f"{rate('weir_retries_total')} or vector(0)", "reqps"
    ),
    stat(
        "Waiting",
        "Calls in the queues of all deployments.",
        f"{total('weir_queue_waiting', where=OF_PROVIDER)} or vector(0)",
        steps=((None, GREEN), (10, YELLOW), (50, RED)),
        incident="WeirQueueLong",
    ),
)
PROVIDERS = Dashboard(
    "weir-providers",
    "Weir / Providers",
    "How those fare whom calls go to: what they fail, how fast they are, how full, and what Weir does about it.",
    (NAMESPACE, JOB, INSTANCE, PROVIDER),
    (
        Row(4, _PROVIDERS_NOW),
        Row(
            8,
            (
                line(
                    "Requests",
                    "Attempts a second, by provider.",
                    {"{{provider}}": rate("weir_upstream_requests_total", "provider", OF_PROVIDER)},
                    "reqps",
                    stacked=True,
                ),
                line(
                    "Failures",
                    "Attempts a second that a provider failed, by what came of them.",
                    {
                        "{{provider}}: {{outcome}}": rate(
                            "weir_upstream_requests_total", "provider, outcome", _THEIR_FAILURE
                        )
                    },
                    "reqps",
                    stacked=True,
                    incident="WeirProviderFails",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "First token",
                    "Of nineteen in twenty streamed attempts, by provider and its model.",
                    {
                        "{{provider}} {{model}}": quantile(
                            0.95, "weir_upstream_time_to_first_token_seconds", "provider, model", OF_PROVIDER
                        )
                    },
                    "s",
                ),
                line(
                    "A token after another",
                    "Median time for each token after the first.",
                    {
                        "{{provider}} {{model}}": quantile(
                            0.5, "weir_time_per_output_token_seconds", "provider, model", OF_PROVIDER
                        )
                    },
                    "s",
                ),
            ),
        ),
        Row(
            8,
            (
                line(
                    "Room",
                    "Calls at deployments that have so much room, and how much that is.",
                    {
                        "{{provider}} {{model}}": total("weir_deployment_in_flight", "provider, model", OF_PROVIDER),
                        "{{provider}} {{model}}: room": total("weir_deployment_room", "provider, model", OF_PROVIDER),
                    },
                ),
                line(
                    "Waiting for a place",
                    "How long nine in ten of those waited that got one.",
                    {
                        "{{provider}} {{model}}": quantile(
                            0.9, "weir_queue_wait_seconds", "provider, model", OF_PROVIDER
                        )
                    },
                    "s",
                    incident="WeirQueueRefuses",
                ),
                line(
                    "Credentials set aside",
                    "Times in this range, by why.",
                    {
                        "{{provider}} {{credential}}: {{reason}}": "sum by (provider, credential, reason)"
                        f" (increase(weir_credential_cool_downs_total{{{OF_PROVIDER}}}[{RATE}]))"
                    },
                    incident="WeirCredentialRefused",
                ),
            ),
        ),
        Row(
            6,
            (
                line(
                    "Breakers",
                    "By deployment, the worst of all processes.",
                    {"{{provider}} {{model}}": greatest("weir_breaker_state", "provider, model", OF_PROVIDER)},
                    kind="state-timeline",
                    steps=((None, GREEN), (1, YELLOW), (2, RED)),
                    named=(("0", "closed"), ("1", "half open"), ("2", "open")),
                    incident="WeirBreakerOpen",
                ),
            ),
        ),
    ),
)

DASHBOARDS = (TRAFFIC, MONEY, PROVIDERS, ACCOUNTING, BACKGROUND)
