"""What goes into a Responses request: a text, or items of many kinds."""

from __future__ import annotations

from typing import Any

import msgspec

from apps.simulator import signing
from apps.simulator.ask import Object, Refused, Talk
from apps.simulator.openai_messages import expect, refuse

ROLES = ("user", "system", "developer", "assistant")
SAID_PARTS: dict[str, dict[str, type]] = {
    "input_text": {"text": str},
    "input_image": {},
    "input_file": {},
    "input_audio": {"input_audio": dict},
}
ANSWERED_PARTS: dict[str, dict[str, type]] = {"output_text": {"text": str}, "refusal": {"refusal": str}}
PART_FIELDS = {
    "input_text": {"text", "prompt_cache_breakpoint"},
    "input_image": {"image_url", "file_id", "detail", "prompt_cache_breakpoint"},
    "input_file": {"file_data", "filename", "file_id", "file_url", "detail", "prompt_cache_breakpoint"},
    "input_audio": {"input_audio"},
    "output_text": {"text", "annotations", "logprobs"},
    "refusal": {"refusal"},
}


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """`prefix` is what an id of the vendor's own begins with."""

    required: dict[str, type]
    optional: set[str]
    prefix: str = ""


_CALLED = {"id", "status", "namespace", "caller", "async"}
KINDS = {
    "message": Kind(required={"role": str}, optional={"id", "status", "phase", "content"}, prefix="msg"),
    "function_call": Kind(required={"call_id": str, "name": str, "arguments": str}, optional=_CALLED, prefix="fc"),
    "function_call_output": Kind(required={"call_id": str}, optional={"output", "name", *_CALLED}),
    "custom_tool_call": Kind(required={"call_id": str, "name": str, "input": str}, optional=_CALLED, prefix="ctc"),
    "custom_tool_call_output": Kind(required={"call_id": str}, optional={"output", "name", *_CALLED}),
    "reasoning": Kind(
        required={"summary": list}, optional={"id", "content", "encrypted_content", "status"}, prefix="rs"
    ),
    "web_search_call": Kind(required={"action": dict}, optional={"id", "status"}, prefix="ws"),
    "item_reference": Kind(required={"id": str}, optional=set()),
}
# Items of tools that run at the vendor, and of its own bookkeeping: taken as they are.
HOSTED = {
    *("file_search_call", "computer_call", "computer_call_output", "code_interpreter_call", "image_generation_call"),
    *("local_shell_call", "local_shell_call_output", "shell_call", "shell_call_output", "apply_patch_call"),
    *("apply_patch_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call"),
    *("tool_search_call", "tool_search_output", "additional_tools", "compaction", "compaction_trigger"),
}
CALLS = ("function_call", "custom_tool_call")
RESULTS = ("function_call_output", "custom_tool_call_output")
CALL_ID_LENGTH = 64


def read(document: Object) -> Talk:
    """Raises Refused."""
    given = document.get("input")
    if given is None:
        refuse("Missing required parameter: 'input'.", param="input", code="missing_required_parameter")
    if isinstance(given, str):
        return Talk(texts=[given], said=given, results=(), attachments=0, count=1)
    if not isinstance(given, list):
        refuse("Invalid type for 'input': expected a string or an array.", param="input", code="invalid_type")
    for index, item in enumerate(given):
        _check_item(item, at=f"input[{index}]")
    _check_pairs(given)
    said = [_text(item) for item in given if item.get("role") == "user" and _text(item)]
    return Talk(
        texts=[text for item in given for text in _texts(item)],
        said=said[-1] if said else "",
        results=_unanswered(given),
        attachments=sum(part["type"] in ("input_image", "input_file") for item in given for part in _parts(item)),
        count=sum(_kind(item) not in ("reasoning", *CALLS) for item in given),
    )


def _kind(item: Object) -> str:
    return str(item.get("type") or "message")


