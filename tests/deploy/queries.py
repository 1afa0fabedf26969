"""The names of metrics in PromQL, and all queries of deploy/monitoring."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.deploy import tools

MONITORING = tools.ROOT / "deploy" / "monitoring"
DASHBOARDS = sorted((MONITORING / "dashboards").glob("*.json"))
RULES = sorted((MONITORING / "rules").glob("*.yaml"))
# Of Grafana's: in a query that is asked of Prometheus itself.
VARIABLES = {"$__rate_interval": "1m", "$__range": "5m"}

_STRINGS = re.compile(r'"[^"]*"')
_LABELS = re.compile(r"\{[^{}]*\}|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)")
_NAMES = re.compile(r"\b(?:weir|process|python|probe|up)(?:[_:][a-z0-9_:]*)?\b")


def names(query: str) -> set[str]:
    """Of metrics and recorded rules; labels and their values left out."""
    return set(_NAMES.findall(_LABELS.sub("", _STRINGS.sub('""', query))))


def dashboards() -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS}


def of_dashboards(*, as_it_is: bool = False) -> Iterator[tuple[str, str]]:
    """Panel and query, as Prometheus takes it: every variable is all."""
    for name, dashboard in dashboards().items():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", target["expr"] if as_it_is else asked(target["expr"])


def asked(query: str) -> str:
    for variable, value in VARIABLES.items():
        query = query.replace(variable, value)
    return re.sub(r"\$[a-z]+", ".*", query)


def rules(groups: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Of these groups, or of all that lie there."""
    found = [group for path in RULES for group in read(path)["groups"]] if groups is None else groups
    return [rule for group in found for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def recorded() -> dict[str, str]:
    return {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
