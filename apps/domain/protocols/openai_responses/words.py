"""What a request's fields are called here."""

from __future__ import annotations

from apps.domain.protocols.openai_chat import words as chat_words
from apps.domain.protocols.openai_responses import wire

LOGPROBS = "message.output_text.logprobs"
"""Who includes it is told how likely the tokens were."""
ENCRYPTED = "reasoning.encrypted_content"
"""Every answer of a translated call has it."""
OPENAIS = (*(name for name in chat_words.OPENAIS if name != "verbosity"), "metadata")
SHARED = (*OPENAIS, "top_logprobs")
WORDS = {
    "model": ("model",),
    "messages": ("input",),
    "system": ("instructions",),
    "tools": ("tools",),
    "tool_choice": ("tool_choice",),
    "parallel_tools": ("parallel_tool_calls",),
    "max_tokens": ("max_output_tokens",),
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "stream": ("stream",),
    "reasoning": ("reasoning.effort", "reasoning"),
    "reasoning.display": (),  # a summary is asked for, or is not
    "format": ("text.format",),
    "user": ("safety_identifier", "user"),
    **{name: (name,) for name in SHARED},
    "verbosity": ("text.verbosity",),
    "logprobs": ("include",),
    "include": ("include",),
}
FIELDS = frozenset(wire.Body.__struct_encode_fields__)
READ = (FIELDS - {"store", "background", "previous_response_id", "conversation"}) | {*SHARED}
PARTS = {
    "reasoning": frozenset({"effort", "summary", "generate_summary"}),
    "text": frozenset({"format", "verbosity"}),
}
