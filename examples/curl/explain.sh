#!/usr/bin/env bash
# Where a call would go, what it would cost at most and what restrains it; no provider is asked.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=claude-sonnet-4-6}"

curl -sS --fail-with-body "$WEIR_URL/v1/explain" -H "authorization: Bearer $KEY" \
    -H "content-type: application/json" --data-binary @- <<JSON
{"endpoint": "messages", "request": {"model": "$MODEL", "max_tokens": 200,
                                     "messages": [{"role": "user", "content": "What is a weir?"}]}}
JSON
echo
