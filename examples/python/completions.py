"""OpenAI's legacy Completions, by a model that chats: whole, and streamed."""

import os

import openai

MODEL = os.environ.get("MODEL", "gpt-5-mini")
client = openai.OpenAI(base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000") + "/v1", api_key=os.environ["KEY"])
print(client.completions.create(model=MODEL, max_tokens=100, prompt="A weir is").choices[0].text)
for chunk in client.completions.create(model=MODEL, max_tokens=100, prompt="A weir is", stream=True):
    print(chunk.choices[0].text if chunk.choices else "", end="", flush=True)
print()
