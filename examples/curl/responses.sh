#!/usr/bin/env bash
# OpenAI's Responses: whole, streamed, and with a tool that the model asks for.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=gpt-5-mini}"

ask() {
    curl -sS --fail-with-body -N "$WEIR_URL/v1/responses" -H "authorization: Bearer $KEY" \
        -H "content-type: application/json" --data-binary @-
    echo
}

ask <<JSON
{"model": "$MODEL", "max_output_tokens": 200, "input": "What is a weir?"}
JSON

ask <<JSON
{"model": "$MODEL", "stream": true, "input": "What is a weir?"}
JSON

ask <<JSON
{"model": "$MODEL", "input": "What is the weather in Paris?",
 "tools": [{"type": "function", "name": "get_weather", "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}]}
JSON
