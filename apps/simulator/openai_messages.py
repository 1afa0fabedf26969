"""The conversation in a Chat Completions request: roles, content, tool calls and their results."""

from __future__ import annotations

from typing import Any, NoReturn

from apps.simulator.ask import Object, Refused, Talk

_KINDS = {
    bool: "a boolean",
    dict: "an object",
    float: "a decimal",
    int: "an integer",
    list: "an array",
    str: "a string",
}
FIELDS = {
    "system": {"content", "name"},
    "developer": {"content", "name"},
    "user": {"content", "name"},
    "assistant": {
        *("content", "name", "tool_calls", "function_call", "refusal", "audio"),
        *("reasoning_content", "reasoning", "reasoning_details", "annotations"),  # compatible vendors want them back
    },
    "tool": {"content", "tool_call_id"},
    "function": {"content", "name"},
}
PARTS: dict[object, dict[str, type]] = {
    "text": {"text": str},
    "refusal": {"refusal": str},
    "image_url": {"image_url": dict},
    "input_audio": {"input_audio": dict},
    "file": {"file": dict},
}


def refuse(message: str, *, param: str | None = None, code: str | None = None) -> NoReturn:
    raise Refused(message, param=param, code=code)


def expect(document: Object, name: str, kind: type, *, at: str = "", required: bool = False) -> Any:
    """The field of the kind asked for (Any: as JSON has it), or None. `at` is the path that a refusal names."""
    value = document.get(name)
    path = f"{at}{name}"
    if value is None:
        if required:
            refuse(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
        return None
    fits = isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) == (kind is bool)
    if not fits:
        got = _KINDS.get(type(value), "something else")
        refuse(
            f"Invalid type for '{path}': expected {_KINDS[kind]}, but got {got} instead.",
            param=path,
            code="invalid_type",
        )
    return value


def read(document: Object) -> Talk:
    """Raises Refused."""
    turns = expect(document, "messages", list, required=True)
    if not turns:
        refuse(
            "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.",
            param="messages",
            code="empty_array",
        )
    for index, turn in enumerate(turns):
        _check_turn(turn, at=f"messages[{index}]")
    _check_calls(turns)
    said = [_text(turn) for turn in turns if turn["role"] == "user" and _text(turn)]
    return Talk(
        texts=[text for turn in turns for text in _texts(turn)],
        said=said[-1] if said else "",
        results=_unanswered(turns),
        attachments=sum(part["type"] in ("image_url", "file") for turn in turns for part in _parts(turn)),
        count=len(turns),
    )


def _check_turn(turn: Any, *, at: str) -> None:  # Any: nothing is known of it yet
    if not isinstance(turn, dict):
        refuse(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    role = expect(turn, "role", str, at=f"{at}.", required=True)
    if role not in FIELDS:
        refuse(
            f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', 'function', 'tool', and "
            "'developer'.",
            param=f"{at}.role",
            code="invalid_value",
        )
    unknown = turn.keys() - FIELDS[role] - {"role"}
    if unknown:
        path = f"{at}.{min(unknown)}"
        refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")
    _check_content(turn, role=role, at=at)
    if role == "tool":
        expect(turn, "tool_call_id", str, at=f"{at}.", required=True)
    for index, call in enumerate(expect(turn, "tool_calls", list, at=f"{at}.") or []):
        _check_call(call, at=f"{at}.tool_calls[{index}]")
    if turn.get("tool_calls") == []:
        refuse(f"Invalid '{at}.tool_calls': empty array.", param=f"{at}.tool_calls", code="empty_array")


def _check_content(turn: Object, *, role: str, at: str) -> None:
    content = turn.get("content")
    if content is None:
        if role != "assistant" or not (turn.get("tool_calls") or turn.get("refusal") or turn.get("function_call")):
            refuse("Invalid value for 'content': expected a string, got null.", param=f"{at}.content")
        return
    if isinstance(content, str):
        return
    if not isinstance(content, list) or not content:
        refuse(
            f"Invalid type for '{at}.content': expected one of a string or a non-empty array of objects.",
            param=f"{at}.content",
            code="invalid_type",
        )
    for index, part in enumerate(content):
        path = f"{at}.content[{index}]"
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in PARTS or (role in ("tool", "system", "developer") and kind != "text"):
            refuse(f"Invalid value: '{kind}'.", param=f"{path}.type", code="invalid_value")
        for name, of in PARTS[kind].items():
            expect(part, name, of, at=f"{path}.", required=True)
        unknown = part.keys() - PARTS[kind].keys() - {"type", "prompt_cache_breakpoint"}
        if unknown:
            path += f".{min(unknown)}"
            refuse(f"Unknown parameter: '{path}'.", param=path, code="unknown_parameter")


def _check_call(call: Any, *, at: str) -> None:  # Any: nothing is known of it yet
    if not isinstance(call, dict):
        refuse(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    expect(call, "id", str, at=f"{at}.", required=True)
    if call.get("type") != "function":
        refuse(f"Missing required parameter: '{at}.type'.", param=f"{at}.type", code="missing_required_parameter")
    function = expect(call, "function", dict, at=f"{at}.", required=True)
    expect(function, "name", str, at=f"{at}.function.", required=True)
    expect(function, "arguments", str, at=f"{at}.function.", required=True)


def _check_calls(turns: list[Object]) -> None:
    """Tool messages stand directly behind the calls they answer, and every call is answered."""
    waiting: set[str] = set()
    asked_at = 0
    for index, turn in enumerate(turns):
        if turn["role"] == "tool":
            if turn["tool_call_id"] not in waiting:
                refuse(
                    "Invalid parameter: messages with role 'tool' must be a response to a preceding message with "
                    "'tool_calls'.",
                    param=f"messages.[{index}].role",
                )
            waiting.discard(turn["tool_call_id"])
            continue
        _check_answered(waiting, at=asked_at)
        waiting = {call["id"] for call in turn.get("tool_calls") or []}
        asked_at = index
    _check_answered(waiting, at=asked_at)


def _check_answered(waiting: set[str], *, at: int) -> None:
    if waiting:
        refuse(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
            f"'tool_call_id'. The following tool_call_ids did not have response messages: {', '.join(sorted(waiting))}",
            param=f"messages.[{at}].role",
        )


def _unanswered(turns: list[Object]) -> tuple[str, ...]:
    """The results that came since the model last spoke."""
    since = max((index for index, turn in enumerate(turns) if turn["role"] == "assistant"), default=0)
    return tuple(_text(turn) for turn in turns[since:] if turn["role"] == "tool")


def _parts(turn: Object) -> list[Object]:
    content = turn.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or []


def _text(turn: Object) -> str:
    return "\n".join(part["text"] for part in _parts(turn) if part["type"] == "text")


def _texts(turn: Object) -> list[str]:
    functions = [call["function"] for call in turn.get("tool_calls") or []]
    reasoning = turn.get("reasoning_content") or turn.get("reasoning")
    return [
        _text(turn),
        *([reasoning] if isinstance(reasoning, str) else []),
        *(text for function in functions for text in (function["name"], function["arguments"])),
    ]
