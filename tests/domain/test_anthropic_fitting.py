"""What a request of another dialect asks of the model, fitted to it: PROTOCOLS A2, A6, A7."""

import pytest

from apps.domain.chat import (
    Format,
    Message,
    Reasoning,
    RedactedThinking,
    Text,
    Thinking,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from apps.domain.protocols.anthropic_messages import names
from tests.domain import anthropic_calls, openai_calls, responses_calls
from tests.domain.anthropic_calls import asked, written

OPEN = {"type": "object", "properties": {"city": {"type": "string"}}}
CLOSED = OPEN | {"additionalProperties": False}
TOOL = Tool("weather", "tells it", OPEN)
FORCED = {"type": "tool", "name": names.FORMAT_TOOL}


def user(*blocks):
    return Message("user", blocks)


def assistant(*blocks):
    return Message("assistant", blocks)


# Sampling


def test_sampling_is_clamped_and_blank_stop_strings_are_dropped():
    body = written(asked(temperature=1.7, top_p=0.5, top_k=3, stop=("END", "\n", " ")))
    assert (body["temperature"], body["top_p"], body["top_k"], body["stop_sequences"]) == (1.0, 0.5, 3, ["END"])
    assert "stop_sequences" not in written(asked(stop=("\n",)))


@pytest.mark.parametrize("model", ["claude-opus-4-7", "claude-sonnet-5", "claude-fable-5", "claude-opus-5-20270101"])
def test_sampling_is_left_out_for_models_that_refuse_it(model):
    body = written(asked(temperature=0.5, top_p=0.5, top_k=3), model=model)
    assert not {"temperature", "top_p", "top_k"} & set(body)
    assert "temperature" in written(asked(temperature=0.5), model="claude-sonnet-4-6")
    assert "temperature" not in written(asked(temperature=0.5), "no_sampling", model="claude-sonnet-4-6")


def test_sampling_gives_way_to_thinking():
    body = written(asked(temperature=0.5, reasoning=Reasoning(effort="low")), "adaptive_thinking")
    assert "temperature" not in body


# Thinking


@pytest.mark.parametrize(
    ("effort", "thinking", "config"),
    [
        (None, None, None),
        ("none", {"type": "disabled"}, None),
        ("minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("low", {"type": "adaptive"}, {"effort": "low"}),
        ("medium", {"type": "adaptive"}, {"effort": "medium"}),
        ("high", {"type": "adaptive"}, {"effort": "high"}),
        ("xhigh", {"type": "adaptive"}, {"effort": "high"}),
        ("max", {"type": "adaptive"}, {"effort": "max"}),
    ],
)
def test_effort_for_a_model_that_thinks_adaptively(effort, thinking, config):
    body = written(asked(reasoning=Reasoning(effort=effort)), model="claude-opus-4-6")
    assert (body.get("thinking"), body.get("output_config")) == (thinking, config)


def test_effort_is_stepped_down_to_what_the_model_lists():
    def effort(wanted, *listed):
        request = asked(reasoning=Reasoning(effort=wanted))
        return written(request, "adaptive_thinking", *listed)["output_config"]["effort"]

    assert effort("max") == "high"
    assert effort("xhigh", "effort_low", "effort_xhigh") == "xhigh"
    assert effort("medium", "effort_low", "effort_max") == "low"
    assert effort("low", "effort_medium", "effort_high") == "medium"


@pytest.mark.parametrize(
    ("effort", "max_tokens", "budget"),
    [
        ("minimal", 20_000, 2000),
        ("low", 20_000, 4000),
        ("medium", 20_000, 10_000),
        ("high", 20_000, 16_000),
        ("xhigh", 20_000, 19_000),
        ("max", 20_000, 19_000),
        ("low", 2000, 1024),
        ("max", 1030, 1024),
        ("max", 1025, 1024),
        ("max", 1024, None),
        ("none", 20_000, None),
        (None, 20_000, None),
    ],
)
def test_effort_for_a_model_that_thinks_by_budget(effort, max_tokens, budget):
    body = written(asked(reasoning=Reasoning(effort=effort), max_tokens=max_tokens), model="claude-sonnet-4-5-20250929")
    assert body.get("thinking") == (budget and {"type": "enabled", "budget_tokens": budget})
    assert "output_config" not in body


def test_a_model_that_always_thinks_is_not_told_to_stop():
    assert "thinking" not in written(asked(reasoning=Reasoning(effort="none")), model="claude-fable-5")


def test_a_model_that_cannot_think_is_not_asked_to():
    assert "thinking" not in written(asked(reasoning=Reasoning(effort="high")), model="claude-3-5-haiku-latest")


@pytest.mark.parametrize("choice", [ToolChoice("any"), ToolChoice("tool", "weather")])
def test_a_forced_tool_wins_over_budgeted_thinking_and_lives_with_adaptive(choice):
    request = asked(tools=(TOOL,), tool_choice=choice, reasoning=Reasoning(effort="high"), max_tokens=9000)
    budgeted = written(request, model="claude-sonnet-4-5")
    assert "thinking" not in budgeted
    assert budgeted["tool_choice"]["type"] == choice.mode
    assert written(request, model="claude-opus-4-6")["thinking"] == {"type": "adaptive"}


def test_budgeted_thinking_is_off_in_an_answer_that_began_without():
    def thinks(*first):
        history = (user(Text("x")), assistant(*first, ToolUse("a", "f", "")), user(ToolResult("a", ())))
        request = asked(*history, reasoning=Reasoning(effort="high"), max_tokens=9000)
        return "thinking" in written(request, model="claude-sonnet-4-5")

    assert not thinks()
    assert not thinks(Thinking("foreign", names.sign("foreign")))
    assert thinks(Thinking("own", "EqRs=="))
    assert thinks(RedactedThinking("abc"))


# Structured output


def test_a_schema_is_native_where_the_model_has_it():
    body = written(asked(format=Format(CLOSED)), model="claude-sonnet-4-5")
    assert body["output_config"] == {"format": {"type": "json_schema", "schema": CLOSED}}
    both = written(asked(format=Format(CLOSED), reasoning=Reasoning(effort="low")), model="claude-opus-4-6")
    assert both["output_config"] == {"effort": "low", "format": {"type": "json_schema", "schema": CLOSED}}


@pytest.mark.parametrize(("schema", "model"), [(CLOSED, "claude-3-haiku"), (OPEN, "claude-sonnet-4-5")])
def test_elsewhere_it_is_a_tool_that_must_be_called(schema, model):
    body = written(asked(format=Format(schema)), model=model)
    assert body["tools"][0]["input_schema"] == schema
    assert body["tool_choice"] == FORCED
    assert "output_config" not in body


def test_beside_the_callers_own_tools_some_tool_must_be_called():
    body = written(asked(format=Format(OPEN), tools=(TOOL,)))
    assert [tool["name"] for tool in body["tools"]] == ["weather", names.FORMAT_TOOL]
    assert body["tool_choice"] == {"type": "any"}
    own = written(asked(format=Format(OPEN), tools=(TOOL,), tool_choice=ToolChoice("tool", "weather")))
    assert own["tool_choice"] == {"type": "tool", "name": "weather"}


def test_who_may_call_none_of_his_own_tools_gets_his_format_all_the_same():
    body = written(asked(format=Format(OPEN), tools=(TOOL,), tool_choice=ToolChoice("none")))
    assert body["tool_choice"] == FORCED


def test_any_json_object_is_asked_for_in_words():
    body = written(asked(format=Format(), system=(Text("s"),)))
    assert len(body["system"]) == 2
    assert "JSON" in body["system"][1]["text"]


def test_nothing_of_the_other_dialects_own_fields_goes_out():
    body = written(asked(rest={"logit_bias": {}, "seed": 1, "store": True, "prediction": {}}))
    assert set(body) == {"model", "max_tokens", "messages"}


# What is thought, for callers of OpenAI's dialects


@pytest.mark.parametrize(
    ("model", "thinking"),
    [
        ("claude-opus-4-7", {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-4-8", {"type": "adaptive", "display": "summarized"}),
        ("us.anthropic.claude-opus-5-v1:0", {"type": "adaptive", "display": "summarized"}),
        ("claude-sonnet-5", {"type": "adaptive", "display": "summarized"}),
        ("claude-fable-5", {"type": "adaptive", "display": "summarized"}),
        ("claude-opus-4-6", {"type": "adaptive"}),  # shows it unasked
        ("claude-sonnet-4-6", {"type": "adaptive"}),
        ("claude-sonnet-4-5", {"type": "enabled", "budget_tokens": 1000 * 64 // 5}),
        ("somebodys-own", None),
    ],
)
@pytest.mark.parametrize(
    "request_",
    [openai_calls.chat(reasoning_effort="low"), responses_calls.chat(reasoning={"effort": "low"})],
    ids=["chat", "responses"],
)
def test_openais_callers_see_what_they_asked_claude_to_think(request_, model, thinking):
    assert written(request_, model=model).get("thinking") == thinking


def test_what_the_catalog_says_of_a_model_changes_nothing_in_who_sees_its_thoughts():
    request = openai_calls.chat(reasoning_effort="low")
    shown = written(request, "adaptive_thinking", "effort_low", model="claude-opus-4-8")["thinking"]
    assert shown == {"type": "adaptive", "display": "summarized"}
    assert written(request, "adaptive_thinking", "effort_low", model="my-claude")["thinking"] == {"type": "adaptive"}


def test_who_asks_for_no_thinking_is_shown_none():
    for request in (openai_calls.chat(), openai_calls.chat(reasoning_effort="none")):
        assert "display" not in written(request, model="claude-opus-4-8").get("thinking", {})


@pytest.mark.parametrize(
    ("display", "model", "thinking"),
    [
        (None, "claude-opus-4-8", {"type": "adaptive"}),
        ("omitted", "claude-opus-4-8", {"type": "adaptive"}),
        ("summarized", "claude-opus-4-8", {"type": "adaptive", "display": "summarized"}),
        ("omitted", "claude-opus-4-6", {"type": "adaptive", "display": "omitted"}),
        ("summarized", "claude-opus-4-6", {"type": "adaptive"}),
    ],
)
def test_an_anthropic_caller_says_for_itself_what_is_shown(display, model, thinking):
    wanted = {"type": "adaptive"} | ({"display": display} if display else {})
    assert written(anthropic_calls.chat(thinking=wanted), model=model)["thinking"] == thinking


def test_an_anthropic_caller_who_wants_thoughts_omitted_gets_no_summary_from_openai():
    for display, summary in (("omitted", None), ("summarized", "auto"), (None, "auto")):
        wanted = {"type": "adaptive"} | ({"display": display} if display else {})
        asked_for = responses_calls.written(anthropic_calls.chat(thinking=wanted))["reasoning"]
        assert asked_for.get("summary") == summary
