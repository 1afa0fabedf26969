"""When a call's answer may be given again to the same question, and what makes two questions the same.

Whatever may change the answer, or who may be asked for it, is part of the key; what is not named here counts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from decimal import Context, Decimal
from typing import Any, Literal, NamedTuple

import msgspec

from apps.domain import pricing
from apps.domain.snapshot import Caching, DataPolicy, Model, Principal, Snapshot

Wish = Literal["", "use", "refresh", "skip"]
"""Of a caller: take what is kept, replace it, or leave it alone; "": it does not say."""

Body = dict[str, Any]

# Told of the end user, or of how to deliver: no answer depends on it. Responses repeat what they were asked, so of
# theirs only the delivery is left out.
_DELIVERY = frozenset({"stream", "stream_options"})
_SAYS_NOTHING = {
    "anthropic_messages": _DELIVERY | {"metadata"},
    "openai_chat": _DELIVERY
    | {"user", "metadata", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "store"},
    "openai_completions": _DELIVERY | {"user"},
    "openai_embeddings": frozenset({"user"}),
}
# What keeps a state or reaches out somewhere: an answer is more than its text then.
_STATEFUL = (
    *("previous_response_id", "conversation", "container", "mcp_servers", "web_search_options", "background"),
    "store",
)
_CHOICES = ("n", "best_of")
# Tools that the caller runs. Anthropic's own have a date behind their name.
_OWN_TOOLS = frozenset({"function", "custom", "local_shell", "shell", "apply_patch"})
_OWN_TOOLS_OF = ("bash_", "text_editor_", "computer_", "memory_")
# Whose answer is read by a program, or hangs on more than what the question means: its very words decide.
_LITERAL = (
    *("tools", "functions", "response_format", "output_config", "output_format", "text", "prediction", "logprobs"),
    *("thinking", "reasoning", "reasoning_effort", "modalities", "audio", "suffix", "echo"),
)
_LAST_TURN = {"anthropic_messages": "messages", "openai_chat": "messages", "openai_responses": "input"}
_PROMPT = frozenset({"openai_completions", "prompt"})
_TEXTS = frozenset({"text", "input_text"})
_FIGURE = re.compile(r"\d+")
# The vector of a longer one says little of its details.
LONGEST_QUESTION = 4_000
_WHOLE = frozenset({"end_turn", "stop_sequence", "tool_use"})
# What makes no difference to an answer: which of several equal ways is taken, and when.
_LEFT_OUT = {
    "Model": frozenset({"deployments", "display_name", "created", "owned_by", "strategy", "sticky"}),
    "Deployment": frozenset(
        {"provider", "priority", "weight", "tier", "max_concurrency", "queue", "breaker", "timeouts", "hedge_after"}
    ),
    "Provider": frozenset({"credentials", "timeouts", "on_disconnect", "healthy", "name"}),
}
_LONGEST_NUMBER = 40
_MOST_INTEGER = 2**63
_EXACT = Context(prec=2 * _LONGEST_NUMBER)


def _number(text: str) -> int | Decimal:
    """One value, however it is spelt. Raises ValueError for what no field takes."""
    if len(text) > _LONGEST_NUMBER:
        raise ValueError("a number of too many digits")
    number = Decimal(text)
    if abs(number) < _MOST_INTEGER and number == int(number):
        return int(number)
    return number.normalize(_EXACT)


_decoder = msgspec.json.Decoder(Body, float_hook=_number)
_canonical = msgspec.json.Encoder(order="deterministic", decimal_format="number").encode


def read(body: bytes) -> Body | None:
    """The request, for what follows here; None: nothing can be said of it."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, ArithmeticError, RecursionError):
        return None


def caching_of(snapshot: Snapshot, principal: Principal, model: Model) -> Caching | None:
    """What holds for a call; a key's own goes before its model's."""
    cachings = snapshot.cachings
    if not (cachings.keys or cachings.models):
        return None
    return cachings.keys.get(principal.key_id or 0) or cachings.models.get(model.id)


def wish(header: bytes | None) -> Wish:
    """`x-weir-cache`; a word that is none of ours says nothing."""
    match (header or b"").strip().lower():
        case b"use":
            return "use"
        case b"refresh":
            return "refresh"
        case b"skip":
            return "skip"
    return ""


def is_wanted(caching: Caching, said: Wish) -> bool:
    return said != "skip" and (caching.always or bool(said))


def may_be_kept(asked: Body, *, protocol: str, forced: bool) -> bool:
    """Whether the answer is the question's alone. `forced`: even if chance has its part in it."""
    if any((asked.get(name) or 1) != 1 for name in _CHOICES) or any(asked.get(name) for name in _STATEFUL):
        return False
    tools = asked.get("tools")
    if isinstance(tools, list) and not all(map(_is_callers, tools)):
        return False
    return forced or _is_determined(asked, protocol)


