#!/usr/bin/env python
"""Django's command line."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    os.environ.setdefault("WEIR_STATEMENT_SECONDS", "0")  # a migration takes as long as it takes
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        if sys.argv[1:2] == ["doctor"]:  # it tells all that is wrong, where others end with the first
            from gateway_site import env

            env.EXAMINING = True
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"manage.py: {error}\n")
        sys.exit(2 if sys.argv[1:2] == ["doctor"] else 1)


if __name__ == "__main__":
    main()
