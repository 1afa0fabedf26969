"""What OpenAI's Responses would refuse, what needs a memory, and what other providers have no words for."""

from __future__ import annotations

from typing import Any

from tests.matrix.bad.row import ABSENT, Bad, but
from tests.matrix.wishes import PDF, PIXEL

CLIENT = "openai_responses"
PATH = "/v1/responses"
BODY: dict[str, Any] = {"input": "Hello"}

OTHERS = but("responses")
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}
USER = {"role": "user", "content": "Hello"}
CALL = {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "call_1", "output": "18"}
PICTURE = f"data:image/png;base64,{PIXEL}"
AT = "input[0].content[0]"


def items(*given: Any) -> dict[str, Any]:
    return {"input": [USER, *given]}


def said(part: dict[str, Any]) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": [part]}]}


def image(**fields: Any) -> dict[str, Any]:
    return said({"type": "input_image", **fields})


def file(**fields: Any) -> dict[str, Any]:
    return said({"type": "input_file", **fields})


ROWS = (
    # What the gateway itself reads, whoever answers.
    Bad(what="no input", change={"input": ABSENT}, names="input"),
    Bad(what="input as a number", change={"input": 5}, names="input"),
    Bad(what="an item as a string", change={"input": ["x"]}, names="input[0]"),
    Bad(what="an unknown role", change={"input": [{"role": "robot", "content": "x"}]}, names="input[0].role"),
    Bad(what="instructions as a number", change={"instructions": 5}, names="instructions"),
    Bad(what="a cap of 0", change={"max_output_tokens": 0}, names="max_output_tokens"),
    Bad(what="a cap as a string", change={"max_output_tokens": "x"}, names="max_output_tokens"),
    Bad(what="tools as a string", change={"tools": "x"}, names="tools"),
    Bad(what="a tool without a type", change={"tools": [{"name": "x"}]}, names="tools[0].type"),
    Bad(what="a tool without a name", change={"tools": [{"type": "function"}]}, names="tools[0].name"),
    Bad(what="text as a string", change={"text": "x"}, names="text"),
    Bad(what="reasoning as a string", change={"reasoning": "x"}, names="reasoning"),
    Bad(what="metadata that is no text", change={"metadata": {"a": 5}}, names="metadata"),
    Bad(what="user as a number", change={"user": 5}, names="user"),
    # What needs a memory.
    Bad(what="previous_response_id", change={"previous_response_id": "resp_1"}, names="previous_response_id"),
    Bad(what="conversation", change={"conversation": "conv_1"}, names="conversation"),
    Bad(what="background", change={"background": True}, names="background"),
    Bad(what="a reference to an item", change=items({"type": "item_reference", "id": "x"}), names="input[1].type"),
    Bad(what="a stored prompt", change={"prompt": {"id": "x"}}, names="prompt"),
    # Out of range.
    Bad(what="temperature 3", change={"temperature": 3}, names="temperature"),
    Bad(what="top_p 2", change={"top_p": 2}, names="top_p"),
    Bad(what="an unknown effort", change={"reasoning": {"effort": "ultra"}}, names="reasoning.effort"),
    Bad(what="a cap of 15", change={"max_output_tokens": 15}, names="max_output_tokens"),
    Bad(what="nothing in the input", change={"input": []}, names="input", at=OTHERS),
    Bad(what="a blank input", change={"input": ""}, names="input", at=OTHERS),
    Bad(what="what nobody could include", change={"include": ["x"]}, names="include[0]"),
    Bad(what="an unknown truncation", change={"truncation": "maybe"}, names="truncation"),
    Bad(what="an unknown verbosity", change={"text": {"verbosity": "huge"}}, names="text.verbosity"),
    Bad(what="an unknown service tier", change={"service_tier": "gold"}, names="service_tier", at=OTHERS),
    Bad(what="an unknown format", change={"text": {"format": {"type": "yaml"}}}, names="text.format.type"),
    Bad(
        what="a format without its schema",
        change={"text": {"format": {"type": "json_schema", "name": "x"}}},
        names="text.format.schema",
    ),
    # Items.
    Bad(what="an item of no type", change={"input": [{}]}, names="input[0]"),
    Bad(what="an item of an unknown type", change=items({"type": "hologram"}), names="input[1].type"),
    Bad(what="no content", change={"input": [{"role": "user"}]}, names="input[0].content"),
    Bad(what="content as a number", change={"input": [{"role": "user", "content": 5}]}, names="input[0].content"),
    Bad(what="an unknown part", change=said({"type": "hologram"}), names=AT),
    Bad(what="a part without text", change=said({"type": "input_text"}), names=f"{AT}.text"),
    Bad(what="an output without its call", change=items(OUTPUT), names="input"),
    Bad(what="a call without its output", change=items(CALL, USER), names="input"),
    Bad(what="an output of another call", change=items(CALL, OUTPUT | {"call_id": "b"}), names="input"),
    Bad(what="two outputs of one call", change=items(CALL, OUTPUT, OUTPUT), names="input[3]", at=OTHERS),
    Bad(what="a call without a name", change=items(CALL | {"name": None}, OUTPUT), names="input[1].name"),
    Bad(what="arguments that are no text", change=items(CALL | {"arguments": {}}, OUTPUT), names="input[1].arguments"),
    Bad(what="an output that is nothing", change=items(CALL, OUTPUT | {"output": None}), names="input[2].output"),
    Bad(what="an output that is a number", change=items(CALL, OUTPUT | {"output": 5}), names="input[2].output"),
    Bad(
        what="arguments that are no object",
        change=items(CALL | {"arguments": "[1]"}, OUTPUT),
        names="input",
        at=("ollama",),
    ),
    Bad(
        what="what OpenAI has compacted",
        change=items({"type": "compaction", "encrypted_content": "x"}),
        names="input[1].type",
        at=OTHERS,
    ),
    Bad(what="the use of a computer", change=items({"type": "computer_call"}), names="input[1].type", at=OTHERS),
    # Tools.
    *(
        Bad(what=f"the tool {kind}", change={"tools": [{"type": kind}]}, names="tools[0].type", at=OTHERS)
        for kind in ("file_search", "code_interpreter", "mcp", "computer_use_preview", "hologram")
    ),
    Bad(
        what="a choice of an unknown tool",
        change={"tools": [TOOL], "tool_choice": {"type": "function", "name": "x"}},
        names="tool_choice",
    ),
    Bad(what="an unknown choice", change={"tools": [TOOL], "tool_choice": "maybe"}, names="tool_choice"),
    Bad(
        what="an unknown tool among the allowed ones",
        change={
            "tools": [TOOL],
            "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "x"}]},
        },
        names="tool_choice",
        at=OTHERS,
    ),
    Bad(
        what="a tool whose schema is no object's",
        change={"tools": [TOOL | {"parameters": {"type": "string"}}]},
        names="tools[0].parameters",
    ),
    # Pictures and files.
    Bad(what="an image by the id of its file", change=image(file_id="f"), names=f"{AT}.file_id", at=OTHERS),
    Bad(what="an image that is no URL", change=image(image_url="junk"), names=f"{AT}.image_url"),
    Bad(
        what="an image at an address that may not be called",
        change=image(image_url="https://10.0.0.1/a.png"),
        names="input",
        at=("converse", "ollama"),
    ),
    Bad(
        what="an image in the instructions",
        change={"input": [{"role": "developer", "content": [{"type": "input_image", "image_url": PICTURE}]}, USER]},
        names=f"{AT}.type",
        at=OTHERS,
    ),
    Bad(what="a file by its id", change=file(file_id="f"), names=f"{AT}.file_id", at=OTHERS),
    Bad(
        what="a file at an address that may not be called",
        change=file(file_url="https://10.0.0.1/a.pdf"),
        names="input",
        at=("openai", "converse", "ollama"),
    ),
    Bad(
        what="a PDF file",
        change=file(filename="a.pdf", file_data=f"data:application/pdf;base64,{PDF}"),
        names="input",
        at=("ollama",),
    ),
    Bad(what="spoken input", change=said({"type": "input_audio", "input_audio": {}}), names=f"{AT}.type", at=OTHERS),
    # Ignored, or fitted.
    Bad(
        what="a cap above the model's own",
        change={"max_output_tokens": 9000},
        names=None,
        at=OTHERS,
        told="lowered to it",
    ),
    Bad(what="`store`", change={"store": True}, names=None, told="nothing is kept, whoever answers, but at OpenAI"),
    Bad(
        what="`web_search`, `image_generation` and `tool_search` among the tools",
        change={"tools": [{"type": "web_search"}, TOOL]},
        names=None,
        at=OTHERS,
        told="left out: agents offer them with every request",
    ),
    Bad(
        what="`tool_choice` without tools",
        change={"tool_choice": "required"},
        names=None,
        at=OTHERS,
        told="there is nothing to choose from",
    ),
    Bad(
        what="`include`, `max_tool_calls`, `truncation`, `moderation`, `context_management`",
        change={
            "include": ["web_search_call.results"],
            "max_tool_calls": 3,
            "truncation": "auto",
            "moderation": {},
            "context_management": [{"type": "compaction"}],
        },
        names=None,
        at=OTHERS,
        told="left out; the ledger's entry names them. What is too long is refused, not cut",
    ),
    Bad(
        what="`message.output_text.logprobs` in `include`, and `top_logprobs`",
        change={"include": ["message.output_text.logprobs"], "top_logprobs": 3},
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names them; a provider of Chat tells them",
    ),
    Bad(
        what="`service_tier`",
        change={"service_tier": "flex"},
        names=None,
        at=OTHERS,
        told="goes to OpenAI and to Bedrock; for others, and of a tier they have not, the ledger's entry names it",
    ),
    Bad(
        what="`text.verbosity`, `prompt_cache_key`, `prompt_cache_options`, `prompt_cache_retention`",
        change={
            "text": {"verbosity": "low"},
            "prompt_cache_key": "x",
            "prompt_cache_options": {"mode": "explicit"},
            "prompt_cache_retention": "24h",
        },
        names=None,
        at=OTHERS,
        told="left out, and the ledger's entry names them; OpenAI's Chat takes them",
    ),
    Bad(
        what="`metadata`",
        change={"metadata": {"a": "b"}},
        names=None,
        at=OTHERS,
        told="told back, and goes nowhere: OpenAI's Chat takes it only of who has it keep the answer",
    ),
    Bad(
        what="`stream_options`",
        change={"stream": True, "stream_options": {"include_obfuscation": True}},
        names=None,
        at=OTHERS,
        told="the answer is not padded",
    ),
    Bad(
        what="two tools of one name",
        change={"tools": [TOOL, TOOL]},
        names=None,
        at=OTHERS,
        told="the model sees a number behind the second's, the caller does not",
    ),
    Bad(
        what="fields that no dialect has",
        change={"zzz": 1, "stop": ["x"]},
        names=None,
        at=OTHERS,
        told="the ledger's entry counts them; Responses has no `stop`",
    ),
)
