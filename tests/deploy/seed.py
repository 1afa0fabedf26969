"""As `tests.sdk.seed`, and a session: `python -m tests.deploy.seed http://127.0.0.1:45123`, the provider's address."""

from __future__ import annotations

import json
import os
import sys

import django


def session() -> str:
    """The cookie of an operator who has signed in, as browsers send it."""
    from django.test import Client

    from apps.accounts.models import User

    browser = Client()
    browser.force_login(User.objects.get(username="alice"), backend="django.contrib.auth.backends.ModelBackend")
    (cookie,) = browser.cookies.values()
    return f"{cookie.key}={cookie.value}"


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    from tests.sdk.seed import seed

    sys.stdout.write(json.dumps({**seed(sys.argv[1]), "session": session()}) + "\n")
