#!/usr/bin/env bash
# OpenAI's Chat Completions: whole, streamed, and with a tool that the model asks for.
set -euo pipefail
: "${WEIR_URL:=http://127.0.0.1:8000}" "${KEY:?a key of Weir}" "${MODEL:=gpt-5-mini}"

ask() {
    curl -sS --fail-with-body -N "$WEIR_URL/v1/chat/completions" -H "authorization: Bearer $KEY" \
        -H "content-type: application/json" --data-binary @-
    echo
}

ask <<JSON
{"model": "$MODEL", "max_completion_tokens": 200, "messages": [{"role": "user", "content": "What is a weir?"}]}
JSON

ask <<JSON
{"model": "$MODEL", "stream": true, "stream_options": {"include_usage": true},
 "messages": [{"role": "user", "content": "What is a weir?"}]}
JSON

ask <<JSON
{"model": "$MODEL",
 "tools": [{"type": "function", "function": {"name": "get_weather", "description": "The weather of a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}],
 "messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
JSON
