"""OpenAI's embeddings: one vector a text. The demo has no such model: MODEL= names one of yours."""

import os

import openai

client = openai.OpenAI(base_url=os.environ.get("WEIR_URL", "http://127.0.0.1:8000") + "/v1", api_key=os.environ["KEY"])
answer = client.embeddings.create(
    model=os.environ.get("MODEL", "text-embedding-3-small"), input=["A weir regulates a stream.", "And measures it."]
)
for vector in answer.data:
    print(len(vector.embedding), vector.embedding[:3])
