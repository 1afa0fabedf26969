"""Requests that are wrong, or ask for more than a model's provider can do: one table a caller's dialect."""

from tests.matrix.bad import anthropic_messages, openai_chat, openai_completions, openai_responses, prompt
from tests.matrix.bad.row import Bad

TABLES: dict[str, tuple[str, dict[str, object], tuple[Bad, ...]]] = {
    module.CLIENT: (module.PATH, module.BODY, module.ROWS)
    for module in (anthropic_messages, openai_chat, openai_responses, openai_completions, prompt)
}
