"""The tree as the architecture tests see it: source files, and the layer order that `.importlinter` declares."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("apps", "gateway_site")
EVERYTHING = ("apps", "gateway_site", "tests", "benchmarks", "examples")


def python_files(*folders: str, root: Path = ROOT) -> Iterator[Path]:
    """Every Python file below the folders, migrations left out: those are written by Django and never edited."""
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            if "migrations" not in path.relative_to(root).parts:
                yield path


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def contracts(config: Path = ROOT / ".importlinter") -> dict[str, str]:
    """Contract id -> its name."""
    parser = _read(config)
    prefix = "importlinter:contract:"
    return {
        section.removeprefix(prefix): parser[section]["name"]
        for section in parser.sections()
        if section.startswith(prefix)
    }


def levels(config: Path = ROOT / ".importlinter") -> dict[str, int]:
    """App -> its height: a bigger number may import, and point at, a smaller one."""
    lines = _read(config)["importlinter:contract:apps"]["layers"].split("\n")
    layers = [line.split("|") for line in lines if line.strip()]
    return {name.strip(" ()"): height for height, layer in enumerate(reversed(layers)) for name in layer}


def _read(config: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(config, encoding="utf-8")
    return parser
