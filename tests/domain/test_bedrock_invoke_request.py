"""Claude through InvokeModel: what goes out of a request."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Target

ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
TARGET = Target(protocol="bedrock_invoke", model="eu.anthropic.claude-opus-4-8-v1:0", max_output_tokens=1000)
ASK: dict[str, Any] = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}


def call(body: bytes, *, headers: dict[bytes, bytes] | None = None) -> ClientCall:
    read = registry.CLIENTS[ANTHROPIC].read_request(body)
    read.headers = headers or {}
    return read


def sent(body: bytes, *, betas: str = "") -> bytes:
    return exchange.open(call(body, headers={b"anthropic-beta": betas.encode()} if betas else {}), TARGET).body


def fitted(*, betas: str = "", **fields: Any) -> dict[str, Any]:
    """What becomes of these fields, without those that every request has."""
    body = json.loads(sent(json.dumps(ASK | fields).encode(), betas=betas))
    assert body.pop("anthropic_version") == "bedrock-2023-05-31"
    return {name: value for name, value in body.items() if ASK.get(name) != value}


def test_every_byte_stays_but_for_what_the_address_says():
    messages = (
        b'"messages":[ {"role":"user", "content":"\\u00e9 \\/"},{"content":[{"type":"thinking","thinking":"", '
        b'"signature":"Eq=="},{"text":"x","type":"text"}],"role":"assistant"} ],\t"metadata":{ "user_id":"u" }'
    )
    body = b'{ "max_tokens" : 9,\n "model":"m" , "stream": true,' + messages + b" }\n"
    assert sent(body) == b'{ "max_tokens" : 9,' + messages + b',"anthropic_version":"bedrock-2023-05-31" }\n'


def test_a_body_as_sdks_write_it_keeps_their_style():
    assert sent(json.dumps(ASK, separators=(",", ":")).encode()) == (
        b'{"max_tokens":9,"messages":[{"role":"user","content":"hello"}],"anthropic_version":"bedrock-2023-05-31"}'
    )
    assert sent(json.dumps(ASK | {"stream": True}).encode()) == (
        b'{"max_tokens": 9, "messages": [{"role": "user", "content": "hello"}], '
        b'"anthropic_version": "bedrock-2023-05-31"}'
    )


@pytest.mark.parametrize(
    "field",
    [
        "cache_control",
        "container",
        "diagnostics",
        "fallbacks",
        "inference_geo",
        "mcp_servers",
        "service_tier",
        "speed",
        "stream_options",
        "something_new",
    ],
)
def test_what_bedrock_does_not_know_goes(field):
    assert fitted(**{field: {"type": "ephemeral"}}) == {}


@pytest.mark.parametrize(
    ("betas", "in_body", "kept"),
    [
        ("interleaved-thinking-2025-05-14", None, ["interleaved-thinking-2025-05-14"]),
        ("context-1m-2025-08-07, claude-code-20250219,oauth-2025-04-20", None, ["context-1m-2025-08-07"]),
        ("advanced-tool-use-2025-11-20", None, ["tool-search-tool-2025-10-19"]),
        ("effort-2025-11-24,fine-grained-tool-streaming-2025-05-14", None, None),
        ("", ["computer-use-2025-01-24", "files-api-2025-04-14"], ["computer-use-2025-01-24"]),
        ("context-1m-2025-08-07", ["context-1m-2025-08-07"], ["context-1m-2025-08-07"]),
    ],
)
def test_betas_go_into_the_body_as_far_as_bedrock_knows_them(betas, in_body, kept):
    fields = {} if in_body is None else {"anthropic_beta": in_body}
    assert fitted(betas=betas, **fields) == ({} if kept is None else {"anthropic_beta": kept})


def test_the_beta_for_an_effort_goes_to_the_one_model_that_wants_it():
    body = json.dumps(ASK | {"output_config": {"effort": "high"}}).encode()
    asked = call(body, headers={b"anthropic-beta": b"effort-2025-11-24"})
    found = {
        model: json.loads(exchange.open(asked, msgspec.structs.replace(TARGET, model=model)).body).get("anthropic_beta")
        for model in ("us.anthropic.claude-opus-4-5-20251101-v1:0", "us.anthropic.claude-sonnet-4-6")
    }
    assert list(found.values()) == [["effort-2025-11-24"], None]


def test_betas_that_are_no_list_are_refused_by_name():
    with pytest.raises(errors.InvalidRequest, match="anthropic_beta"):
        fitted(anthropic_beta="context-1m-2025-08-07")


def test_a_field_goes_with_its_beta_or_not_at_all():
    edits = {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert fitted(context_management=edits) == {}
    assert fitted(context_management=edits, betas="interleaved-thinking-2025-05-14") == {
        "anthropic_beta": ["interleaved-thinking-2025-05-14"]
    }
    for beta in ("context-management-2025-06-27", "compact-2026-01-12"):
        assert fitted(context_management=edits, betas=beta) == {"context_management": edits, "anthropic_beta": [beta]}


TOOL = {"name": "t", "input_schema": {"type": "object"}, "strict": True}


def test_a_tools_fields_go_with_their_betas_or_not_at_all():
    opened = TOOL | {
        "defer_loading": True,
        "input_examples": [{}],
        "allowed_callers": ["direct"],
        "eager_input_streaming": True,
    }
    assert fitted(tools=[TOOL, opened]) == {"tools": [TOOL, TOOL]}
    found = fitted(tools=[opened], betas="advanced-tool-use-2025-11-20,tool-examples-2025-10-29")
    assert found["tools"] == [TOOL | {"defer_loading": True, "input_examples": [{}]}]


def test_a_cache_marks_scope_goes_wherever_it_stands():
    mark = {"type": "ephemeral", "ttl": "1h"}
    block = {"type": "text", "text": 'the "scope" of it'}
    marked, scoped = block | {"cache_control": mark}, block | {"cache_control": mark | {"scope": "global"}}
    messages = [{"role": "user", "content": [scoped, block]}, {"role": "user", "content": 'a "scope"'}]
    found = fitted(system=[scoped, block], messages=messages, tools=[TOOL | {"cache_control": mark | {"scope": "org"}}])
    assert found["system"] == [marked, block]
    assert found["messages"] == [{"role": "user", "content": [marked, block]}, messages[1]]
    assert found["tools"] == [TOOL | {"cache_control": mark}]


def test_a_format_of_old_is_where_it_stands_now():
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    assert fitted(output_format=wanted) == {"output_config": {"format": wanted}}
    config = {"effort": "low", "task_budget": {"type": "tokens", "total": 9}}
    assert fitted(output_config=config) == {"output_config": {"effort": "low"}}
    assert fitted(output_config=config, output_format=wanted) == {"output_config": {"effort": "low", "format": wanted}}


def test_thinking_of_another_vendors_is_left_out():
    ours = {"type": "thinking", "thinking": "hm", "signature": "gw1.abc"}
    theirs = {"type": "thinking", "thinking": "", "signature": "EqQB"}
    text = {"type": "text", "text": "x"}
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": [ours, theirs, text]}]
    assert fitted(messages=messages)["messages"][1]["content"] == [theirs, text]


LONG = "call_" + "x" * 80
ODD = "functions.look:0"


def called(id_: str) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": 'an "id": "' + LONG + '"'},
        {"role": "assistant", "content": [{"type": "tool_use", "id": id_, "name": "t", "input": {"id": LONG}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": id_, "content": [{"type": "text"}]}]},
    ]


@pytest.mark.parametrize("id_", [LONG, ODD, "é", "a b"])
def test_an_id_of_somebody_elses_is_fitted_where_it_stands_and_nothing_else(id_):
    found = fitted(messages=called(id_))["messages"]
    image = found[1]["content"][0]["id"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", image)
    assert found == called(image), "the same in the result, and no other member"


@pytest.mark.parametrize("id_", ["toolu_01", "call_1", "gwid_a", "x" * 64, ""])
def test_ids_that_bedrock_takes_stay_with_every_byte(id_):
    messages = json.dumps(called(id_), indent=1).replace('"id":', '"id"\t:').encode()
    body = b'{"model":"m","max_tokens":9,"messages":' + messages + b"}"
    assert sent(body) == b'{"max_tokens":9,"messages":' + messages + b',"anthropic_version":"bedrock-2023-05-31"}'


@pytest.mark.parametrize("key", [r"\u0069d", r"i\u0064", r"\u0069\u0064"])
def test_an_id_whose_key_has_escapes_is_fitted_too(key):
    messages = json.dumps(called(ODD)).replace('{"type": "tool_use", "id"', '{"type": "tool_use", "' + key + '"')
    messages = messages.replace("tool_use_id", r"tool\u005fuse_" + key)
    found = json.loads(sent(b'{"model":"m","max_tokens":9,"messages":' + messages.encode() + b"}"))["messages"]
    assert found == called(found[1]["content"][0]["id"]) != called(ODD)


def test_keys_that_are_alike_are_the_providers_to_judge_and_the_others_are_fitted():
    messages = called(ODD)
    messages[1]["content"][0]["ID"] = "x"
    found = fitted(messages=messages)["messages"]
    assert found[:2] == messages[:2]
    assert found[2]["content"][0]["tool_use_id"] != ODD


def test_two_ids_that_are_alike_to_bedrock_stay_two():
    images = {fitted(messages=called(id_))["messages"][1]["content"][0]["id"] for id_ in (LONG, LONG + "y", ODD, "a b")}
    assert len(images) == 4


def noted(*, betas: str = "", target: Target = TARGET, **fields: Any) -> tuple[str, ...]:
    headers = {b"anthropic-beta": betas.encode()}
    return exchange.open(call(json.dumps(ASK | fields).encode(), headers=headers), target).notes


def test_the_ledger_is_told_what_bedrock_does_not_get():
    assert noted(stream=True, output_format={"type": "json_schema", "schema": {"type": "object"}}) == ()
    assert noted(service_tier="batch", context_management={}, container=None, my_plan=1) == (
        "dropped: context_management, service_tier, 1 unknown",
    )
    scoped = {"type": "ephemeral", "scope": "org"}
    assert noted(
        system=[{"type": "text", "text": "the scope", "cache_control": scoped}],
        tools=[TOOL | {"defer_loading": True, "allowed_callers": ["direct"]}],
        output_config={"effort": "low", "task_budget": {"type": "tokens", "total": 9}},
        betas="advanced-tool-use-2025-11-20",
    ) == ("dropped: cache_control.scope, output_config.task_budget, tools.allowed_callers",)
    plain = {"type": "text", "text": 'the "scope" and defer_loading', "cache_control": {"type": "ephemeral"}}
    assert noted(system=[plain], tools=[TOOL | {"description": 'of "scope", defer_loading'}]) == ()


@pytest.mark.parametrize(
    ("asked", "told"),
    [("auto", None), ("standard_only", "default"), ("priority", "priority"), (None, None), ({}, None), ([], None)],
)
def test_a_tier_that_bedrock_has_goes_in_a_header(asked, told):
    opened = exchange.open(call(json.dumps(ASK | {"service_tier": asked}).encode()), TARGET)
    assert opened.headers == ((("x-amzn-bedrock-service-tier", told),) if told else ())
    assert "service_tier" not in json.loads(opened.body)
    assert opened.notes == (("dropped: service_tier",) if asked in ({}, []) else ())


@pytest.mark.parametrize(("asked", "told"), [("auto", None), ("flex", "flex"), ("scale", None)])
def test_a_tier_of_another_dialects_caller_goes_in_a_header_too(asked, told):
    body = {"model": "m", "messages": ASK["messages"], "service_tier": asked}
    opened = exchange.open(registry.CLIENTS[OPENAI].read_request(json.dumps(body).encode()), TARGET)
    assert opened.headers == ((("x-amzn-bedrock-service-tier", told),) if told else ())
    assert ("dropped: service_tier" in opened.notes) == (asked == "scale")


def test_the_ledger_is_told_of_the_betas_that_bedrock_does_not_get():
    asked = "claude-code-20250219,context-1m-2025-08-07,secret-plan-2026-01-01,effort-2025-11-24,oauth-2025-04-20"
    assert noted(betas=asked) == ("dropped betas: claude-code-20250219, oauth-2025-04-20, 1 unknown",)
    assert noted(betas="context-1m-2025-08-07", anthropic_beta=["files-api-2025-04-14"]) == (
        "dropped betas: files-api-2025-04-14",
    )


def test_another_dialects_request_is_written_for_bedrock():
    body = {
        "model": "m",
        "stream": True,
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
    }
    asked = registry.CLIENTS[OPENAI].read_request(json.dumps(body).encode())
    assert json.loads(exchange.open(asked, TARGET).body) == {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1000,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}],
        "system": [{"type": "text", "text": "s"}],
    }


def test_a_late_system_message_is_folded_unless_the_catalog_knows_better():
    """Whether Bedrock takes it is contested."""
    said = [("user", "a"), ("assistant", "b"), ("user", "c"), ("system", "late")]
    body = {"model": "m", "messages": [{"role": role, "content": text} for role, text in said]}
    asked = registry.CLIENTS[OPENAI].read_request(json.dumps(body).encode())
    assert [m["role"] for m in json.loads(exchange.open(asked, TARGET).body)["messages"]] == [
        "user",
        "assistant",
        "user",
    ]
    told = Target(
        protocol="bedrock_invoke",
        model=TARGET.model,
        max_output_tokens=1000,
        capabilities=frozenset({"system_messages", "adaptive_thinking"}),
    )
    assert json.loads(exchange.open(asked, told).body)["messages"][-1]["role"] == "system"


def test_a_count_is_asked_for_with_a_cap_if_there_is_none():
    body = {name: value for name, value in ASK.items() if name != "max_tokens"} | {"thinking": {"type": "adaptive"}}
    asked = registry.COUNTING.read_request(json.dumps(body).encode())
    written = json.loads(registry.COUNTERS["bedrock_invoke"].write(asked, TARGET))
    inner = json.loads(base64.b64decode(written["input"]["invokeModel"]["body"]))
    assert inner == {
        "messages": ASK["messages"],
        "thinking": {"type": "adaptive"},
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 1000,
    }


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"inputTokens":-1}', b'{"inputTokens":"1"}', b'{"inputTokens":1e12}']
)
def test_what_is_no_count_is_none(body):
    with pytest.raises(errors.UpstreamBroken):
        registry.COUNTERS["bedrock_invoke"].read(body)


@pytest.mark.parametrize("is_result", [False, True])
def test_what_bedrock_would_have_to_fetch_is_refused_in_the_callers_words(is_result):
    picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
    turn: dict[str, Any] = {"role": "user", "content": [picture]}
    made = {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"}
    items = [made, {"type": "function_call_output", "call_id": "c", "output": [picture]}] if is_result else [turn]
    asked = registry.CLIENTS["openai_responses"].read_request(json.dumps({"model": "m", "input": items}).encode())
    with pytest.raises(errors.InvalidRequest, match="no images by URL") as caught:
        exchange.open(asked, TARGET)
    assert caught.value.param == "input"
