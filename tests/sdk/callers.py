"""One test for the sync and the async client of an SDK: what either returns, awaited or not."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator
from typing import Any


async def resolved(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def everything(stream: Any) -> list[Any]:
    """All items of a stream or page, which may have to be awaited first."""
    stream = await resolved(stream)
    if hasattr(stream, "__aiter__"):
        return [item async for item in stream]
    return list(stream)


@contextlib.asynccontextmanager
async def opened(manager: Any) -> AsyncIterator[Any]:
    if hasattr(manager, "__aenter__"):
        async with manager as value:
            yield value
    else:
        with manager as value:
            yield value
