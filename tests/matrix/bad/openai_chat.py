"""What OpenAI would refuse, and what other providers have no words for."""

from __future__ import annotations

from typing import Any

from tests.matrix.bad.row import Bad, but
from tests.matrix.wishes import PDF, PIXEL

CLIENT = "openai_chat"
PATH = "/v1/chat/completions"
BODY: dict[str, Any] = {"messages": [{"role": "user", "content": "Hello"}]}

OTHERS = but("openai")
FUNCTION = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}
TOOL = {"type": "function", "function": FUNCTION}
USER = {"role": "user", "content": "Hello"}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
CALL = {"role": "assistant", "content": None, "tool_calls": [CALLED]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "18"}
PICTURE = f"data:image/png;base64,{PIXEL}"
AT = "messages[0].content[0]"


def turns(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def said(*parts: Any) -> dict[str, Any]:
    return turns({"role": "user", "content": list(parts)})


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(**fields: Any) -> dict[str, Any]:
    return {"type": "file", "file": fields}


def named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


ROWS = (
    # What the gateway itself reads, whoever answers.
    Bad(what="no messages", change={"messages": []}, names="messages"),
    Bad(what="an unknown role", change=turns({"role": "robot", "content": "x"}), names="messages[0].role"),
    Bad(what="no content", change=turns({"role": "user"}), names="messages[0].content"),
    Bad(what="a part without a type", change=said({"text": "x"}), names=f"{AT}.type"),
    Bad(what="a part without text", change=said({"type": "text"}), names=f"{AT}.text"),
    Bad(what="two caps", change={"max_tokens": 5, "max_completion_tokens": 6}, names="max_tokens"),
    Bad(what="a cap of 0", change={"max_tokens": 0}, names="max_tokens"),
    Bad(what="a cap as a string", change={"max_completion_tokens": "x"}, names="max_completion_tokens"),
    Bad(what="n 0", change={"n": 0}, names="n"),
    Bad(what="n 200", change={"n": 200}, names="n"),
    Bad(what="tools as a string", change={"tools": "x"}, names="tools"),
    Bad(what="a tool without a function", change={"tools": [{"type": "function"}]}, names="tools[0].function"),
    Bad(what="stop as a number", change={"stop": 5}, names="stop"),
    Bad(what="seed as a string", change={"seed": "x"}, names="seed"),
    Bad(what="user as a number", change={"user": 5}, names="user"),
    Bad(what="stream_options as a string", change={"stream": True, "stream_options": "x"}, names="stream_options"),
    Bad(what="response_format as a string", change={"response_format": "json"}, names="response_format"),
    Bad(
        what="arguments that are no text",
        change=turns(USER, CALL | {"tool_calls": [CALLED | {"function": {"name": "x", "arguments": {}}}]}),
        names="messages[1].tool_calls[0].function.arguments",
    ),
    # Out of range.
    Bad(what="temperature 3", change={"temperature": 3}, names="temperature"),
    Bad(what="temperature -1", change={"temperature": -1}, names="temperature"),
    Bad(what="top_p 2", change={"top_p": 2}, names="top_p"),
    Bad(what="frequency_penalty 3", change={"frequency_penalty": 3}, names="frequency_penalty"),
    Bad(what="presence_penalty -3", change={"presence_penalty": -3}, names="presence_penalty"),
    Bad(what="five stop strings", change={"stop": list("abcde")}, names="stop"),
    Bad(what="stop strings", change={"stop": "a"}, names="stop", at=("responses",)),
    Bad(what="an unknown effort", change={"reasoning_effort": "ultra"}, names="reasoning_effort"),
    Bad(what="an unknown verbosity", change={"verbosity": "huge"}, names="verbosity", at=OTHERS),
    Bad(what="an unknown service tier", change={"service_tier": "gold"}, names="service_tier", at=OTHERS),
    Bad(what="too many likely tokens", change={"logprobs": True, "top_logprobs": 21}, names="top_logprobs", at=OTHERS),
    Bad(what="an unknown format", change={"response_format": {"type": "yaml"}}, names="response_format.type"),
    Bad(
        what="a format without its schema",
        change={"response_format": {"type": "json_schema"}},
        names="response_format.json_schema",
    ),
    # What other models do not do.
    Bad(what="n 2", change={"n": 2}, names="n", at=OTHERS),
    Bad(what="audio", change={"audio": {"voice": "x", "format": "wav"}}, names="audio", at=OTHERS),
    Bad(what="spoken answers", change={"modalities": ["text", "audio"]}, names="modalities", at=OTHERS),
    Bad(
        what="spoken input",
        change=said({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}),
        names=f"{AT}.type",
        at=OTHERS,
    ),
    Bad(
        what="what was spoken before",
        change=turns(USER, {"role": "assistant", "audio": {"id": "a"}}, USER),
        names="messages[1].audio",
        at=OTHERS,
    ),
    Bad(what="a custom tool", change={"tools": [{"type": "custom", "custom": {"name": "x"}}]}, names="tools[0].type"),
    # Contradictions.
    Bad(what="a choice of an unknown tool", change={"tools": [TOOL], "tool_choice": named("x")}, names="tool_choice"),
    Bad(what="an unknown choice", change={"tools": [TOOL], "tool_choice": "maybe"}, names="tool_choice"),
    Bad(
        what="an unknown tool among the allowed ones",
        change={
            "tools": [TOOL],
            "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [named("x")]}},
        },
        names="tool_choice",
        at=OTHERS,
    ),
    Bad(
        what="a call of an unknown function",
        change={"functions": [FUNCTION], "function_call": {"name": "x"}},
        names="function_call",
        at=OTHERS,
    ),
    Bad(what="two tools of one name", change={"tools": [TOOL, TOOL]}, names="tools[1].function.name", at=OTHERS),
    Bad(
        what="functions beside tools of the same name",
        change={"tools": [TOOL], "functions": [FUNCTION]},
        names="functions[0].name",
        at=OTHERS,
    ),
    Bad(
        what="a tool whose schema is no object's",
        change={"tools": [{"type": "function", "function": {"name": "x", "parameters": {"type": "string"}}}]},
        names="tools[0].function.parameters",
    ),
    Bad(
        what="a tool with alternatives at the top of its schema",
        change={"tools": [{"type": "function", "function": {"name": "x", "parameters": {"anyOf": [{}]}}}]},
        names="tools",
        at=("anthropic", "invoke", "converse"),
    ),
    # Histories.
    Bad(what="a result without its call", change=turns(USER, RESULT), names="messages[1]", at=OTHERS),
    Bad(what="a call without its result", change=turns(USER, CALL, USER), names="messages[1]", at=OTHERS),
    Bad(what="a call at the end", change=turns(USER, CALL), names="messages[1]", at=OTHERS),
    Bad(what="two results of one call", change=turns(USER, CALL, RESULT, RESULT), names="messages[3]", at=OTHERS),
    Bad(
        what="a result of another call",
        change=turns(USER, CALL, RESULT | {"tool_call_id": "b"}),
        names="messages[2]",
        at=OTHERS,
    ),
    Bad(
        what="a result without an id",
        change=turns(USER, CALL, {"role": "tool", "content": "x"}),
        names="messages[2].tool_call_id",
    ),
    Bad(what="a call by the user", change=turns(CALL | USER, RESULT), names="messages[0].tool_calls"),
    Bad(
        what="a function's result without its call",
        change=turns(USER, {"role": "function", "name": "f", "content": "x"}),
        names="messages[1]",
        at=OTHERS,
    ),
    Bad(
        what="arguments that are no object",
        change=turns(USER, CALL | {"tool_calls": [CALLED | {"function": {"name": "x", "arguments": "[1]"}}]}, RESULT),
        names="messages",
        at=("ollama",),
    ),
    Bad(what="an unknown part", change=said({"type": "hologram"}), names=f"{AT}.type"),
    Bad(
        what="an image in the system prompt",
        change=turns({"role": "system", "content": [image(PICTURE)]}, USER),
        names=f"{AT}.type",
    ),
    Bad(
        what="an image by the model",
        change=turns(USER, {"role": "assistant", "content": [image(PICTURE)]}, USER),
        names="messages[1].content[0].type",
        at=OTHERS,
    ),
    # Pictures and files.
    Bad(what="an image that is no URL", change=said(image("junk")), names=f"{AT}.image_url.url", at=OTHERS),
    Bad(
        what="an image that is no base64",
        change=said(image("data:image/png,xx")),
        names=f"{AT}.image_url.url",
        at=OTHERS,
    ),
    Bad(
        what="an image at an address that may not be called",
        change=said(image("https://10.0.0.1/a.png")),
        names="messages",
        at=("invoke", "converse", "ollama"),
    ),
    Bad(
        what="an image of a kind that the provider does not take",
        change=said(image(PICTURE.replace("png", "bmp", 1))),
        names="messages",
        at=("converse",),
    ),
    Bad(what="a file by its id", change=said(file(file_id="f")), names=f"{AT}.file.file_id", at=OTHERS),
    Bad(
        what="a PDF file",
        change=said(file(filename="a.pdf", file_data=f"data:application/pdf;base64,{PDF}")),
        names="messages",
        at=("ollama",),
    ),
    # Ignored, or fitted.
    Bad(
        what="a cap above the model's own",
        change={"max_completion_tokens": 9000},
        names=None,
        at=OTHERS,
        told="lowered to it",
    ),
    Bad(
        what="`temperature` above 1",
        change={"temperature": 1.5},
        names=None,
        at=("anthropic", "invoke", "converse"),
        told="lowered to 1, which is the most that Claude takes",
    ),
    Bad(
        what="`reasoning_effort` of `none`, at a model that always thinks",
        change={"reasoning_effort": "none"},
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names it",
    ),
    Bad(
        what="`logit_bias`, `prediction`, `store`, `moderation`, `web_search_options`",
        change={
            "logit_bias": {"50256": -100},
            "prediction": {"type": "content", "content": "x"},
            "store": True,
            "moderation": {},
            "web_search_options": {},
        },
        names=None,
        at=OTHERS,
        told="left out; the ledger's entry names them",
    ),
    Bad(
        what="`logprobs`, `top_logprobs`",
        change={"logprobs": True, "top_logprobs": 3},
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names them; a provider of Responses tells them",
    ),
    Bad(
        what="`seed`, `frequency_penalty`, `presence_penalty`",
        change={"seed": 1, "frequency_penalty": 1, "presence_penalty": 1},
        names=None,
        at=("anthropic", "responses", "invoke", "converse"),
        told="left out; Ollama takes them",
    ),
    Bad(
        what="`service_tier`",
        change={"service_tier": "flex"},
        names=None,
        at=OTHERS,
        told="goes to OpenAI and to Bedrock; for others, and of a tier they have not, the ledger's entry names it",
    ),
    Bad(
        what="`verbosity`, `metadata`, `prompt_cache_key`, `prompt_cache_options`, `prompt_cache_retention`",
        change={
            "verbosity": "low",
            "metadata": {"a": "b"},
            "prompt_cache_key": "x",
            "prompt_cache_options": {"mode": "explicit"},
            "prompt_cache_retention": "24h",
        },
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names them; OpenAI's Responses takes them",
    ),
    Bad(
        what="`tool_choice` and `parallel_tool_calls` without tools",
        change={"tool_choice": "required", "parallel_tool_calls": False},
        names=None,
        at=OTHERS,
        told="there is nothing to choose from",
    ),
    Bad(
        what="`stream_options` of an answer that does not stream",
        change={"stream_options": {"include_usage": True}},
        names=None,
        at=OTHERS,
        told="there is always usage in it",
    ),
    Bad(
        what="blank stop strings",
        change={"stop": [" "]},
        names=None,
        at=("anthropic", "responses", "invoke", "converse"),
        told="left out, as these providers refuse them",
    ),
    Bad(
        what="`strict` for a schema that does not qualify",
        change={"tools": [{"type": "function", "function": FUNCTION | {"strict": True}}]},
        names=None,
        at=OTHERS,
        told="the schema goes on as it is, without `strict`",
    ),
    Bad(
        what="fields that no dialect has",
        change={"zzz": 1},
        names=None,
        at=OTHERS,
        told="the ledger's entry counts them",
    ),
)
