"""The items of a Responses answer, each with what a stream tells of it on the way."""

from __future__ import annotations

import re

import msgspec

from apps.simulator import ids, responses_tools, signing
from apps.simulator.answer import Answer, Block
from apps.simulator.ask import Ask, Object
from apps.simulator.likelihood import logprobs

_SEARCH = re.compile(r"\b(search|look up|browse)\b", re.IGNORECASE)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One item, whole (`item`) and as it begins (`opening`).

    `delta` names its deltas and their end, `frame` the part of it that is opened and closed around them, `steps` what
    happens to it besides. `place` stands in each such event, of `extras` one in each delta, `done` in the one that ends
    the deltas.
    """

    item: Object
    opening: Object
    unseen: int = 0
    pieces: tuple[str, ...] = ()
    delta: str = ""
    frame: str = ""
    steps: tuple[str, ...] = ()
    place: Object = {}  # msgspec gives every struct one of its own
    extras: tuple[Object, ...] = ()
    done: Object = {}
    opened: Object | None = None
    closed: Object | None = None


def parts(answer: Answer, *, ask: Ask) -> list[Part]:
    """A refusal or a text that the cap has cut to nothing is no item."""
    found = [_search(ask)] if _looks_up(answer, ask=ask) else []
    last = len(answer.blocks) - 1
    for position, block in enumerate(answer.blocks):
        status = "incomplete" if answer.stop == "cap" and position == last else "completed"
        if block.kind in ("thinking", "redacted"):
            found.append(_reasoning(block, ask=ask))
        elif block.kind == "call":
            found.append(_call(block, status=status))
        else:
            found.append(_message(block, status=status, likely=_likely(block, ask=ask)))
    return found


def _looks_up(answer: Answer, *, ask: Ask) -> bool:
    wanted = responses_tools.searches(ask.asked) and ask.choice != "none"
    return wanted and answer.stop == "end" and bool(_SEARCH.search(ask.said))


def _search(ask: Ask) -> Part:
    item = {"id": ids.new("ws_", width=48), "type": "web_search_call", "status": "completed"}
    action = {"type": "search", "query": ask.said[:200]}
    return Part(
        item={**item, "action": action},
        opening={**item, "status": "in_progress", "action": action},
        steps=("web_search_call.in_progress", "web_search_call.searching", "web_search_call.completed"),
    )


def _reasoning(block: Block, *, ask: Ask) -> Part:
    shown = block.kind == "thinking" and ask.thinking != "omitted"
    item: Object = {"id": ids.new("rs_", width=48), "type": "reasoning"}
    if "reasoning.encrypted_content" in (ask.asked.get("include") or []):
        item["encrypted_content"] = signing.seal()
    opening = {**item, "summary": []}
    if not shown:
        return Part(item=opening, opening=opening, unseen=block.tokens)
    summary = {"type": "summary_text", "text": block.text}
    return Part(
        item={**item, "summary": [summary]},
        opening=opening,
        pieces=block.pieces,
        delta="reasoning_summary_text",
        frame="reasoning_summary_part",
        place={"summary_index": 0},
        done={"text": block.text},
        opened={**summary, "text": ""},
        closed=summary,
    )


def _likely(block: Block, *, ask: Ask) -> list[Object]:
    if block.kind != "text" or "message.output_text.logprobs" not in (ask.asked.get("include") or []):
        return []
    return logprobs(block.pieces, top=ask.asked.get("top_logprobs") or 0)


def _message(block: Block, *, status: str, likely: list[Object]) -> Part:
    item = {"id": ids.new("msg_", width=48), "type": "message", "status": status, "content": [], "role": "assistant"}
    opening = {**item, "status": "in_progress"}
    if block.kind == "refusal":
        content: Object = {"type": "refusal", "refusal": block.text}
        return Part(
            item={**item, "content": [content]},
            opening=opening,
            pieces=block.pieces,
            delta="refusal",
            frame="content_part",
            place={"content_index": 0},
            done={"refusal": block.text},
            opened={**content, "refusal": ""},
            closed=content,
        )
    content = {"type": "output_text", "annotations": [], "logprobs": likely, "text": block.text}
    return Part(
        item={**item, "content": [content]},
        opening=opening,
        pieces=block.pieces,
        delta="output_text",
        frame="content_part",
        place={"content_index": 0},
        extras=tuple({"logprobs": [token]} for token in likely) or ({"logprobs": []},) * len(block.pieces),
        done={"text": block.text, "logprobs": likely},
        opened={**content, "text": "", "logprobs": []},
        closed=content,
    )


def _call(block: Block, *, status: str) -> Part:
    is_freeform = block.tool is not None and block.tool.is_freeform
    namespace = {"namespace": block.tool.namespace} if block.tool is not None and block.tool.namespace else {}
    field = "input" if is_freeform else "arguments"
    item = {
        "id": ids.new("ctc_" if is_freeform else "fc_", width=48),
        "type": "custom_tool_call" if is_freeform else "function_call",
        "status": status,
        field: block.text,
        "call_id": block.id,
        "name": block.name,
        **namespace,
    }
    return Part(
        item=item,
        opening={**item, "status": "in_progress", field: ""},
        pieces=block.pieces,
        delta="custom_tool_call_input" if is_freeform else "function_call_arguments",
        done={field: block.text},
    )
