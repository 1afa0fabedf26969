"""What a transport raised or answered, in the gateway's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import aiohttp
import httpx2
from aiohttp.hdrs import CONTENT_LENGTH, TRANSFER_ENCODING
from aiohttp.http import HttpVersion10, HttpVersion11, RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError

from apps.domain import errors
from apps.outbound.guard import AddressRefused

# First match wins; anything else is a lost connection.
_BROKEN: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((aiohttp.ClientConnectorDNSError,), "The provider's host name could not be resolved."),
    ((aiohttp.ClientSSLError, aiohttp.ClientConnectorCertificateError), "The provider's TLS could not be trusted."),
    ((aiohttp.ClientConnectorError, httpx2.ConnectError), "The provider refused the connection."),
    (
        (aiohttp.ClientResponseError, HttpProcessingError, httpx2.RemoteProtocolError),
        "The provider's answer is not valid HTTP.",
    ),
    ((ValueError, TypeError), "The request could not be written as HTTP."),
)
_NEVER_SENT = (
    AddressRefused,
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
)
_VERSIONS = (HttpVersion11, HttpVersion10)
_SWITCHING = 101  # which nobody asked for
_LONGEST_LENGTH = 18  # digits
LOST = "The provider dropped the connection."
_CUT_SHORT = "Not enough data"  # aiohttp's words for a body whose end did not come; also its class for bad framing


def translate(error: Exception, *, connect: float | None = None) -> errors.UpstreamError:
    """`connect`: the limit on connecting, while that was still going on. Details stay in the chain, not in the text."""
    if isinstance(error, errors.UpstreamError):
        return error
    causes = list(_chain(error))
    said = _said(causes, connect)
    said.reached = not _any(causes, _NEVER_SENT)
    return said


def _said(causes: list[BaseException], connect: float | None) -> errors.UpstreamError:
    if _any(causes, (AddressRefused,)):
        return errors.UpstreamBroken("The provider's address may not be called.", code="address_refused")
    if connect is not None and _any(causes, (TimeoutError, httpx2.TimeoutException)):
        return errors.UpstreamTimeout(f"The provider did not accept a connection within {connect:g} s.")
    if any(isinstance(cause, HttpProcessingError) and cause.message.startswith(_CUT_SHORT) for cause in causes):
        return errors.UpstreamBroken(LOST)
    for kinds, message in _BROKEN:
        if _any(causes, kinds):
            return errors.UpstreamBroken(message)
    return errors.UpstreamBroken(LOST)


def is_lost(error: Exception) -> bool:
    """Whether a connection that stood was lost before a byte of the answer."""
    causes = list(_chain(error))
    return _any(causes, (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, httpx2.NetworkError)) and not _any(
        causes, (aiohttp.ClientConnectorError, httpx2.ConnectError)
    )


def is_ambiguous(message: RawResponseMessage) -> bool:
    """Whether others may take this answer for another one, or its end for another place, than aiohttp does: of codings
    it looks for `chunked` only, and of a length that no number holds it makes an empty body."""
    if not (100 <= message.code < 600 and message.code != _SWITCHING and message.version in _VERSIONS):
        return True
    if (length := message.headers.get(CONTENT_LENGTH)) is not None and len(length) > _LONGEST_LENGTH:
        return True
    codings = message.headers.getall(TRANSFER_ENCODING, None)
    if codings is None:
        return False
    return length is not None or len(codings) > 1 or codings[0].lower() != "chunked" or not message.chunked


def in_head(headers: Mapping[str, str]) -> errors.UpstreamBroken | None:
    """A head that must not be relayed: coded in a way that was not asked for."""
    coding = headers.get("content-encoding")
    if coding is not None and coding.lower() != "identity":
        return errors.UpstreamBroken("The provider compressed its answer although it was asked not to.")
    return None


def _any(causes: list[BaseException], kinds: tuple[type[BaseException], ...]) -> bool:
    return any(isinstance(cause, kinds) for cause in causes)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was made of, wherever aiohttp keeps that."""
    while error is not None:
        yield error
        if isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
