"""OpenAI's own SDK is the judge of the Responses dialect."""

from __future__ import annotations

import json

import openai
import pydantic
import pytest

from tests.sdk import worlds
from tests.sdk.callers import everything, opened, resolved

FUNCTIONS = [
    {
        "type": "function",
        "name": tool["name"],
        "description": tool["description"],
        "parameters": tool["input_schema"],
        "strict": True,
    }
    for tool in worlds.ANTHROPIC_TOOLS
]
FREEFORM = {"type": "custom", "name": "apply_changes", "description": "Takes a text"}
CRM = {"type": "namespace", "name": "crm", "description": "Customers", "tools": [FUNCTIONS[1] | {"name": "find_zone"}]}
HELLO = "Hello there, says Ada."
SEALED = ["reasoning.encrypted_content"]


class Person(pydantic.BaseModel):
    name: str
    age: int
    tags: list[str]


async def streamed(gpt, **asked):
    """The events of a stream and the answer that the SDK has put together from them."""
    async with opened(gpt.responses.stream(**asked)) as stream:
        events = await everything(stream)
        return events, await resolved(stream.get_final_response())


def kinds(response):
    return [item.type for item in response.output]


async def test_it_answers_with_text_and_counts(gpt):
    response = await resolved(gpt.responses.create(model="gpt-simulated", input=HELLO, instructions="Be brief."))
    assert (response.object, response.model, response.status) == ("response", "gpt-simulated", "completed")
    assert response.instructions == "Be brief."
    assert HELLO in response.output_text
    assert response.usage.input_tokens > 5
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens
    assert response._request_id.startswith("req_")


async def test_a_stream_says_the_same_as_one_piece(gpt):
    whole = await resolved(gpt.responses.create(model="gpt-simulated", input=worlds.HELLO))
    events, final = await streamed(gpt, model="gpt-simulated", input=worlds.HELLO)
    assert final.output_text == whole.output_text
    assert final.usage == whole.usage
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [event.type for event in events if not event.type.endswith("text.delta")] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert len({event.response.id for event in events if hasattr(event, "response")}) == 1


