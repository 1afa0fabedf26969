"""What Bedrock refuses is refused, in words like AWS's: a gateway that sends it must be told."""

from __future__ import annotations

import base64
import copy

import pytest

from tests.sdk import worlds
from tests.simulator import aws
from tests.simulator.test_strictness import ABSENT, changed

KEY = {"authorization": "Bearer bedrock-api-key"}
ASKED = {"role": "user", "content": [{"text": "The time?"}]}
CALL = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_time", "input": {"zone": "UTC"}}}
CALLED = {"role": "assistant", "content": [CALL]}
RESULT = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "noon"}]}}
RETURNED = {"role": "user", "content": [RESULT]}
IMAGE = {"image": {"format": "png", "source": {"bytes": worlds.PIXEL}}}
REPORT = {"document": {"format": "txt", "name": "Report", "source": {"bytes": "aGVsbG8="}}}
POINT = {"cachePoint": {"type": "default"}}
THOUGHT = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "x"}}}


def user(*blocks: object) -> dict:
    return {"role": "user", "content": list(blocks)}


def named(block: dict, **change: object) -> dict:
    """A block of one kind with other fields."""
    kind = next(iter(block))
    return {kind: block[kind] | change}


def converse(http, *, of: str = aws.NOVA, **change: object):
    body = changed({"messages": [ASKED]}, change)
    return http.post(f"/model/{of}/converse", json=body, headers=KEY)


def invoke(http, *, of: str = aws.CLAUDE, **change: object):
    body = {"anthropic_version": aws.VERSION, "max_tokens": 64, "messages": [{"role": "user", "content": "x"}]}
    return http.post(f"/model/{of}/invoke", json=changed(body, change), headers=KEY)


def tool(**change: object) -> dict:
    return {"tools": [{"toolSpec": copy.deepcopy(aws.TOOLS["tools"][0]["toolSpec"]) | change}]}


