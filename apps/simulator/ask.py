"""What a call asks for, once its dialect has been read; and how a call that asks wrongly is refused."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from apps.simulator import tokens

Object = dict[str, Any]  # Any: JSON as the caller sent it


class Tool(msgspec.Struct, frozen=True):
    """`is_freeform`: what it is called with is a text and no JSON. `namespace` is the one it stands in, or ""."""

    name: str
    schema: Object
    is_freeform: bool = False
    namespace: str = ""


class Talk(msgspec.Struct, frozen=True, kw_only=True):
    """What has been said so far: what an `Ask` takes from the messages of any dialect."""

    texts: list[str]
    said: str
    results: tuple[str, ...]
    attachments: int
    count: int

    def fields(self, *more: str) -> Object:
        """Those of the `Ask`; `more` are texts beside the messages."""
        whole = {"texts": (*self.texts, *more), "messages": self.count, "attachments": self.attachments}
        return whole | {"said": self.said, "results": self.results}


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """`said` is the last user text, `results` the texts of tool results that nobody has answered yet.

    `choice` "any" forces a call, of the tool `named` where one is. `schema` asks for JSON. `copies` is OpenAI's `n`.
    `speaks_first`: calls of tools come behind a sentence, as Claude's do. `inputs` are texts to embed, each in a vector
    of `dimensions`; a call has either those or a conversation. `asked` is the body itself, for dialects whose answers
    repeat parts of it.
    """

    model: str
    stream: bool = False
    cap: int | None = None
    stops: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    messages: int = 0
    attachments: int = 0
    said: str = ""
    results: tuple[str, ...] = ()
    tools: tuple[Tool, ...] = ()
    choice: Literal["auto", "any", "none"] = "auto"
    named: str | None = None
    parallel: bool = True
    thinking: Literal["off", "shown", "omitted"] = "off"
    schema: Object | None = None
    copies: int = 1
    include_usage: bool = True
    call_prefix: str = "call_"
    speaks_first: bool = False
    inputs: tuple[str, ...] = ()
    dimensions: int = 0
    asked: Object = {}  # msgspec gives every struct one of its own

    @property
    def tokens(self) -> int:
        """The size of the prompt, by the rule of `tokens`."""
        texts = sum(tokens.count(text) for text in (*self.texts, *self.inputs))
        return texts + self.messages * tokens.PER_MESSAGE + self.attachments * tokens.ATTACHMENT


class Refused(Exception):
    """A call that gets an error of its dialect. `kind` None: the one that goes with the status."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.kind = kind
        self.param = param
        self.code = code
        self.retry_after = retry_after
