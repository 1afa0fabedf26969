"""Anthropic Messages, as clients speak it and as upstreams do."""

from __future__ import annotations

from apps.domain.protocols.anthropic_messages import blocks, encoder, error, request, response, stream, validation
from apps.domain.protocols.contract import WireFormat

FORMAT = WireFormat(
    name=blocks.NAME,
    request_id_header="request-id",
    read_request=request.read_request,
    above_cap=validation.above_cap,
    to_chat=request.to_chat,
    write_request=request.write_request,
    write_response=response.write_response,
    read_response=response.read_response,
    encoder=encoder.Encoder,
    decoder=stream.Decoder,
    write_error=error.write_error,
    stream_error=error.stream_error,
    read_error=error.read_error,
    keepalive=encoder.PING,
)
