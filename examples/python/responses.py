"""OpenAI's Responses by OpenAI's SDK: whole, streamed, and with a tool. Nothing is kept between calls."""

import json
import os

import openai

MODEL = os.environ.get("MODEL", "gpt-5-mini")
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather of a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
client = openai.OpenAI(base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000") + "/v1", api_key=os.environ["KEY"])

print(client.responses.create(model=MODEL, input="What is a weir?").output_text)

with client.responses.stream(model=MODEL, input="What is a weir?") as stream:
    for event in stream:
        if event.type == "response.output_text.delta":
            print(event.delta, end="", flush=True)
print()

turns = [{"role": "user", "content": "What is the weather in Paris?"}]
answer = client.responses.create(model=MODEL, tools=[TOOL], input=turns)
turns += answer.output  # every call brings its whole conversation
for item in answer.output:
    if item.type == "function_call":
        city = json.loads(item.arguments)["city"]
        turns.append({"type": "function_call_output", "call_id": item.call_id, "output": f"18 degrees in {city}"})
print(client.responses.create(model=MODEL, tools=[TOOL], input=turns).output_text)
