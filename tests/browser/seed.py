"""The SDK tests' books with an operator who can sign in. Prints what the browser needs, as one line of JSON.

python -m tests.browser.seed http://127.0.0.1:45123        the argument is the simulated provider's address
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time

import django

from tests.sdk.seed import seed

TIGHT = 18_720_000  # nano-USD, for calls of 624,000
MEMBERS = 58  # with alice and bob, more than a page of them

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()

    from apps.accounts import services as accounts
    from apps.accounts.models import User
    from apps.catalog import services as catalog
    from apps.catalog.models import Model
    from apps.keys import services as keys
    from apps.policies import services as policies
    from apps.policies.findings import Findings
    from apps.quotas import services as quotas
    from apps.tenants import services as tenants
    from apps.tenants.models import Tenant

    card = seed(sys.argv[1])
    password = secrets.token_urlsafe(16)
    accounts.set_password(User.objects.get(username="alice"), actor=None, password=password)
    acme = Tenant.objects.get()
    tina = accounts.create_user(actor=None, username="tina")
    tenants.add_member(acme, actor=None, user=tina)
    shared = User.objects.get(username="alice").password  # hashing takes longer than all the rest
    User.objects.filter(username__in=("bob", "tina")).update(password=shared)
    bob = User.objects.get(username="bob")
    tight = keys.issue(actor=None, tenant=acme, project=acme.projects.get(), user=bob, name="Tight")
    quotas.create_budget(actor=None, key=tight.key, period="month", amount=TIGHT)
    for number in range(MEMBERS):
        tenants.add_member(acme, actor=None, user=accounts.create_user(actor=None, username=f"member-{number:02}"))
    catalog.create_endpoint(actor=None, name="sonnet", model=Model.objects.get(name="claude-test"), hosts=["s.example"])
    rules = {"card": ("block", "stop"), "email": ("mask", ""), "secret": ("route", "")}
    careful = policies.create_policy(actor=None, name="careful", route_tag="private", rules=rules)
    policies.assign(careful, actor=None, tenant=acme)
    found = Findings()
    for day in range(6):
        at = time.time() - 86_400 * day
        found.note(careful.pk, "card", action="block", tenant_id=acme.pk, at=at, count=3 * day + 1)
        found.note(careful.pk, "email", action="mask", tenant_id=acme.pk, at=at, count=20 - day)
    found.flush()
    print(json.dumps({**card, "user": "alice", "password": password, "tight": tight.plaintext}))
