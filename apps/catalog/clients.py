"""What people write into their programs to call through Weir: for a key that was just made, for a pinned endpoint, for
what the playground has asked. The facts about each program are here and nowhere else.

Every value goes through the quotes of the language that it stands in.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from apps.catalog.models import PinnedEndpoint

KEY = "YOUR_WEIR_KEY"
MODEL = "YOUR_MODEL"
SECRET_NAME = "WEIR_KEY"  # noqa: S105  # of a secret in Wave's own store, not one
WAVE_FILE = "waveai.json"


class Way(NamedTuple):
    """An address of an endpoint; `base` is what Anthropic's SDKs are given, OpenAI's have `/v1` behind it."""

    by: str
    base: str


class Snippet(NamedTuple):
    """`id` is the element's on the page. `where`: what file, shell or language it is for. `command`: what the note is
    about. Those of one title belong together."""

    id: str
    title: str
    where: str
    text: str
    note: str = ""
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Target:
    """Where calls go. `base` as in `Way`. `name`: what programs that keep a list of providers call this one."""

    base: str
    model: str = MODEL
    key: str = KEY
    name: str = "weir"
    label: str = "Weir"
    model_label: str = ""


@dataclass(frozen=True, kw_only=True)
class Question:
    """`messages`: turns of user and assistant, each a dict of `role` and `content`."""

    messages: tuple[dict[str, str], ...] = ({"role": "user", "content": "What is a weir?"},)
    system: str = ""
    max_tokens: int = 1024
    temperature: float | None = None

    def as_messages(self, model: str) -> dict[str, Any]:
        system = {"system": self.system} if self.system else {}
        return {"model": model, "max_tokens": self.max_tokens, **system, **self._heat, "messages": [*self.messages]}

    def as_chat(self, model: str) -> dict[str, Any]:
        system = [{"role": "system", "content": self.system}] if self.system else []
        messages = [*system, *self.messages]
        return {"model": model, "max_completion_tokens": self.max_tokens, **self._heat, "messages": messages}

    def as_responses(self, model: str) -> dict[str, Any]:
        system = {"instructions": self.system} if self.system else {}
        turns: Any = self.messages[0]["content"] if len(self.messages) == 1 else [*self.messages]
        return {"model": model, "max_output_tokens": self.max_tokens, **system, **self._heat, "input": turns}

    @property
    def _heat(self) -> dict[str, float]:
        return {} if self.temperature is None else {"temperature": self.temperature}


# --- a pinned endpoint's -----------------------------------------------------------------------------------------


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


def target(endpoint: PinnedEndpoint, *, base: str) -> Target:
    """Without a key: it names where calls go."""
    return Target(
        base=base,
        model=endpoint.model.name,
        name=f"weir-{endpoint.name}",
        label=f"Weir, pinned endpoint {endpoint.name}",
        model_label=endpoint.model.display_name,
    )


# --- for each program --------------------------------------------------------------------------------------------


def snippets(to: Target) -> list[Snippet]:
    """For all of them, the commonest first."""
    return [*_claude_code(to), *_codex(to), *code(to, Question()), *_wave(to), _environment(to)]


def code(to: Target, question: Question) -> list[Snippet]:
    """The question as a program asks it: both vendors' SDKs, and curl in each dialect."""
    return [
        Snippet("openai-python", "OpenAI SDK", "Python", _openai_python(to, question)),
        Snippet("openai-node", "OpenAI SDK", "Node", _openai_node(to, question)),
        Snippet("anthropic-python", "Anthropic SDK", "Python", _anthropic_python(to, question)),
        Snippet("anthropic-node", "Anthropic SDK", "Node", _anthropic_node(to, question)),
        Snippet("curl-chat", "curl", "chat completions", _bearer(to, "chat/completions", question.as_chat(to.model))),
        Snippet("curl-messages", "curl", "messages", _curl_messages(to, question)),
        Snippet("curl-responses", "curl", "responses", _bearer(to, "responses", question.as_responses(to.model))),
    ]


def _claude_code(to: Target) -> list[Snippet]:
    """The small model is for what it does beside, which a model that there is not would fail. A key of Anthropic's in
    the environment would be asked about."""
    names = {"ANTHROPIC_BASE_URL": to.base, "ANTHROPIC_AUTH_TOKEN": to.key}
    if to.model != MODEL:
        names |= {"ANTHROPIC_MODEL": to.model, "ANTHROPIC_DEFAULT_HAIKU_MODEL": to.model}
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in names.items())
    return [
        Snippet(
            "claude-code",
            "Claude Code",
            "~/.claude/settings.json",
            _json({"env": names}),
            "If the file is there already, put the lines into its “env”. To see that it works, type",
            "/status",
        ),
        Snippet("claude-code-shell", "Claude Code", "shell, for once", f"{exports}unset ANTHROPIC_API_KEY"),
    ]


