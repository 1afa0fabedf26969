#!/usr/bin/env bash
# A call that fits one line: whole, and streamed.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=fast}"

curl -sS --fail-with-body "$WEIR_URL/chat" -H "authorization: Bearer $KEY" \
    -d "{\"model\": \"$MODEL\", \"prompt\": \"What is a weir?\"}"
echo
curl -sS --fail-with-body -N "$WEIR_URL/chat" -H "authorization: Bearer $KEY" \
    -d "{\"model\": \"$MODEL\", \"prompt\": \"What is a weir?\", \"stream\": true}"
