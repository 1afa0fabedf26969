"""Ollama's own dialect: answers, streams of lines, errors. No key is needed; a bearer's is taken."""

from __future__ import annotations

import datetime

import msgspec

from apps.simulator import ids, keys, ollama_models, ollama_request, tokens, vectors
from apps.simulator.answer import Answer, Block
from apps.simulator.ask import Ask, Object, Refused
from apps.simulator.dialect import Broken, Dialect, Failure, Frame, Head, Headers, Reported, Request

WORDS = {
    400: "the request was refused by the simulator's script",
    401: "unauthorized",
    403: "forbidden",
    404: "model 'simulated' not found",
    429: "too many requests",
    500: "an error was encountered while running the model: unexpected EOF",
    503: "server busy, please try again.  maximum pending requests exceeded",
}
NANOSECONDS_A_TOKEN = 12_000_000
LOADING_NANOSECONDS = 3_494_667


class _Beginning(msgspec.Struct):
    model: str = ""
    stream: bool | None = None


_read_beginning = msgspec.json.Decoder(_Beginning).decode


def head(request: Request) -> Head | None:
    try:
        found = _read_beginning(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return Head(found.model, request.path == "/api/chat" and found.stream is not False)


def read(request: Request, *, lenient: bool) -> Ask:
    return ollama_request.read(request.body)


def message(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    said: Object = {"role": "assistant", "content": _joined(answer, "text", "refusal")}
    thought = _joined(answer, "thinking")
    calls = [_call(block, index=index) for index, block in enumerate(_whole_calls(answer))]
    said |= {"thinking": thought} if thought else {}
    said |= {"tool_calls": calls} if calls else {}
    return _line(ask, message=said, **_ending(answer, ask=ask, reported=reported))


def frames(answer: Answer, *, ask: Ask, reported: Reported) -> list[Frame]:
    """Text and thinking come piece by piece, a call in one line. Tokens that nobody sees are out with the next line."""
    out: list[Frame] = []
    unseen = 0
    whole = _whole_calls(answer)
    for block in answer.blocks:
        if block.kind == "redacted" or (block.kind == "call" and block not in whole):
            unseen += block.tokens
        elif block.kind == "call":
            said = {"role": "assistant", "content": "", "tool_calls": [_call(block, index=whole.index(block))]}
            out.append(_frame(_line(ask, message=said, done=False), unseen + block.tokens))
            unseen = 0
        else:
            for piece in block.pieces:
                is_thought = block.kind == "thinking"
                said = {"role": "assistant", "content": "", "thinking": piece} if is_thought else {}
                said = said or {"role": "assistant", "content": piece}
                out.append(_frame(_line(ask, message=said, done=False), unseen + 1))
                unseen = 0
    silence = {"role": "assistant", "content": ""}
    ending = _line(ask, message=silence, **_ending(answer, ask=ask, reported=reported))
    return [*out, _frame(ending, unseen)]


def failure(error: Refused, request_id: str) -> Failure:
    status = 503 if error.status == 529 else error.status
    return Failure(status, {"error": error.message or WORDS.get(status, "an error was encountered")})


def failure_frames(broken: Broken) -> list[Frame]:
    return [_frame({"error": WORDS[429 if broken.is_throttled else 500]})]


def headers(request_id: str) -> Headers:
    """Ollama names no request; this one does, so that a call can be found in its meter."""
    return [(b"x-request-id", request_id.encode())]


def authenticate(request: Request) -> str:
    key = keys.bearer(request.headers)
    if key == keys.BAD_KEY:
        raise Refused("", status=401)
    return key


def overflow(size: int, model: str) -> Refused:
    return ollama_request.overflow(size - ollama_models.WINDOW)


def show(request: Request) -> Object:
    """Of POST /api/show."""
    document = ollama_request.whole_document(request.body)
    name = document.get("model") or document.get("name")  # the second is the older one
    if not isinstance(name, str):
        raise Refused("model is required")
    return ollama_models.show(name)


def read_texts(request: Request, *, lenient: bool) -> Ask:
    """Of POST /api/embed."""
    document = ollama_request.whole_document(request.body)
    given = document.get("input")
    inputs = [given] if isinstance(given, str) else given or []
    if not isinstance(inputs, list) or not all(isinstance(each, str) for each in inputs):
        raise Refused("invalid input type")
    ask = Ask(
        model=ollama_request.named_model(document),
        inputs=tuple(inputs) or ("",),
        dimensions=ollama_request.field(document, "dimensions", int, at="EmbedRequest.") or ollama_models.VECTOR_LENGTH,
        asked={"is_load": not inputs},
    )
    options = ollama_request.options_of(document)
    window = options.get("num_ctx") or ollama_models.EMBEDDED_WINDOW
    if document.get("truncate") is False and any(tokens.count(text) > window for text in inputs):
        raise Refused("the input length exceeds the context length")
    return ask


def embedded(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    inputs = () if ask.asked.get("is_load") else ask.inputs
    found = [vectors.embed(text, dimensions=ask.dimensions) for text in inputs]
    duration = LOADING_NANOSECONDS + NANOSECONDS_A_TOKEN * len(inputs)
    document = {"model": ask.model, "embeddings": found, "total_duration": duration}
    counted = {} if reported is None else {"prompt_eval_count": reported.prompt}
    return {**document, "load_duration": LOADING_NANOSECONDS, **counted}


def _joined(answer: Answer, *kinds: str) -> str:
    return "".join(block.text for block in answer.blocks if block.kind in kinds)


def _whole_calls(answer: Answer) -> list[Block]:
    """A call that the cap cut short is not one: its arguments could not be told."""
    calls = [block for block in answer.blocks if block.kind == "call"]
    return calls[:-1] if answer.stop == "cap" and answer.blocks[-1:] == tuple(calls[-1:]) else calls


def _call(block: Block, *, index: int) -> Object:
    function = {"index": index, "name": block.name, "arguments": msgspec.json.decode(block.text)}
    return {"id": block.id, "function": function}


def _line(ask: Ask, **fields: object) -> Object:
    now = datetime.datetime.now(datetime.UTC).isoformat().replace("+00:00", "Z")
    return {"model": ask.model, "created_at": now, **fields}


def _ending(answer: Answer, *, ask: Ask, reported: Reported) -> Object:
    if ask.asked.get("is_load"):
        return {"done_reason": "load", "done": True}
    ending: Object = {"done_reason": "length" if answer.stop == "cap" else "stop", "done": True}
    read_in, written_in = (NANOSECONDS_A_TOKEN * number for number in (answer.usage.fresh, answer.usage.output))
    ending["total_duration"] = LOADING_NANOSECONDS + read_in + written_in
    ending["load_duration"] = LOADING_NANOSECONDS
    if reported is not None:
        ending["prompt_eval_count"] = reported.prompt
    ending["prompt_eval_duration"] = read_in
    if reported is not None:
        ending["eval_count"] = reported.output
    return {**ending, "eval_duration": written_in}


def _frame(document: Object, tokens: int = 0) -> Frame:
    return Frame(msgspec.json.encode(document) + b"\n", tokens)


DIALECT = Dialect(
    name="ollama",
    head=head,
    authenticate=authenticate,
    read=read,
    message=message,
    frames=frames,
    failure=failure,
    failure_frames=failure_frames,
    headers=headers,
    new_request_id=lambda: ids.new("req_", width=32),
    events_around_text=lambda ask: 1,
    overflow=overflow,
    stream_type=b"application/x-ndjson",
)
EMBEDDING = msgspec.structs.replace(DIALECT, name="ollama_embed", read=read_texts, message=embedded)
