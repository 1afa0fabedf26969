"""Ways past the second wall between tenants: few, named, each with its reason. Another one needs a line here.

And migrations, which change what it stands on.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.db import models
from django.db.migrations import AlterField, DeleteModel, Migration, RemoveField
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

from apps.api.resource import Signed
from apps.api.urls import VIEWS
from apps.runtime.lowered import Lower
from tests.architecture import tree

pytestmark = pytest.mark.attack("F27")
NAME = "as_installation"
# By file and function. What each does for a member that a member's own rows are not enough for.
WAYS_OUT = {
    "apps/accounts/services.py set_password": "ends a lock, which is told by name alone",
    "apps/audit/services.py record": "counts the area's changes, and appends: also what concerns no tenant",
    "apps/audit/services.py serialise": "waits for whoever changes the area",
    "apps/catalog/data_keys.py _first": "makes the first key of a tenant, or of the platform",
    "apps/catalog/data_keys.py newest_held": "locks the platform's newest key",
    "apps/events/outbox.py emit": "writes for sinks, of which members hear nothing",
    "apps/events/outbox.py wanted": "asks what any sink wants",
    "apps/keys/grants.py _decided": "says whom a program that waits was let in by",
    "apps/keys/grants.py _undecided": "finds a program that waits: it is nobody's yet",
    "apps/keys/grants.py awaited": "finds a program that waits, by its code",
    "apps/portal/account.py clean_old": "counts wrong passwords as at sign-in",
    "apps/portal/entrance.py code": "signs in: nobody is a member yet",
    "apps/portal/entrance.py sign_in": "signs in",
    "apps/portal/entrance.py sign_out": "finds the provider that the session began at",
    "apps/portal/federation.py come_back": "signs in, and makes members by groups",
    "apps/portal/federation.py leave": "signs in",
    "apps/portal/federation.py logged_out": "ends sessions by a provider's word",
    "apps/portal/joining.py invitation": "makes a member of who was invited and is none yet",
    "apps/portal/live.py now_of_all": "for staff who may read the whole ledger",
    "apps/portal/programs.py device_authorization": "lets a program wait: it is nobody's yet",
    "apps/portal/programs.py revoke": "finds a token that a program shows",
    "apps/portal/programs.py token": "finds a token that a program shows",
    "apps/runtime/standings.py _said": "what processes say of breakers",
    "apps/signin/session_store.py delete": "sessions are found by their keys alone",
    "apps/signin/session_store.py exists": "sessions are found by their keys alone",
    "apps/signin/session_store.py _get_session_from_db": "sessions are found by their keys alone",
    "apps/signin/session_store.py save": "sessions are found by their keys alone",
    "apps/tenants/models.py validate_unique": "a tenant's name is nobody else's",
    "gateway_site/dry_run.py explained": "asks the gateway, which knows everything, about a key that is theirs",
}


def ways_out(folders: tuple[Path, ...], *, root: Path) -> Iterator[str]:
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            if NAME in text and path.name != "walls.py":
                module = ast.parse(text)
                yield from (f"{path.relative_to(root)} {name}" for name in _where(module, "module"))


def _where(node: ast.AST, function: str) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _where(child, child.name)
        elif isinstance(child, ast.Attribute | ast.alias) and NAME in (
            getattr(child, "attr", ""),
            getattr(child, "name", ""),
        ):
            yield function
        else:
            yield from _where(child, function)


def test_every_way_past_the_wall_has_its_reason():
    found = list(ways_out((tree.ROOT / "apps", tree.ROOT / "gateway_site"), root=tree.ROOT))
    assert sorted(set(found)) == sorted(WAYS_OUT)


def test_another_way_is_found(tmp_path):
    text = "from apps.runtime import walls\ndef page():\n    with walls.as_installation():\n        return 1\n"
    (tmp_path / "page.py").write_text(text)
    assert list(ways_out((tmp_path,), root=tmp_path)) == ["page.py page"]


def test_every_resource_of_the_management_api_stands_behind_it():
    """There, whoever asks is known when the view begins, and not before."""
    assert [view.__name__ for view in VIEWS if not issubclass(view, Signed)] == []


# The last of each app that is run before there is a wall.
BEFORE = {
    "access": "0002_schedule",
    "accounts": "0005_who_sees_identities",
    "alerts": "0002_schedule",
    "audit": "0008_token",
    "catalog": "0021_tell_breakers",
    "events": "0003_held",
    "keys": "0008_expiry_announced",
    "policies": "0005_managed_settings",
    "quotas": "0009_replica_about",
    "reconciliation": "0003_lines_by_day",
    "signin": "0005_session_keys",
    "tenants": "0004_kept_secret",
    "usage": "0024_message_id",
}
# What policies name beside keys to other tables.
NAMED = frozenset({"owner", "tenant_id", "user_id"})


def unlowered(migration: Migration, state: ProjectState) -> Iterator[str]:
    """What it changes though policies may name it. `state` is the one before it."""
    down: set[str] = set()
    for operation in migration.operations:
        for one in getattr(operation, "database_operations", [operation]):
            down |= set(getattr(one, "tables", ()) if isinstance(one, Lower) else ())
            table = _shaken(one, migration.app_label, state)
            if table is not None and table not in down:
                yield f"{migration}: {one.describe()}: Lower({table!r}) must go before"
        operation.state_forwards(migration.app_label, state)


def _shaken(operation: Operation, app: str, state: ProjectState) -> str | None:
    if isinstance(operation, AlterField | RemoveField):
        model = state.models[app, operation.model_name_lower]
        field = model.fields[operation.name]
        if not (field.primary_key or field.is_relation or operation.name in NAMED):
            return None
    elif isinstance(operation, DeleteModel):
        model = state.models[app, operation.name_lower]
    else:
        return None
    return str(model.options.get("db_table") or f"{app}_{model.name_lower}")


def test_a_migration_takes_down_policies_before_it_changes_what_they_name():
    loader = MigrationLoader(None)
    assert set(BEFORE.items()) - loader.disk_migrations.keys() == set()
    ours = {config.label for config in apps.get_app_configs() if config.name.startswith("apps.")}
    later = [node for node in loader.disk_migrations if node[0] in ours and node[1] > BEFORE.get(node[0], "")]
    found = (unlowered(loader.disk_migrations[node], loader.project_state(node, at_end=False)) for node in later)
    assert [one for several in found for one in several] == []


@pytest.mark.parametrize(
    ("operations", "found"),
    [
        ([RemoveField("key", "tenant")], 1),
        ([AlterField("key", "id", models.BigAutoField(primary_key=True))], 1),
        ([DeleteModel("Key")], 1),
        ([Lower("tenants_tenant"), DeleteModel("Key")], 1),
        ([Lower("keys_key"), RemoveField("key", "tenant"), DeleteModel("Key")], 0),
        ([AlterField("key", "name", models.TextField())], 0),
    ],
)
def test_one_that_does_not_is_found(operations, found):
    migration = Migration("9999_planted", "keys")
    migration.operations = operations
    assert len(list(unlowered(migration, MigrationLoader(None).project_state()))) == found
