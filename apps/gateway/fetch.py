"""What a call gives by URL and its provider takes as bytes only: fetched once a call, whoever is asked in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from django.conf import settings

from apps.domain.protocols import attachments
from apps.domain.protocols import exchange as exchanges
from apps.outbound import download

if TYPE_CHECKING:
    from collections.abc import Mapping

    from apps.domain.chat import Fetched
    from apps.domain.errors import Unfetched
    from apps.domain.protocols.contract import Target
    from apps.domain.snapshot import Deployment
    from apps.gateway.attempt import Attempt
    from apps.gateway.context import RequestContext


async def fetched(
    ctx: RequestContext,
    target: Target,
    lacking: Unfetched,
    *,
    deployment: Deployment,
    attempt: Attempt | None = None,
) -> Target:
    """The target, with what it lacks, which weighs as prompt from now on. Raises `lacking` where URLs are not fetched,
    and InvalidRequest where one gives nothing. All of a call's may be as large as they could have been in its body, in
    base64, each as often as it is given. What policies make of it, as that of the body: raises PermissionDenied."""
    call = ctx.call
    assert call is not None
    if not settings.WEIR_FETCH_URLS:
        raise lacking
    room = (settings.WEIR_MAX_BODY_BYTES - len(call.body)) * 3 // 4
    if urls := [url for url in lacking.urls if url not in ctx.fetched]:
        try:
            found: Mapping[str, Fetched] = await download.download(
                urls, most_bytes=room, networks=settings.WEIR_FETCH_NETWORKS
            )
        except download.NotDownloaded as failure:
            raise exchanges.undownloaded(call, url=failure.url, reason=failure.reason) from None
        if ctx.enclosed is not None:
            found = await ctx.enclosed.seen(found, deployment, attempt=attempt)
        ctx.fetched = {**ctx.fetched, **found}
        ctx.prompt_bytes += sum(attachments.prompt_bytes(found[url]) * lacking.urls[url] for url in urls)
    sizes = {url: len(ctx.fetched[url].data) * times for url, times in lacking.urls.items()}
    if sum(sizes.values()) > room:
        raise exchanges.undownloaded(call, url=max(sizes, key=sizes.__getitem__), reason="large")
    return msgspec.structs.replace(target, fetched=ctx.fetched)
