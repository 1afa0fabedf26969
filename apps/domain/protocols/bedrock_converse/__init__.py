"""Bedrock's Converse: one dialect for the models of many families."""

from __future__ import annotations

from apps.domain.protocols import bedrock_errors
from apps.domain.protocols.bedrock_converse import request, response, stream
from apps.domain.protocols.contract import UpstreamFormat

UPSTREAM = UpstreamFormat(
    name="bedrock_converse",
    accept="application/vnd.amazon.eventstream",
    words=request.WORDS,
    fetches=frozenset(),
    write=request.write,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=bedrock_errors.read_error,
)
