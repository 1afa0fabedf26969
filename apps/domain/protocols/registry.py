"""The wire formats by name, and the pairs of them between which bytes are relayed instead of translated."""

from __future__ import annotations

from apps.domain.protocols import (
    anthropic_messages,
    bedrock_converse,
    bedrock_embed,
    bedrock_invoke,
    ollama_chat,
    ollama_embed,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_responses,
    prompt,
)
from apps.domain.protocols.anthropic_messages import counting as anthropic_counting
from apps.domain.protocols.anthropic_messages import passthrough as anthropic_passthrough
from apps.domain.protocols.bedrock_invoke import counting as bedrock_counting
from apps.domain.protocols.bedrock_invoke import passthrough as bedrock_passthrough
from apps.domain.protocols.contract import AnyClient, AnyUpstream, ClientFormat, Counter
from apps.domain.protocols.openai_chat import passthrough as openai_passthrough
from apps.domain.protocols.openai_responses import counting as responses_counting
from apps.domain.protocols.openai_responses import passthrough as responses_passthrough
from apps.domain.protocols.passthrough import Dialect

CLIENTS: dict[str, AnyClient] = {
    format.name: format
    for format in (
        *(anthropic_messages.CLIENT, openai_chat.CLIENT, openai_responses.CLIENT),
        *(openai_completions.CLIENT, openai_embeddings.CLIENT, prompt.CLIENT),
    )
}

UPSTREAMS: dict[str, AnyUpstream] = {
    format.name: format
    for format in (
        *(bedrock_invoke.UPSTREAM, bedrock_converse.UPSTREAM),
        *(anthropic_messages.UPSTREAM, openai_chat.UPSTREAM, ollama_chat.UPSTREAM),
        *(openai_responses.UPSTREAM, openai_embeddings.UPSTREAM, ollama_embed.UPSTREAM, bedrock_embed.UPSTREAM),
    )
}

# By the caller's protocol and the upstream's.
DIALECTS: dict[tuple[str, str], Dialect] = {
    ("anthropic_messages", "anthropic_messages"): anthropic_passthrough.DIALECT,
    ("anthropic_messages", "bedrock_invoke"): bedrock_passthrough.DIALECT,
    ("openai_chat", "openai_chat"): openai_passthrough.DIALECT,
    ("openai_responses", "openai_responses"): responses_passthrough.DIALECT,
    ("openai_embeddings", "openai_embeddings"): openai_embeddings.DIALECT,
}

# By the upstream's protocol: who can say how many tokens a prompt has.
COUNTERS: dict[str, Counter] = {
    "anthropic_messages": anthropic_counting.COUNTER,
    "openai_responses": responses_counting.COUNTER,
    "bedrock_invoke": bedrock_counting.COUNTER,
}
COUNTING: ClientFormat = anthropic_messages.COUNTING  # the callers' one way to ask

# What callers of each endpoint speak, by its name.
ENDPOINTS: dict[str, AnyClient] = {
    "messages": anthropic_messages.CLIENT,
    "count_tokens": COUNTING,
    "chat_completions": openai_chat.CLIENT,
    "completions": openai_completions.CLIENT,
    "embeddings": openai_embeddings.CLIENT,
    "chat": prompt.CLIENT,
    "responses": openai_responses.CLIENT,
}
