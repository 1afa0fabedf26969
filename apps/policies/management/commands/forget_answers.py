"""`manage.py forget_answers`: throws away kept answers, of a model, a key or a tenant."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.policies import services
from apps.policies.models import CachePolicy
from apps.tenants.models import Tenant


class Command(BaseCommand):
    help = "Throw away the answers that are kept of a model, for a key, or of a tenant."

    def add_arguments(self, parser: ArgumentParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--model", metavar="NAME")
        whose.add_argument("--key", metavar="PREFIX", help="of a key with a cache policy of its own")
        whose.add_argument("--tenant", metavar="SLUG")

    def handle(self, *args: Any, model: str, key: str, tenant: str, **options: Any) -> None:
        if tenant:
            found = Tenant.objects.filter(slug=tenant).first()
            if found is None:
                raise CommandError(f"There is no tenant {tenant}.")
            services.forget_tenant(found, actor=None)
        else:
            subject = {"model__name": model} if model else {"key__public_id": key.removeprefix("weir_").rstrip("…")}
            policy = CachePolicy.objects.filter(**subject).first()
            if policy is None:
                raise CommandError(f"{model or key} has no cache policy.")
            services.forget_answers(policy, actor=None)
        self.stdout.write("Thrown away. Gateways heed it within a second or so.")
