"""Anthropic's Messages by Anthropic's SDK (`pip install anthropic`): whole, streamed, and with a tool."""

import os

import anthropic

MODEL = os.environ.get("MODEL", "claude-sonnet-4-6")
TOOL = {
    "name": "get_weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
client = anthropic.Anthropic(
    base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000"),  # without /v1
    api_key=os.environ["KEY"],
)

answer = client.messages.create(model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "What is a weir?"}])
print(answer.content[0].text, answer.usage.output_tokens, answer._request_id)

with client.messages.stream(
    model=MODEL, max_tokens=200, messages=[{"role": "user", "content": "What is a weir?"}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
print()

turns = [{"role": "user", "content": "What is the weather in Paris?"}]
answer = client.messages.create(model=MODEL, max_tokens=200, tools=[TOOL], messages=turns)
results = [
    {"type": "tool_result", "tool_use_id": block.id, "content": f"18 degrees in {block.input['city']}"}
    for block in answer.content
    if block.type == "tool_use"
]
turns += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": results}]
answer = client.messages.create(model=MODEL, max_tokens=200, tools=[TOOL], messages=turns)
print(answer.content[0].text)
