"""Bodies: JSON, of a bounded length."""

from __future__ import annotations

import json
import math
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from apps.api.problems import Problem

MOST_BYTES = 1024 * 1024


class JSON(BaseParser):
    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        """Raises ParseError, and Problem for what is too long."""
        raw = stream.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise Problem(413, f"{MOST_BYTES:,} bytes are the most.")
        try:
            return json.loads(raw.decode(), parse_float=_number, parse_constant=_no_constant, object_pairs_hook=_object)
        except RecursionError:
            raise ParseError("It is nested too deeply.") from None
        except UnicodeDecodeError:
            raise ParseError("It is not UTF-8.") from None
        except ValueError as error:
            raise ParseError(f"It is not JSON: {error}") from None


def check_length(request: Request) -> None:
    """Before a body is read. Raises Problem."""
    length = request.META.get("CONTENT_LENGTH") or ""
    if request.META.get("HTTP_TRANSFER_ENCODING") and not length:
        raise Problem(411)
    if length.isdecimal() and int(length) > MOST_BYTES:
        raise Problem(413, f"{MOST_BYTES:,} bytes are the most.")


def _number(text: str) -> float:
    found = float(text)
    if math.isinf(found):
        raise ValueError("a number is too large")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """What is named twice could mean either."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is given twice")
    return found


class Negotiation(DefaultContentNegotiation):
    """A renderer is never chosen by the query: `?format=` is no parameter."""

    def filter_renderers(self, renderers: Any, format: str) -> Any:
        return renderers

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return super().select_renderer(request, renderers, None)
