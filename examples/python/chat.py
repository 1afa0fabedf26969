"""A call that fits one line, without an SDK: whole, and streamed."""

import json
import os
import urllib.request

BASE = os.environ.get("WEIR_URL", "http://127.0.0.1:8000")


def ask(**body):
    body = {"model": os.environ.get("MODEL", "fast"), "prompt": "What is a weir?"} | body
    headers = {"authorization": f"Bearer {os.environ['KEY']}", "content-type": "application/json"}
    return urllib.request.urlopen(urllib.request.Request(f"{BASE}/chat", json.dumps(body).encode(), headers))


with ask() as answer:
    print(json.load(answer)["text"])

with ask(stream=True) as answer:
    for line in answer:
        if line.startswith(b"data: "):
            event = json.loads(line[len("data: ") :])
            print(event.get("text", ""), end="", flush=True)
print()
