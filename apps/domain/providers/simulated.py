"""The simulated provider (`apps/simulator`): both dialects; scripted by model name or by the header `x-simulate`."""

from __future__ import annotations

from apps.domain.providers import openai
from apps.domain.providers.anthropic import DEFAULTS, FORWARDS
from apps.domain.providers.anthropic_compatible import authorize
from apps.domain.providers.vendor import PATHS, Vendor

VENDOR = Vendor(
    slug="simulated",
    label="Simulated",
    protocols=("anthropic_messages", "openai_chat"),
    authorize=authorize,
    forwards=(*FORWARDS, "x-simulate"),
    defaults=DEFAULTS,
    trace_header="x-weir-request",
    paths={**PATHS, "openai_chat": "/v1/chat/completions"},
    quirks=openai.VENDOR.quirks,  # it refuses what OpenAI refuses
)
