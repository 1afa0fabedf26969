"""AWS's own SDK is the judge of Bedrock."""

from __future__ import annotations

import base64
import json

import pytest
from botocore.exceptions import ClientError

from tests.sdk import worlds
from tests.simulator import aws
from tests.simulator.aws import BOTH, CLAUDE, HELLO, NOVA, THINKING, TOOLS, VERSION, WEATHER, kinds, text_of


def test_claude_answers_an_invocation_and_headers_count(invoked):
    message, headers = invoked(system="Be brief.")
    assert (message["type"], message["model"]) == ("message", "claude-simulated")
    assert message["id"].startswith("msg_bdrk_01")
    assert "Hello there, says Ada." in message["content"][0]["text"]
    assert headers["x-amzn-bedrock-input-token-count"] == str(message["usage"]["input_tokens"])
    assert headers["x-amzn-bedrock-output-token-count"] == str(message["usage"]["output_tokens"])
    assert len(headers["x-amzn-requestid"]) == 36


def test_an_invocation_streams_anthropics_events_without_pings(invoked, streamed):
    message, _ = invoked()
    events = streamed()
    names = [event["type"] for event in events]
    assert names[:2] == ["message_start", "content_block_start"]
    assert names[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert "ping" not in names
    text = "".join(event["delta"]["text"] for event in events if event["type"] == "content_block_delta")
    assert text == message["content"][0]["text"]
    assert events[-2]["usage"]["output_tokens"] == message["usage"]["output_tokens"]


def test_the_metrics_at_a_streams_end_are_not_its_usage(streamed):
    *_, delta, stop = streamed("us.anthropic.claude-thinking-v1:0")
    metrics = stop["amazon-bedrock-invocationMetrics"]
    assert metrics["inputTokenCount"] == delta["usage"]["input_tokens"]
    assert 0 < metrics["outputTokenCount"] < delta["usage"]["output_tokens"]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_a_conversation_is_answered_with_counts(conversed, model):
    answer = conversed(model, system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 200})
    (block,) = answer["output"]["message"]["content"]
    assert "Hello there, says Ada." in block["text"]
    assert answer["stopReason"] == "end_turn"
    usage = answer["usage"]
    assert usage["inputTokens"] > 5
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"]


def test_a_conversations_stream_opens_neither_text_nor_reasoning(conversed, converse_events):
    whole = conversed(CLAUDE, additionalModelRequestFields=THINKING)
    events = converse_events(CLAUDE, additionalModelRequestFields=THINKING)
    block = ["contentBlockDelta", "contentBlockStop"]
    assert kinds(events) == ["messageStart", *block, *block, "messageStop", "metadata"]
    thought, text = whole["output"]["message"]["content"]
    assert text_of(events) == text["text"]
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert events[-1]["metadata"]["usage"] == whole["usage"]
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    thoughts = [delta["reasoningContent"] for delta in deltas if "reasoningContent" in delta]
    told = thought["reasoningContent"]["reasoningText"]
    assert "".join(part.get("text", "") for part in thoughts) == told["text"]
    assert [part["signature"] for part in thoughts if "signature" in part] == [told["signature"]]


@pytest.mark.parametrize("model", [CLAUDE, NOVA])
def test_a_tool_is_called_and_its_result_quoted(conversed, model):
    first = conversed(model, WEATHER, toolConfig=TOOLS)
    assert first["stopReason"] == "tool_use"
    message = first["output"]["message"]
    call = message["content"][-1]["toolUse"]
    assert (call["name"], call["input"]) == ("get_weather", {"city": "Paris", "unit": "celsius"})
    assert len(call["toolUseId"]) <= 64
    picture = {"image": {"format": "png", "source": {"bytes": base64.b64decode(worlds.PIXEL)}}}
    result = {
        "toolUseId": call["toolUseId"],
        "content": [{"text": "21 degrees and sunny"}, picture],
        "status": "success",
    }
    history = [*WEATHER, message, {"role": "user", "content": [{"toolResult": result}]}]
    last = conversed(model, history, toolConfig=TOOLS)
    assert last["stopReason"] == "end_turn"
    assert "21 degrees and sunny" in last["output"]["message"]["content"][0]["text"]
    assert last["usage"]["inputTokens"] > first["usage"]["inputTokens"] + 100  # the picture


