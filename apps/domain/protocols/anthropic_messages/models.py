"""What a Claude model takes. The catalog's capabilities say it; where they are silent, the model's name does.

    adaptive_thinking    thinking {"type": "adaptive"}          budget_thinking    {"type": "enabled", budget_tokens}
    always_thinking      refuses {"type": "disabled"}           no_sampling        refuses temperature, top_p, top_k
    structured_outputs   output_config.format                   system_messages    role "system" among the messages
    thinking_omitted     shows what it thinks only if asked (`display`): of the name alone
    effort_low … effort_max   the levels of output_config.effort it lists

An OpenAI request for such a model is fitted to it; a native one passes, and the provider's 400 shows.
"""

from __future__ import annotations

import re

_NAME = re.compile(r"claude-(opus|sonnet|haiku|fable)-(\d)(?:[-.](\d))?(?!\d)")
_EFFORTS = frozenset({"effort_low", "effort_medium", "effort_high", "effort_max"})
_KNOWN = frozenset(
    {
        "adaptive_thinking",
        "always_thinking",
        "budget_thinking",
        "no_sampling",
        "structured_outputs",
        "system_messages",
    }
)


def capabilities(model: str, *, given: frozenset[str]) -> frozenset[str]:
    """`given` where it says anything about the above, else what is known of the named model."""
    if given & _KNOWN or any(word.startswith("effort_") for word in given):
        return given | _omitting(version(model))
    return given | _known(model)


def version(model: str) -> tuple[str, tuple[int, int]] | None:
    """`opus` and 4.5; None for a name of another form, as those before 4 have."""
    found = _NAME.search(model)
    return None if found is None else (found.group(1), (int(found.group(2)), int(found.group(3) or 0)))


def _known(model: str) -> frozenset[str]:
    if "claude-3-7-sonnet" in model:
        return frozenset({"budget_thinking"})
    found = version(model)
    if found is None:
        return frozenset()
    family, number = found
    known = {*_thinking(number), *_omitting(found)}
    if number >= (4, 5) or (family, number) == ("opus", (4, 1)):
        known.add("structured_outputs")
    if number >= (5, 0) or (family == "opus" and number >= (4, 7)):
        known |= {"no_sampling", "effort_xhigh"}
    if family == "fable":
        known.add("always_thinking")
    if family == "opus" and number >= (4, 8):
        known.add("system_messages")
    return frozenset(known)


def _omitting(found: tuple[str, tuple[int, int]] | None) -> frozenset[str]:
    """From Opus 4.7 on, and of the others from 5 on."""
    omits = found is not None and (found[1] >= (5, 0) or (found[0] == "opus" and found[1] >= (4, 7)))
    return frozenset({"thinking_omitted"}) if omits else frozenset()


def _thinking(number: tuple[int, int]) -> frozenset[str]:
    """Budgets up to 4.5, adaptive thinking from 4.6 on."""
    if number < (4, 6):
        return frozenset({"budget_thinking"})
    return _EFFORTS | {"adaptive_thinking"}
