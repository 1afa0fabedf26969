"""The conversation in a Converse request, its shape already checked: turns, blanks, documents, calls and results."""

from __future__ import annotations

import itertools
import re

import msgspec

from apps.simulator import signing
from apps.simulator.ask import Object, Talk
from apps.simulator.bedrock.service import Model, refuse

TOOL_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
DOCUMENT_NAME = re.compile(r"(?!.*\s{2})[a-zA-Z0-9\s\-()\[\]]+")
DOCUMENTS = 5
IMAGES = 20
CACHE_POINTS = 4
ATTACHED = ("image", "document", "video", "audio")
ASSISTANT_ONLY = ("toolUse", "reasoningContent", "citationsContent")
USER_ONLY = ("toolResult", "image", "document", "video", "audio", "guardContent", "searchResult")


def read(document: Object, *, model: Model) -> Talk:
    """Raises Refused."""
    turns: list[Object] = document.get("messages") or []
    _check_order(turns, model=model)
    for index, turn in enumerate(turns):
        _check_turn(turn, at=f"messages.{index}", model=model)
    _check_calls(turns, has_tools=bool(document.get("toolConfig")))
    system: list[Object] = document.get("system") or []
    for index, block in enumerate(system):
        if not block.get("text", "x").strip():
            refuse(f"The text field in the SystemContentBlock object at system.{index} is blank. {ADD_TEXT}")
    blocks = [block for turn in turns for block in turn["content"]]
    _check_attachments(blocks)
    if sum("cachePoint" in block for block in (*system, *blocks)) > CACHE_POINTS:
        refuse(f"You can't add more than {CACHE_POINTS} cache points to a request.")
    last = turns[-1]["content"] if turns[-1]["role"] == "user" else []
    return Talk(
        texts=[text for block in (*system, *blocks) for text in _texts(block)],
        said=_said(turns),
        results=tuple(" ".join(_texts(block)) for block in last if "toolResult" in block),
        attachments=sum(_attachments(block) for block in blocks),
        count=len(turns),
    )


ADD_TEXT = "Add text to the text field, and try again."
START = "A conversation must start with a user message. Try again with a conversation that starts with a user message."
END = "A conversation must end with a user message. Try again with a conversation that ends with a user message."
ALTERNATE = (
    "A conversation must alternate between user and assistant roles. Make sure the conversation alternates between "
    "user and assistant roles and try again."
)


def _check_order(turns: list[Object], *, model: Model) -> None:
    roles = [turn["role"] for turn in turns]
    if "system" in roles:
        refuse(f"messages.{roles.index('system')}.role: role 'system' is not supported on this model")
    if not turns or roles[0] != "user":
        refuse(START)
    if any(one == other for one, other in itertools.pairwise(roles)):
        refuse(ALTERNATE)
    if roles[-1] != "user" and not model.is_claude:
        refuse(END)


def _check_turn(turn: Object, *, at: str, model: Model) -> None:
    blocks: list[Object] = turn["content"]
    if not blocks:
        refuse(
            f"The content field in the Message object at {at} is empty. Add a ContentBlock object to the content "
            "field and try again."
        )
    has_more = any("cachePoint" not in block and block.get("text", "x").strip() for block in blocks)
    names = ASSISTANT_ONLY if turn["role"] == "user" else USER_ONLY
    for index, block in enumerate(blocks):
        place = f"{at}.content.{index}"
        kind = next(iter(block))
        if kind in names:
            refuse(f"The {kind} block at {place} can't be in a message of the role {turn['role']}.")
        text = block.get("text", "x")
        if not text or (not text.strip() and not has_more):
            refuse(f"The text field in the ContentBlock object at {place} is blank. {ADD_TEXT}")
        if kind == "reasoningContent":
            _check_thought(block[kind], at=place, model=model)
    if any("document" in block for block in blocks) and not any("text" in block for block in blocks):
        refuse(f"The content at {at} has a document and no text. Include a text block beside documents.")


