"""What an answer that came whole and one that streams have in common."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from apps.domain import floats
from apps.domain.chat import Likely, StopReason, Thinking
from apps.domain.errors import UpstreamBroken, UpstreamFailed, UpstreamOverloaded
from apps.domain.events import ArgumentsDelta, Event, TextDelta, ThinkingDelta
from apps.domain.protocols.openai_chat import messages

FINISH: dict[StopReason, str] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "context_window": "length",
    "pause_turn": "stop",
}
ID = "chatcmpl-"
DETAIL_FORMAT = "anthropic-claude-v1"  # how OpenRouter and Vercel mark thinking that Claude signed

_OPEN, _CLOSE = "<think>", "</think>"
_LONGEST_BLANK = 256
_CUT_OFF: dict[str, StopReason] = {
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_length": "max_tokens",
    "model_context_window_exceeded": "context_window",
}
STOP: dict[str, StopReason] = {
    **_CUT_OFF,
    "stop": "end_turn",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
"""What a label says, for who only watches; `stop_reason` looks closer."""

_FILTERED = frozenset(["content_filter", "sensitive", "refusal"])
_CALLED = frozenset(["tool_calls", "function_call"])
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")


def stop_reason(label: str | None, *, called: bool, cut: bool, refused: bool, said: bool) -> StopReason:
    """What there is decides, not the label: `called`, a tool; `cut`, in the middle of its arguments.

    Raises an UpstreamError for a label that stands for a failure, and for an unknown one with nothing said.
    """
    if label in ("network_error", "error"):
        raise UpstreamFailed(f"the provider stopped with {label}")
    if label == "insufficient_system_resource":
        raise UpstreamOverloaded("the provider stopped for want of resources")
    if label in _FILTERED:
        return "refusal"
    if label in _CUT_OFF and (cut or not called):
        return _CUT_OFF[label]
    if called:
        return "tool_use"
    if refused:
        return "refusal"
    if label != "stop" and label not in _CALLED and not said:
        raise UpstreamBroken("the provider's answer is empty")
    return "end_turn"


def tier(told: Any) -> str | None:
    """In which tier an answer was served. None: nobody says."""
    return told if isinstance(told, str) else None


def read_likely(raw: Any) -> tuple[Likely, ...]:
    """Of an answer's tokens; nothing where a vendor tells it in a way of its own."""
    try:
        return msgspec.convert(raw, tuple[Likely, ...]) if raw else ()
    except msgspec.ValidationError:
        return ()


def weigh(happened: list[Event], likely: tuple[Likely, ...]) -> tuple[Likely, ...]:
    """Hangs them on the delta of text that they came with, or returns them: it is not out yet. Those of a thought or a
    call are nobody's."""
    match happened[-1] if happened else None:
        case TextDelta(index=index, text=text, logprobs=before):
            happened[-1] = TextDelta(index, text, before + likely)
            return ()
        case ThinkingDelta() | ArgumentsDelta():
            return ()
    return likely


def text_of(content: Any) -> str:
    """The text of a content that may be parts (Mistral's is)."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text")
    return "".join(text for text in texts if isinstance(text, str))


def mint(response_id: str, number: int) -> str:
    """An id for a call whose vendor gave none; another answer's calls get others."""
    return f"call_{_UNFIT.sub('', response_id)}_{number}"


def is_object(arguments: str) -> bool:
    try:
        return isinstance(floats.decode(arguments), dict)
    except (msgspec.DecodeError, RecursionError):
        return False


def signed(block: Thinking) -> bool:
    """Whether the caller should keep the signature: one of ours means nothing to any vendor."""
    return bool(block.signature) and not block.signature.startswith(messages.OURS)


class ThinkTags:
    """Splits `<think>…</think>` off the head of a content, however it is cut. Holds at most a piece of a tag."""

    def __init__(self) -> None:
        self._state = "head"
        self._held = ""

    def feed(self, text: str) -> list[tuple[bool, str]]:
        """Pairs of (is it thinking, text)."""
        if self._state == "outside":
            return [(False, text)]
        self._held += text
        pieces: list[tuple[bool, str]] = []
        if self._state == "head" and not self._enter():
            return [(False, self._take())] if self._state == "outside" else []
        if self._state == "inside":
            pieces += self._think()
        if self._state == "behind":
            self._held = self._held.lstrip()
            if self._held:
                self._state = "outside"
                pieces.append((False, self._take()))
        return pieces

    def close(self) -> list[tuple[bool, str]]:
        thinking = self._state == "inside"
        rest = self._take()
        self._state = "outside"
        return [(thinking, rest)] if rest else []

    def _take(self) -> str:
        held, self._held = self._held, ""
        return held

    def _enter(self) -> bool:
        head = self._held.lstrip()
        if head.startswith(_OPEN):
            self._state = "inside"
            self._held = head.removeprefix(_OPEN)
            return True
        if not _OPEN.startswith(head) or len(self._held) > _LONGEST_BLANK:
            self._state = "outside"
        return False

    def _think(self) -> list[tuple[bool, str]]:
        before, tag, after = self._held.partition(_CLOSE)
        if tag:
            self._state = "behind"
            self._held = after
        else:
            kept = next((size for size in range(len(_CLOSE) - 1, 0, -1) if before.endswith(_CLOSE[:size])), 0)
            before, self._held = before[: len(before) - kept], before[len(before) - kept :]
        return [(True, before)] if before else []
