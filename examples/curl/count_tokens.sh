#!/usr/bin/env bash
# How long a prompt is, as the model's own provider counts; it costs nothing.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=claude-sonnet-4-6}"

curl -sS --fail-with-body "$WEIR_URL/v1/messages/count_tokens" -H "x-api-key: $KEY" \
    -H "content-type: application/json" --data-binary @- <<JSON
{"model": "$MODEL", "messages": [{"role": "user", "content": "What is a weir?"}]}
JSON
echo
