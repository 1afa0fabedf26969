"""OpenAI's Chat Completions by OpenAI's SDK (`pip install openai`): whole, streamed, and with a tool."""

import json
import os

import openai

MODEL = os.environ.get("MODEL", "gpt-5-mini")
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
client = openai.OpenAI(
    base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000") + "/v1",
    api_key=os.environ["KEY"],
)

answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "What is a weir?"}])
print(answer.choices[0].message.content, answer.usage.completion_tokens)

for chunk in client.chat.completions.create(
    model=MODEL, stream=True, messages=[{"role": "user", "content": "What is a weir?"}]
):
    print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
print()

turns = [{"role": "user", "content": "What is the weather in Paris?"}]
message = client.chat.completions.create(model=MODEL, tools=[TOOL], messages=turns).choices[0].message
turns.append(message)
for call in message.tool_calls or []:
    city = json.loads(call.function.arguments)["city"]
    turns.append({"role": "tool", "tool_call_id": call.id, "content": f"18 degrees in {city}"})
print(client.chat.completions.create(model=MODEL, tools=[TOOL], messages=turns).choices[0].message.content)