def _is_callers(tool: Any) -> bool:
    kind = tool.get("type", "custom") if isinstance(tool, dict) else None
    return isinstance(kind, str) and (kind in _OWN_TOOLS or kind.startswith(_OWN_TOOLS_OF))


def _is_determined(asked: Body, protocol: str) -> bool:
    """By its settings; a temperature that is not given is 1 with most providers, and a seed is not known to all."""
    if protocol == "openai_embeddings":
        return True
    thinking = asked.get("thinking")
    if isinstance(thinking, dict) and thinking.get("type") != "disabled":
        return False
    return asked.get("temperature") == 0


def is_whole(stop_reason: str | None) -> bool:
    """Whether an answer that stopped so is one to give again: neither cut short nor refused."""
    return stop_reason in _WHOLE


class Question(NamedTuple):
    """A call whose answer may be given to other words that mean the same: its `words`, and what must be equal: the
    `rest` of the request, and the `figures` in the words."""

    words: str
    rest: Body
    figures: tuple[str, ...]


def question(asked: Body, *, protocol: str) -> Question | None:
    """The words of the last turn, its user's. None: only equal requests have an equal answer."""
    if any(asked.get(name) for name in _LITERAL):
        return None
    if protocol in _PROMPT:
        words, others = asked.get("prompt"), {name: value for name, value in asked.items() if name != "prompt"}
    else:
        words, others = _last_turn(asked, _LAST_TURN.get(protocol, ""))
    if not isinstance(words, str) or not words.strip() or len(words) > LONGEST_QUESTION:
        return None
    return Question(words, others, tuple(_FIGURE.findall(words)))


def _last_turn(asked: Body, field: str) -> tuple[str | None, Body]:
    """Its words, and the body without them."""
    turns = asked.get(field)
    if isinstance(turns, str):
        return turns, asked | {field: None}
    if not isinstance(turns, list) or not turns:
        return None, asked
    last = turns[-1]
    if not isinstance(last, dict) or last.get("role") != "user":
        return None, asked
    content = last.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not all(map(_is_text, blocks)):
        return None, asked
    left = [block | {"text": None} for block in blocks]
    return "\n".join(block["text"] for block in blocks), asked | {field: [*turns[:-1], last | {"content": left}]}


def _is_text(block: Any) -> bool:
    """Whatever stands there: its provider has not seen it yet."""
    if not isinstance(block, dict):
        return False
    kind, text = block.get("type"), block.get("text")
    return isinstance(kind, str) and kind in _TEXTS and isinstance(text, str)


def identity(model: Model) -> bytes:
    """Digest of the configuration that an answer comes from: where the model is asked, as what, at which prices."""
    deployments = [
        (_told(deployment), _told(deployment.provider))
        for deployment in sorted(model.deployments, key=lambda deployment: deployment.id)
    ]
    return hashlib.sha256(_canonical((_told(model), deployments))).digest()


def _told(of: msgspec.Struct) -> dict[str, Any]:
    left_out = _LEFT_OUT[type(of).__name__]
    return {name: getattr(of, name) for name in of.__struct_fields__ if name not in left_out}


def key(
    asked: Body,
    *,
    protocol: str,
    headers: Mapping[str, str],
    model: Model,
    configured: bytes,
    now: int,
    principal: Principal,
    pinned_id: int,
    policy: DataPolicy | None,
    snapshot: Snapshot,
    figures: tuple[str, ...] | None = None,
    barred: tuple[tuple[str, str], ...] = (),
) -> bytes:
    """The SHA-256 under which the answer is kept; with `figures`, of a question's rest: of what all have in common that
    may share an answer. `headers`: those of the caller's that go on to providers; `configured`: the model's `identity`;
    `now` in unix seconds decides on the prices in force; `barred`: the fallbacks that may not answer the caller."""
    left_out = _SAYS_NOTHING.get(protocol, _DELIVERY)
    cachings = snapshot.cachings
    own = cachings.keys.get(principal.key_id or 0)
    caching = own or cachings.models.get(model.id)
    cards = [pricing.card_at(deployment.prices, now) for deployment in model.deployments]
    parts = (
        {name: value for name, value in asked.items() if name not in left_out},
        (protocol, sorted((name, _listed(value)) for name, value in headers.items())),
        (principal.tenant_id, cachings.generations.get(principal.tenant_id, 0)),
        (principal.models, principal.endpoints, pinned_id, barred),
        (principal.key_id if own is not None else None, caching.generation if caching is not None else 0),
        policy,
        (configured, [card.version if card is not None else None for card in cards]),
        figures,
    )
    return hashlib.sha256(_canonical(parts)).digest()


def _listed(value: str) -> list[str]:
    """A header's list in one order: `anthropic-beta` is a set."""
    return sorted(part.strip() for part in value.split(","))
