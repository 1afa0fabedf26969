#!/usr/bin/env bash
# The models that a key may use, and one of them.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=claude-sonnet-4-6}"

curl -sS --fail-with-body "$WEIR_URL/v1/models" -H "authorization: Bearer $KEY"
echo
curl -sS --fail-with-body "$WEIR_URL/v1/models/$MODEL" -H "authorization: Bearer $KEY"
echo
