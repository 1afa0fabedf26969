"""A pinned endpoint: its address says which model answers, whatever the program asks for."""

import os

import openai

ENDPOINT = os.environ.get("ENDPOINT", "sonnet")
client = openai.OpenAI(
    base_url=f"{os.environ.get('WEIR_URL', 'http://127.0.0.1:8000')}/e/{ENDPOINT}/v1", api_key=os.environ["KEY"]
)
answer = client.chat.completions.create(model="whatever", messages=[{"role": "user", "content": "What is a weir?"}])
print(answer.model, answer.choices[0].message.content)
