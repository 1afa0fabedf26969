"""What models can do, by their names: for where the catalog is silent. In the catalog's words, besides:

    thinking_omitted     shows what it thinks only if asked (`display`)

Claude: https://platform.claude.com/docs/en/about-claude/models/overview. OpenAI's reasoning models and those with
structured outputs: https://platform.openai.com/docs/guides/reasoning and …/guides/structured-outputs.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CLAUDE = re.compile(r"claude-(opus|sonnet|haiku|fable)-(\d)(?:[-.](\d))?(?!\d)")
_CLAUDES_EFFORTS = frozenset({"effort_low", "effort_medium", "effort_high", "effort_max"})
# Families whose every member reads images and PDF files: the vendors' lists of models, 2026-08.
_SEES = re.compile(
    r"claude|gpt-(?:4o|4\.1|5)|(?:^|[/.])o[34](?:-|$)|gemini|nova-(?:lite|pro|premier)|llava|-vl\b|pixtral"
)
_O = r"(?:^|[/.:])(?:o1(?!-mini|-preview)(?:-|$)|o[34](?:-|$)"  # OpenAI's
# Whose reasoning has levels. A gpt-5-chat answers at once.
_REASONS = re.compile(_O + r"|gpt-5(?!\S*-chat)|gpt-oss)")
_STRUCTURES = re.compile(_O + r"|gpt-(?:4o(?!-2024-05-13)|4\.1|5))")
_REASONING = frozenset({"adaptive_thinking", "effort_low", "effort_medium", "effort_high"})


@lru_cache(maxsize=1024)
def known(name: str) -> frozenset[str]:
    """Of whatever vendor's model."""
    lowered = name.lower()
    found = set(claude(lowered))
    if _SEES.search(lowered):
        found |= {"vision", "documents"}
    if _REASONS.search(lowered):
        found |= _REASONING
    if _STRUCTURES.search(lowered):
        found.add("structured_outputs")
    return frozenset(found)


def claude(name: str) -> frozenset[str]:
    """Of a Claude model; nothing of others, nor of those before 3.7."""
    if "claude-3-7-sonnet" in name:
        return frozenset({"budget_thinking"})
    found = claudes_version(name)
    if found is None:
        return frozenset()
    family, number = found
    words = {*_claudes_thinking(number), *claudes_omission(name)}
    if number >= (4, 5) or (family, number) == ("opus", (4, 1)):
        words.add("structured_outputs")
    if number >= (5, 0) or (family == "opus" and number >= (4, 7)):
        words |= {"no_sampling", "effort_xhigh"}
    if family == "fable":
        words.add("always_thinking")
    if family == "opus" and number >= (4, 8):
        words.add("system_messages")
    return frozenset(words)


def claudes_version(name: str) -> tuple[str, tuple[int, int]] | None:
    """`opus` and 4.5; None for a name of another form, as those before 4 have."""
    found = _CLAUDE.search(name)
    return None if found is None else (found.group(1), (int(found.group(2)), int(found.group(3) or 0)))


def claudes_omission(name: str) -> frozenset[str]:
    """From Opus 4.7 on, and of the others from 5 on."""
    found = claudes_version(name)
    omits = found is not None and (found[1] >= (5, 0) or (found[0] == "opus" and found[1] >= (4, 7)))
    return frozenset({"thinking_omitted"}) if omits else frozenset()


def _claudes_thinking(number: tuple[int, int]) -> frozenset[str]:
    """Budgets up to 4.5, adaptive thinking from 4.6 on."""
    if number < (4, 6):
        return frozenset({"budget_thinking"})
    return _CLAUDES_EFFORTS | {"adaptive_thinking"}
