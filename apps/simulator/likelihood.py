"""How likely the tokens of a text were, for who asks: made up, and the same for the same token."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

from apps.simulator.ask import Object


def logprobs(pieces: Iterable[str], *, top: int) -> list[Object]:
    """`top`: how many others there are beside each, itself the first of them."""
    return [{**_token(piece, 0), "top_logprobs": [_token(piece, rank) for rank in range(top)]} for piece in pieces]


def _token(piece: str, rank: int) -> Object:
    token = piece if rank == 0 else f"{piece}{rank}"
    return {"token": token, "logprob": -(1 + zlib.crc32(piece.encode()) % 100) / 64 - rank, "bytes": [*token.encode()]}