def _check_item(item: Any, *, at: str) -> None:  # Any: nothing is known of it yet
    if not isinstance(item, dict):
        refuse(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    name = _kind(item)
    if name in HOSTED:
        return
    if name not in KINDS:
        supported = ", ".join(f"'{each}'" for each in [*KINDS, *sorted(HOSTED)])
        refuse(f"Invalid value: '{name}'. Supported values are: {supported}.", param=f"{at}.type", code="invalid_value")
    kind = KINDS[name]
    for field, of in kind.required.items():
        expect(item, field, of, at=f"{at}.", required=True)
    unknown = item.keys() - kind.required.keys() - kind.optional - {"type"}
    if unknown:
        path = f"{at}.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    _check_identity(item, kind=kind, at=at)
    if name == "message":
        _check_message(item, at=at)
    elif name in RESULTS:
        _check_parts(item.get("output"), allowed=SAID_PARTS, at=f"{at}.output")
    elif name == "reasoning":
        _check_reasoning(item, at=at)
    elif name == "item_reference":
        raise Refused(f"Item with id '{item['id']}' not found.", status=404, param="input", code="item_not_found")


def _check_identity(item: Object, *, kind: Kind, at: str) -> None:
    identity = expect(item, "id", str, at=f"{at}.")
    if identity is not None and not identity.startswith(kind.prefix):
        refuse(
            f"Invalid '{at}.id': '{identity}'. Expected an ID that begins with '{kind.prefix}'.",
            param=f"{at}.id",
            code="invalid_value",
        )
    call_id = item.get("call_id") or ""
    if len(call_id) > CALL_ID_LENGTH:
        refuse(
            f"Invalid '{at}.call_id': string too long. Expected a string with maximum length {CALL_ID_LENGTH}, but got "
            f"a string with length {len(call_id)} instead.",
            param=f"{at}.call_id",
            code="string_above_max_length",
        )


def _check_message(item: Object, *, at: str) -> None:
    role = item["role"]
    if role not in ROLES:
        refuse(
            f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
            param=f"{at}.role",
            code="invalid_value",
        )
    _check_parts(item.get("content"), allowed=ANSWERED_PARTS if role == "assistant" else SAID_PARTS, at=f"{at}.content")


def _check_parts(content: Any, *, allowed: dict[str, dict[str, type]], at: str) -> None:  # Any: not known yet
    if isinstance(content, str):
        return
    if content is None:
        refuse(f"Missing required parameter: '{at}'.", param=at, code="missing_required_parameter")
    if not isinstance(content, list):
        refuse(
            f"Invalid type for '{at}': expected one of an array of objects or string.", param=at, code="invalid_type"
        )
    for index, part in enumerate(content):
        path = f"{at}[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in allowed:
            supported = " and ".join(f"'{each}'" for each in allowed)
            refuse(f"Invalid value: '{kind}'. Supported values are: {supported}.", param=path, code="invalid_value")
        for name, of in allowed[kind].items():
            expect(part, name, of, at=f"{path}.", required=True)
        unknown = part.keys() - PART_FIELDS[kind] - {"type"}
        if unknown:
            path += f".{min(unknown)}"
            refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
        _check_attachment(part, at=path)


def _check_attachment(part: Object, *, at: str) -> None:
    if part["type"] == "input_image":
        url = expect(part, "image_url", str, at=f"{at}.")
        if url is None and part.get("file_id") is None:
            refuse(f"Missing required parameter: '{at}.image_url'.", param=f"{at}.image_url")
        if url is not None and not url.startswith(("https://", "http://", "data:image/")):
            refuse(
                f"Invalid '{at}.image_url'. Expected a base64-encoded data URL with an image MIME type (e.g. "
                "'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got a value without the 'data:' prefix.",
                param=f"{at}.image_url",
                code="invalid_value",
            )
    elif part["type"] == "input_file" and not part.keys() & {"file_data", "file_id", "file_url"}:
        refuse(f"Missing required parameter: '{at}.file_id'.", param=f"{at}.file_id")


def _check_reasoning(item: Object, *, at: str) -> None:
    for index, part in enumerate(item["summary"]):
        if not isinstance(part, dict) or part.get("type") != "summary_text":
            path = f"{at}.summary[{index}].type"
            refuse("Invalid value. Supported values are: 'summary_text'.", param=path, code="invalid_value")
        expect(part, "text", str, at=f"{at}.summary[{index}].", required=True)
    sealed = expect(item, "encrypted_content", str, at=f"{at}.")
    if sealed is not None and not signing.is_sealed(sealed):
        shown = sealed if len(sealed) < 10 else f"{sealed[:4]}...{sealed[-4:]}"
        refuse(
            f"The encrypted content {shown} could not be verified. Reason: Encrypted content could not be decrypted or "
            "parsed.",
            code="invalid_encrypted_content",
        )


def _check_pairs(items: list[Object]) -> None:
    """Every call has its output behind it, and every output its call."""
    called: dict[str, str] = {}
    for item in items:
        kind, call_id = _kind(item), item.get("call_id", "")
        if kind in CALLS:
            called[call_id] = kind
        elif kind in RESULTS:
            what = "function call output" if kind == "function_call_output" else "custom tool call output"
            if called.get(call_id) != kind.removesuffix("_output"):
                refuse(f"No tool call found for {what} with call_id {call_id}.", param="input")
    answered = {item.get("call_id") for item in items if _kind(item) in RESULTS}
    for call_id, kind in called.items():
        if call_id not in answered:
            refuse(f"No tool output found for {kind.replace('_', ' ')} {call_id}.", param="input")


def _unanswered(items: list[Object]) -> tuple[str, ...]:
    """The results that came since the model last spoke."""
    spoken = [at for at, item in enumerate(items) if _kind(item) in CALLS or item.get("role") == "assistant"]
    since = spoken[-1] if spoken else 0
    return tuple(_text(item) for item in items[since:] if _kind(item) in RESULTS)


def _parts(item: Object) -> list[Object]:
    content = item.get("output") if _kind(item) in RESULTS else item.get("content")
    if _kind(item) not in ("message", *RESULTS):
        return []
    if isinstance(content, str):
        return [{"type": "input_text", "text": content}]
    return content or []


def _text(item: Object) -> str:
    return "\n".join(part["text"] for part in _parts(item) if part["type"] in ("input_text", "output_text"))


def _texts(item: Object) -> list[str]:
    kind = _kind(item)
    if kind in CALLS:
        return [item["name"], item["arguments" if kind == "function_call" else "input"]]
    if kind == "reasoning":
        return [part["text"] for part in item["summary"]]
    if kind in HOSTED or kind == "web_search_call":
        return [msgspec.json.encode(item).decode()]
    return [_text(item)]
