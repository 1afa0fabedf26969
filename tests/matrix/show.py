"""The matrix as a page: `python -m tests.matrix.show` prints it, with `--write` into docs/compatibility.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.matrix import bad, cells
from tests.matrix.wishes import FEATURES

PAGE = Path(__file__).resolve().parents[2] / "docs" / "compatibility.md"
CALLERS = {
    "anthropic_messages": "Anthropic Messages",
    "openai_chat": "OpenAI Chat Completions",
    "openai_responses": "OpenAI Responses",
    "openai_completions": "OpenAI Completions (legacy)",
    "prompt": "`POST /chat`",
}
UPSTREAMS = {
    "anthropic": "Anthropic",
    "openai": "OpenAI Chat",
    "responses": "OpenAI Responses",
    "invoke": "Bedrock InvokeModel",
    "converse": "Bedrock Converse",
    "ollama": "Ollama",
}
MARKS = {"whole": "●", "partly": "◐", "refused": "✕", "unsayable": "–"}
HEAD = """# What works with what

Every caller's dialect with every provider's, streamed and not. Each cell is a test (`make matrix`): what the provider
understood, what the caller understood (text, tool calls with their arguments in order, why the answer ended, the
counters), the grammar of the stream, and the row in the ledger against the provider's own meter.

● works · ◐ works, and something is lost on the way (numbered below) · ✕ refused with a 400 that names the field ·
– the caller's dialect has no words for it

Callers and providers of one dialect are relayed byte for byte, so whatever else they say to each other passes too.
"""


IGNORED = """What the caller's own vendor would refuse is refused with a 400 that names the field, whoever answers, and
so is what a model's provider has no words for; nothing is asked or booked then. To a provider of the caller's own
dialect the bytes go as they are, and its own 400 comes back. These fields change nothing for other providers, or are
fitted:"""


def page() -> str:
    notes: dict[str, int] = {}
    tables = "\n\n".join(_table(client, notes) for client in cells.CLIENTS)
    told = "\n".join(f"{number}. {why}" for why, number in notes.items())
    lost = f"## What is lost, and where\n\n{told}"
    return f"{HEAD}\n{tables}\n\n{lost}\n\n## Fields that are ignored\n\n{IGNORED}\n\n{_ignored()}\n"


def _ignored() -> str:
    lines = ["| caller | field | what becomes of it |", "|---|---|---|"]
    for client, (_, _, rows) in bad.TABLES.items():
        lines += [f"| {CALLERS[client]} | {case.what} | {case.told} |" for case in rows if case.names is None]
    return "\n".join(lines)


def _table(client: str, notes: dict[str, int]) -> str:
    lines = [f"## {CALLERS[client]}", "", "| | " + " | ".join(UPSTREAMS[name] for name in cells.UPSTREAMS) + " |"]
    lines.append("|---|" + ":-:|" * len(cells.UPSTREAMS))
    lines += _rows(client, notes)
    return "\n".join(lines)


def _rows(client: str, notes: dict[str, int]) -> Iterator[str]:
    for feature in FEATURES:
        marks = []
        for upstream in cells.UPSTREAMS:
            cell = cells.cell(client, upstream, feature)
            mark = MARKS[cell.kind]
            if cell.why and cell.kind != "unsayable":
                mark += f" {notes.setdefault(cell.why, len(notes) + 1)}"
            marks.append(mark)
        yield f"| {feature.name} | " + " | ".join(marks) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix.show")
    parser.add_argument("--write", action="store_true", help=f"into {PAGE.relative_to(PAGE.parents[1])}")
    if parser.parse_args().write:
        PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(page())


if __name__ == "__main__":
    main()