def told(answer) -> str:
    """The message of a refusal."""
    assert answer.status_code == 400, answer.text
    assert answer.headers["x-amzn-errortype"].startswith(("ValidationException:", "SerializationException:"))
    assert list(answer.json()) == ["message"]
    return answer.json()["message"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"messages": ABSENT}, "must start with a user message"),
        ({"messages": []}, "must start with a user message"),
        ({"messages": [CALLED]}, "must start with a user message"),
        ({"messages": [ASKED, ASKED]}, "must alternate between user and assistant roles"),
        ({"messages": [ASKED, {"role": "assistant", "content": [{"text": "It"}]}]}, "must end with a user message"),
        ({"messages": [{"role": "robot", "content": []}]}, "at 'messages.1.member.role' failed to satisfy constraint"),
        ({"messages": [ASKED, {"role": "system", "content": [{"text": "x"}]}]}, "role 'system' is not supported"),
        ({"messages": [{"role": "user"}]}, "at 'messages.1.member.content' failed to satisfy constraint: Member must"),
        ({"messages": [{"role": "user", "content": "x"}]}, "str can not be converted to list"),
        ({"messages": [{"role": "user", "content": []}]}, "at messages.0 is empty"),
        ({"messages": [user({"text": ""})]}, "at messages.0.content.0 is blank"),
        ({"messages": [user({"text": " "})]}, "at messages.0.content.0 is blank"),
        ({"messages": [user({"type": "text", "text": "x"})]}, "extraneous key [type] is not permitted"),
        ({"messages": [user({})]}, "Member must have exactly one of"),
        ({"messages": [user({"text": "x", **POINT})]}, "Member must have exactly one of"),
        ({"messages": [user(named(IMAGE, format="jpg"))]}, "enum value set: [png, jpeg, gif, webp]"),
        ({"messages": [user(named(IMAGE, source={"bytes": "?"}))]}, "not valid base64"),
        ({"messages": [user(REPORT)]}, "Include a text block beside documents"),
        ({"messages": [user({"text": "x"}, named(REPORT, name="a.txt"))]}, "alphanumeric characters, whitespace"),
        ({"messages": [user({"text": "x"}, named(REPORT, name="a  b"))]}, "consecutive whitespace"),
        ({"messages": [user({"text": "x"}, REPORT, REPORT)]}, "duplicate document names"),
        ({"messages": [user({"text": "x"}, *[POINT] * 5)]}, "more than 4 cache points"),
        (
            {"messages": [user(CALL)]},
            "The toolUse block at messages.0.content.0 can't be in a message of the role user",
        ),
        ({"messages": [ASKED, CALLED, RETURNED]}, "The toolConfig field must be defined"),
        ({"messages": [ASKED, CALLED, ASKED], "toolConfig": aws.TOOLS}, "for the following Ids: tooluse_1"),
        ({"messages": [user(RESULT)], "toolConfig": aws.TOOLS}, "that have no toolUse block in the previous turn"),
        (
            {"messages": [ASKED, {"role": "assistant", "content": [named(CALL, toolUseId="call|1")]}]},
            "failed to satisfy constraint: Member must satisfy regular expression pattern",
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "content": [named(CALL, toolUseId="a" * 65)]}]},
            "length less than or equal to 64",
        ),
        ({"messages": [ASKED, {"role": "assistant", "content": [THOUGHT]}, ASKED]}, "signature field"),
        ({"system": "Be brief."}, "str can not be converted to list"),
        ({"system": [{"text": ""}]}, "at 'system.1.member.text' failed to satisfy constraint"),
        ({"system": [{"text": " "}]}, "at system.0 is blank"),
        ({"max_tokens": 9}, "at 'max_tokens' failed to satisfy constraint: extraneous key [max_tokens]"),
        ({"modelId": "x"}, "extraneous key [modelId]"),
        ({"inferenceConfig": {"maxTokens": 0}}, "value greater than or equal to 1"),
        ({"inferenceConfig": {"maxTokens": "9"}}, "str can not be converted to integer"),
        ({"inferenceConfig": {"temperature": 1.5}}, "value less than or equal to 1"),
        ({"inferenceConfig": {"topK": 3}}, "extraneous key [topK]"),
        ({"inferenceConfig": {"stopSequences": [" "]}}, "stopSequences"),
        ({"toolConfig": {"tools": []}}, "length greater than or equal to 1"),
        ({"toolConfig": tool(name="a b")}, "regular expression pattern: [a-zA-Z0-9_-]+"),
        ({"toolConfig": tool(name="a" * 65)}, "length less than or equal to 64"),
        ({"toolConfig": tool(description="")}, "length greater than or equal to 1"),
        ({"toolConfig": tool(inputSchema={"json": {}})}, "must be one of the following: object"),
        ({"toolConfig": {"tools": tool()["tools"] * 2}}, "duplicate tool names"),
        ({"toolConfig": {**aws.TOOLS, "toolChoice": {"none": {}}}}, "extraneous key [none]"),
        ({"toolConfig": {**aws.TOOLS, "toolChoice": {"tool": {"name": "x"}}}}, "is not among toolConfig.tools"),
        ({"additionalModelRequestFields": {"thinking": {}}}, "extraneous key [thinking] is not permitted"),
    ],
)
def test_converse_refuses(http, change, message):
    assert message in told(converse(http, **change))


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 100}}, "greater than or equal to 1024"),
        ({"thinking": {"type": "enabled", "budget_tokens": 4096}}, "must be greater than `thinking.budget_tokens`"),
        ({"seed": 1}, "The model returned the following errors: seed: Extra inputs are not permitted"),
        ({"tool_choice": {"type": "auto"}}, "tool_choice: Extra inputs are not permitted"),
    ],
)
def test_claude_refuses_fields_of_its_own(http, extra, message):
    answer = converse(http, of=aws.CLAUDE, inferenceConfig={"maxTokens": 4096}, additionalModelRequestFields=extra)
    assert message in told(answer)


