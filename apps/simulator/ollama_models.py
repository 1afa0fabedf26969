"""The models an Ollama server has pulled, and what a model can do by its name."""

from __future__ import annotations

import hashlib
import re

from apps.simulator.ask import Object
from apps.simulator.dialect import Request

PULLED = ("llama3.2:latest", "qwen3:8b", "gpt-oss:20b", "gemma2:2b", "nomic-embed-text:latest")
VERSION = "0.32.3"
DEFAULT_WINDOW = 4096  # of a request that does not say `num_ctx`
WINDOW = 131_072
EMBEDDED_WINDOW = 2048
VECTOR_LENGTH = 768

_EMBEDS = re.compile(r"embed|minilm|bge-")
_NEVER_THINKS = re.compile(r"(llama|codellama|tinyllama|gemma|mistral|phi|qwen2)(?!.*thinking)")
_THINKS_UNASKED = re.compile(r"qwen3|deepseek-r1|gpt-oss|magistral|.*thinking")
_NO_TOOLS = re.compile(r"(gemma2?|llama2|tinyllama|codellama|phi[123]?)(?![\w.])")
_PICTURES = re.compile(r"llava|gemma3|llama3\.2-vision|qwen.*vl")


def tagged(model: str) -> str:
    return model if ":" in model else f"{model}:latest"


def is_embedder(model: str) -> bool:
    return bool(_EMBEDS.search(model))


def may_think(model: str) -> bool:
    return not _NEVER_THINKS.match(model)


def thinks_unasked(model: str) -> bool:
    return bool(_THINKS_UNASKED.match(model))


def always_thinks(model: str) -> bool:
    """gpt-oss knows levels only: true and false mean nothing to it."""
    return model.startswith("gpt-oss")


def has_tools(model: str) -> bool:
    return not _NO_TOOLS.match(model)


def tags(request: Request) -> Object:
    """Of GET /api/tags."""
    models = [
        {"name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 2_019_393_189,
         "digest": _digest(name), "details": _details(name)}
        for name in PULLED
    ]  # fmt: skip
    return {"models": models}


def version(request: Request) -> Object:
    return {"version": VERSION}


def running(request: Request) -> Object:
    """Of GET /api/ps."""
    return {"models": []}


def show(name: str) -> Object:
    family = _family(name)
    window = EMBEDDED_WINDOW if is_embedder(name) else WINDOW
    information: Object = {
        "general.architecture": family,
        "general.parameter_count": 3_212_749_888,
        f"{family}.context_length": window,
        f"{family}.embedding_length": VECTOR_LENGTH if is_embedder(name) else 3072,
    }
    return {
        "license": "None: it is simulated",
        "modelfile": f"FROM {name}",
        "parameters": 'stop                           "<|eot_id|>"',
        "template": "{{ .Prompt }}",
        "details": _details(name),
        "model_info": information,
        "capabilities": _capabilities(name),
        "modified_at": "2026-01-01T00:00:00Z",
    }


def _capabilities(name: str) -> list[str]:
    if is_embedder(name):
        return ["embedding"]
    held = {"tools": has_tools(name), "thinking": may_think(name), "vision": bool(_PICTURES.match(name))}
    return ["completion", *(capability for capability, is_held in held.items() if is_held)]


def _details(name: str) -> Object:
    family = _family(name)
    size = re.search(r":(\d+(?:\.\d+)?)b", name)
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": f"{size[1]}B" if size else "3.2B",
        "quantization_level": "Q4_K_M",
    }


def _family(name: str) -> str:
    if is_embedder(name):
        return "nomic-bert"
    return (re.match(r"[a-z]+(?:-oss)?\d?", name) or [name])[0].replace("-", "")


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
