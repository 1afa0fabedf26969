"""Makes the database ready for `make run`: migrated, seeded once, pointing at the simulated provider's present port."""

from __future__ import annotations

import argparse
import os

import django


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m gateway_site.demo", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where the gateway will serve")
    parser.add_argument("--simulator-port", type=int, required=True)
    options = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    os.environ.setdefault("WEIR_STATEMENT_SECONDS", "0")
    django.setup()

    from django.core.management import call_command

    from gateway_site import handout
    from gateway_site.demo import seed

    call_command("migrate", interactive=False, verbosity=0)
    card = seed.ensure(card=handout.read(), simulator=f"http://127.0.0.1:{options.simulator_port}")
    handout.write(card, base_url=f"http://127.0.0.1:{options.port}")


if __name__ == "__main__":
    main()
