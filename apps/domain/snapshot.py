"""The frozen contract between the planes: all that the control plane tells the data plane.

Compiled by `gateway.configuration` from the catalog, replaced whole when anything changes, never edited. Times are
unix seconds, durations seconds, money nano-USD.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cached_property
from typing import Any, Literal, NoReturn

import msgspec

from apps.domain.issuers import Issuer

Scope = Literal["tenant", "project", "user", "key", "model", "endpoint"]
Period = Literal["day", "week", "month", "fixed"]
Outage = Literal["lease", "open", "closed"]
Strategy = Literal["priority", "weighted", "cheapest", "fastest", "balanced"]
OnRequest = Literal["flag", "block", "route", "mask"]
OnResponse = Literal["flag", "stop"]

_CUT = b"[removed]"
_TELLING = 8  # characters from which a secret is no word


class Secret:
    """A credential that does not show itself: masked in every rendering, refused by pickle, copy and encoders.

    Bound to a host: `reveal_for` raises ValueError for another one.
    """

    __slots__ = ("_host", "_telling", "_value")

    def __init__(self, value: str, *, host: str) -> None:
        self._value = value
        self._host = host
        # AWS's are an id, a secret and a session's token in one.
        parts = dict.fromkeys((value, *value.split(":")))
        self._telling = tuple(part for part in parts if len(part) >= _TELLING)

    def reveal_for(self, host: str) -> str:
        if host != self._host:
            raise ValueError("credential is bound to another host")
        return self._value

    def cut_from(self, told: bytes) -> bytes:
        """What a provider says, without the secret it was asked with, however JSON spells it: some repeat it in their
        errors. A short one stays: a local server takes any, and words as `token` are part of what everybody says."""
        for value in self._telling:
            told = told.replace(value.encode(), _CUT)
            told = re.sub(b"".join(map(_spelt, value)), _CUT, told) if b"\\" in told else told
        return told

    def __repr__(self) -> str:
        return "Secret(•••)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret shows no state")

    def __deepcopy__(self, memo: dict[int, Any]) -> NoReturn:
        raise TypeError("a secret cannot be copied")


def _spelt(character: str) -> bytes:
    """A pattern of a character and of its escapes in JSON."""
    plain = re.escape(character).encode()
    short = rb"|\\" + plain if character in '"\\/' else b""
    return rb"(?:%b|\\u(?i:%04x)%b)" % (plain, ord(character), short)


class PriceCard(msgspec.Struct, frozen=True, kw_only=True):
    """`version` is the id of the price in the catalog, written on every row it priced. Per million tokens."""

    version: int
    effective_from: int
    input: int
    output: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int


class Timeouts(msgspec.Struct, frozen=True, kw_only=True):
    connect: float = 5.0
    first_byte: float = 120.0
    idle: float = 60.0
    total: float = 1800.0


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """`version` differs when another secret has been set: what was known of the old one says nothing of it."""

    id: int
    alias: str
    secret: Secret
    weight: int = 1
    tenant_id: int | None = None  # brought by this tenant; None: anybody's
    version: float = 0.0


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """`vendor` names a file of `domain/providers`; `protocol` a folder of `domain/protocols`."""

    id: int
    name: str
    vendor: str
    protocol: str
    base_url: str
    host: str
    credentials: tuple[Credential, ...] = ()
    timeouts: Timeouts = Timeouts()
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    headers: tuple[tuple[str, str], ...] = ()
    options: dict[str, str] = {}  # what the vendor must be told besides: see `providers.vendor`
    quirks: frozenset[str] | None = None  # None: its vendor's
    tags: frozenset[str] = frozenset()
    region: str = ""
    healthy: bool = True


class Breaker(msgspec.Struct, frozen=True, kw_only=True):
    """When a deployment is left alone, in the words of resilience4j: `size` counts calls or seconds, rates are percent
    of the calls in the window. https://resilience4j.readme.io/docs/circuitbreaker"""

    window: Literal["count", "time"] = "time"
    size: int = 30
    minimum_calls: int = 20
    failure_rate: int = 50
    slow_rate: int = 100
    slow_seconds: float = 30.0
    open_seconds: float = 60.0
    half_open_calls: int = 10


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """Where calls wait for a deployment that is full or cools down; `places` 0: nowhere."""

    places: int = 0
    seconds: float = 10.0


