"""Anthropic Messages, as clients speak it and as upstreams do."""

from __future__ import annotations

import msgspec

from apps.domain.protocols.anthropic_messages import (
    blocks,
    counting,
    encoder,
    error,
    request,
    response,
    stream,
    validation,
    words,
)
from apps.domain.protocols.contract import ClientFormat, UpstreamFormat

CLIENT = ClientFormat(
    name=blocks.NAME,
    request_id_header="request-id",
    read_request=request.read_request,
    above_cap=validation.above_cap,
    unfit=validation.unfit,
    undownloaded=validation.undownloaded,
    words=words.WORDS,
    reads=words.READ,
    parts=words.PARTS,
    to_chat=request.to_chat,
    write_response=response.write_response,
    encoder=encoder.Encoder,
    write_error=error.write_error,
    stream_error=error.stream_error,
    keepalive=encoder.PING,
)
UPSTREAM = UpstreamFormat(
    name=blocks.NAME,
    words=words.TAKEN,
    write=request.write,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=error.read_error,
)
COUNTING = msgspec.structs.replace(CLIENT, operation="count", read_request=counting.read_request)
