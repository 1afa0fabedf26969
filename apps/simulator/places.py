"""What is served where."""

from __future__ import annotations

import re
from collections.abc import Mapping

from apps.simulator import anthropic, completions, embeddings, models, ollama, ollama_models, openai, responses
from apps.simulator.bedrock import places as bedrock
from apps.simulator.dialect import Dialect, Place

EXACT: dict[str, Place] = {
    **bedrock.EXACT,
    "/v1/messages": Place(anthropic.DIALECT),
    "/v1/messages/count_tokens": Place(anthropic.DIALECT, document=anthropic.count),
    "/v1/chat/completions": Place(openai.DIALECT),
    "/v1/completions": Place(completions.DIALECT),
    "/v1/embeddings": Place(embeddings.DIALECT),
    "/v1/responses": Place(responses.DIALECT),
    "/v1/responses/input_tokens": Place(responses.DIALECT, document=responses.count),
    "/api/chat": Place(ollama.DIALECT),
    "/api/embed": Place(ollama.EMBEDDING),
    "/api/show": Place(ollama.DIALECT, document=ollama.show),
    "/api/tags": Place(ollama.DIALECT, method="GET", document=ollama_models.tags),
    "/api/ps": Place(ollama.DIALECT, method="GET", document=ollama_models.running),
    "/api/version": Place(ollama.DIALECT, method="GET", document=ollama_models.version),
}
PATTERNS: list[tuple[re.Pattern[str], Place]] = [*bedrock.PATTERNS]
# Azure has OpenAI's paths elsewhere: in its v1 API, and by deployment in the dated one before it.
AZURE = re.compile(r"/openai(?:/v1|/deployments/[^/]+)(?=/)")
# Two vendors have their models at one path; the header `anthropic-version` tells who is asked.
ANTHROPIC_MODELS = (models.anthropic_list, models.anthropic_one)
OPENAI_MODELS = (models.openai_list, models.openai_one)


def find(path: str, *, headers: Mapping[bytes, bytes]) -> Place | None:
    if azure := AZURE.match(path):
        path = "/v1" + path[azure.end() :]
    if place := EXACT.get(path):
        return place
    if path == "/v1/models" or path.startswith("/v1/models/"):
        is_anthropic = b"anthropic-version" in headers
        listed, one = ANTHROPIC_MODELS if is_anthropic else OPENAI_MODELS
        return Place(nearest(path, headers=headers), method="GET", document=listed if path == "/v1/models" else one)
    return next((place for pattern, place in PATTERNS if pattern.fullmatch(path)), None)


def nearest(path: str, *, headers: Mapping[bytes, bytes]) -> Dialect:
    """In which dialect a path that nobody knows is answered."""
    if path.startswith(bedrock.PREFIX):
        return bedrock.DIALECT
    return anthropic.DIALECT if b"anthropic-version" in headers else openai.DIALECT