def test_several_tools_may_be_called_at_once_in_a_stream(converse_events):
    events = converse_events(CLAUDE, BOTH, toolConfig={**TOOLS, "toolChoice": {"any": {}}})
    starts = [event["contentBlockStart"] for event in events if "contentBlockStart" in event]
    assert [start["start"]["toolUse"]["name"] for start in starts] == ["get_weather", "get_time"]
    inputs: dict[int, str] = {}
    for event in events:
        if "contentBlockDelta" in event:
            delta = event["contentBlockDelta"]
            at = delta["contentBlockIndex"]
            inputs[at] = inputs.get(at, "") + delta["delta"]["toolUse"]["input"]
    assert [json.loads(inputs[start["contentBlockIndex"]]) for start in starts] == [
        {"city": "Paris", "unit": "celsius"},
        {"zone": "Paris"},
    ]
    assert events[-2]["messageStop"]["stopReason"] == "tool_use"


def test_a_named_tool_is_the_one_called(conversed):
    answer = conversed(NOVA, toolConfig={**TOOLS, "toolChoice": {"tool": {"name": "get_time"}}})
    assert [block["toolUse"]["name"] for block in answer["output"]["message"]["content"]] == ["get_time"]


def test_signed_thinking_may_come_back_unaltered_only(conversed):
    asked = {"additionalModelRequestFields": THINKING}
    message = conversed(CLAUDE, **asked)["output"]["message"]
    more = {"role": "user", "content": [{"text": "Go on."}]}
    assert conversed(CLAUDE, [*HELLO, message, more], **asked)["stopReason"] == "end_turn"
    message["content"][0]["reasoningContent"]["reasoningText"]["signature"] = "x"
    with pytest.raises(ClientError, match="Invalid `signature`"):
        conversed(CLAUDE, [*HELLO, message, more], **asked)


def test_redacted_thinking_is_anthropics_text_in_a_blob(conversed, converse_events):
    whole = conversed("anthropic.claude-redacted-v1:0")["output"]["message"]["content"]
    blob = whole[0]["reasoningContent"]["redactedContent"]
    assert base64.b64decode(blob).startswith(b"sealed thoughts")
    events = converse_events("anthropic.claude-redacted-v1:0")
    assert events[1]["contentBlockDelta"]["delta"]["reasoningContent"]["redactedContent"] == blob


def test_a_document_and_a_picture_are_read_beside_a_text(conversed):
    content = [
        {"text": "Hello there, says Ada."},
        {"document": {"format": "pdf", "name": "Report (1)", "source": {"bytes": b"%PDF-1.7"}}},
        {"image": {"format": "png", "source": {"bytes": base64.b64decode(worlds.PIXEL)}}},
    ]
    plain = conversed()["usage"]["inputTokens"]
    assert conversed(messages=[{"role": "user", "content": content}])["usage"]["inputTokens"] == plain + 200


def test_the_cap_and_stop_strings_are_kept(conversed):
    capped = conversed(inferenceConfig={"maxTokens": 5})
    assert (capped["stopReason"], capped["usage"]["outputTokens"]) == ("max_tokens", 5)
    stopped = conversed(
        inferenceConfig={"stopSequences": ["never", "says"]}, additionalModelResponseFieldPaths=["/stop_sequence"]
    )
    assert stopped["stopReason"] == "stop_sequence"
    assert stopped["additionalModelResponseFields"] == {"stop_sequence": "says"}
    assert stopped["output"]["message"]["content"][0]["text"].endswith("Hello there, ")
    assert "additionalModelResponseFields" not in conversed(inferenceConfig={"stopSequences": ["says"]}), "unasked"


def test_the_tier_that_was_asked_for_is_told(conversed, converse_events):
    flex = {"type": "flex"}
    assert conversed(serviceTier=flex)["serviceTier"] == flex
    assert converse_events(serviceTier=flex)[-1]["metadata"]["serviceTier"] == flex
    assert "serviceTier" not in conversed()


