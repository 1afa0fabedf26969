"""Calls on a bare socket, to be left, cut or read in ways that no client library has words for."""

from __future__ import annotations

import socket
import struct
from typing import Any

from tests.gateway.calls import body_of

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST at once


def call(
    gateway: Any, path: str, *, model: str, key: str = "", receive_buffer: int = 0, simulate: str = "", **change: Any
) -> socket.socket:
    """A socket on which a whole call has been sent. `receive_buffer` in bytes; `simulate`: what the provider does;
    `change` is of the body."""
    body = body_of(path, model=model, change=change)
    found = socket.socket()
    if receive_buffer:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    found.settimeout(30)
    found.connect((gateway.host, gateway.port))
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key or gateway.world.key}\r\ncontent-length: {len(body)}\r\n"
    )
    if simulate:
        head += f"x-simulate: {simulate}\r\n"
    found.sendall(head.encode() + b"\r\n" + body)
    return found


def read_until(given: socket.socket, mark: bytes) -> bytes:
    """What has come when `mark` has."""
    received = b""
    while mark not in received:
        chunk = given.recv(65536)
        assert chunk, received
        received += chunk
    return received


def rest(given: socket.socket, *, end: bytes = b"0\r\n\r\n") -> bytes:
    """What comes until the answer or the connection ends."""
    received = b""
    while not received.endswith(end) and (chunk := given.recv(65536)):
        received += chunk
    return received


def leave(given: socket.socket, how: str) -> None:
    """`fin` closes, `rst` resets, `half-close` says that no more will be sent and goes on listening."""
    if how == "half-close":
        given.shutdown(socket.SHUT_WR)
        return
    if how == "rst":
        given.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    given.close()
