"""What a transport raised or answered, in the gateway's words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import httpx2

from apps.domain import errors
from apps.outbound import guard


def translate(error: Exception, *, connect: float | None = None) -> errors.UpstreamError:
    """`connect` is the limit on connecting, for the message. The error itself stays in the chain, not in the text."""
    if isinstance(error, errors.UpstreamError):
        return error
    causes = list(_chain(error))
    if any(isinstance(cause, guard.AddressRefused) for cause in causes):
        return errors.UpstreamBroken("The provider's address may not be called.", code="address_refused")
    if any(isinstance(cause, asyncio.TimeoutError | httpx2.TimeoutException) for cause in causes) and not any(
        isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) for cause in causes
    ):
        return _timed_out(causes, connect=connect)
    if any(isinstance(cause, aiohttp.ClientConnectorDNSError) for cause in causes):
        return errors.UpstreamBroken("The provider's host name could not be resolved.")
    if any(isinstance(cause, aiohttp.ClientSSLError) for cause in causes):
        return errors.UpstreamBroken("The provider's TLS certificate or handshake was not accepted.")
    if any(isinstance(cause, aiohttp.ClientConnectorError | httpx2.ConnectError) for cause in causes):
        return errors.UpstreamBroken("The provider refused the connection.")
    if any(isinstance(cause, aiohttp.ClientResponseError | aiohttp.http.HttpProcessingError) for cause in causes):
        return errors.UpstreamBroken("The provider's answer is not valid HTTP.")
    return errors.UpstreamBroken("The provider dropped the connection.")


def is_dropped(error: Exception) -> bool:
    """Whether a connection that stood was lost before a byte of the answer."""
    causes = list(_chain(error))
    return any(
        isinstance(cause, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError) for cause in causes
    ) and not any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes)


def in_head(response: httpx2.Response) -> errors.UpstreamBroken | None:
    """A head that must not be relayed: framed twice, or coded in a way that was not asked for."""
    names = [name.lower() for name, _ in response.headers.raw]
    if b"transfer-encoding" in names and b"content-length" in names:
        return errors.UpstreamBroken("The provider's answer states its length in two ways.")
    if b"content-encoding" in names and response.headers["content-encoding"].lower() != "identity":
        return errors.UpstreamBroken("The provider compressed its answer although it was asked not to.")
    return None


def _timed_out(causes: list[BaseException], *, connect: float | None) -> errors.UpstreamTimeout:
    limit = "" if connect is None else f" within {connect:g} s"
    return errors.UpstreamTimeout(f"The provider did not accept a connection{limit}.")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what it was made of, where aiohttp keeps it."""
    while error is not None:
        yield error
        if isinstance(error, aiohttp.ClientConnectorError):
            yield error.os_error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
