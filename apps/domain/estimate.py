"""Tokens, where nobody has counted them: before the answer is known, and where a provider never says.

A token is about four bytes of text in any language's tokenizer that we serve, and hardly ever less than two: so a
bound is bytes / 2, an estimate bytes / 4, both rounded up. A miss of the bound is booked as an overrun.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from apps.domain.tokens import TokenUsage

BYTES_PER_TOKEN = 4
FEWEST_BYTES_PER_TOKEN = 2
MOST_BYTES_PER_TOKEN = 6  # on the average of a long text: plain English has less than five
# Anthropic counts up to 4,784 for an image, however many bytes it has, and OpenAI less, but for gpt-4o-mini: that
# counts thirty times as many at a thirtieth of the price.
IMAGE_TOKENS = 5_000
_IMAGE_BYTES = IMAGE_TOKENS * FEWEST_BYTES_PER_TOKEN


class _Part(msgspec.Struct):
    """A part of a message in any dialect, as far as it may hold an image."""

    type: str
    source: msgspec.Raw = msgspec.Raw()  # Anthropic's
    image_url: msgspec.Raw = msgspec.Raw()  # OpenAI's
    content: msgspec.Raw = msgspec.Raw()  # of a tool's result


class _Message(msgspec.Struct):
    content: str | list[_Part] | None = None


class _Body(msgspec.Struct):
    messages: list[_Message] | None = None
    input: msgspec.Raw = msgspec.Raw()  # of Responses: a text, or items


class _Item(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()
    output: msgspec.Raw = msgspec.Raw()  # of a tool


class _Document(msgspec.Struct):
    content: msgspec.Raw = msgspec.Raw()


class _Image(msgspec.Struct):
    """`data` or a data URL: the image itself; any other `url`, or neither: only where it lies."""

    data: str = ""
    url: str = ""


_bodies = msgspec.json.Decoder(_Body)
_items = msgspec.json.Decoder(list[_Item])
_parts = msgspec.json.Decoder(list[_Part])
_documents = msgspec.json.Decoder(_Document)
_images = msgspec.json.Decoder(str | _Image)


def prompt_bytes(body: bytes) -> int:
    """What of a request's body counts as prompt: all of it, but an image as what it may cost at most.

    Only where the dialects have images are they looked for: text that looks like one is text to a model too. A document
    counts by its bytes; one that is only named cannot be weighed before somebody has fetched it.
    """
    if b'"image' not in body and b"\\u006" not in body:  # which begins each of its letters
        return len(body)
    try:
        read = _bodies.decode(body)
        return len(body) + sum(weight for parts in _contents(read) for weight in _corrections(parts))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return len(body)


def _contents(read: _Body) -> Iterator[list[_Part]]:
    for message in read.messages or ():
        if isinstance(message.content, list):
            yield message.content
    for item in _items.decode(read.input) if bytes(read.input).startswith(b"[") else ():
        yield from (_parts.decode(raw) for raw in (item.content, item.output) if bytes(raw).startswith(b"["))


def _corrections(parts: Iterable[_Part]) -> Iterator[int]:
    """What each image weighs more than its bytes, or less."""
    for part in parts:
        given = {"image": part.source, "image_url": part.image_url, "input_image": part.image_url}.get(part.type)
        if given:
            yield _correction(given)
        elif part.type == "tool_result" and bytes(part.content).startswith(b"["):
            yield from _corrections(_parts.decode(part.content))
        elif part.type == "document" and bytes(content := _within(part.source)).startswith(b"["):
            yield from _corrections(_parts.decode(content))


def _within(source: msgspec.Raw) -> msgspec.Raw:
    """The parts that a document is made of; nothing where it is a file or a text."""
    return _documents.decode(source).content if bytes(source).startswith(b"{") else msgspec.Raw()


def _correction(raw: msgspec.Raw) -> int:
    image = _images.decode(raw)
    if isinstance(image, str):
        image = _Image(url=image)
    if image.url.startswith("data:") and not image.url.startswith("data:image/"):
        return 0  # no image, whatever it is in; it counts by its bytes
    size = len(image.data) or (len(image.url) if image.url.startswith("data:") else 0)
    return min(0, _IMAGE_BYTES - size) if size else _IMAGE_BYTES


def input_tokens(size: int) -> int:
    """An estimate for a prompt of `size` bytes."""
    return -(-size // BYTES_PER_TOKEN)


def output_tokens(size: int) -> int:
    """An estimate for an answer of `size` bytes of text, thinking and arguments."""
    return -(-size // BYTES_PER_TOKEN)


def usage(body: bytes, *, size: int) -> TokenUsage:
    """For a client who asked with this body, and whose provider did not count an answer of `size` bytes."""
    return TokenUsage(in_fresh=input_tokens(prompt_bytes(body)), out_total=output_tokens(size))


def least_output_tokens(size: int) -> int:
    """Fewer than an answer of `size` bytes can have been billed as, whatever language it is in."""
    return size // MOST_BYTES_PER_TOKEN


def least_of(tokens: int) -> int:
    """Of so many tokens of an estimate, those that are certain: even the few words of a short answer have no more than
    twice as many bytes a token."""
    return tokens // 2


def most(size: int, *, max_tokens: int | None, model_cap: int, choices: int = 1) -> TokenUsage:
    """The most a call with a prompt of `size` bytes can use: what is reserved before it is sent. `max_tokens` None: the
    call says nothing of it; 0: its answer has none.

    A cap above the model's own is lowered to it on the way to another dialect, and refused on the way to its own.
    """
    cap = model_cap if max_tokens is None else min(max_tokens, model_cap)
    return TokenUsage(in_fresh=_bound(size), out_total=cap * choices)


def rate_tokens(size: int, *, max_tokens: int | None) -> int:
    """What a call takes from a tokens-a-minute limit until its usage is known."""
    return input_tokens(size) + (max_tokens or 0)


def _bound(size: int) -> int:
    return -(-size // FEWEST_BYTES_PER_TOKEN)