def test_claude_calls_one_tool_at_a_time_if_told_so(conversed):
    one = {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    for fields, calls in (({}, 2), (one, 1)):
        answer = conversed(CLAUDE, BOTH, toolConfig=TOOLS, additionalModelRequestFields=fields)
        assert sum("toolUse" in block for block in answer["output"]["message"]["content"]) == calls


def test_a_refusal_is_filtered_or_a_guardrails_doing(conversed):
    assert conversed("anthropic.claude-refusal-v1:0")["stopReason"] == "content_filtered"
    guard = {"guardrailIdentifier": "abc123", "guardrailVersion": "DRAFT"}
    assert conversed("amazon.nova-refusal-v1:0", guardrailConfig=guard)["stopReason"] == "guardrail_intervened"


def test_cached_tokens_are_counted_apart(conversed):
    system = [{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]
    usage = conversed("anthropic.claude-cache-v1:0", system=system)["usage"]
    assert (usage["cacheReadInputTokens"], usage["cacheWriteInputTokens"]) == (1024, 384)
    assert usage["totalTokens"] == usage["inputTokens"] + usage["outputTokens"] + 1024 + 384
    assert usage["cacheDetails"] == [{"ttl": "5m", "inputTokens": 256}, {"ttl": "1h", "inputTokens": 128}]


def test_a_schema_is_answered_with_json_that_fits(conversed):
    schema = {"schema": json.dumps(worlds.PERSON_SCHEMA), "name": "person"}
    form = {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}
    person = [{"role": "user", "content": [{"text": worlds.PERSON[0]["content"]}]}]
    answer = conversed(messages=person, outputConfig=form)
    assert json.loads(answer["output"]["message"]["content"][0]["text"])["age"] == 36


def test_tokens_are_counted_for_bare_ids_only_and_both_ways_alike(bedrock, invoked):
    message, _ = invoked()
    body = {"anthropic_version": VERSION, "max_tokens": 1, "messages": worlds.HELLO}
    asked = {"invokeModel": {"body": json.dumps(body)}}
    assert bedrock.count_tokens(modelId=CLAUDE, input=asked)["inputTokens"] == message["usage"]["input_tokens"]
    talk = {"converse": {"messages": HELLO}}
    assert bedrock.count_tokens(modelId=CLAUDE, input=talk)["inputTokens"] == message["usage"]["input_tokens"]
    for model in (f"us.{CLAUDE}", "amazon.nova-pro-v1:0"):
        with pytest.raises(bedrock.exceptions.ValidationException, match="doesn't support counting tokens"):
            bedrock.count_tokens(modelId=model, input=asked)


def test_titan_embeds_one_text(bedrock):
    body = {"inputText": "the black cat", "dimensions": 256, "normalize": True}
    answer = bedrock.invoke_model(modelId="amazon.titan-embed-text-v2:0", body=json.dumps(body))
    document = json.loads(answer["body"].read())
    assert len(document["embedding"]) == 256
    assert document["embeddingsByType"]["float"] == document["embedding"]
    assert document["inputTextTokenCount"] == 3
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-bedrock-input-token-count"] == "3"


def test_cohere_embeds_several_and_counts_in_a_header(bedrock):
    def embedded(**more: object):
        body = {"texts": ["the black cat", "a dog"], "input_type": "search_document", **more}
        answer = bedrock.invoke_model(modelId="cohere.embed-multilingual-v3", body=json.dumps(body))
        return json.loads(answer["body"].read()), answer["ResponseMetadata"]["HTTPHeaders"]

    floats, headers = embedded()
    assert [len(vector) for vector in floats["embeddings"]] == [1024, 1024]
    assert headers["x-amzn-bedrock-input-token-count"] == "5"
    by_type, _ = embedded(embedding_types=["int8", "ubinary"])
    assert [len(vector) for vector in by_type["embeddings"]["int8"]] == [1024, 1024]
    assert [len(vector) for vector in by_type["embeddings"]["ubinary"]] == [128, 128]
    assert max(by_type["embeddings"]["ubinary"][0]) > 127


def test_the_control_plane_lists_models_and_profiles(provider):
    with aws.client(provider.base_url, service="bedrock") as control:
        models = [model["modelId"] for model in control.list_foundation_models()["modelSummaries"]]
        assert "anthropic.claude-sonnet-4-6" in models
        assert control.get_foundation_model(modelIdentifier=models[0])["modelDetails"]["modelId"] == models[0]
        profiles = control.list_inference_profiles(typeEquals="SYSTEM_DEFINED")["inferenceProfileSummaries"]
        assert f"us.{models[0]}" in [profile["inferenceProfileId"] for profile in profiles]
        arn = profiles[0]["inferenceProfileArn"]
        assert control.get_inference_profile(inferenceProfileIdentifier=arn)["inferenceProfileArn"] == arn
        with pytest.raises(control.exceptions.ResourceNotFoundException):
            control.get_inference_profile(inferenceProfileIdentifier="us.unknown")


def test_an_arn_is_a_name_too(conversed):
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-6-v1:0"
    assert conversed(arn)["stopReason"] == "end_turn"
