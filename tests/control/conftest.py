"""The cast (see `tests.cast`), an operator at the admin, and a world with one of everything."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker

from apps.accounts.models import User
from apps.catalog import vault
from tests.cast import acme, alice, ann, bob, charlie, globex, operator, vera, website  # noqa: F401  # fixtures
from tests.control import world
from tests.control.desk import Desk


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    vault.forget()


@pytest.fixture
def desk(operator: User) -> Desk:  # noqa: F811
    """The operator, signed in at the admin."""
    return Desk(operator)


@pytest.fixture(scope="module")
def _of_everything(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[world.Rows]:
    """Made once, in a transaction around those of the module's tests."""
    block = transaction.atomic()
    with django_db_blocker.unblock():
        block.__enter__()
    try:
        with django_db_blocker.unblock():
            made = world.one_of_everything()
        yield made
    finally:
        with django_db_blocker.unblock():
            transaction.set_rollback(True)
            block.__exit__(None, None, None)


@pytest.fixture
def rows(_of_everything: world.Rows, db: None) -> world.Rows:
    """One of everything, by model. In such a module it is there for every test, asked for or not."""
    return {model: copy.copy(row) for model, row in _of_everything.items()}
