"""Rules of one installation among several that a Prometheus watches, made of rules/*.yaml.

    python -m deploy.monitoring.installations NAMESPACE ENVIRONMENT > prometheusrule.yaml

Every series that a rule asks for is one of that namespace, and what it records or fires bears namespace and
environment: so production is told to be away while another installation lives. The plain rules are for a Prometheus
that watches one.
"""

from __future__ import annotations

import copy
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
MADE = "# Made of deploy/monitoring/rules/*.yaml by deploy/monitoring/build.py.\n# yamllint disable rule:line-length\n"
# Strings and lists of labels go by; a metric or record may have a selector behind it.
_TOKENS = re.compile(
    r'"[^"]*"'
    r"|\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^()]*\)"
    r"|(?P<name>\b(?:weir|process|python|probe|up)(?:[_:][a-z0-9_:]*)?\b)"
    r'(?:\{(?P<selector>(?:[^{}"]|"[^"]*")*)\})?'
)


@dataclass(frozen=True)
class Installation:
    """`namespace`: of its pods, as the Prometheus operator labels what it asks."""

    namespace: str
    environment: str

    @property
    def labels(self) -> dict[str, str]:
        return {"namespace": self.namespace, "environment": self.environment}


INSTALLATIONS = {"dev": Installation("weir-dev", "dev"), "prod": Installation("weir", "prod")}
"""By their overlay in deploy/kubernetes/monitoring/overlays."""


def selected(query: str, matcher: str) -> str:
    """With `matcher` in each of its selectors."""

    def one(found: re.Match[str]) -> str:
        if found["name"] is None:
            return found[0]
        given = (found["selector"] or "").strip().rstrip(",")
        return f"{found['name']}{{{f'{matcher}, {given}' if given else matcher}}}"

    return _TOKENS.sub(one, query)


def unselected(query: str, matcher: str) -> list[str]:
    """Metrics and records in it that are asked for without `matcher`."""
    return [
        found["name"] for found in _TOKENS.finditer(query) if found["name"] and matcher not in (found["selector"] or "")
    ]


def groups(installation: Installation | None = None) -> list[dict[str, Any]]:
    """Of rules: as they are, or of one installation."""
    plain = [
        group
        for name in ("recording", "alerts")
        for group in yaml.safe_load((HERE / "rules" / f"{name}.yaml").read_text(encoding="utf-8"))["groups"]
    ]
    if installation is None:
        return plain
    return [group | {"rules": [_of(installation, rule) for rule in group["rules"]]} for group in plain]


def _of(installation: Installation, rule: dict[str, Any]) -> dict[str, Any]:
    told = copy.deepcopy(rule)
    told["expr"] = selected(rule["expr"], f'namespace="{installation.namespace}"')
    told["labels"] = rule.get("labels", {}) | installation.labels
    return told


def rule(installation: Installation | None = None) -> str:
    """All of them as the Prometheus operator takes them."""
    told = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "weir", "labels": {"prometheus": "weir", "role": "alert-rules"}},
        "spec": {"groups": groups(installation)},
    }
    return MADE + yaml.dump(told, Dumper=_Legible, sort_keys=False, width=100, allow_unicode=True)


class _Legible(yaml.SafeDumper):
    """Queries of several lines stay that, and lists are set in as everywhere here."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Legible.add_representer(str, _text)


if __name__ == "__main__":
    sys.stdout.write(rule(Installation(*sys.argv[1:])))
