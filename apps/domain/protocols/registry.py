"""The wire formats by name, and the dialects that can be relayed untranslated."""

from __future__ import annotations

from apps.domain.protocols import anthropic_messages, openai_chat
from apps.domain.protocols.anthropic_messages import passthrough as anthropic_passthrough
from apps.domain.protocols.contract import WireFormat
from apps.domain.protocols.openai_chat import passthrough as openai_passthrough
from apps.domain.protocols.passthrough import Dialect

FORMATS: dict[str, WireFormat] = {format.name: format for format in (anthropic_messages.FORMAT, openai_chat.FORMAT)}

DIALECTS: dict[str, Dialect] = {
    anthropic_messages.FORMAT.name: anthropic_passthrough.DIALECT,
    openai_chat.FORMAT.name: openai_passthrough.DIALECT,
}
