"""The turns of a call, decoded without their texts, which takes less than to search them: what a call needs and whose
conversation it is are both read from these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from apps.domain.protocols.contract import ClientCall


class Turn(msgspec.Struct):
    """Of any dialect, as it was written."""

    role: Any = "user"
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()  # of a tool, in Responses


_turns = msgspec.json.Decoder(list[Turn])


def turns(call: ClientCall) -> Sequence[Turn]:
    """Empty where it has none, and where no reader of ours understands them: then they are the provider's to refuse."""
    for name in ("messages", "input"):
        said = call.fields.get(name)
        if said is None or not is_list(said):
            continue
        try:
            found = _turns.decode(said)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return ()
        if found:
            return found
    return ()


def is_list(raw: msgspec.Raw) -> bool:
    """Of a field as it was written; it may be long, so it is not copied."""
    return bytes(memoryview(raw)[:1]) == b"["
