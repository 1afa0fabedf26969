#!/usr/bin/env bash
# Anthropic's Messages: whole, streamed, and with a tool that the model asks for.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=claude-sonnet-4-6}"

ask() {
    curl -sS --fail-with-body -N "$WEIR_URL/v1/messages" -H "x-api-key: $KEY" -H "anthropic-version: 2023-06-01" \
        -H "content-type: application/json" --data-binary @-
    echo
}

ask <<JSON
{"model": "$MODEL", "max_tokens": 200, "messages": [{"role": "user", "content": "What is a weir?"}]}
JSON

ask <<JSON
{"model": "$MODEL", "max_tokens": 200, "stream": true, "messages": [{"role": "user", "content": "What is a weir?"}]}
JSON

# The answer has a block of type tool_use; python/messages.py and node/messages.mjs send back what the tool said.
ask <<JSON
{"model": "$MODEL", "max_tokens": 200,
 "tools": [{"name": "get_weather", "description": "The weather of a city",
            "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}],
 "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
JSON
