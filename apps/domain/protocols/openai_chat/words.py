"""What a request's fields are called here."""

from __future__ import annotations

from apps.domain.protocols.openai_chat import wire

# What the canonical form keeps no account of goes on as it was written, to who takes it.
PLAIN = ("seed", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "top_logprobs")
OPENAIS = ("verbosity", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "service_tier")
"""Other vendors may refuse these (the quirk `openai_fields`)."""
REST = (*PLAIN, *OPENAIS)
SAID = (*REST, "metadata")  # which OpenAI takes here only of who has it keep the answer
WORDS = {
    "model": ("model",),
    "messages": ("messages",),
    "system": ("messages",),
    "tools": ("tools", "functions"),
    "tool_choice": ("tool_choice", "function_call"),
    "parallel_tools": ("parallel_tool_calls",),
    "max_tokens": ("max_completion_tokens", "max_tokens"),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "stop": ("stop",),
    "stream": ("stream",),
    "reasoning": ("reasoning_effort", "thinking"),
    "format": ("response_format",),
    "user": ("safety_identifier", "user"),
    **{name: (name,) for name in SAID},
}
FIELDS = frozenset(wire.Body.__struct_encode_fields__)
READ = FIELDS | {*SAID}
PARTS = {"stream_options": frozenset({"include_usage"})}
