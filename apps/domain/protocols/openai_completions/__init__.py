"""OpenAI's legacy completions, as our clients speak them: a prompt in, a text out, by any model that chats."""

from __future__ import annotations

from apps.domain.protocols.contract import ClientFormat
from apps.domain.protocols.openai_chat import error, stream, validation
from apps.domain.protocols.openai_completions import again, answer, request

CLIENT = ClientFormat(
    name=request.NAME,
    request_id_header="x-request-id",
    read_request=request.read_request,
    above_cap=request.above_cap,
    unfit=validation.unfit,
    undownloaded=validation.undownloaded,
    words=request.WORDS,
    reads=request.READ,
    to_chat=request.to_chat,
    write_response=answer.write_response,
    encoder=answer.Encoder,
    rereader=again.REREADER,
    write_error=error.write_error,
    stream_error=error.stream_error,
    keepalive=stream.KEEPALIVE,
)
