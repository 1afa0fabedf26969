"""What a vendor is, as far as a request to it is concerned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import quote

import msgspec

from apps.domain.providers import betas

HeaderList = tuple[tuple[str, str], ...]
Options = Mapping[str, str]

NO_OPTIONS: Options = MappingProxyType({})
# By protocol. Where streams are asked for elsewhere, that is the second.
PATHS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "anthropic_messages": ("/v1/messages",),
        "openai_chat": ("/chat/completions",),
        "openai_responses": ("/responses",),
        "openai_embeddings": ("/embeddings",),
        "bedrock_invoke": ("/model/{model}/invoke", "/model/{model}/invoke-with-response-stream"),
        "bedrock_converse": ("/model/{model}/converse", "/model/{model}/converse-stream"),
        "bedrock_embed": ("/model/{model}/invoke",),
        "ollama_chat": ("/api/chat",),
        "ollama_embed": ("/api/embed",),
    }
)
COUNT_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "anthropic_messages": "/v1/messages/count_tokens",
        "openai_responses": "/responses/input_tokens",
        "bedrock_invoke": "/model/{model}/count-tokens",
    }
)
# Lists of models, by the protocol that a provider was set up with. What they look like: `outbound.listing`.
LIST_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "anthropic_messages": "/v1/models",
        "openai_chat": "/models",
        "openai_responses": "/models",
        "bedrock_invoke": "/foundation-models",
        "bedrock_converse": "/foundation-models",
        "ollama_chat": "/api/tags",
    }
)


# Where more is said of one model than in the list (`outbound.details`).
SHOW_PATHS: Mapping[str, str] = MappingProxyType({"ollama_chat": "/api/show"})


def bearer(secret: str) -> HeaderList:
    return (("authorization", f"Bearer {secret}"),) if secret else ()


def api_key(secret: str) -> HeaderList:
    return (("x-api-key", secret),) if secret else ()


def joined(base_url: str, path: str, *, model: str, options: Options) -> str:
    """The usual address of a path. OpenAI's base URLs end in a version, Anthropic's need not."""
    return _joined(base_url, path).replace("{model}", quote(model, safe=""))


def same(base_url: str) -> str:
    """Models are listed where calls are answered."""
    return base_url


def nowhere(base_url: str) -> str | None:
    return None


def any_model(model: str) -> None:
    """Every model of the vendor's is spoken to in the provider's protocol."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider must be told besides address and key. `choices`: values with labels; none: any word."""

    name: str
    label: str
    hint: str = ""
    required: bool = False
    choices: tuple[tuple[str, str], ...] = ()


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """`authorize` makes the credential's headers. `forwards` are prefixes of caller's headers that go on unchanged;
    `defaults` are sent where the caller has none of that name. `trace_header` takes the gateway's own id of a call.

    A provider is set up with one of `protocols`; those `beside` are spoken at the same address too, whichever it was.
    `protocol_of` names the protocol of an upstream model that has its own. `base_url` may hold names of options in
    braces; `address` joins it and a path; `lists_at` makes of it where models are listed, `deployed_at` the whole
    address of a list of no more than can be called, where there may be one. `signer` names who signs a request whole
    (`outbound.signing`).

    `family` names those who take each other's signatures of thinking, where that is not the vendor alone.
    `summary` (a line), `key_page` (where keys are made), `key_hint` (how they look), `needs_key` and `tags` are for
    whoever sets a provider up; `prices` is what the price data call it. Quirks are explained where they are heeded:
    `protocols/openai_chat`.
    """

    slug: str
    label: str
    protocols: tuple[str, ...]
    authorize: Callable[[str], HeaderList]
    base_url: str = ""
    beside: frozenset[str] = frozenset()
    protocol_of: Callable[[str], str | None] = any_model
    address: Callable[..., str] = joined
    lists_at: Callable[[str], str] = same
    deployed_at: Callable[[str], str | None] = nowhere
    options: tuple[Option, ...] = ()
    signer: str = ""
    forwards: tuple[str, ...] = ()
    defaults: HeaderList = ()
    trace_header: str | None = None
    paths: Mapping[str, tuple[str, ...]] = PATHS
    count_paths: Mapping[str, str] = COUNT_PATHS
    list_paths: Mapping[str, str] = LIST_PATHS
    quirks: frozenset[str] = frozenset()
    family: str = ""
    summary: str = ""
    key_page: str = ""
    key_hint: str = ""
    needs_key: bool = True
    tags: tuple[str, ...] = ()
    prices: str = ""

    def url(
        self, base_url: str, protocol: str, *, model: str = "", stream: bool = False, options: Options = NO_OPTIONS
    ) -> str:
        """Where answers in `protocol` are asked for."""
        paths = self.paths[protocol]
        return self.address(base_url, paths[-1 if stream else 0], model=model, options=options)

    def count_url(self, base_url: str, protocol: str, *, model: str, options: Options = NO_OPTIONS) -> str | None:
        """Where the tokens of a prompt are counted; None: nowhere."""
        path = self.count_paths.get(protocol)
        return None if path is None else self.address(base_url, path, model=model, options=options)

    def list_url(self, base_url: str, protocol: str, *, options: Options = NO_OPTIONS) -> str | None:
        """Where its models are listed; None: nowhere."""
        path = self.list_paths.get(protocol)
        return None if path is None else self.address(self.lists_at(base_url), path, model="", options=options)

    def show_url(self, base_url: str, protocol: str, *, options: Options = NO_OPTIONS) -> str | None:
        """Where one of its models is described; None: nowhere."""
        path = SHOW_PATHS.get(protocol)
        return None if path is None else self.address(base_url, path, model="", options=options)

    def home(self, options: Options) -> str:
        """Its own base URL, filled in; empty: it has none, or an option is not given that it needs."""
        try:
            return self.base_url.format_map({name: value for name, value in options.items() if value})
        except KeyError:
            return ""

    def headers(self, secret: str, *, client: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
        """`client`: the caller's headers by lower-case name, of which only the vendor's own are taken, and of betas
        only what has the shape of a name."""
        wanted = _encoded(self.forwards)
        headers = [*self.authorize(secret)]
        headers += [header for header in self.defaults if header[0].encode() not in client]
        for name, value in client.items():
            if name.startswith(wanted) and (told := betas.shaped(value) if name == betas.HEADER else value):
                headers.append((name.decode("latin-1"), told.decode("latin-1")))
        return headers


@lru_cache(maxsize=64)
def _encoded(prefixes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(prefix.encode() for prefix in prefixes)


@lru_cache(maxsize=1024)
def _joined(base_url: str, path: str) -> str:
    base = base_url.rstrip("/")
    return base + (path.removeprefix("/v1") if base.endswith("/v1") else path)
