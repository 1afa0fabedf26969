"""The simulated provider (`apps/simulator`): every dialect; scripted by model name or by the header `x-simulate`."""

from __future__ import annotations

from apps.domain.providers import bedrock, openai
from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.anthropic_compatible import authorize
from apps.domain.providers.vendor import COUNT_PATHS, LIST_PATHS, PATHS, Vendor

OPENAI = ("openai_chat", "openai_responses", "openai_embeddings")

VENDOR = Vendor(
    slug="simulated",
    label="Simulated",
    protocols=(
        "anthropic_messages",
        "openai_chat",
        "openai_responses",
        "bedrock_invoke",
        "bedrock_converse",
        "ollama_chat",
    ),
    authorize=authorize,
    address=bedrock.address,
    forwards=(*FORWARDS, "x-simulate"),
    defaults=DEFAULTS,
    trace_header="x-weir-request",
    paths={**PATHS, **{name: (f"/v1{PATHS[name][0]}",) for name in OPENAI}},
    count_paths={**COUNT_PATHS, "openai_responses": "/v1/responses/input_tokens"},
    list_paths={**LIST_PATHS, **dict.fromkeys(("openai_chat", "openai_responses"), "/v1/models")},
    quirks=openai.VENDOR.quirks,  # it refuses what OpenAI refuses
    summary="Weir's own stand-in, for trying things out. Costs nothing.",
    needs_key=False,
    tags=("trial",),
)
