"""The models that a key may use, as either SDK lists them."""

import os

import anthropic
import openai

BASE = os.environ.get("WEIR_URL", "http://127.0.0.1:8000")
for model in openai.OpenAI(base_url=f"{BASE}/v1", api_key=os.environ["KEY"]).models.list():
    print(model.id)
for model in anthropic.Anthropic(base_url=BASE, api_key=os.environ["KEY"]).models.list():
    print(model.id, model.display_name)
