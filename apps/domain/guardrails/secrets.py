"""Keys of providers and clouds, tokens and private keys, by the marks that their issuers gave them to be found by."""

from __future__ import annotations

import re
from collections.abc import Iterator

from apps.domain import keys

Span = tuple[int, int]

SHORTEST = 20
_WORD = bytes(
    ord("w") if chr(byte) in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-" else ord(" ")
    for byte in range(256)
)
_RUN = b"w" * SHORTEST
# Every one of them ends where its word does; nothing here goes back on what it has read.
_MARKED = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}(?![A-Za-z0-9])"  # AWS
    r"|AIza[0-9A-Za-z_-]{35}(?![A-Za-z0-9])|GOCSPX-[0-9A-Za-z_-]{28}"  # Google
    r"|gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}"
    r"|gl(?:pat|ptt|rt|dt|cbt|soat|ft|imt|agent|oas)-[A-Za-z0-9_-]{20,255}+"
    r"|xox[abeoprs]-[A-Za-z0-9-]{15,255}+|xapp-[0-9]-[A-Za-z0-9-]{15,255}+"  # Slack
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,255}+|whsec_[A-Za-z0-9]{32,255}+"  # Stripe
    r"|sk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{20,255}+"  # Anthropic
    r"|(?P<sk>sk-[A-Za-z0-9_-]{20,255}+)"  # OpenAI and those who write theirs alike
    r"|hf_[A-Za-z0-9]{30,255}+|npm_[A-Za-z0-9]{36}|dop_v1_[a-f0-9]{64}|pypi-AgE[A-Za-z0-9_-]{50,255}+"
    r"|gsk_[A-Za-z0-9]{40,255}+|xai-[A-Za-z0-9]{60,255}+|nvapi-[A-Za-z0-9_-]{60,255}+"
    r"|(?P<weir>weir_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}(?![0-9A-Za-z]))"
    r"|[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}(?![A-Za-z0-9])"  # Azure AI
    r")"
)
_TOKEN = re.compile(r"eyJ[A-Za-z0-9_-]{10,}+\.eyJ[A-Za-z0-9_-]{10,}+\.[A-Za-z0-9_-]*+")  # JWT
# Google's access tokens and SendGrid's keys, whose long word stands behind a point: how far, and what it is.
_BEHIND_A_POINT = (
    (5, re.compile(r"ya29\.[A-Za-z0-9_-]{20,}+")),
    (3, re.compile(r"SG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
)
_PRIVATE = re.compile(r"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
_LONGEST_PRIVATE = 16_384
_IS = r"""["']?\s{0,4}[=:]\s{0,4}["']?"""
_40 = r"([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])"
# Words by which that is known which has no mark of its own, and how many characters before them it begins.
_NAMED = (
    ("ecret", 0, re.compile(rf"ecret[_-]?[Aa]ccess[_-]?[Kk]ey{_IS}{_40}")),  # AWS
    ("ECRET", 0, re.compile(rf"ECRET_ACCESS_KEY{_IS}{_40}")),
    ("Key=", 0, re.compile(r"(?<=[st])Key=([A-Za-z0-9/+]{43}=|[A-Za-z0-9/+]{86}==)")),  # Azure: AccessKey, AccountKey
    ("~", 5, re.compile(r"[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}")),  # Azure AD
)


def found(text: str, latin: bytes) -> Iterator[Span]:
    """`latin` is the text in Latin-1, with a byte for each character."""
    for start, end in _words(latin.translate(_WORD)):
        for marked in _MARKED.finditer(text, start, end):
            if _is_secret(marked):
                yield marked.span()
        if (token := text.find("eyJ", start, end)) >= 0 and (match := _TOKEN.match(text, token)):
            yield match.span()
        for before, pattern in _BEHIND_A_POINT if text[start - 1 : start] == "." else ():
            if match := pattern.match(text, max(0, start - before)):
                yield match.span()
    for mark, before, named in _NAMED:
        yield from _named(text, mark, before, named)
    yield from _private(text)


def _private(text: str) -> Iterator[Span]:
    """To its end, where that is near; a key that was cut short is one too."""
    place = 0
    while (place := text.find("-----BEGIN ", place)) >= 0:
        if (begun := _PRIVATE.match(text, place)) is None:
            place += 1
            continue
        end = text.find("-----", begun.end(), begun.end() + _LONGEST_PRIVATE)
        is_whole = end >= 0 and text.startswith("-----END", end)
        yield place, end + len("-----END") if is_whole else begun.end()
        place = begun.end()


def _words(classes: bytes) -> Iterator[Span]:
    """Long words, which all of these are."""
    place = 0
    while (start := classes.find(_RUN, place)) >= 0:
        place = classes.find(b" ", start)
        place = len(classes) if place < 0 else place
        yield start, place


def _named(text: str, mark: str, before: int, pattern: re.Pattern[str]) -> Iterator[Span]:
    place = before - 1
    while (place := text.find(mark, place + 1)) >= 0:
        if match := pattern.match(text, place - before):
            yield match.span(1) if pattern.groups else match.span()


def _is_secret(match: re.Match[str]) -> bool:
    if match.lastgroup == "weir":
        return keys.public_id(match[0]) is not None
    if match.lastgroup == "sk":  # class names begin so too
        told = match[0][3:]
        return any(map(str.isdigit, told)) and (not told.islower() or len(told) >= 32)
    return True
