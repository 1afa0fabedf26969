"""OpenAI's embeddings, as our clients speak them and as upstreams do."""

from __future__ import annotations

from apps.domain.protocols.contract import EmbeddingClient, EmbeddingUpstream
from apps.domain.protocols.openai_chat import error, stream, validation
from apps.domain.protocols.openai_embeddings import passthrough, request, response

CLIENT = EmbeddingClient(
    name=request.NAME,
    request_id_header="x-request-id",
    read_request=request.read_request,
    above_cap=validation.above_cap,
    to_embedding=request.to_embedding,
    write_response=response.write_response,
    write_error=error.write_error,
    stream_error=error.stream_error,
    keepalive=stream.KEEPALIVE,
)
UPSTREAM = EmbeddingUpstream(
    name=request.NAME,
    write_request=request.write_request,
    read_response=response.read_response,
    read_error=error.read_error,
)
DIALECT = passthrough.DIALECT
