"""OpenAI's Responses, as our clients speak it (Codex speaks nothing else) and as upstreams do. Nothing is kept.

Quirks of vendors that it knows (`Target.quirks`): `developer_role`, `safety_identifier`, `openai_fields` (takes what is
in `words.OPENAIS`), `effort_none`, `no_reasoning_summary` (refuses to be asked for one). Capabilities are those of
`openai_chat`.
"""

from __future__ import annotations

from apps.domain.protocols.contract import ClientFormat, UpstreamFormat
from apps.domain.protocols.openai_responses import encoder, error, request, response, stream, validation, words

CLIENT = ClientFormat(
    name=request.NAME,
    request_id_header="x-request-id",
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
    keepalive=encoder.KEEPALIVE,
)
UPSTREAM = UpstreamFormat(
    name=request.NAME,
    words=words.WORDS,
    write=request.write,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=error.read_error,
)