@pytest.mark.parametrize(
    ("choice", "config", "message"),
    [
        ({"disable_parallel_tool_use": True}, {}, "tool_choice: Input tag 'None'"),
        ({"type": "any"}, {"toolChoice": {"any": {}}}, "tool_choice: Extra inputs are not permitted"),
        ({"type": "tool", "name": "x"}, {}, "Tool 'x' not found"),
    ],
)
def test_claudes_own_choice_of_tools_is_whole_and_the_only_one(http, choice, config, message):
    answer = converse(
        http,
        of=aws.CLAUDE,
        toolConfig={**aws.TOOLS, **config},
        additionalModelRequestFields={"tool_choice": choice},
    )
    assert message in told(answer)


@pytest.mark.parametrize(
    ("model", "change"),
    [
        (aws.NOVA, {"system": []}),
        (aws.NOVA, {"messages": [ASKED, CALLED, RETURNED], "toolConfig": aws.TOOLS}),
        (aws.NOVA, {"messages": [ASKED, CALLED, user(RESULT, {"text": "And?"})], "toolConfig": aws.TOOLS}),
        (aws.NOVA, {"messages": [user({"text": "x"}, REPORT, {"text": "\n"}, POINT, {"text": "What?"}, POINT)]}),
        (aws.NOVA, {"additionalModelRequestFields": {"inferenceConfig": {"topK": 10}}}),
        (aws.CLAUDE, {"additionalModelRequestFields": {"top_k": 10}}),
        (aws.CLAUDE, {"messages": [ASKED, {"role": "assistant", "content": [{"text": "It is"}]}]}),
        (aws.NOVA, {"requestMetadata": {"tenant": "a"}, "serviceTier": {"type": "default"}}),
    ],
)
def test_converse_accepts(http, model, change):
    answer = converse(http, of=model, **change)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"anthropic_version": ABSENT}, "anthropic_version: Field required"),
        ({"anthropic_version": "2026-10-21"}, "anthropic_version: Input should be 'bedrock-2023-05-31'"),
        ({"model": aws.CLAUDE}, "model: Extra inputs are not permitted"),
        ({"stream": False}, "stream: Extra inputs are not permitted"),
        ({"service_tier": "auto"}, "service_tier: Extra inputs are not permitted"),
        ({"cache_control": {"type": "ephemeral"}}, "cache_control: Extra inputs are not permitted"),
        ({"context_management": {"edits": []}}, "context_management: Extra inputs are not permitted"),
        ({"anthropic_beta": ["files-api-2025-04-14"]}, "invalid beta flag"),
        ({"output_config": {"task_budget": {}}}, "output_config.task_budget: Extra inputs are not permitted"),
        (
            {"system": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "scope": "global"}}]},
            "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
        ),
        ({"max_tokens": ABSENT}, "max_tokens: Field required"),
        ({"messages": []}, "at least one message"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "Input tag 'web_search_20250305'"),
        (
            {"tools": [{"name": "a", "input_schema": {"type": "object"}, "defer_loading": True}]},
            "tools.0.custom.defer_loading: Extra inputs",
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "https://x.test"}}]}
                ]
            },
            "messages.0.content.0.image.source: Input tag 'url'",
        ),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "system", "content": "x"}]},
            "role 'system' is not supported on this model",
        ),
    ],
)
def test_invocations_of_claude_refuse(http, change, message):
    assert message in told(invoke(http, **change))


def test_a_beta_brings_its_fields(http):
    answer = invoke(http, anthropic_beta=["context-management-2025-06-27"], context_management={"edits": []})
    assert answer.status_code == 200, answer.text


def test_one_model_wants_a_beta_for_an_effort(http):
    model, asked = "us.anthropic.claude-opus-4-5-20251101-v1:0", {"output_config": {"effort": "high"}}
    assert "output_config: Extra inputs" in told(invoke(http, of=model, **asked))
    assert invoke(http, of=model, anthropic_beta=["effort-2025-11-24"], **asked).status_code == 200
    assert invoke(http, of="us.anthropic.claude-sonnet-4-6", **asked).status_code == 200


