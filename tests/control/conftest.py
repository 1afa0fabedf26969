"""The cast. Alice owns Acme and Bob develops there; Charlie owns Globex, which is none of their business."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.catalog import vault
from apps.tenants.models import Project, Role, Tenant
from tests import factories
from tests.control.desk import Desk


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    vault.forget()


@pytest.fixture
def acme(db: None) -> Tenant:
    return factories.tenant("Acme")


@pytest.fixture
def globex(db: None) -> Tenant:
    return factories.tenant("Globex")


@pytest.fixture
def alice(acme: Tenant) -> User:
    return factories.member(acme, "alice", Role.OWNER)


@pytest.fixture
def bob(acme: Tenant) -> User:
    return factories.member(acme, "bob", Role.DEVELOPER)


@pytest.fixture
def charlie(globex: Tenant) -> User:
    return factories.member(globex, "charlie", Role.OWNER)


@pytest.fixture
def operator(db: None) -> User:
    """Administers the installation; a member of nothing."""
    return factories.user("operator", is_staff=True, is_superuser=True)


@pytest.fixture
def website(acme: Tenant) -> Project:
    """A project of Acme's."""
    return factories.project(acme, "Website")


@pytest.fixture
def desk(operator: User) -> Desk:
    """The operator, signed in at the admin."""
    return Desk(operator)
