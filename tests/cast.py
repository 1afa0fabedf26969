"""The cast. Alice owns Acme, Ann helps to run it, Bob develops there and Vera pays; Charlie owns Globex, which is none
of their business."""

from __future__ import annotations

import pytest

from apps.accounts.models import User
from apps.tenants.models import Project, Role, Tenant
from tests import factories


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
def ann(acme: Tenant) -> User:
    return factories.member(acme, "ann", Role.ADMIN)


@pytest.fixture
def bob(acme: Tenant) -> User:
    return factories.member(acme, "bob", Role.DEVELOPER)


@pytest.fixture
def vera(acme: Tenant) -> User:
    return factories.member(acme, "vera", Role.VIEWER)


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