@pytest.mark.parametrize(
    "model",
    [
        "us.amazon.nova-micro-v1%3AO",
        "claude-simulated",
        "gpt-5",
        "mars.anthropic.claude-v1:0",
        "arn%3Aaws%3As3%3A%3A%3Ax",
    ],
)
def test_an_unknown_name_is_no_model(http, model):
    assert told(converse(http, of=model)) == "The provided model identifier is invalid."
    assert told(invoke(http, of=model)) == "The provided model identifier is invalid."


def test_each_way_of_asking_has_its_models(http):
    assert "doesn't support the model" in told(converse(http, of="amazon.titan-embed-text-v2:0"))
    assert "ask them by Converse" in told(invoke(http, of=aws.NOVA))


@pytest.mark.parametrize(
    ("model", "body", "message"),
    [
        ("amazon.titan-embed-text-v2:0", {}, "required key [inputText] not found"),
        ("amazon.titan-embed-text-v2:0", {"inputText": ""}, "expected minLength: 1, actual: 0"),
        ("amazon.titan-embed-text-v2:0", {"inputText": ["x"]}, "expected type: String, found: JSONArray"),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x", "dimensions": 300}, "300 is not a valid enum value"),
        ("amazon.titan-embed-text-v2:0", {"inputText": "x", "model": "y"}, "extraneous key [model] is not permitted"),
        ("amazon.titan-embed-text-v1", {"inputText": "x", "dimensions": 256}, "extraneous key [dimensions]"),
        ("cohere.embed-english-v3", {"texts": ["x"]}, "required key [input_type] not found"),
        ("cohere.embed-english-v3", {"input_type": "search_query"}, "required key [texts] not found"),
        ("cohere.embed-english-v3", {"texts": "x", "input_type": "search_query"}, "#/texts: expected type"),
        ("cohere.embed-english-v3", {"texts": ["x"] * 97, "input_type": "search_query"}, "maximum item count: 96"),
        (
            "cohere.embed-english-v3",
            {"texts": ["x"], "input_type": "search_query", "embedding_types": ["base64"]},
            "is not a valid enum value",
        ),
    ],
)
def test_embeddings_refuse(http, model, body, message):
    assert message in told(http.post(f"/model/{model}/invoke", json=body, headers=KEY))


def test_counting_wants_a_whole_invocation(http):
    def counted(body: bytes):
        wrapped = {"input": {"invokeModel": {"body": base64.b64encode(body).decode()}}}
        return http.post(f"/model/{aws.CLAUDE}/count-tokens", json=wrapped, headers=KEY)

    assert "anthropic_version: Field required" in told(counted(b'{"messages":[],"max_tokens":1}'))
    assert "Malformed input request" in told(counted(b"nonsense"))
    answer = http.post(f"/model/{aws.CLAUDE}/count-tokens", json={"input": {}}, headers=KEY)
    assert "Member must be a union" in told(answer)


@pytest.mark.parametrize("path", ["converse", "converse-stream", "invoke", "invoke-with-response-stream"])
def test_what_is_not_json_is_refused_and_so_are_calls_without_a_key(http, path):
    at = f"/model/{aws.CLAUDE}/{path}"
    for body in (b'{"messages": ', b"\xff\xfe", b"[]", b"[" * 100_000):
        assert "Malformed input request" in told(http.post(at, content=body, headers=KEY))
    answer = http.post(at, json={})
    assert answer.status_code == 403
    assert answer.headers["x-amzn-errortype"].startswith("MissingAuthenticationTokenException:")
    assert http.get(at, headers=KEY).status_code == 405


def test_an_unknown_operation_is_refused_in_bedrocks_way(http):
    answer = http.post(f"/model/{aws.CLAUDE}/async-invoke", json={}, headers=KEY)
    assert (answer.status_code, list(answer.json())) == (404, ["message"])
    assert answer.headers["x-amzn-errortype"].startswith("ResourceNotFoundException:")


def test_a_lenient_model_lets_unknown_fields_pass(http):
    assert converse(http, of="amazon.nova-lenient-v1:0", max_tokens=9).status_code == 200
    assert invoke(http, of="anthropic.claude-lenient-v1:0", service_tier="auto").status_code == 200
