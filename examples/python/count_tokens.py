"""How long a prompt is, as the model's own provider counts; it costs nothing."""

import os

import anthropic

client = anthropic.Anthropic(base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000"), api_key=os.environ["KEY"])
counted = client.messages.count_tokens(
    model=os.environ.get("MODEL", "claude-sonnet-4-6"), messages=[{"role": "user", "content": "What is a weir?"}]
)
print(counted.input_tokens)
