"""The demo's database, as `make run` seeds it, with what the examples need besides: prints it as one line of JSON.

python -m tests.sdk.demo http://127.0.0.1:45123        the argument is the simulated provider's address
"""

from __future__ import annotations

import json
import os
import sys

import django

VECTORS = "text-embedding-3-small"


def seed(simulator_url: str) -> dict[str, str]:
    """A key, a token of the management API that may write, and a member's name and password."""
    from apps.access import services as access
    from apps.accounts.models import User
    from apps.catalog import services as catalog
    from apps.catalog.models import Provider
    from gateway_site.demo import seed

    card = seed.ensure(card=None, simulator=simulator_url)
    admin = User.objects.get(username=seed.ADMIN)
    model = catalog.create_model(actor=admin, name=VECTORS, display_name="Vectors")
    provider = Provider.objects.get(name="Simulated OpenAI")
    deployment = catalog.create_deployment(model, actor=admin, provider=provider, upstream_model=VECTORS)
    catalog.set_price(deployment, actor=admin, input=20_000_000, output=0)
    token = access.issue(admin, name="examples", scope="write")
    member = {"user": card["developer_user"], "password": card["developer_password"]}
    return {"key": card["api_key"], "token": token.plaintext, **member}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(sys.argv[1])) + "\n")
