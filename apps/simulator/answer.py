"""What the simulated model says: blocks of tokens, cut where the caller's cap or a stop string cuts them."""

from __future__ import annotations

import re
import zlib
from typing import Literal

import msgspec

from apps.simulator import ids, plausible, tokens
from apps.simulator.ask import Ask, Object, Tool
from apps.simulator.script import Script
from apps.simulator.usage import Counters

Stop = Literal["end", "cap", "stop", "tools", "refusal", "declined"]  # declined: a refusal that ends normally
Kind = Literal["text", "thinking", "redacted", "call", "refusal"]

NOW = "0" * 19  # stands for the moment at which it is written
HIDDEN_TOKENS = 12  # what a redacted block costs
OPENINGS = ("Happy to help!", "Good question.", "Let me think aloud.", "Thanks for asking.")
PROSE = (
    "A gateway stands between programs and the models they call. It knows who asks, what they may spend and what each "
    "answer cost. It passes words on as they arrive, counts them once, and writes the bill in whole numbers. "
)
REFUSAL = "I'm sorry, but I can't help with that request."
_USE_A_TOOL = re.compile(r"\b(use|call|invoke)\b.{0,40}\b(tool|tools|function|functions)\b", re.IGNORECASE | re.DOTALL)
_SEVERAL = re.compile(r"\b(both|parallel|each|all)\b", re.IGNORECASE)
_CAMEL = re.compile(r"[a-z]+|[A-Z][a-z]*")


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an answer. `pieces` are its visible tokens, `hidden` counts those nobody sees."""

    kind: Kind
    pieces: tuple[str, ...] = ()
    hidden: int = 0
    id: str = ""
    name: str = ""
    tool: Tool | None = None  # of a call

    @property
    def tokens(self) -> int:
        return len(self.pieces) + self.hidden

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def input(self) -> Object:
        """Of a call; one that the cap cut short has none that could be told."""
        try:
            decoded: Object = msgspec.json.decode(self.text)
        except msgspec.DecodeError:
            return {}
        return decoded


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    blocks: tuple[Block, ...]
    stop: Stop
    usage: Counters
    stop_string: str | None = None


def compose(ask: Ask, script: Script, *, exactly: int | None = None) -> Answer:
    """The answer to `ask`. `exactly`: a text of so many tokens and nothing else."""
    blocks, stop = _say(ask, script, exactly=exactly)
    blocks, matched = _cut_at_stop(blocks, stops=ask.stops)
    if matched is not None:
        stop = "stop"
    if ask.cap is not None and "ignore-max" not in script.words:
        blocks, capped = _cut_at_cap(blocks, cap=ask.cap)
        if capped:
            stop, matched = "cap", None
    return Answer(blocks=tuple(blocks), stop=stop, stop_string=matched, usage=_usage(ask, script=script, blocks=blocks))


def _say(ask: Ask, script: Script, *, exactly: int | None) -> tuple[list[Block], Stop]:
    if ask.inputs:
        return [], "end"
    if exactly is not None:
        return [Block(kind="text", pieces=_prose(exactly))], "end"
    if script.words & {"refusal", "refusal-stop"}:
        return [_block("refusal", REFUSAL)], "declined" if "refusal-stop" in script.words else "refusal"
    blocks = _thoughts(ask, script=script)
    calls = _calls(ask, script=script)
    if calls:
        if ask.speaks_first and ask.choice == "auto":
            blocks.append(_block("text", "Let me look that up for you."))
        return [*blocks, *calls], "tools"
    pieces = tuple(tokens.pieces(_reply(ask))) if script.tokens is None else _prose(script.tokens)
    if "clock" in script.words:
        pieces = (NOW,) * len(pieces)
    return [*blocks, Block(kind="text", pieces=pieces)], "end"


def _block(kind: Kind, text: str) -> Block:
    return Block(kind=kind, pieces=tuple(tokens.pieces(text)))


def _prose(amount: int) -> tuple[str, ...]:
    sentence = tokens.pieces(PROSE)[:-1]
    following = [" " + sentence[0], *sentence[1:]]
    return tuple([*sentence, *following * (amount // len(sentence))][:amount])


def _thoughts(ask: Ask, *, script: Script) -> list[Block]:
    blocks = []
    if "thinking" in script.words or ask.thinking != "off":
        thought = f"The user wrote {tokens.count(ask.said)} tokens. A short and friendly answer will do."
        blocks.append(_block("thinking", thought))
    if "redacted" in script.words:
        blocks.append(Block(kind="redacted", hidden=HIDDEN_TOKENS))
    return blocks


def _calls(ask: Ask, *, script: Script) -> list[Block]:
    if not ask.tools or ask.choice == "none":
        return []
    scripted = bool(script.words & {"tools", "parallel-tools"})
    if ask.choice != "any" and (ask.results or not (scripted or _invites_a_tool(ask))):
        return []
    first = _chosen(ask)
    if not ask.parallel or not ("parallel-tools" in script.words or _SEVERAL.search(ask.said)):
        return [_call(ask, tool=first, turn=0)]
    others = [tool for tool in ask.tools if tool.name != first.name and ask.named is None]
    return [_call(ask, tool=first, turn=0), _call(ask, tool=others[0] if others else first, turn=1)]


def _invites_a_tool(ask: Ask) -> bool:
    return bool(_USE_A_TOOL.search(ask.said)) or any(_is_about(ask.said, tool=tool) for tool in ask.tools)


def _chosen(ask: Ask) -> Tool:
    if ask.named is not None:
        return next(tool for tool in ask.tools if tool.name == ask.named)
    return next((tool for tool in ask.tools if _is_about(ask.said, tool=tool)), ask.tools[0])


def _is_about(said: str, *, tool: Tool) -> bool:
    """The tool is named, or a word of its name of four letters or more is said: "weather", for `get_weather`."""
    words = {word.lower() for word in _CAMEL.findall(tool.name) if len(word) >= 4}
    return tool.name in said or not words.isdisjoint(re.findall(r"\w+", said.lower()))


def _call(ask: Ask, *, tool: Tool, turn: int) -> Block:
    arguments = plausible.value(tool.schema, hints=plausible.Hints(ask.said, turn=turn))
    if tool.is_freeform:
        text = f"{tool.name}: {arguments}"
    else:
        text = msgspec.json.encode(arguments if isinstance(arguments, dict) else {}).decode()
    pieces = tuple(tokens.pieces(text))
    return Block(kind="call", pieces=pieces, id=ids.new(ask.call_prefix), name=tool.name, tool=tool)


def _reply(ask: Ask) -> str:
    if ask.schema is not None:
        return msgspec.json.encode(plausible.value(ask.schema, hints=plausible.Hints(ask.said))).decode()
    if ask.results:
        told = " and ".join(f"“{_shortened(result)}”" for result in ask.results)
        return f"The tool says {told}. That settles it."
    opening = OPENINGS[zlib.crc32(ask.said.encode()) % len(OPENINGS)]
    words = re.findall(r"\w+", ask.said)
    longest = max(words, key=len, default="nothing")
    return (
        f"{opening} You wrote “{_shortened(ask.said)}”. I am a simulated model, so here is what I can tell for sure: "
        f"that is {len(words)} words, and the longest is “{longest[:40]}”."
    )


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:300] + "…"


def _cut_at_stop(blocks: list[Block], *, stops: tuple[str, ...]) -> tuple[list[Block], str | None]:
    for position, block in enumerate(blocks):
        found = [(block.text.find(stop), stop) for stop in stops if stop in block.text]
        if block.kind == "text" and found:
            at, stop = min(found)
            return [*blocks[:position], _block("text", block.text[:at])], stop
    return blocks, None


def _cut_at_cap(blocks: list[Block], *, cap: int) -> tuple[list[Block], bool]:
    kept: list[Block] = []
    left = cap
    for block in blocks:
        if block.tokens > left:
            if left:
                kept.append(msgspec.structs.replace(block, pieces=block.pieces[:left], hidden=min(block.hidden, left)))
            return kept, True
        kept.append(block)
        left -= block.tokens
    return kept, False


def _usage(ask: Ask, *, script: Script, blocks: list[Block]) -> Counters:
    cached = {"cache_read": 1024, "cache_write_5m": 256, "cache_write_1h": 128} if "cache" in script.words else {}
    return Counters(
        fresh=ask.tokens,
        output=sum(block.tokens for block in blocks) * ask.copies,
        reasoning=sum(block.tokens for block in blocks if block.kind in ("thinking", "redacted")) * ask.copies,
        **cached,
    )
