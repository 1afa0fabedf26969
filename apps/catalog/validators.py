"""What may be written into the catalog's free-form fields."""

from __future__ import annotations

import ipaddress
import math
import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*")


def validate_finite(value: float) -> None:
    """Bounds let what is no number through: it lies neither below nor above."""
    if not math.isfinite(value):
        raise ValidationError("Give a number.")


def validate_words(value: Any) -> None:
    """A list of non-empty strings without repetition."""
    if not isinstance(value, list) or not all(isinstance(word, str) and word.strip() == word != "" for word in value):
        raise ValidationError("Give a list of words.")
    if len(set(value)) != len(value):
        raise ValidationError("A word is given twice.")


def validate_options(value: Any) -> None:
    """Short texts by name."""
    if not isinstance(value, dict) or not all(
        isinstance(text, str) and text.isprintable() and len(text) <= 200 for pair in value.items() for text in pair
    ):
        raise ValidationError("Give a text for each name.")


def validate_networks(value: Any) -> None:
    """A list of CIDR ranges."""
    validate_words(value)
    for word in value:
        validate_cidr(word)


def validate_cidr(value: str) -> None:
    try:
        ipaddress.ip_network(value)
    except ValueError as error:
        raise ValidationError(f"“{value}” is not a network: {error}") from None


def validate_hosts(value: Any) -> None:
    """A list of host names in small letters, without ports; no addresses."""
    validate_words(value)
    for word in value:
        if not _HOST.fullmatch(word) or word.rpartition(".")[2].isdigit():
            raise ValidationError(f"“{word}” is not a host name in small letters.")


def validate_origins(value: Any) -> None:
    """A list of what browsers send in `Origin`; `*` is any."""
    validate_words(value)
    for word in value:
        if word != "*" and not _is_origin(word):
            raise ValidationError(f"“{word}” is not an origin such as https://app.example.")


def _is_origin(word: str) -> bool:
    try:
        parts = urlsplit(word)
        whole = f"{parts.scheme}://{parts.netloc}"
        return word == whole == word.lower() and bool(parts.scheme and parts.hostname) and parts.port != 0
    except ValueError:
        return False


def validate_private_cidr(value: str) -> None:
    """Only ranges that the public internet does not route need opening."""
    validate_cidr(value)
    network = ipaddress.ip_network(value)
    if network.is_global or network.is_multicast or network.prefixlen == 0:
        raise ValidationError(f"“{value}” is not a private network.")


def validate_model_name(value: str) -> None:
    """What a caller may write in `model`: no spaces, nothing unprintable, at most 120 characters."""
    if not 0 < len(value) <= 120 or not value.isprintable() or any(symbol.isspace() for symbol in value):
        raise ValidationError(f"“{value}” cannot be a model's name.")


def validate_model_names(value: Any) -> None:
    validate_words(value)
    for word in value:
        validate_model_name(word)
