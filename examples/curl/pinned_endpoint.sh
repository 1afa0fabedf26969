#!/usr/bin/env bash
# A pinned endpoint: its address says which model answers, whatever the body asks for.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}"

: "${ENDPOINT:=sonnet}"
curl -sS --fail-with-body "$WEIR_URL/e/$ENDPOINT/v1/chat/completions" -H "authorization: Bearer $KEY" \
    -H "content-type: application/json" \
    -d "{\"model\": \"whatever\", \"messages\": [{\"role\": \"user\", \"content\": \"What is a weir?\"}]}"
echo
