"""`make bench` itself, with tiny counts: every server is really started, and stopped again."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from benchmarks import figures
from benchmarks.servers import ROOT

TINY = "--rounds 1 --seconds 0.1 --duels 2 --settling 0 --streams 5 --paced 0"
SECONDS = 500


@pytest.mark.timeout(2 * SECONDS)  # seven servers are started, one after another
def test_a_tiny_run_measures_everybody_and_writes_both_reports(tmp_path):
    command = [sys.executable, "-m", "benchmarks.run", *TINY.split()]
    command += ["--output", str(tmp_path), "--results", str(tmp_path / "RESULTS.md")]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BENCH_")}
    _run(command, environment=kept)
    document = json.loads((tmp_path / "latest.json").read_text(encoding="utf-8"))
    assert all(step["median"] > 0 for step in document["steps"])
    assert "guardrails, 50 KB of prose" in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    runs = {(run["name"], run["mode"], run["connections"]): run for run in document["runs"]}
    assert len(runs) == len(document["runs"])
    gateways = {(name, "idle", 5) for name in ("bare", "weir")}
    loaded = {(name, mode, n) for name in ("direct", "bare", "weir") for mode in ("call", "stream") for n in (1, 32)}
    assert set(runs) == gateways | loaded
    for run in runs.values():
        assert run["valid"], run
        assert run["rps"] > 0
        assert 0 < run["p50_ms"] <= run["p99_ms"]
        assert (run["rss_mb"] is None) == (run["name"] == "direct")
    assert {(row["name"], row["pair"]) for row in document["others"]} >= {
        ("weir", "anthropic→openai"),
        ("stock", "anthropic→anthropic"),
        ("straight", "anthropic→anthropic"),
        ("off", "anthropic→anthropic"),
        ("cached", "anthropic→anthropic"),
        ("weir-pg", "anthropic→anthropic"),
    }
    windows = {
        row["name"]: len(row["rps_rounds"])
        for row in document["runs"]
        if (row["mode"], row["connections"]) == ("stream", 32)
    }
    assert windows == {"direct": 1, "bare": 3, "weir": 3}
    assert [row for row in document["others"] if not row["valid"]] == []
    assert document["missing"] == {"litellm": "not installed", "portkey": "not installed"}
    assert document["ledger"]["answered"] == document["ledger"]["ok"] > 0
    assert document["ledger"]["other"] == 5
    assert document["ledgers"]["weir-pg"]["answered"] == document["ledgers"]["weir-pg"]["ok"] > 0
    unmeasured = [target["words"] for target in document["targets"] if target["value"] is None]
    assert unmeasured == [figures.PACED_WORDS]
    _check_page((tmp_path / "RESULTS.md").read_text(encoding="utf-8"))
    assert str(tmp_path) not in (tmp_path / "RESULTS.md").read_text(encoding="utf-8")


def _run(command: list[str], *, environment: dict[str, str]) -> None:
    """To its end. One that takes too long is told to end, for it has servers to stop."""
    done = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        said, _ = done.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        done.terminate()
        said, _ = done.communicate()
        raise AssertionError(f"it did not end in {SECONDS} s:\n{said}") from None
    assert done.returncode == 0, said


def _check_page(text: str) -> None:
    assert "litellm | not installed" in text
    assert "What accounting costs" in text
    assert len(re.findall(r"reached|missed|not measured", text)) >= 4
    assert os.uname().nodename not in text
