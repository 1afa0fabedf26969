"""Texts that lie in another writing: in base64, in a data URL, behind escapes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{24}")
_URLSAFE = str.maketrans("-_", "+/", "\r\n")
_TO_URLSAFE = str.maketrans("+/", "-_")
_LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_OTHERS = bytes(set(range(256)) - set(_LETTERS) - set(b"="))
_WRITTEN_IN = _LETTERS + b"-_=\r\n"
_PADDING = re.compile(rb"=+")
_CONTROLS = bytes({*range(9), *range(14, 32)})
BINARY = 512  # characters of base64 that hold no text, from which on they are not read as a text themselves
_HEAD = 128  # characters of base64 by which a picture is told from a text
_LONGEST_HEAD = 2_000  # of a data URL
_INNER = re.compile(r";base64,([A-Za-z0-9+/_=-]{16,}+)")
_ESCAPE = re.compile(r"\\+u(?:\{0*([0-9a-fA-F]{1,5})\}|([0-9a-fA-F]{4}))")
_PICTURES = ("image/", "audio/", "video/", "font/")
_TEXTS = ("text/", "application/json", "application/xml")
_FILES = frozenset({"data", "file_data"})


class Hidden(msgspec.Struct, frozen=True):
    """`text` None: it is no text. `pack` writes another in its place. `is_sure`: nobody would read it as it stands."""

    text: str | None
    pack: Callable[[str], str]
    is_sure: bool = True


def told(value: Mapping[str, Any]) -> dict[str, str]:
    """The fields of an object that are base64 by what it says of itself, with the type that it gives them."""
    fields = [name for name in _FILES if isinstance(value.get(name), str)]
    if not fields:
        return {}
    kind = value.get("media_type", value.get("mime_type"))
    kind = kind.lower() if isinstance(kind, str) else ""
    is_base64 = value.get("type") == "base64" or value.get("encoding") == "base64" or kind.startswith(_PICTURES)
    return {name: kind for name in fields if is_base64 or name == "file_data"}


def file(text: str, kind: str) -> Hidden:
    """What is said to be base64, as whoever is lenient decodes it. Pictures are not decoded."""
    if text.lstrip()[:5].lower() == "data:" and (url := _url(text.strip())) is not None:
        return url
    is_sure = not text.encode("latin-1", "replace").translate(None, _WRITTEN_IN)
    if kind.startswith(_PICTURES) and is_sure and _as_text(_lenient(text[:_HEAD])) is None:
        return Hidden(None, str)
    read = _as_text(_lenient(text), is_text=kind.startswith(_TEXTS))
    return Hidden(read, _pack, is_sure=is_sure and len(text) >= BINARY)


def unpacked(text: str) -> Hidden | None:
    """What lies in base64 or a data URL; None: the text is what it seems."""
    if text[:5].lower() == "data:" and (url := _url(text)) is not None:
        return url
    if _BASE64.match(text) is None or (packed := _strict(text)) is None:
        return None
    return Hidden(_as_text(packed), _pack_for_urls if "-" in text or "_" in text else _pack)


def within(text: str) -> Iterator[str]:
    """What lies in data URLs in the midst of a text."""
    if ";base64," in text:
        for match in _INNER.finditer(text):
            if _as_text(_lenient(match[1][:_HEAD])) is not None and (inner := _as_text(_lenient(match[1]))):
                yield inner


def unescaped(text: str) -> str:
    """Of what is no JSON, but has JSON's escapes in it, once or several times over."""
    return _ESCAPE.sub(_character, text) if "\\u" in text else text


def _character(match: re.Match[str]) -> str:
    point = int(match[1] or match[2], 16)
    return chr(point) if point <= 0x10FFFF and not 0xD800 <= point < 0xE000 else "\ufffd"


def _url(text: str) -> Hidden | None:
    comma = text.find(",", 0, _LONGEST_HEAD)
    if comma < 0:
        return None
    head, payload = text[: comma + 1], text[comma + 1 :]
    kind, *said = head[5:-1].lower().split(";")
    if any(word.strip() == "base64" for word in said):
        found = file(payload, kind)
        # What cannot be undone may yet be read by somebody.
        return Hidden(found.text, lambda new: head + _pack(new), is_sure=found.is_sure)
    return Hidden(unquote(payload), lambda new: head + new)


def _pack(new: str) -> str:
    return base64.b64encode(new.encode("utf-8", "replace")).decode()


def _pack_for_urls(new: str) -> str:
    return _pack(new).translate(_TO_URLSAFE)


def _strict(text: str) -> bytes | None:
    """Also in the letters for URLs, in lines, and without its padding."""
    plain = text.strip().translate(_URLSAFE).rstrip("=")
    try:
        return binascii.a2b_base64(plain + "=" * (-len(plain) % 4), strict_mode=True)
    except ValueError:
        return None


def _lenient(text: str) -> bytes:
    """All that any decoder makes of it: letters that are none are passed over, and padding ends nothing."""
    plain = text.translate(_URLSAFE).encode("latin-1", "replace").translate(None, _OTHERS)
    pieces = _PADDING.split(plain) if b"=" in plain.rstrip(b"=") else [plain.rstrip(b"=")]
    return b"".join(map(_decoded, pieces))


def _decoded(letters: bytes) -> bytes:
    if len(letters) % 4 == 1:
        letters = letters[:-1]
    return binascii.a2b_base64(letters + b"=" * (-len(letters) % 4))


def _as_text(data: bytes, *, is_text: bool = False) -> str | None:
    """UTF-8, UTF-16 or Latin-1; None: it is a binary file. `is_text`: it says that it is none."""
    zeros = data.count(0)
    if zeros:
        if 8 * zeros < len(data) and not is_text and data.count(0) > 4:
            return None
        data = data.replace(b"\0", b"")  # of UTF-16 or UTF-32, all but what is not Latin
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        is_binary = 50 * (len(data) - len(data.translate(None, _CONTROLS))) > len(data)
        return None if is_binary and not is_text else data.decode("latin-1")
