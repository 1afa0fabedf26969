"""What Anthropic would refuse, and what other providers have no words for."""

from __future__ import annotations

from typing import Any

from tests.matrix.bad.row import ABSENT, Bad, but
from tests.matrix.wishes import PDF, PIXEL

CLIENT = "anthropic_messages"
PATH = "/v1/messages"
BODY: dict[str, Any] = {"max_tokens": 900, "messages": [{"role": "user", "content": "Hello"}]}

OTHERS = but("anthropic", "invoke")
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"name": "get_weather", "description": "d", "input_schema": SCHEMA}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "18"}
DATA = {"type": "base64", "media_type": "image/png", "data": PIXEL}
IMAGE = {"type": "image", "source": DATA}
SEARCH = {"type": "web_search_20250305", "name": "web_search"}


def turns(*contents: Any) -> dict[str, Any]:
    """The user and the model by turns."""
    roles = ("user", "assistant")
    return {"messages": [{"role": roles[at % 2], "content": content} for at, content in enumerate(contents)]}


def said(*blocks: Any) -> dict[str, Any]:
    return turns(list(blocks))


def document(**source: Any) -> dict[str, Any]:
    return said({"type": "document", "source": source}, {"type": "text", "text": "Hello"})


def thinking(**fields: Any) -> dict[str, Any]:
    return {"thinking": {"type": "enabled", **fields}}


