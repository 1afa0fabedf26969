"""What people write into their programs to reach a pinned endpoint. Without a key: each names where it goes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from apps.catalog.models import PinnedEndpoint

KEY = "YOUR_WEIR_KEY"
SECRET_NAME = "WEIR_KEY"  # noqa: S105  # of a secret in Wave's own store, not one
WAVE_FILE = "waveai.json"


class Way(NamedTuple):
    """An address of the endpoint; `base` is what Anthropic's SDKs are given, OpenAI's have `/v1` behind it."""

    by: str
    base: str


class Snippet(NamedTuple):
    """`id` is the element's on the page. `where`: what file or shell it is for. `command`: what the note is about."""

    id: str
    title: str
    where: str
    text: str
    note: str = ""
    command: str = ""


def ways(endpoint: PinnedEndpoint, *, base_url: str) -> list[Way]:
    """The path first: it works wherever the installation is reached. A port has no TLS of its own."""
    site = urlsplit(base_url)
    found = [Way("the path", base_url.rstrip("/") + endpoint.path)]
    port = f":{site.port}" if site.port else ""
    found += [Way("the host name", f"{site.scheme}://{host}{port}") for host in endpoint.hosts]
    if endpoint.port is not None:
        found.append(Way("its own port", f"http://{_reached(endpoint, site.hostname or '127.0.0.1')}:{endpoint.port}"))
    return found


def _reached(endpoint: PinnedEndpoint, host: str) -> str:
    """Where a port is asked for that listens on the endpoint's own address, if that is one."""
    own = endpoint.address if endpoint.address not in (None, "0.0.0.0", "::") else host  # noqa: S104  # compared
    assert own is not None
    return f"[{own}]" if ":" in own else own


def snippets(endpoint: PinnedEndpoint, *, base: str) -> list[Snippet]:
    model = endpoint.model.name
    return [
        Snippet(
            "wave",
            "Wave Terminal",
            f"~/.config/waveterm/{WAVE_FILE}",
            wave(endpoint, base=base),
            "The key goes into Wave's secret store:",
            f"wsh secret set {SECRET_NAME}={KEY}",
        ),
        Snippet(
            "claude",
            "Claude Code",
            "shell",
            f"export ANTHROPIC_BASE_URL={base}\nexport ANTHROPIC_AUTH_TOKEN={KEY}\nunset ANTHROPIC_API_KEY",
        ),
        Snippet(
            "codex",
            "Codex",
            "~/.codex/config.toml",
            _codex(endpoint, base=base),
            "The key is in the environment:",
            f"export WEIR_KEY={KEY}",
        ),
        Snippet("python", "Python", "openai", f'client = openai.OpenAI(base_url="{base}/v1", api_key="{KEY}")'),
        Snippet("curl", "curl", "shell", _curl(base), f"It answers as {model}, whatever “model” says, or without it."),
    ]


def wave(endpoint: PinnedEndpoint, *, base: str) -> str:
    """A file of one mode, in the words of docs.waveterm.dev/waveai-modes. `ai:endpoint` is the whole address there,
    and without `tools` Wave's assistant can do nothing but talk."""
    mode: dict[str, Any] = {
        "display:name": endpoint.model.display_name or endpoint.model.name,
        "display:description": f"Weir, pinned endpoint {endpoint.name}",
        "ai:provider": "custom",
        "ai:apitype": "openai-chat",
        "ai:model": endpoint.model.name,
        "ai:endpoint": f"{base}/v1/chat/completions",
        "ai:apitokensecretname": SECRET_NAME,
        "ai:capabilities": ["tools"],
    }
    return json.dumps({f"weir-{endpoint.name}": mode}, indent=2, ensure_ascii=False) + "\n"


def _codex(endpoint: PinnedEndpoint, *, base: str) -> str:
    named = f"weir-{endpoint.name}"
    return "\n".join(
        [
            f"model = {json.dumps(endpoint.model.name)}",
            f"model_provider = {json.dumps(named)}",
            "",
            f"[model_providers.{named}]",
            f"name = {json.dumps(f'Weir {endpoint.name}')}",
            f"base_url = {json.dumps(f'{base}/v1')}",
            'env_key = "WEIR_KEY"',
            'wire_api = "responses"',
        ]
    )


def _curl(base: str) -> str:
    body = '{"max_tokens": 100, "messages": [{"role": "user", "content": "What is a weir?"}]}'
    address = f"{base}/v1/chat/completions"
    return f"curl {address} -H 'authorization: Bearer {KEY}' \\\n  -H 'content-type: application/json' -d '{body}'"