def _codex(to: Target) -> list[Snippet]:
    """It speaks Responses, and nothing else."""
    lines = [
        f"model = {json.dumps(to.model)}",
        f"model_provider = {json.dumps(to.name)}",
        "",
        f"[model_providers.{to.name}]",
        f"name = {json.dumps(to.label)}",
        f"base_url = {json.dumps(f'{to.base}/v1')}",
        'env_key = "WEIR_KEY"',
        'wire_api = "responses"',
    ]
    export = f"export WEIR_KEY={shlex.quote(to.key)}"
    return [
        Snippet("codex", "Codex", "~/.codex/config.toml", "\n".join(lines), "The key is in the environment:", export)
    ]


def _wave(to: Target) -> list[Snippet]:
    note = "The key goes into Wave's secret store:"
    command = f"wsh secret set {SECRET_NAME}={shlex.quote(to.key)}"
    return [Snippet("wave", "Wave Terminal", f"~/.config/waveterm/{WAVE_FILE}", wave(to), note, command)]


def wave(to: Target) -> str:
    """A file of one mode, in the words of docs.waveterm.dev/waveai-modes. `ai:endpoint` is the whole address there,
    and without `tools` Wave's assistant can do nothing but talk."""
    mode: dict[str, Any] = {
        "display:name": to.model_label or to.model,
        "display:description": to.label,
        "ai:provider": "custom",
        "ai:apitype": "openai-chat",
        "ai:model": to.model,
        "ai:endpoint": f"{to.base}/v1/chat/completions",
        "ai:apitokensecretname": SECRET_NAME,
        "ai:capabilities": ["tools"],
    }
    return _json({to.name: mode}) + "\n"


def _environment(to: Target) -> Snippet:
    names = {
        "OPENAI_BASE_URL": f"{to.base}/v1",
        "OPENAI_API_KEY": to.key,
        "ANTHROPIC_BASE_URL": to.base,
        "ANTHROPIC_AUTH_TOKEN": to.key,
    }
    text = "\n".join(f"{name}={shlex.quote(value)}" for name, value in names.items())
    return Snippet("environment", "Variables", ".env", text, "What both vendors' SDKs, and most programs, read.")


def _openai_python(to: Target, question: Question) -> str:
    client = f"client = openai.OpenAI(base_url={_word(f'{to.base}/v1')}, api_key={_word(to.key)})"
    call = _python_call("client.chat.completions.create", question.as_chat(to.model))
    return f"import openai\n\n{client}\nanswer = {call}\nprint(answer.choices[0].message.content)"


def _openai_node(to: Target, question: Question) -> str:
    client = f"const client = new OpenAI({{ baseURL: {_word(f'{to.base}/v1')}, apiKey: {_word(to.key)} }});"
    call = f"client.chat.completions.create({_json(question.as_chat(to.model))})"
    head = f'import OpenAI from "openai";\n\n{client}'
    return f"{head}\nconst answer = await {call};\nconsole.log(answer.choices[0].message.content);"


def _anthropic_python(to: Target, question: Question) -> str:
    client = f"client = anthropic.Anthropic(base_url={_word(to.base)}, api_key={_word(to.key)})"
    call = _python_call("client.messages.create", question.as_messages(to.model))
    return f"import anthropic\n\n{client}\nanswer = {call}\nprint(answer.content[0].text)"


def _anthropic_node(to: Target, question: Question) -> str:
    client = f"const client = new Anthropic({{ baseURL: {_word(to.base)}, apiKey: {_word(to.key)} }});"
    call = f"client.messages.create({_json(question.as_messages(to.model))})"
    head = f'import Anthropic from "@anthropic-ai/sdk";\n\n{client}'
    return f"{head}\nconst answer = await {call};\nconsole.log(answer.content[0].text);"


def _python_call(name: str, arguments: dict[str, Any]) -> str:
    """Texts, numbers and lists of them: what JSON and Python write the same way."""
    lines = [f"    {key}={_lines(value)},\n" for key, value in arguments.items()]
    return f"{name}(\n{''.join(lines)})"


def _lines(value: Any) -> str:
    """Of several turns each on a line of its own."""
    if not isinstance(value, list) or len(value) < 2:
        return _word(value)
    return "[\n" + "".join(f"        {_word(turn)},\n" for turn in value) + "    ]"


def _bearer(to: Target, path: str, body: dict[str, Any]) -> str:
    return _curl(to, path, [f"authorization: Bearer {to.key}"], body)


def _curl_messages(to: Target, question: Question) -> str:
    headers = [f"x-api-key: {to.key}", "anthropic-version: 2023-06-01"]
    return _curl(to, "messages", headers, question.as_messages(to.model))


def _curl(to: Target, path: str, headers: list[str], body: dict[str, Any]) -> str:
    said = [f"-H {shlex.quote(header)}" for header in (*headers, "content-type: application/json")]
    return " \\\n  ".join([f"curl {to.base}/v1/{path}", *said, f"-d {shlex.quote(_word(body))}"])


_word: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False).encode
_json: Callable[[Any], str] = json.JSONEncoder(ensure_ascii=False, indent=2).encode
