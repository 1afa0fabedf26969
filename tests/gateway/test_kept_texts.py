"""What calls say is written down nowhere but where a cache policy has answers kept: sealed for their tenant, for a
time, and gone for good with the tenant's own secret."""

from __future__ import annotations

import pytest
import redis
from django.conf import settings
from django.db import connection

from apps.catalog import services as catalog
from apps.gateway import kept
from apps.policies import services as policies
from apps.tenants import services as tenants
from apps.tenants.models import Tenant
from tests.gateway.calls import ANTHROPIC, ask
from tests.gateway.conftest import Gateway
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.attack("F31")]

TTL = 600
DIARY = "Dear diary, quagga"
SURE = {"temperature": 0, "messages": [{"role": "user", "content": DIARY}]}


@pytest.fixture
def world(world, monkeypatch):
    """A machine that tests on all its processors is quick enough in a second."""
    monkeypatch.setattr(kept, "DEADLINE_SECONDS", 1.0)
    return world


def keep_answers(gateway: Gateway) -> None:
    model = catalog.Model.objects.get(name="claude-test")
    policies.create_cache(actor=None, model=model, ttl_seconds=TTL)
    gateway.refresh()
    until(lambda: gateway.engine.shelf.is_up)


def asked(gateway: Gateway, key: str) -> str:
    response = ask(gateway, ANTHROPIC, key=key, change=SURE)
    assert response.status_code == 200, response.text
    until(lambda: gateway.engine.shelf.is_settled)
    return str(response.headers.get("x-weir-cache", ""))


def in_redis() -> dict[bytes, bytes]:
    """What is kept, by name; each for a time that ends."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        names = [name for name in client.keys("weir:{kept}:*") if client.type(name) == b"string"]
        answers = [name for name in names if not name.endswith(b":sum")]
        assert all(0 < client.ttl(name) <= TTL for name in answers)
        return {name: client.get(name) for name in answers}


def everything() -> bytes:
    """All that Redis and the database hold."""
    found = [repr(in_redis()).encode()]
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            found.append(repr([[_plain(value) for value in row] for row in cursor.fetchall()]).encode())
    return b"".join(found)


def _plain(value: object) -> object:
    return bytes(value) if isinstance(value, memoryview) else value


@pytest.fixture
def opens(gateway: Gateway):
    """The tenants, by their secrets as they are now, that open what was kept, to whoever knows all else."""
    store = gateway.engine.shelf._store

    async def opened(name: bytes, sealed: bytes, secret: bytes) -> bool:
        return store._opened(sealed, name=name.decode(), secret=secret) is not None

    def told(name: bytes, sealed: bytes) -> list[str]:
        secrets = {row.name: bytes(row.kept_secret) for row in Tenant.objects.order_by("name")}
        return [whose for whose, secret in secrets.items() if gateway.call(opened(name, sealed, secret))]

    return told


@pytest.mark.redis
def test_nothing_is_kept_until_somebody_says_so(gateway, world):
    until(lambda: gateway.engine.shelf.is_up)
    assert [asked(gateway, world.key) for _ in range(2)] == ["", ""]
    gateway.settle()
    assert in_redis() == {}
    assert b"quagga" not in everything()


@pytest.mark.redis
def test_what_is_kept_is_sealed_for_its_tenant_and_shredded_with_its_secret(gateway, world, opens, figure):
    globex = tenants.create_tenant(actor=world.alice, name="Globex")
    theirs = world.issue_for(globex)
    keep_answers(gateway)
    assert [asked(gateway, key) for key in (world.key, theirs, world.key, theirs)] == ["miss", "miss", "hit", "hit"]
    gateway.settle()
    assert b"quagga" not in everything()
    before = in_redis()
    by_tenant = {tuple(opens(name, sealed)): name for name, sealed in before.items()}
    assert by_tenant.keys() == {("Acme",), ("Globex",)}, "each opens with its own tenant's secret, and no other"
    policies.forget_tenant(world.tenant, actor=world.alice)
    left = opens(by_tenant["Acme",], before[by_tenant["Acme",]])
    assert left == []
    assert opens(by_tenant["Globex",], before[by_tenant["Globex",]]) == ["Globex"]
    gateway.refresh()
    assert [asked(gateway, key) for key in (world.key, theirs, world.key)] == ["miss", "hit", "hit"]
    figure("F31", "kept answers that open after their tenant's secret is gone", len(left), most=0)


def test_every_tenant_has_a_secret_of_its_own_and_the_record_does_not_tell_it(world):
    globex = tenants.create_tenant(actor=world.alice, name="Globex")
    secrets = [bytes(secret) for secret in Tenant.objects.values_list("kept_secret", flat=True)]
    assert {len(secret) for secret in secrets} == {32}
    assert len(set(secrets)) == len(secrets) == 2
    policies.forget_tenant(globex, actor=world.alice)
    assert bytes(Tenant.objects.get(pk=globex.pk).kept_secret) not in secrets


def test_a_tenant_that_is_not_known_yet_keeps_nothing(gateway, world, monkeypatch):
    keep_answers(gateway)
    secrets = gateway.engine.configuration.snapshot.cachings.secrets
    assert asked(gateway, world.key) == "miss"
    monkeypatch.delitem(secrets, world.tenant.pk)
    assert [asked(gateway, world.key) for _ in range(2)] == ["skip", "skip"]
