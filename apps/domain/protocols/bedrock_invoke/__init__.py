"""Claude through Bedrock's InvokeModel: Anthropic's own body and answer, in another envelope."""

from __future__ import annotations

from apps.domain.protocols import bedrock_errors
from apps.domain.protocols.anthropic_messages import response
from apps.domain.protocols.bedrock_invoke import request, stream
from apps.domain.protocols.contract import UpstreamFormat

UPSTREAM = UpstreamFormat(
    name="bedrock_invoke",
    accept="application/vnd.amazon.eventstream",
    words=request.WORDS,
    fetches=frozenset(),
    write=request.write,
    headers=request.headers,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=bedrock_errors.read_error,
)
