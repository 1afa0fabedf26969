"""`make attack`: every test that is marked with a row of `rows`, and the table of docs/security.md.

    python -m tests.attack [row …]        those rows only, and then the page is left as it is

What starts processes and measures runs last and alone. The exit status is 1 if a test failed, a row has no test that
passed, or a figure is beyond its bound.
"""

from __future__ import annotations

import os
import random
import re
import sys
import tempfile
import time

from tests import migrated, run
from tests.attack import table
from tests.attack.rows import ROWS

ALONE = "attack"
IS_MARKED = re.compile(r"\bmark\.attack\(")
WHOLE = "WEIR_ATTACK"  # set where nothing else runs: longer and at full size


def marked() -> list[str]:
    """Files of tests/ in which a test proves a row."""
    files = (path.relative_to(run.TESTS).as_posix() for path in sorted(run.TESTS.rglob("test_*.py")))
    return [name for name in files if IS_MARKED.search((run.TESTS / name).read_text(encoding="utf-8"))]


def main(rows: list[str]) -> int:
    if unknown := [row for row in rows if row not in ROWS]:
        sys.exit(f"No row {unknown[0]}. There are: {', '.join(ROWS)}.")
    started = time.monotonic()
    seed = int(os.environ.get("SEED") or random.randrange(10**9))
    print(f"order: SEED={seed}")
    tally = run.Tally()
    asked = rows or list(ROWS)
    files = [name for name in marked() if not rows or any(f'"{row}"' in (run.TESTS / name).read_text() for row in rows)]
    with tempfile.TemporaryDirectory(prefix="weir-migrated-", dir="/tmp") as folder:
        os.environ[migrated.FOLDER] = folder
        how = {"seed": seed, "tally": tally, "marked": "attack"}
        run.run_passes([name for name in files if not name.startswith(f"{ALONE}/")], **how)
        alone = [name for name in files if name.startswith(f"{ALONE}/")]
        run.run_pass("alone", names=alone, variables={WHOLE: "1", "FAULTS_SEED": str(seed)}, workers=1, **how)
    return report(tally, asked, is_whole=not rows, seconds=time.monotonic() - started)


def report(tally: run.Tally, rows: list[str], *, is_whole: bool, seconds: float) -> int:
    results = table.Results(tally)
    print("\n" + results.table(rows))
    faults = [*results.faults(rows), *tally.failed]
    for line in tally.lines():
        print(line)
    for fault in faults:
        print(f"broken: {fault}")
    if is_whole and not tally.failed:
        table.write(results.table())
    print(f"{len(rows)} rows, {len(faults)} broken, {seconds / 60:.1f} minutes")
    return 1 if faults else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("interrupted")
