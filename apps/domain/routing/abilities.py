"""What a model can do, as Anthropic's list of models says it: every known ability, each with whether it is there.

The catalog's words say it (`catalog.forms`); where they are silent, the name does. Batches, code execution and server
tools are not offered through the gateway to every provider, so they are never promised.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from apps.domain.snapshot import Model

EFFORTS = ("low", "medium", "high", "xhigh", "max")
# Families whose every member reads images and PDF files: the vendors' lists of models, 2026-08.
_SEES = re.compile(
    r"claude|gpt-(?:4o|4\.1|5)|(?:^|[/.])o[34](?:-|$)|gemini|nova-(?:lite|pro|premier)|llava|-vl\b|pixtral"
)
_THINKING = ("adaptive_thinking", "budget_thinking", "always_thinking")


def described(model: Model) -> dict[str, Any]:
    words = model.capabilities
    names = [model.name, *(deployment.upstream_model for deployment in model.deployments)]
    sees = any(_SEES.search(name.lower()) for name in names) and "embeddings" not in words
    efforts = {level: _support(f"effort_{level}" in words) for level in EFFORTS}
    return {
        "batch": _support(False),
        "citations": _support(False),
        "code_execution": _support(False),
        "context_management": _support(False),
        "effort": {"supported": any(level["supported"] for level in efforts.values()), **efforts},
        "embeddings": _support("embeddings" in words),
        "image_input": _support("vision" in words or sees),
        "pdf_input": _support("documents" in words or sees),
        "server_tools": {**_support(False), "code_execution": _support(False), "web_search": _support(False)},
        "structured_outputs": _support("structured_outputs" in words),
        "thinking": {
            **_support(any(word in words for word in _THINKING)),
            "types": {
                "adaptive": _support("adaptive_thinking" in words),
                "enabled": _support("budget_thinking" in words),
            },
        },
    }


def _support(is_supported: bool) -> dict[str, bool]:
    return {"supported": is_supported}