def _check_thought(thought: Object, *, at: str, model: Model) -> None:
    text: Object = thought.get("reasoningText") or {}
    if not model.is_claude:
        if "signature" in text or "redactedContent" in thought:
            refuse(f"This model doesn't support the reasoningContent.reasoningText.signature field at {at}. Remove it.")
        return
    if text and not signing.is_genuine(text["text"], signature=text.get("signature", "")):
        refuse(f"The model returned the following errors: {at}: Invalid `signature` in `thinking` block")


def _check_calls(turns: list[Object], *, has_tools: bool) -> None:
    """Every call is answered in the next turn, every result answers a call of the turn before."""
    asked: set[str] = set()
    for index, turn in enumerate(turns):
        calls = [block["toolUse"]["toolUseId"] for block in turn["content"] if "toolUse" in block]
        results = [block["toolResult"]["toolUseId"] for block in turn["content"] if "toolResult" in block]
        if (calls or results) and not has_tools:
            refuse("The toolConfig field must be defined when using toolUse and toolResult content blocks.")
        for name in (*calls, *results):
            if not TOOL_ID.fullmatch(name):
                refuse(
                    f"1 validation error detected: Value '{name}' at 'messages.{index + 1}.member.content.toolUseId' "
                    "failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_-]+"
                )
        if missing := asked - set(results):
            refuse(f"Expected toolResult blocks at messages.{index}.content for the following Ids: {_list(missing)}")
        if stray := set(results) - asked:
            refuse(
                f"The toolResult blocks at messages.{index}.content contain Ids that have no toolUse block in the "
                f"previous turn: {_list(stray)}"
            )
        for kind, names in (("toolUse", calls), ("toolResult", results)):
            if len(set(names)) < len(names):
                refuse(f"The {kind} blocks at messages.{index}.content contain duplicate Ids.")
        asked = set(calls)
    if asked and turns[-1]["role"] == "assistant":
        refuse(f"Expected toolResult blocks at messages.{len(turns)}.content for the following Ids: {_list(asked)}")


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _check_attachments(blocks: list[Object]) -> None:
    within = [part for block in blocks for part in block.get("toolResult", {}).get("content", ())]
    documents = [block["document"] for block in (*blocks, *within) if "document" in block]
    names = [document["name"] for document in documents]
    for name in names:
        if not DOCUMENT_NAME.fullmatch(name):
            refuse(
                f"The file name {name!r} is invalid. Only alphanumeric characters, whitespace characters, hyphens, "
                "parentheses, and square brackets are allowed. The name can't contain more than one consecutive "
                "whitespace character."
            )
    if len(set(names)) < len(names):
        refuse("Messages contain duplicate document names. Use unique document names and try again.")
    if len(documents) > DOCUMENTS:
        refuse(f"You can include up to {DOCUMENTS} documents in a request.")
    if sum("image" in block for block in (*blocks, *within)) > IMAGES:
        refuse(f"You can include up to {IMAGES} images in a request.")


def _said(turns: list[Object]) -> str:
    for turn in reversed(turns):
        texts = [text for block in turn["content"] if "toolResult" not in block for text in _texts(block)]
        if turn["role"] == "user" and texts:
            return "\n".join(texts)
    return ""


def _texts(block: Object) -> list[str]:
    kind, value = next(iter(block.items()))
    if kind == "text":
        return [value]
    if kind == "toolResult":
        return [text for part in value["content"] for text in _texts(part)]
    if kind == "toolUse":
        return [value["name"], msgspec.json.encode(value["input"]).decode()]
    if kind == "json":
        return [msgspec.json.encode(value).decode()]
    if kind == "reasoningContent":
        return [value["reasoningText"]["text"]] if "reasoningText" in value else []
    if kind == "guardContent":
        return [value["text"]["text"]] if "text" in value else []
    return []


def _attachments(block: Object) -> int:
    if "toolResult" in block:
        return sum(_attachments(part) for part in block["toolResult"]["content"])
    return int(next(iter(block)) in ATTACHED)
