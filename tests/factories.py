"""One of each, made by the services that people's clicks end in. Names are numbered, so that none is taken."""

from __future__ import annotations

import itertools
from typing import Any

from django.contrib.auth.models import Permission

from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.catalog import services as catalog
from apps.catalog.models import Credential, Deployment, Model, PinnedEndpoint, Price, Provider
from apps.keys import services as keys
from apps.tenants import services as tenants
from apps.tenants.models import Project, Role, Tenant

_numbers = itertools.count(1)


def user(username: str | None = None, **fields: Any) -> User:
    """Without a password, since hashing one takes longer than most tests."""
    return accounts.create_user(actor=None, username=username or f"user-{next(_numbers)}", **fields)


def staff(*permissions: str) -> User:
    """Somebody who may sign in at the admin and do there what is listed, like `keys.view_key`."""
    made = user(is_staff=True)
    wanted = [permission.split(".") for permission in permissions]
    found = [Permission.objects.get(content_type__app_label=app, codename=name) for app, name in wanted]
    accounts.set_permissions(made, actor=None, permissions=found)
    return made


def tenant(name: str | None = None, **fields: Any) -> Tenant:
    return tenants.create_tenant(actor=None, name=name or f"Tenant {next(_numbers)}", **fields)


def project(owner: Tenant | None = None, name: str | None = None) -> Project:
    return tenants.create_project(owner or tenant(), actor=None, name=name or f"Project {next(_numbers)}")


def member(of: Tenant, username: str | None = None, role: str = Role.DEVELOPER) -> User:
    found = user(username)
    tenants.add_member(of, actor=None, user=found, role=role)
    return found


def provider(name: str | None = None, **fields: Any) -> Provider:
    defaults = {"vendor": "anthropic", "protocol": "anthropic_messages", "base_url": "https://api.anthropic.com"}
    return catalog.create_provider(actor=None, name=name or f"Provider {next(_numbers)}", **(defaults | fields))


def credential(of: Provider | None = None, *, secret: str = "sk-ant-0123456789abcdef", **fields: Any) -> Credential:
    alias = fields.pop("alias", None) or f"credential-{next(_numbers)}"
    return catalog.create_credential(of or provider(), actor=None, alias=alias, secret=secret, **fields)


def model(name: str | None = None, **fields: Any) -> Model:
    return catalog.create_model(actor=None, name=name or f"model-{next(_numbers)}", **fields)


def deployment(of: Model | None = None, at: Provider | None = None, **fields: Any) -> Deployment:
    fields.setdefault("upstream_model", f"upstream-{next(_numbers)}")
    return catalog.create_deployment(of or model(), actor=None, provider=at or provider(), **fields)


def endpoint(of: Model | None = None, name: str | None = None, **fields: Any) -> PinnedEndpoint:
    named = name or f"endpoint-{next(_numbers)}"
    return catalog.create_endpoint(actor=None, name=named, model=of or model(), **fields)


def price(of: Deployment | None = None, **fields: Any) -> Price:
    """Three dollars in, fifteen out, per million tokens."""
    amounts = {"input": 3_000_000_000, "output": 15_000_000_000}
    return catalog.set_price(of or deployment(), actor=None, **(amounts | fields))


def key(of: Project | None = None, *, name: str = "a key", **fields: Any) -> keys.Issued:
    where = of or project()
    return keys.issue(actor=None, tenant=where.tenant, project=where, name=name, **fields)
