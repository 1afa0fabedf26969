"""The cast, and each of them as a visitor of the portal."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from apps.accounts.models import User
from apps.catalog import vault
from apps.tenants.models import Tenant
from tests.cast import acme, alice, ann, bob, charlie, globex, operator, vera, website  # noqa: F401  # fixtures
from tests.portal.visitor import Visitor


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    vault.forget()


@pytest.fixture
def visit(acme: Tenant) -> Callable[..., Visitor]:  # noqa: F811
    """Somebody at Acme's pages, or at another tenant's: `visit(bob)`."""

    def come(user: User | None, at: Tenant = acme) -> Visitor:
        return Visitor(user, at)

    return come
