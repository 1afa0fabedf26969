#!/usr/bin/env bash
# OpenAI's embeddings: one vector a text. The demo has no such model: MODEL= names one of yours.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=text-embedding-3-small}"

curl -sS --fail-with-body "$WEIR_URL/v1/embeddings" -H "authorization: Bearer $KEY" \
    -H "content-type: application/json" --data-binary @- <<JSON
{"model": "$MODEL", "input": ["A weir regulates a stream.", "And measures it."]}
JSON
echo
