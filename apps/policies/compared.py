"""Which questions are remembered to be compared: how many, of whom, and what that saved. None of their words: there are
none."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.catalog.models import Model
from apps.outbound.vectors import Holding, is_installed, vectors
from apps.policies.models import CachePolicy
from apps.tenants.models import Tenant

PATIENCE_SECONDS = 5.0


class Remembered(NamedTuple):
    """`policy` or `tenant` None: it has been removed."""

    held: Holding
    policy: CachePolicy | None
    tenant: Tenant | None
    model: str


class Told(NamedTuple):
    """`trouble`: why nothing can be said, or is compared."""

    rows: list[Remembered]
    where: str
    trouble: str


INSTALL = "pip install --require-hashes --requirement requirements/semantic.txt, then start Weir anew."


def told() -> Told:
    where = settings.WEIR_QDRANT_URL or "a folder of the gateway's"
    if not is_installed():
        return Told([], where, f"Nothing is compared, as the package qdrant-client is not installed: {INSTALL}")
    if settings.WEIR_QDRANT_URL:
        vectors.open()
    if not vectors.is_open:
        return Told([], where, "Nothing is compared in this process: no enabled cache policy has a model for it.")
    try:
        held = vectors.submit(vectors.holdings).result(PATIENCE_SECONDS)
    except TimeoutError:
        return Told([], where, f"It did not answer within {PATIENCE_SECONDS:g} s.")
    except Exception:  # whatever its client raises: it has been told to the log
        return Told([], where, f"It does not answer: {vectors.trouble}.")
    return Told(_named(held), where, "")


def _named(held: list[Holding]) -> list[Remembered]:
    tenants = Tenant.objects.in_bulk({one.tenant for one in held})
    models = Model.objects.in_bulk({one.model for one in held})
    rows = CachePolicy.objects.select_related("model", "key")
    policies = {f"model {row.model_id}" if row.key_id is None else f"key {row.key_id}": row for row in rows}
    return [
        Remembered(
            one,
            policies.get(one.policy),
            tenants.get(one.tenant),
            models[one.model].name if one.model in models else "a model that is gone",
        )
        for one in held
    ]
