"""What models can do: as the router believes it, and as Anthropic's list of models says it.

The catalog's words say it (`catalog.forms`); where they are silent, the name does (`known_models`). Whom nobody has
described, neither word nor name, may do anything but is promised for nothing. Batches, code execution and server tools
are not offered through the gateway to every provider, so they are never promised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.domain.known_models import known

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.domain.snapshot import Deployment, Model

EFFORTS = ("low", "medium", "high", "xhigh", "max")
MUSTS = frozenset({"vision", "documents", "tools", "structured_outputs", "streaming", "embeddings"})
"""What a call cannot do without. Thinking is no more than wished for."""
_THINKING = frozenset({"adaptive_thinking", "budget_thinking", "always_thinking"})
_SAYING = _THINKING | {"structured_outputs"}  # as `anthropic_messages.models`: what one of them says, it says of all
# Asked in another dialect for an answer in a schema, they are asked in words of their own or by a forced tool.
_STRUCTURED = frozenset({"anthropic_messages", "bedrock_invoke", "bedrock_converse", "ollama_chat"})


def believed(words: frozenset[str], names: Iterable[str]) -> frozenset[str]:
    """In the catalog's words. `names` are all that the model is known by."""
    if "embeddings" in words:
        return words
    named = frozenset().union(*map(known, names))
    if words & _SAYING:
        named &= {"vision", "documents"}
    elif any(word.startswith("effort_") for word in words):
        named &= {"vision", "documents", "structured_outputs"}
    return words | named


def of(deployment: Deployment, model: Model) -> frozenset[str]:
    """What is believed of one of the model's deployments."""
    return believed(_words(deployment, model), _names(deployment, model))


def offered(deployment: Deployment, model: Model) -> frozenset[str]:
    """Of MUSTS, what it may be asked for."""
    words = _words(deployment, model)
    if not words:
        return MUSTS
    found = {*of(deployment, model)} & MUSTS
    if "no_tools" not in words:
        found.add("tools")
    if "no_streaming" not in words:
        found.add("streaming")
    if deployment.provider.protocol in _STRUCTURED:
        found.add("structured_outputs")
    return frozenset(found)


def may_think(deployment: Deployment, model: Model) -> bool:
    """Whether it is worth asking to."""
    return not _words(deployment, model) or thinks(of(deployment, model))


def thinks(words: frozenset[str]) -> bool:
    return not words.isdisjoint(_THINKING) or any(word.startswith("effort_") for word in words)


def described(model: Model) -> dict[str, Any]:
    """Every known ability, each with whether any of its deployments has it."""
    words = frozenset().union(*(of(deployment, model) for deployment in model.deployments)) or believed(
        model.capabilities, (model.name,)
    )
    efforts = {level: _support(f"effort_{level}" in words) for level in EFFORTS}
    return {
        "batch": _support(False),
        "citations": _support(False),
        "code_execution": _support(False),
        "context_management": _support(False),
        "effort": {"supported": any(level["supported"] for level in efforts.values()), **efforts},
        "embeddings": _support("embeddings" in words),
        "image_input": _support("vision" in words),
        "pdf_input": _support("documents" in words),
        "server_tools": {**_support(False), "code_execution": _support(False), "web_search": _support(False)},
        "structured_outputs": _support("structured_outputs" in words),
        "thinking": {
            **_support(not words.isdisjoint(_THINKING)),
            "types": {
                "adaptive": _support("adaptive_thinking" in words),
                "enabled": _support("budget_thinking" in words),
            },
        },
    }


def _words(deployment: Deployment, model: Model) -> frozenset[str]:
    return model.capabilities if deployment.capabilities is None else deployment.capabilities


def _names(deployment: Deployment, model: Model) -> tuple[str, str]:
    return (deployment.model_name or model.name, deployment.upstream_model)


def _support(is_supported: bool) -> dict[str, bool]:
    return {"supported": is_supported}
