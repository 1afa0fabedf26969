#!/usr/bin/env bash
# OpenAI's legacy Completions, by a model that chats: whole, and streamed.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=gpt-5-mini}"

ask() {
    curl -sS --fail-with-body -N "$WEIR_URL/v1/completions" -H "authorization: Bearer $KEY" \
        -H "content-type: application/json" --data-binary @-
    echo
}

ask <<JSON
{"model": "$MODEL", "max_tokens": 100, "prompt": "A weir is"}
JSON

ask <<JSON
{"model": "$MODEL", "max_tokens": 100, "stream": true, "prompt": "A weir is"}
JSON
