"""Ollama's native chat (`POST /api/chat`), as its servers speak it: its own OpenAI layer drops `num_ctx` and `think`.

Capabilities it knows: anything with `thinking` or `effort_`, `always_thinking`, `no_sampling`.
"""

from __future__ import annotations

from apps.domain.protocols.contract import UpstreamFormat
from apps.domain.protocols.ollama_chat import error, request, response, stream

UPSTREAM = UpstreamFormat(
    name=request.NAME,
    accept="application/x-ndjson",
    words=request.WORDS,
    fetches=frozenset(),
    write=request.write,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=error.read_error,
)
