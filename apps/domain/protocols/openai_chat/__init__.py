"""OpenAI's chat completions, as our clients speak them and as upstreams do.

Quirks of vendors that it knows (`Target.quirks`): `max_completion_tokens` (the cap's new name), `developer_role`,
`string_system` and `string_content` (no arrays of text), `head_system_only`, `no_null_content`, `no_stream_usage`,
`no_parallel_tool_calls`, `effort_none`, `reasoning_field` (thinking goes back as `reasoning`), `no_reasoning_history`,
`safety_identifier`, `openai_fields` (takes what is in `words.OPENAIS`), `prompt_cache_breakpoint`, `tool_stream`
(arguments come piece by piece only if asked for),
`thinking_switch` (thinking is on or off, without a level). Capabilities: anything with `thinking`, `effort_none` …
`effort_max` (the levels it lists), `no_sampling` (refuses temperature and top_p).
"""

from __future__ import annotations

from apps.domain.protocols.contract import ClientFormat, UpstreamFormat
from apps.domain.protocols.openai_chat import error, request, response, stream, validation, words

CLIENT = ClientFormat(
    name=request.NAME,
    request_id_header="x-request-id",
    read_request=request.read_request,
    above_cap=validation.above_cap,
    unfit=validation.unfit,
    undownloaded=validation.undownloaded,
    to_chat=request.to_chat,
    words=words.WORDS,
    reads=words.READ,
    parts=words.PARTS,
    write_response=response.write_response,
    encoder=stream.Encoder,
    write_error=error.write_error,
    stream_error=error.stream_error,
    keepalive=stream.KEEPALIVE,
)
UPSTREAM = UpstreamFormat(
    name=request.NAME,
    words=words.WORDS,
    fetches=frozenset({"image"}),
    write=request.write,
    read_response=response.read_response,
    decoder=stream.Decoder,
    read_error=error.read_error,
)