@pytest.mark.parametrize("is_streamed", [False, True])
async def test_a_tool_is_called_and_its_result_quoted(gpt, is_streamed):
    asked = {"model": "gpt-simulated", "tools": FUNCTIONS}

    async def turn(items):
        if is_streamed:
            return (await streamed(gpt, **asked, input=items))[1]
        return await resolved(gpt.responses.create(**asked, input=items))

    first = await turn(worlds.WEATHER)
    (call,) = first.output
    assert (call.type, call.name, call.status) == ("function_call", "get_weather", "completed")
    assert json.loads(call.arguments) == {"city": "Paris", "unit": "celsius"}
    returned = {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees and sunny"}
    last = await turn([*worlds.WEATHER, call.model_dump(exclude_none=True, exclude={"parsed_arguments"}), returned])
    assert "21 degrees and sunny" in last.output_text


async def test_parallel_calls_are_items_of_their_own_and_can_be_forbidden(gpt):
    asked = {"model": "gpt-simulated", "tools": FUNCTIONS, "input": worlds.BOTH}
    events, final = await streamed(gpt, **asked)
    assert [call.name for call in final.output] == ["get_weather", "get_time"]
    assert {event.output_index for event in events if event.type == "response.output_item.added"} == {0, 1}
    one = await resolved(gpt.responses.create(**asked, parallel_tool_calls=False))
    assert len(one.output) == 1


async def test_a_freeform_tool_gets_a_text_and_takes_one(gpt):
    asked = {"model": "gpt-simulated", "tools": [FREEFORM]}
    events, final = await streamed(gpt, **asked, input="Call the tool apply_changes.")
    (call,) = final.output
    assert (call.type, call.name) == ("custom_tool_call", "apply_changes")
    deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    assert "".join(deltas) == call.input != ""
    items = [
        *worlds.user("Call the tool apply_changes."),
        {"type": "custom_tool_call", "call_id": call.call_id, "name": call.name, "input": call.input},
        {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "applied"},
    ]
    assert "“applied”" in (await resolved(gpt.responses.create(**asked, input=items))).output_text


async def test_a_tool_in_a_namespace_is_called_with_it(gpt):
    asked = {"model": "gpt-simulated", "tools": [CRM], "input": "Call find_zone for Paris."}
    (call,) = (await resolved(gpt.responses.create(**asked))).output
    assert (call.name, call.namespace) == ("find_zone", "crm")
    _, final = await streamed(gpt, **asked)
    assert final.output[0].namespace == "crm"


async def test_the_web_is_searched_at_the_vendor(gpt):
    asked = {"model": "gpt-simulated", "tools": [{"type": "web_search"}], "input": "Search the web for news of Oslo"}
    events, final = await streamed(gpt, **asked)
    assert kinds(final) == ["web_search_call", "message"]
    assert final.output[0].action.query.endswith("Oslo")
    assert "response.web_search_call.searching" in [event.type for event in events]


async def test_tools_are_chosen_as_asked(gpt):
    asked = {"model": "gpt-simulated", "tools": FUNCTIONS, "input": HELLO}

    async def called(choice):
        response = await resolved(gpt.responses.create(**asked, tool_choice=choice))
        return [item.name for item in response.output if item.type == "function_call"]

    assert await called({"type": "function", "name": "get_time"}) == ["get_time"]
    assert await called("required") == ["get_weather"]
    assert await called("none") == []
    allowed = [{"type": "function", "name": "get_time"}]
    assert await called({"type": "allowed_tools", "mode": "required", "tools": allowed}) == ["get_time"]


@pytest.mark.parametrize(("summary", "is_shown"), [("auto", True), (None, False)])
async def test_reasoning_is_summed_up_for_who_asks_and_sealed_for_the_way_back(gpt, summary, is_shown):
    reasoning = {"effort": "low", "summary": summary}
    asked = {"model": "gpt-5-simulated", "reasoning": reasoning, "include": SEALED}
    events, final = await streamed(gpt, **asked, input=HELLO)
    assert kinds(final) == ["reasoning", "message"]
    thought = final.output[0]
    assert bool(thought.summary) is is_shown
    deltas = [event.delta for event in events if event.type == "response.reasoning_summary_text.delta"]
    assert "".join(deltas) == "".join(part.text for part in thought.summary)
    details = final.usage.output_tokens_details
    assert 0 < details.reasoning_tokens < final.usage.output_tokens
    back = {"type": "reasoning", "summary": [], "encrypted_content": thought.encrypted_content}
    items = [*worlds.HELLO, back, {"role": "assistant", "content": "Hi."}, *worlds.HELLO]
    assert (await resolved(gpt.responses.create(**asked, input=items))).status == "completed"
    with pytest.raises(openai.BadRequestError, match="could not be verified") as raised:
        await resolved(gpt.responses.create(**asked, input=[back | {"encrypted_content": "gAAAAforged"}]))
    assert raised.value.code == "invalid_encrypted_content"


async def test_sealed_reasoning_is_not_sent_unasked_and_may_be_all_there_is(gpt):
    silent = await resolved(gpt.responses.create(model="gpt-redacted", input=HELLO))
    assert (silent.output[0].summary, silent.output[0].encrypted_content) == ([], None)
    sealed = await resolved(gpt.responses.create(model="gpt-redacted", input=HELLO, include=SEALED))
    assert sealed.output[0].encrypted_content.startswith("gAAAA")


async def test_a_schema_is_answered_with_json_that_the_sdk_can_parse(gpt):
    asked = {"model": "gpt-simulated", "input": worlds.PERSON, "text_format": Person}
    parsed = await resolved(gpt.responses.parse(**asked))
    assert parsed.output_parsed == Person(name="Ada Lovelace", age=36, tags=["Ada Lovelace"])
    _, final = await streamed(gpt, **asked)
    assert final.output_parsed == parsed.output_parsed


async def test_the_cap_leaves_the_answer_incomplete(gpt):
    whole = await resolved(gpt.responses.create(model="gpt-tokens-40", input=HELLO, max_output_tokens=16))
    assert (whole.status, whole.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert whole.output[0].status == "incomplete"
    assert whole.usage.output_tokens == 16
    events = await everything(
        gpt.responses.create(model="gpt-tokens-40", input=HELLO, max_output_tokens=16, stream=True)
    )
    assert events[-1].type == "response.incomplete"
    assert len(events) == 16 + 8


async def test_refusals_are_content_of_their_own(gpt):
    filtered = await resolved(gpt.responses.create(model="gpt-refusal", input=HELLO))
    assert (filtered.status, filtered.incomplete_details.reason) == ("incomplete", "content_filter")
    events, declined = await streamed(gpt, model="gpt-refusal-stop", input=HELLO)
    assert declined.status == "completed"
    (part,) = declined.output[0].content
    assert part.refusal.startswith("I'm sorry")
    assert "".join(e.delta for e in events if e.type == "response.refusal.delta") == part.refusal


async def test_cached_tokens_are_within_the_input(gpt):
    cached = (await resolved(gpt.responses.create(model="gpt-cache", input=HELLO))).usage
    assert (cached.input_tokens_details.cached_tokens, cached.input_tokens_details.cache_write_tokens) == (1024, 384)
    assert cached.input_tokens > 1024 + 384


async def test_a_prompt_is_counted_without_an_answer(gpt):
    asked = {"model": "gpt-simulated", "input": worlds.HELLO, "instructions": "Be brief.", "tools": FUNCTIONS}
    counted = await resolved(gpt.responses.input_tokens.count(**asked))
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == (await resolved(gpt.responses.create(**asked))).usage.input_tokens


@pytest.mark.parametrize(
    ("model", "error", "code"),
    [
        ("gpt-400", openai.BadRequestError, None),
        ("gpt-401", openai.AuthenticationError, "invalid_api_key"),
        ("gpt-404", openai.NotFoundError, "model_not_found"),
        ("gpt-429", openai.RateLimitError, "rate_limit_exceeded"),
        ("gpt-529", openai.InternalServerError, None),
        ("gpt-overflow", openai.BadRequestError, "context_length_exceeded"),
    ],
)
async def test_scripted_refusals_are_the_errors_the_sdk_knows(gpt, model, error, code):
    with pytest.raises(error) as raised:
        await resolved(gpt.responses.create(model=model, input=HELLO))
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("words", "code"), [("error-after-7", "server_error"), ("error-after-7-throttled", "rate_limit_exceeded")]
)
async def test_a_stream_that_fails_says_so_in_its_last_event(gpt, words, code):
    events = await everything(gpt.responses.create(model=f"gpt-{words}", input=HELLO, stream=True))
    assert len(events) == 8
    assert (events[-1].type, events[-1].response.status) == ("response.failed", "failed")
    assert events[-1].response.error.code == code
    assert events[-1].response.id == events[0].response.id
    assert events[-1].sequence_number == 7


async def test_a_stream_that_fails_at_once_is_an_error_and_nothing_else(gpt):
    (event,) = await everything(gpt.responses.create(model="gpt-error-after-0", input=HELLO, stream=True))
    assert (event.type, event.code) == ("error", "server_error")


async def test_a_stream_may_lack_its_end_or_its_usage(gpt):
    cut = await everything(gpt.responses.create(model="gpt-no-terminator", input=HELLO, stream=True))
    assert cut[-1].type == "response.output_item.done"
    _, final = await streamed(gpt, model="gpt-nousage", input=HELLO)
    assert final.usage is None
