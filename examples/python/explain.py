"""Where a call would go, what it would cost at most and what restrains it; no provider is asked."""

import json
import os
import urllib.request

BASE = os.environ.get("WEIR_URL", "http://127.0.0.1:8000")
question = {
    "endpoint": "messages",
    "request": {
        "model": os.environ.get("MODEL", "claude-sonnet-4-6"),
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "What is a weir?"}],
    },
}
headers = {"authorization": f"Bearer {os.environ['KEY']}", "content-type": "application/json"}
asked = urllib.request.Request(f"{BASE}/v1/explain", json.dumps(question).encode(), headers)
with urllib.request.urlopen(asked) as answer:
    told = json.load(answer)
for deployment in told["deployments"]:
    print(deployment["state"], deployment["reason"], deployment["cost"]["most"])