class Deployment(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One model at one provider. A lower `tier` goes first: 0 is the model's own, others are its fallbacks'; within it
    a lower `priority`; within that the model's strategy chooses. `model_name`: of the fallback whose it is; "": the
    model's own. `protocol`: the only one that it is spoken to in; "": see `providers.speech`. `capabilities` None,
    sizes None: as its model has them. `defaults`: the abilities for which it goes first. `tenant_ids` None: every
    tenant may be served by it. `timeouts` None: its provider's. `hedge_after`: seconds without an answer after which
    somebody else is asked too; None: never."""

    id: int
    provider: Provider
    upstream_model: str
    model_name: str = ""
    protocol: str = ""
    prices: tuple[PriceCard, ...] = ()
    priority: int = 0
    weight: int = 1
    tier: int = 0
    capabilities: frozenset[str] | None = None
    defaults: frozenset[str] = frozenset()
    context_tokens: int | None = None
    max_output_tokens: int | None = None
    tenant_ids: frozenset[int] | None = None
    max_concurrency: int | None = None
    queue: Queue = Queue()
    breaker: Breaker = Breaker()
    timeouts: Timeouts | None = None
    hedge_after: float | None = None
    version: float = 0.0

    @cached_property
    def likeness(self) -> str:
        """Of where it is asked, for what, and under which breaker: while that is the same, so is what is known of
        how it answers."""
        provider = self.provider
        made_of = (
            *(provider.id, provider.vendor, provider.base_url, sorted(provider.options.items())),
            *(self.upstream_model, self.protocol, self.version, self.breaker),
        )
        return hashlib.blake2b(msgspec.json.encode(made_of), digest_size=8).hexdigest()


class StandIn(msgspec.Struct, frozen=True, kw_only=True):
    """A fallback of a model. `networks` None: whom it answers may be anywhere."""

    name: str
    aliases: frozenset[str] = frozenset()
    networks: tuple[str, ...] | None = None


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """`tenant_ids` None: every tenant may use it. `max_output_tokens` is injected where a caller sends no cap,
    and none may ask for more. `deployments` are its own and then those of its fallbacks, which are its `stand_ins`.
    `is_virtual`: none are its own, so that whoever may ask for it may be answered by any of them. `sticky`: a
    conversation stays where it was answered. `networks` None: its callers may be anywhere."""

    id: int
    name: str
    display_name: str
    deployments: tuple[Deployment, ...]
    max_output_tokens: int
    context_tokens: int
    capabilities: frozenset[str] = frozenset()
    created: int = 0
    owned_by: str = "weir"
    tenant_ids: frozenset[int] | None = None
    networks: tuple[str, ...] | None = None
    aliases: frozenset[str] = frozenset()
    stand_ins: tuple[StandIn, ...] = ()
    is_virtual: bool = False
    strategy: Strategy = "priority"
    sticky: bool = True


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A minute's allowance for one subject; None: that kind is not limited. `key` names its counters."""

    id: int
    key: str
    scope: Scope
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """`amount` a `period`, whose borders fall in `timezone`; `days` are those of a fixed one. `overdraft`: how far
    calls in flight may go beyond the amount in the worst case. `subject` is for messages: "key weir_…"."""

    id: int
    scope: Scope
    amount: int
    period: Period
    timezone: str
    subject: str = ""
    overdraft: int = 0
    days: tuple[int, int] | None = None


class Rules(msgspec.Struct, frozen=True):
    """What restrains one subject."""

    limits: tuple[Limit, ...] = ()
    budgets: tuple[Budget, ...] = ()


UNRESTRAINED = Rules()


class DataPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody's calls may go, and what becomes of what must not go everywhere. `regions` None: anywhere.
    `on_request` and `on_response` are by kind of finding (`guardrails`); a finding that is to be routed goes to
    providers with `route_tag` only."""

    id: int
    name: str
    required_tags: frozenset[str] = frozenset()
    forbidden_tags: frozenset[str] = frozenset()
    regions: frozenset[str] | None = None
    route_tag: str = ""
    on_request: dict[str, OnRequest] = {}
    on_response: dict[str, OnResponse] = {}


class Policies(msgspec.Struct, frozen=True):
    """Who is under which data policies, by id; all that apply hold at once. `everyone`: the installation's own."""

    everyone: tuple[DataPolicy, ...] = ()
    tenants: dict[int, tuple[DataPolicy, ...]] = {}
    projects: dict[int, tuple[DataPolicy, ...]] = {}
    keys: dict[int, tuple[DataPolicy, ...]] = {}


class Semantic(msgspec.Struct, frozen=True, kw_only=True):
    """Answers to questions that mean the same: as near as `threshold` (cosine), by the vectors of `model`."""

    model: str
    threshold: float


class Caching(msgspec.Struct, frozen=True, kw_only=True):
    """How answers are kept to be given again. `max_bytes` of one answer. `always`: for every call, else for those that
    ask by `x-weir-cache: use`. `forced`: also where the call's settings leave its answer to chance. What was kept under
    another `generation` is not found any more."""

    ttl: float
    max_bytes: int = 1_000_000
    always: bool = True
    forced: bool = False
    semantic: Semantic | None = None
    generation: int = 0


class Cachings(msgspec.Struct, frozen=True):
    """By id; a key's goes before its model's. `generations`: of tenants whose answers were thrown away, as in
    Caching. `secrets`: what each tenant's answers are sealed with."""

    models: dict[int, Caching] = {}
    keys: dict[int, Caching] = {}
    generations: dict[int, int] = {}
    secrets: dict[int, bytes] = {}


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks. `models`, `endpoints`, `networks`: what the key is confined to; None: not confined. A higher `priority`
    goes before others in a queue. `key_id` None: no key was presented, but a token, which is good until `until`: calls
    that it has begun go on."""

    key_id: int | None
    public_id: str
    tenant_id: int
    project_id: int
    user_id: int | None
    expires_at: int | None = None
    revoked_at: int | None = None
    models: frozenset[str] | None = None
    endpoints: frozenset[str] | None = None
    networks: tuple[str, ...] | None = None
    priority: int = 0
    until: float = math.inf
    key_rules: Rules = UNRESTRAINED
    user_rules: Rules = UNRESTRAINED

    @property
    def caller(self) -> int:
        """By which the process remembers what is learned of callers: the key or, below zero, whose token it is."""
        return self.key_id if self.key_id is not None else -(self.user_id or 0)

    @property
    def ends_at(self) -> float:
        """From when on the key does not work; inf: that is not foreseen."""
        expires, revoked = self.expires_at, self.revoked_at
        return min(math.inf if expires is None else expires, math.inf if revoked is None else revoked)


class PinnedEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One that forces a model, by its name. `address`: what `port` listens on; "": the server's own. `networks` None:
    callers may be anywhere. `cors_origins` None: the installation's. `former_names`: what keys may still call it."""

    id: int
    name: str
    model: str
    former_names: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    port: int | None = None
    address: str = ""
    networks: tuple[str, ...] | None = None
    cors_origins: frozenset[str] | None = None


class PinnedEndpoints(msgspec.Struct, frozen=True):
    """The enabled ones, by the ways that lead to them. Host names are as they stand in `Host`, without a port.
    `addresses` are what the ports listen on."""

    by_name: dict[str, PinnedEndpoint] = {}
    by_host: dict[bytes, PinnedEndpoint] = {}
    by_port: dict[int, PinnedEndpoint] = {}
    addresses: dict[int, str] = {}


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """`models` is keyed by name and by alias. `tenants` and `projects` hold the ids of active ones with their rules;
    `model_rules` is keyed by (model id, tenant id or None for everyone), `endpoint_rules` by a pinned endpoint's id,
    `issuers`, the enabled ones, by `url`. `on_outage` says of the tenants for whom it is not "lease" what they get
    while what restrains them cannot be counted."""

    revision: int
    compiled_at: float
    models: dict[str, Model]
    tenants: dict[int, Rules]
    projects: dict[int, Rules]
    model_rules: dict[tuple[int, int | None], Rules] = {}
    endpoints: PinnedEndpoints = PinnedEndpoints()
    endpoint_rules: dict[int, Rules] = {}
    issuers: dict[str, Issuer] = {}
    on_outage: dict[int, Outage] = {}
    policies: Policies = Policies()
    cachings: Cachings = Cachings()
    private_networks: tuple[str, ...] = ()  # CIDRs an admin opened to provider addresses
    cors_origins: frozenset[str] = frozenset()
