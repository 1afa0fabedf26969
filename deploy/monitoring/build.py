"""Writes what is generated: dashboards/*.json of `pages`; of rules/*.yaml prometheusrule.yaml, and the same for each of
`installations`.

    python -m deploy.monitoring.build

tests/deploy/test_monitoring.py compares. A dashboard is rows of panels, each with a height; panels of a row share its
width. Queries use Grafana's variables: $datasource, $namespace, $job, $instance, $model, $provider, $__rate_interval.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.monitoring import installations

HERE = Path(__file__).parent
OVERLAYS = HERE.parent / "kubernetes" / "monitoring" / "overlays"
INCIDENTS = "https://github.com/weir-gateway/weir/blob/main/docs/incidents.md"
OBSERVABILITY = "https://github.com/weir-gateway/weir/blob/main/docs/observability.md"
WIDTH = 24
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}

Queries = dict[str, str]
"""PromQL by what its lines are called, as in `legendFormat`."""


@dataclass(frozen=True)
class Panel:
    """`steps`: from which value on which colour holds, the first one from the least. `incident`: the alert whose
    section tells what to do."""

    title: str
    meaning: str
    queries: Queries
    unit: str = "short"
    kind: str = "timeseries"
    steps: tuple[tuple[float | None, str], ...] = ((None, GREEN),)
    stacked: bool = False
    most: float | None = None
    incident: str = ""
    named: tuple[tuple[str, str], ...] = ()  # what values are called


@dataclass(frozen=True)
class Row:
    height: int
    panels: tuple[Panel, ...]


@dataclass(frozen=True)
class Dashboard:
    """`variables`: name to the query that finds its values."""

    uid: str
    title: str
    meaning: str
    variables: tuple[tuple[str, str], ...]
    rows: tuple[Row, ...]


def stat(title: str, meaning: str, query: str, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, meaning, {"": query}, unit, "stat", **more)


def line(title: str, meaning: str, queries: Queries, unit: str = "short", **more: Any) -> Panel:
    return Panel(title, meaning, queries, unit, **more)


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """In Grafana's schema, version 39 (Grafana 11)."""
    links = [_link("Incidents", INCIDENTS), _link("Figures", OBSERVABILITY)]
    others = {"title": "Weir", "type": "dashboards", "tags": ["weir"], "asDropdown": True, "keepTime": True}
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.meaning,
        "tags": ["weir"],
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "schemaVersion": 39,
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [others, *links],
        "templating": {"list": [_data_source(), *(_variable(*variable) for variable in dashboard.variables)]},
        "annotations": {"list": []},
        "panels": list(_placed(dashboard.rows)),
    }


def _placed(rows: tuple[Row, ...]) -> Iterator[dict[str, Any]]:
    top, number = 0, 0
    for row in rows:
        width = WIDTH // len(row.panels)
        for place, panel in enumerate(row.panels):
            number += 1
            where = {"x": place * width, "y": top, "w": width, "h": row.height}
            yield {"id": number, "gridPos": where, **_panel(panel)}
        top += row.height


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": [{"value": at, "color": color} for at, color in panel.steps]},
        "mappings": _mappings(panel),
    }
    if panel.most is not None:
        defaults["max"] = panel.most
    is_stat = panel.kind == "stat"
    defaults["color"] = {"mode": "thresholds" if is_stat or panel.kind == "state-timeline" else "palette-classic"}
    if panel.kind == "timeseries":
        defaults["custom"] = _strokes(panel)
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _SOURCE,
        "links": [_link("What to do", f"{INCIDENTS}#{panel.incident.lower()}")] if panel.incident else [],
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": query, "legendFormat": legend or "__auto"}
            for place, (legend, query) in enumerate(panel.queries.items())
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _options(panel),
    }


def _mappings(panel: Panel) -> list[dict[str, Any]]:
    if not panel.named:
        return []
    options = {value: {"text": text, "index": place} for place, (value, text) in enumerate(panel.named)}
    return [{"type": "value", "options": options}]


def _strokes(panel: Panel) -> dict[str, Any]:
    return {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if panel.stacked else 8,
        "showPoints": "never",
        "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(panel.steps) > 1 else "off"},
    }


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        newest = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {"reduceOptions": newest, "colorMode": "value", "graphMode": "area", "textMode": "auto"}
    if panel.kind == "state-timeline":
        return {"showValue": "never", "mergeValues": True, "legend": {"displayMode": "list", "placement": "bottom"}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "type": "link", "url": url, "targetBlank": True}


def _data_source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "hide": 0}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": f"variable-{name}"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
    }


@functools.cache
def files() -> dict[Path, str]:
    """What every generated file holds."""
    from deploy.monitoring import pages

    told = {
        HERE / "dashboards" / f"{dashboard.uid}.json": json.dumps(rendered(dashboard), indent=2) + "\n"
        for dashboard in pages.DASHBOARDS
    }
    told[HERE / "prometheusrule.yaml"] = installations.rule()
    for name, installation in installations.INSTALLATIONS.items():
        told[OVERLAYS / name / "prometheusrule.yaml"] = installations.rule(installation)
    return told


if __name__ == "__main__":
    for path, text in files().items():
        path.write_text(text, encoding="utf-8")
