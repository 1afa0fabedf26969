"""One search that is guided by coverage, in a process of its own: libFuzzer ends it at the first fault.

    python -m tests.fuzz.guided FOLDER SECONDS SEED [target …]

Of several targets an input's first byte says which one the rest is for. FOLDER keeps what was worth keeping, for the
next search; an input with a fault is left there as `fault-…`, one that takes too long as `timeout-…`.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

MOST_SECONDS = 10  # for one input, on a machine that is busy
MOST_MEGABYTES = 2_048


def main(folder: Path, seconds: int, seed: int, names: list[str]) -> None:
    import atheris

    with atheris.instrument_imports(include=["apps"]):
        import django

        django.setup()
        from tests.fuzz import corpus, mutation
        from tests.fuzz.targets import TARGETS
    targets = [TARGETS[name] for name in names]

    def run(data: bytes) -> None:
        """What is wrong is written down first: libFuzzer does so, too, but may end before."""
        try:
            if data:
                targets[data[0] % len(targets)].run(data[1:])
        except Exception:
            (folder / f"fault-{corpus.named(data)}").write_bytes(data)
            raise

    def mutated(data: bytes, most: int, dice_seed: int) -> bytes:
        """Half of them as libFuzzer does it, who knows what was compared with what."""
        dice = random.Random(dice_seed)
        if dice.random() < 0.5 or not data:
            return bytes(atheris.Mutate(data, most))
        target = targets[data[0] % len(targets)]
        return (data[:1] + mutation.mutated(dice, data[1:], target))[:most]

    grown = folder / "grown"
    grown.mkdir(parents=True, exist_ok=True)
    for number, target in enumerate(targets):
        for data in corpus.inputs(target):
            (grown / f"seed-{number}-{corpus.named(data)}").write_bytes(bytes((number,)) + data)
    options: dict[str, Any] = {
        **{"max_total_time": seconds, "max_len": mutation.MOST, "seed": seed, "print_final_stats": 1},
        **{"timeout": MOST_SECONDS, "rss_limit_mb": MOST_MEGABYTES, "artifact_prefix": f"{folder}/", "verbosity": 1},
    }
    written = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *written, str(grown)], run, custom_mutator=mutated)
    atheris.Fuzz()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
