"""Z.AI. One address for both dialects; the coding plan has its own path in OpenAI's."""

from __future__ import annotations

from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.anthropic_compatible import authorize
from apps.domain.providers.vendor import Option, Options, Vendor, joined

_METERED, _CODING = "/api/paas/", "/api/coding/paas/"


def address(base_url: str, path: str, *, model: str, options: Options) -> str:
    if options.get("plan") == "coding":
        path = path.replace(_METERED, _CODING)
    return joined(base_url, path, model=model, options=options)


VENDOR = Vendor(
    slug="zai",
    label="Z.AI",
    protocols=("openai_chat", "anthropic_messages"),
    beside=frozenset({"openai_chat", "anthropic_messages"}),
    base_url="https://api.z.ai",
    authorize=authorize,
    address=address,
    options=(
        Option(
            name="plan",
            label="Plan",
            hint="Keys of one plan are refused by the other.",
            choices=(("", "By the token"), ("coding", "Coding plan")),
        ),
    ),
    forwards=FORWARDS,
    defaults=DEFAULTS,
    paths={
        "openai_chat": ("/api/paas/v4/chat/completions",),
        "openai_embeddings": ("/api/paas/v4/embeddings",),
        "anthropic_messages": ("/api/anthropic/v1/messages",),
    },
    count_paths={},
    list_paths={"openai_chat": "/api/paas/v4/models", "anthropic_messages": "/api/anthropic/v1/models"},
    quirks=frozenset({"no_parallel_tool_calls", "tool_stream", "thinking_switch"}),
    summary="The GLM models, by the token or in the coding plan.",
    key_page="https://z.ai/manage-apikey/apikey-list",
    tags=("cloud",),
    prices="zai",
)