ROWS = (
    # What the gateway itself reads, whoever answers.
    Bad(what="no max_tokens", change={"max_tokens": ABSENT}, names="max_tokens"),
    Bad(what="max_tokens as a string", change={"max_tokens": "5"}, names="max_tokens"),
    Bad(what="max_tokens 0", change={"max_tokens": 0}, names="max_tokens"),
    Bad(what="max_tokens 5.5", change={"max_tokens": 5.5}, names="max_tokens"),
    Bad(what="no messages", change={"messages": []}, names="messages"),
    Bad(what="messages as a string", change={"messages": "x"}, names="messages"),
    Bad(what="an unknown role", change={"messages": [{"role": "tool", "content": "x"}]}, names="messages.0.role"),
    Bad(what="content without a type", change=said({"text": "x"}), names="messages.0.content.0.type"),
    Bad(what="model null", change={"model": None}, names="model"),
    Bad(what="stream as a string", change={"stream": "yes"}, names="stream"),
    Bad(what="system as a number", change={"system": 5}, names="system"),
    Bad(what="tools as a string", change={"tools": "x"}, names="tools"),
    Bad(what="tool_choice as a string", change={"tools": [TOOL], "tool_choice": "auto"}, names="tool_choice"),
    Bad(what="thinking as a string", change={"thinking": "on"}, names="thinking"),
    Bad(what="stop_sequences as a string", change={"stop_sequences": "x"}, names="stop_sequences"),
    Bad(what="metadata as a string", change={"metadata": "x"}, names="metadata"),
    Bad(what="temperature as a string", change={"temperature": "hot"}, names="temperature"),
    # Out of range.
    Bad(what="temperature 2", change={"temperature": 2}, names="temperature"),
    Bad(what="temperature -1", change={"temperature": -1}, names="temperature"),
    Bad(what="top_p 2", change={"top_p": 2}, names="top_p"),
    Bad(what="top_k -1", change={"top_k": -1}, names="top_k", at=OTHERS),
    Bad(what="an unknown service tier", change={"service_tier": "gold"}, names="service_tier", at=OTHERS),
    Bad(what="a blank stop sequence", change={"stop_sequences": [" "]}, names="stop_sequences"),
    Bad(what="stop_sequences", change={"stop_sequences": ["a"]}, names="stop_sequences", at=("responses",)),
    Bad(what="an unknown effort", change={"output_config": {"effort": "ultra"}}, names="output_config.effort"),
    Bad(
        what="a format that is no schema",
        change={"output_config": {"format": {"type": "json_object"}}},
        names="output_config.format.type",
    ),
    Bad(
        what="a format without its schema",
        change={"output_config": {"format": {"type": "json_schema"}}},
        names="output_config.format.schema",
    ),
    # Contradictions.
    Bad(what="a thinking budget above max_tokens", change=thinking(budget_tokens=2000), names="max_tokens"),
    Bad(what="thinking without a budget", change=thinking(), names="budget_tokens"),
    Bad(what="a thinking budget of 100", change=thinking(budget_tokens=100), names="budget_tokens"),
    Bad(
        what="a choice of an unknown tool",
        change={"tools": [TOOL], "tool_choice": {"type": "tool", "name": "nope"}},
        names="tool",
    ),
    Bad(
        what="an unknown kind of choice",
        change={"tools": [TOOL], "tool_choice": {"type": "maybe"}},
        names="tool_choice",
    ),
    Bad(what="a choice without a name", change={"tools": [TOOL], "tool_choice": {"type": "tool"}}, names="tool_choice"),
    Bad(
        what="a forced tool that Anthropic runs",
        change={"tools": [SEARCH], "tool_choice": {"type": "tool", "name": "web_search"}},
        names="tool_choice.name",
        at=OTHERS,
    ),
    Bad(what="two tools of one name", change={"tools": [TOOL, TOOL]}, names="tools"),
    Bad(what="a tool with a dot", change={"tools": [TOOL | {"name": "a.b"}]}, names="tools.0.name", at=OTHERS),
    Bad(what="a tool of 129", change={"tools": [TOOL | {"name": "a" * 129}]}, names="tools.0.name", at=OTHERS),
    Bad(what="a tool without a schema", change={"tools": [{"name": "x"}]}, names="input_schema"),
    Bad(
        what="a tool whose schema is no object's",
        change={"tools": [TOOL | {"input_schema": {"type": "string"}}]},
        names="input_schema.type",
    ),
    Bad(
        what="a tool with alternatives at the top of its schema",
        change={"tools": [TOOL | {"input_schema": SCHEMA | {"anyOf": [{}]}}]},
        names="tools",
        at=("anthropic", "invoke", "converse"),
    ),
    # Histories.
    Bad(what="a result without its call", change=said(RESULT), names="messages.0"),
    Bad(what="a call without its result", change=turns("x", [CALL], "y"), names="messages.1"),
    Bad(what="a call at the end", change=turns("x", [CALL]), names="messages.1"),
    Bad(what="a result of another call", change=turns("x", [CALL], [RESULT | {"tool_use_id": "b"}]), names="messages."),
    Bad(what="two results of one call", change=turns("x", [CALL], [RESULT, RESULT]), names="messages.2", at=OTHERS),
    Bad(what="a call by the user", change=said(CALL), names="messages.0"),
    Bad(what="a result by the model", change=turns("x", [CALL, RESULT], "y"), names="messages.1"),
    Bad(what="a call with text for input", change=turns("x", [CALL | {"input": "s"}]), names="messages.1.content.0"),
    Bad(what="a call without a name", change=turns("x", [CALL | {"name": ""}]), names="messages.1"),
    Bad(what="an image by the model", change=turns("x", [IMAGE], "y"), names="messages.1.content.0", at=OTHERS),
    Bad(what="an unknown block", change=said({"type": "hologram"}), names="messages.0.content.0"),
    Bad(what="an image in the system prompt", change={"system": [IMAGE]}, names="system.0.type"),
    # Pictures and files.
    Bad(what="an image without a source", change=said({"type": "image"}), names="messages.0.content.0"),
    Bad(
        what="an image without a media type",
        change=said({"type": "image", "source": {"type": "base64", "data": PIXEL}}),
        names="messages.0.content.0.source.media_type",
        at=OTHERS,
    ),
    Bad(
        what="an image of a kind that the provider does not take",
        change=said({"type": "image", "source": DATA | {"media_type": "image/bmp"}}),
        names="messages",
        at=("converse",),
    ),
    Bad(
        what="an image at an address that may not be called",
        change=said({"type": "image", "source": {"type": "url", "url": "https://10.0.0.1/a.png"}}),
        names="messages",
        at=("invoke", "converse", "ollama"),
    ),
    Bad(
        what="an image that is no URL",
        change=said({"type": "image", "source": {"type": "url", "url": "file:///etc/passwd"}}),
        names="messages.0.content.0.source.url",
        at=OTHERS,
    ),
    Bad(
        what="an image by the id of its file",
        change=said({"type": "image", "source": {"type": "file", "file_id": "file_1"}}),
        names="messages.0.content.0",
        at=but("anthropic"),
    ),
    Bad(
        what="a document by the id of its file",
        change=document(type="file", file_id="file_1"),
        names="messages.0.content.0",
        at=but("anthropic"),
    ),
    Bad(
        what="a document at an address that may not be called",
        change=document(type="url", url="https://10.0.0.1/a.pdf"),
        names="messages",
        at=but("anthropic", "responses"),
    ),
    Bad(
        what="a PDF file",
        change=document(type="base64", media_type="application/pdf", data=PDF),
        names="messages",
        at=("ollama",),
    ),
    Bad(what="an unknown source", change=document(type="quantum"), names="source.type", at=OTHERS),
    # Ignored, or fitted.
    Bad(what="`max_tokens` above the model's own", change={"max_tokens": 9000}, names="max_tokens", at=("anthropic",)),
    Bad(
        what="`max_tokens` above the model's own",
        change={"max_tokens": 9000},
        names=None,
        at=but("anthropic"),
        told="lowered to it",
    ),
    Bad(
        what="`tool_choice` without tools",
        change={"tool_choice": {"type": "any"}},
        names=None,
        at=OTHERS,
        told="there is nothing to choose from",
    ),
    Bad(
        what="`tools` that Anthropic runs (web search and its kind), `mcp_servers`, `container`",
        change={"tools": [SEARCH, TOOL], "mcp_servers": [], "container": "c"},
        names=None,
        at=OTHERS,
        told="left out; the ledger's entry says so",
    ),
    Bad(
        what="`service_tier`",
        change={"service_tier": "standard_only"},
        names=None,
        at=OTHERS,
        told="goes to OpenAI and to Bedrock; for others, and of a tier they have not, the ledger's entry names it",
    ),
    Bad(
        what="`cache_control`, `context_management`, `inference_geo`, `speed`, `diagnostics`",
        change={
            "cache_control": {"type": "ephemeral"},
            "context_management": {"edits": []},
            "inference_geo": "us",
            "speed": "fast",
            "diagnostics": {},
        },
        names=None,
        at=OTHERS,
        told="left out: they change no answer; the ledger's entry names them",
    ),
    Bad(
        what="`metadata` but for `user_id`",
        change={"metadata": {"user_id": "u", "x": "y"}},
        names=None,
        at=OTHERS,
        told="left out; the ledger's entry says so",
    ),
    Bad(
        what="`thinking` beside a forced tool",
        change={
            "max_tokens": 3000,
            **thinking(budget_tokens=1024),
            "tools": [TOOL],
            "tool_choice": {"type": "any"},
        },
        names=None,
        at=OTHERS,
        told="the choice is kept, and at Claude the thinking is not",
    ),
    Bad(
        what="`thinking.display` of `omitted`",
        change={"thinking": {"type": "adaptive", "display": "omitted"}},
        names=None,
        at=OTHERS,
        told="kept by Claude and OpenAI; where the thinking is shown nevertheless, the ledger's entry names it",
    ),
    Bad(
        what="`output_config.effort` beside `thinking` of the type `disabled`",
        change={"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names it; so is the type by a model that always thinks",
    ),
    Bad(
        what="blocks of Anthropic's own tools and files (`server_tool_use`, `container_upload` and their kind)",
        change=said({"type": "container_upload", "file_id": "f"}, {"type": "text", "text": "Hello"}),
        names=None,
        at=OTHERS,
        told="the words in them go on, the rest is left out",
    ),
    Bad(
        what="an empty or blank user's turn",
        change=turns("  "),
        names=None,
        at=("openai", "responses", "converse", "ollama"),
        told="stands as it is, or as `(no content)` where the provider refuses it",
    ),
    Bad(
        what="fields that no dialect has",
        change={"zzz": 1},
        names=None,
        at=OTHERS,
        told="the ledger's entry counts them",
    ),
)
