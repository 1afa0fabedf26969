"""Names, and where they lead. The scripted resolver stands in for DNS; the sockets are real."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver

from apps.domain import errors
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound
from apps.outbound.guard import AddressRefused
from tests.outbound.upstream import Visit, fetch, listening, ok

pytestmark = pytest.mark.attack("F24")
OPENED = ["127.0.0.1/32"]


class Scripted(AbstractResolver):
    """Gives each look-up the next of the listed answers; an answer is a list of addresses."""

    def __init__(self, *answers: list[Any]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[Any]:
        self.asked.append(host)
        found = self.answers.pop(0)
        if not found:
            raise OSError("no such name")
        return [_result(host, address, port) if isinstance(address, str) else address(host, port) for address in found]

    async def close(self) -> None: ...


def _result(host: str, address: str, port: int) -> dict[str, Any]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": family,
        "proto": 0,
        "flags": socket.AI_NUMERICHOST,
    }


class Turncoat(dict[str, Any]):
    """An address that changes once it has been looked at."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if name == "host":
            self["host"] = "127.0.0.2"
        return value


async def served(visit: Visit) -> None:
    await visit.send(ok(b"served"))


async def call(resolver: Scripted, url: str, *, opened: list[str] = OPENED) -> bytes:
    outbound = Outbound(private_networks=opened, resolver=resolver)
    try:
        return await fetch(outbound.open("POST", url, headers=[], body=b"", timeouts=Timeouts(connect=0.5)))
    finally:
        await outbound.close()


async def test_a_name_is_resolved_once_and_the_answer_is_where_the_call_goes() -> None:
    resolver = Scripted(["127.0.0.1"])
    async with listening(served) as upstream:
        assert await call(resolver, f"http://provider.test:{upstream.port}/v1") == b"served"
        assert resolver.asked == ["provider.test"]
        assert f"Host: provider.test:{upstream.port}".encode() in upstream.visits[0].head


@pytest.mark.parametrize(
    "answer",
    [
        ["127.0.0.2"],
        ["127.0.0.1", "127.0.0.2"],
        ["127.0.0.1", "169.254.169.254"],
        ["127.0.0.1", "::1"],
        ["::ffff:127.0.0.2"],
        ["0.0.0.0"],
    ],
)
async def test_one_inward_address_spoils_the_name(answer: list[str]) -> None:
    async with listening(served) as upstream:
        with pytest.raises(errors.UpstreamBroken) as refused:
            await call(Scripted(answer), f"http://provider.test:{upstream.port}/v1")
        assert refused.value.code == "address_refused"
        assert "127" not in refused.value.message
        assert upstream.visits == []


async def test_a_name_that_rebinds_is_refused_when_it_does() -> None:
    resolver = Scripted(["127.0.0.1"], ["127.0.0.2"])
    async with listening(served) as upstream:
        url = f"http://provider.test:{upstream.port}/v1"
        assert await call(resolver, url) == b"served"
        with pytest.raises(errors.UpstreamBroken) as refused:
            await call(resolver, url)
        assert refused.value.code == "address_refused"
        assert len(upstream.visits) == 1


async def test_an_address_that_changes_after_the_check_is_caught_at_the_socket() -> None:
    async with listening(served) as upstream:
        resolver = Scripted([lambda host, port: Turncoat(_result(host, "127.0.0.1", port))])
        with pytest.raises(errors.UpstreamBroken) as refused:
            await call(resolver, f"http://provider.test:{upstream.port}/v1")
        assert refused.value.code == "address_refused"
        assert upstream.visits == []


async def test_a_name_in_plain_http_must_lead_into_an_opened_network() -> None:
    with pytest.raises(errors.UpstreamBroken) as refused:
        await call(Scripted(["8.8.8.8"]), "http://provider.test/v1")
    assert refused.value.code == "address_refused"
    causes = []
    cause: BaseException | None = refused.value
    while cause is not None:
        causes.append(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    assert any(isinstance(each, AddressRefused) and "Plain http" in str(each) for each in causes)


async def test_a_literal_address_needs_no_resolver_and_is_judged_all_the_same() -> None:
    async with listening(served) as upstream:
        assert await call(Scripted(), f"http://127.0.0.1:{upstream.port}/v1") == b"served"
        with pytest.raises(errors.UpstreamBroken) as refused:
            await call(Scripted(), f"http://127.0.0.1:{upstream.port}/v1", opened=["10.0.0.0/8"])
        assert refused.value.code == "address_refused"


async def test_a_name_that_does_not_exist_is_told_as_such() -> None:
    with pytest.raises(errors.UpstreamBroken, match="could not be resolved"):
        await call(Scripted([]), "https://provider.test/v1")
