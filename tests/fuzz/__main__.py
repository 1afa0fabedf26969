"""`make fuzz`: looks for input that makes a fault of a decoder, one after another.

    python -m tests.fuzz [--seconds 60] [--seed n] [target …]

Each target (all of them when none is named) has its SECONDS. What is found is told, made small and kept in
`tests/corpus/<target>`, where it fails `make test` until its fault is mended; the exit status is 1 then.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile


def main(seconds: int, seed: int, names: list[str]) -> int:
    from tests.fuzz import search
    from tests.fuzz.targets import TARGETS

    if unknown := [name for name in names if name not in TARGETS]:
        sys.exit(f"No target {unknown[0]}. There are: {', '.join(TARGETS)}.")
    reason = search.without()
    if reason:
        print(f"without atheris ({reason}): by chance, not guided by coverage")
    print(f"SEED={seed}")
    found = []
    for name in names or TARGETS:
        look = search.by_chance if reason else search.guided
        outcome = look([name], seconds=seconds, seed=seed)
        reached = f", {outcome.reached:,} places of the code" if outcome.reached else ""
        print(f"{name}: {outcome.tried:,} inputs{reached}", flush=True)
        for path in outcome.found:
            print(f"  a fault: {path.relative_to(search.tools.ROOT)}", flush=True)
        found += outcome.found
    return 1 if found else 0


def _asked() -> tuple[int, int, list[str]]:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1, 2**31))
    parser.add_argument("targets", nargs="*")
    asked = parser.parse_args()
    return asked.seconds, asked.seed, asked.targets


if __name__ == "__main__":
    told = _asked()
    with tempfile.TemporaryDirectory(prefix="weir-fuzz-", dir="/tmp") as var:
        os.environ |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "WEIR_TEST_VAR": var}
        import django

        django.setup()
        try:
            sys.exit(main(*told))
        except KeyboardInterrupt:
            sys.exit("interrupted")
