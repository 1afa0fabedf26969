"""The management API: makes tenant, project, key, budget and limit, raises the budget, and reads what was used.

WEIR_API_TOKEN is a token that may write (in the admin: Access, API tokens, Add), not a key.
"""

import datetime
import json
import os
import urllib.error
import urllib.request
import uuid

BASE = os.environ.get("WEIR_URL", "http://127.0.0.1:8000")


def api(method, path, body=None, **headers):
    """What is answered, and its ETag. Raises RuntimeError with what the API says is wrong."""
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    headers |= {"Authorization": f"Bearer {os.environ['WEIR_API_TOKEN']}", "Content-Type": "application/json"}
    url = path if path.startswith("http") else f"{BASE}/api/v1/{path}"
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            return json.load(answer), answer.headers.get("ETag")
    except urllib.error.HTTPError as refused:
        raise RuntimeError(json.load(refused)) from None


def listed(path):
    """Every row, page by page: `next` is the whole address of the page after."""
    while path:
        page, _ = api("GET", path)
        yield from page["items"]
        path = page["next"]


run = uuid.uuid4().hex[:8]
# With an Idempotency-Key a POST can be sent again, as after a broken connection: it is done once.
tenant, _ = api("POST", "tenants", {"name": f"Initech {run}"}, Idempotency_Key=f"tenant-{run}")
again, _ = api("POST", "tenants", {"name": f"Initech {run}"}, Idempotency_Key=f"tenant-{run}")
assert again["id"] == tenant["id"]
project, _ = api("POST", "projects", {"tenant": tenant["id"], "name": "Website"})
key, _ = api("POST", "keys", {"tenant": tenant["id"], "project": project["id"], "name": "backend"})
print("shown this once:", key["secret"][:12] + "…")

# Money is whole billionths of a dollar: $25 a month.
monthly = {"project": project["id"], "amount_nano_usd": 25_000_000_000, "period": "month"}
budget, _ = api("POST", "budgets", monthly)
api("POST", "limits", {"project": project["id"], "requests_per_minute": 60})

# More of it for an hour.
until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
more = {"budget": budget["id"], "amount_nano_usd": 5_000_000_000, "until": until.isoformat(), "reason": "The launch"}
increase, _ = api("POST", "increases", more)  # for whoever may not decide it, this is all there is to do
increase, _ = api("POST", f"increases/{increase['id']}/approve", {})
print("increase:", increase["state"])

# What is changed must be what was read: its ETag goes into If-Match.
project, etag = api("GET", f"projects/{project['id']}")
api("PATCH", f"projects/{project['id']}", {"name": "Shop"}, If_Match=etag)
try:
    api("PATCH", f"projects/{project['id']}", {"name": "Too late"}, If_Match=etag)
except RuntimeError as refused:
    print("refused:", refused.args[0]["code"])

print("keys:", sum(1 for _ in listed("keys?limit=2")))
costs, _ = api("GET", "usage/costs?by=model")
print("costs:", json.dumps(costs)[:200])
newest, _ = api("GET", "usage/entries?limit=1")
print("newest call:", newest["items"][:1])
