"""Dashboards and rules: they parse, name what there is, and each alert fires when it should and only then."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.monitoring import build, installations
from tests.deploy import exposed, manifests, queries, tools
from tests.deploy.alert_cases import CASES, OTHERS, Case

DOCS = tools.ROOT / "docs"
# What others expose: Prometheus itself, its client library, and the blackbox exporter.
FOREIGN = {"up", "probe_ssl_earliest_cert_expiry"}
URL = "https://github.com/weir-gateway/weir/blob/main/docs/incidents.md#"
MOST_PANELS = 13


@pytest.mark.parametrize("path", [*build.files()], ids=lambda path: path.name)
def test_what_is_generated_is_what_would_be_generated(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == build.files()[path], "run: python -m deploy.monitoring.build"


def test_rules_are_sound():
    said = tools.run("promtool", "check", "rules", *queries.RULES)
    assert said.status == 0, said.text


@pytest.mark.parametrize(
    "path", [path for path in build.files() if path.suffix == ".yaml"], ids=lambda path: path.parent.name
)
def test_rules_of_an_installation_are_sound(path: Path, tmp_path: Path) -> None:
    groups = _write(tmp_path / "rules.yaml", queries.read(path)["spec"])
    said = tools.run("promtool", "check", "rules", groups)
    assert said.status == 0, said.text


def test_every_alert_fires_when_it_should_and_only_then(tmp_path):
    """In one run; each alert with what it asks of the recorded rules alone, as days of all rules take minutes."""
    rules = queries.rules()
    assert CASES.keys() == queries.alerts().keys()
    files = []
    for number, (name, case) in enumerate([*CASES.items(), *OTHERS]):
        _write(tmp_path / f"{number}.rules.yaml", {"groups": [{"name": "all", "rules": _needed(name, rules)}]})
        looked = [_looked(name, case, fires=fires) for fires in (True, False)]
        told = {"rule_files": [f"{number}.rules.yaml"], "evaluation_interval": _often(case), "tests": looked}
        files.append(_write(tmp_path / f"{number}.yaml", told))
    said = tools.run("promtool", "test", "rules", *files)
    assert said.status == 0, said.text[:6000]


def test_of_two_installations_that_one_s_alert_fires_that_is_ill(tmp_path):
    """One Prometheus has the rules of both and asks both."""
    ill, well = "prod", "dev"
    of = {name: queries.rules(installations.groups(one)) for name, one in installations.INSTALLATIONS.items()}
    files = []
    for name, case in CASES.items():
        groups = [{"name": one, "rules": _needed(name, rules)} for one, rules in of.items()]
        _write(tmp_path / f"{name}.rules.yaml", {"groups": groups})
        series = _of(ill, case.fires) | _of(well, case.silent)
        there = installations.INSTALLATIONS[ill]
        query = f'count by (namespace, environment) (ALERTS{{alertname="{name}", alertstate="firing"}}) > bool 0'
        labels = f'{{namespace="{there.namespace}", environment="{there.environment}"}}'
        looked = _test(name, series, query, case.minute, [{"labels": labels, "value": 1}])
        told = {"rule_files": [f"{name}.rules.yaml"], "evaluation_interval": _often(case), "tests": [looked]}
        files.append(_write(tmp_path / f"{name}.yaml", told))
    said = tools.run("promtool", "test", "rules", *files)
    assert said.status == 0, said.text[:6000]


def _of(name: str, series: dict[str, str]) -> dict[str, str]:
    matcher = f'namespace="{installations.INSTALLATIONS[name].namespace}"'
    return {installations.selected(one, matcher): values for one, values in series.items()}


@pytest.mark.parametrize("name", [*installations.INSTALLATIONS])
def test_a_rule_of_an_installation_asks_for_nothing_of_another_and_says_whose_it_is(name: str) -> None:
    installation = installations.INSTALLATIONS[name]
    pairs = zip(queries.rules(installations.groups(installation)), queries.rules(installations.groups()), strict=True)
    for rule, plain in pairs:
        assert installations.unselected(rule["expr"], f'namespace="{installation.namespace}"') == []
        assert queries.names(rule["expr"]) == queries.names(plain["expr"])
        assert rule["labels"] == plain.get("labels", {}) | installation.labels


@pytest.mark.parametrize("name", [*installations.INSTALLATIONS])
def test_an_overlay_has_the_rules_of_its_installation_and_no_others(name: str) -> None:
    documents = manifests.rendered(f"monitoring/overlays/{name}")
    (rule,) = manifests.of_kind(documents, "PrometheusRule")
    installation = installations.INSTALLATIONS[name]
    assert rule["spec"]["groups"] == installations.groups(installation)
    assert rule["metadata"]["namespace"] == installation.namespace
    for monitor in manifests.of_kind(documents, "PodMonitor"):
        assert monitor["metadata"]["namespace"] == installation.namespace
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert {"targetLabel": "environment", "replacement": name} in endpoint["relabelings"]


def test_a_selector_is_put_where_one_belongs():
    query = 'sum by (up) (rate(weir_a_total{b="up{", c="d"}[5m])) / on (weir_b) weir:c:sum offset 1h > absent(up == 1)'
    assert installations.unselected(query, "x") == ["weir_a_total", "weir:c:sum", "up"]
    assert installations.selected(query, 'x="y"') == (
        'sum by (up) (rate(weir_a_total{x="y", b="up{", c="d"}[5m])) / on (weir_b) weir:c:sum{x="y"} offset 1h'
        ' > absent(up{x="y"} == 1)'
    )


def test_dashboards_show_the_installation_that_was_chosen():
    for name, query in queries.of_dashboards(as_it_is=True):
        assert installations.unselected(query, 'namespace=~"$namespace"') == [], name
    for dashboard in queries.dashboards().values():
        variables = {one["name"]: str(one["query"]) for one in dashboard["templating"]["list"]}
        assert variables.keys() >= {"namespace"}
        others = variables.keys() - {"namespace", "datasource"}
        assert all('namespace=~"$namespace"' in variables[one] for one in others), dashboard["uid"]


def _often(case: Case) -> str:
    """Hours of every minute take seconds."""
    return "1m" if case.minute < 200 else "5m"


def _needed(name: str, rules: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The alert, and before it what it asks for of what is recorded."""
    recorded = {rule["record"]: rule for rule in rules if "record" in rule}
    (alert,) = [rule for rule in rules if rule.get("alert") == name]
    return [*_recorded(alert["expr"], recorded), alert]


def _recorded(query: str, recorded: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in sorted(queries.names(query) & recorded.keys()):
        found += [*_recorded(recorded[name]["expr"], recorded), recorded[name]]
    return found


def _write(path: Path, told: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(told), encoding="utf-8")
    return path


def _looked(name: str, case: Case, *, fires: bool) -> dict[str, Any]:
    series = case.fires if fires else case.silent
    expected = [{"labels": "{}", "value": 1}] if fires else []
    query = f'max(ALERTS{{alertname="{name}", alertstate="firing"}})'
    return _test(f"{name} {'fires' if fires else 'is silent'}", series, query, case.minute, expected)


def _test(name: str, series: dict[str, str], query: str, minute: int, expected: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "name": name,
        "input_series": [{"series": one, "values": values} for one, values in series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{minute}m", "exp_samples": expected}],
    }


@pytest.mark.parametrize("name", [*queries.alerts()])
def test_an_alert_says_how_grave_it_is_and_where_help_is_to_be_found(name: str) -> None:
    alert = queries.alerts()[name]
    assert alert["labels"]["severity"] in ("critical", "warning")
    assert alert["annotations"].keys() == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == URL + name.lower()
    section = _sections(DOCS / "incidents.md")[name]
    assert len(section.split()) > 40, "what it means, what to look at, what to do"


def test_there_is_no_section_of_an_alert_that_is_gone():
    assert {name for name in _sections(DOCS / "incidents.md") if name.startswith("Weir")} == queries.alerts().keys()


def _sections(path: Path) -> dict[str, str]:
    parts = re.split(r"^#{2,3} (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", [*queries.dashboards()])
def test_a_dashboard_is_laid_out_and_says_what_it_shows(name: str) -> None:
    dashboard = queries.dashboards()[name]
    panels = dashboard["panels"]
    assert dashboard["schemaVersion"] >= 39
    assert len(panels) <= MOST_PANELS
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["targets"], panel["title"]
    for one, other in itertools.combinations((panel["gridPos"] for panel in panels), 2):
        assert not _overlap(one, other), (one, other)
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= build.WIDTH for panel in panels)


def _overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[at] < other[at] + other[long] and other[at] < one[at] + one[long] for at, long in (("x", "w"), ("y", "h"))
    )


def test_dashboards_are_told_apart_and_each_link_leads_to_a_section():
    found = queries.dashboards()
    assert len({dashboard["uid"] for dashboard in found.values()}) == len(found)
    links = {link["url"] for one in found.values() for panel in one["panels"] for link in panel["links"]}
    assert {link.removeprefix(URL) for link in links} <= {name.lower() for name in queries.alerts()}


def test_the_names_in_a_query_are_found():
    query = 'sum by (weir_no) (rate(weir_a_total{b=~"weir_c"}[5m])) / weir:d:ratio_rate5m or up{job="x"} + process_e'
    assert queries.names(query) == {"weir_a_total", "weir:d:ratio_rate5m", "up", "process_e"}


def test_every_metric_that_is_asked_for_exists():
    there = exposed.names() | queries.recorded().keys() | FOREIGN
    asked = dict(queries.of_dashboards()) | {f"rule {n}": rule["expr"] for n, rule in enumerate(queries.rules())}
    for where, query in asked.items():
        assert queries.names(query), where
        assert queries.names(query) - there == set(), where
    for dashboard in queries.dashboards().values():
        for variable in dashboard["templating"]["list"]:
            assert queries.names(str(variable["query"])) - there == set(), variable["name"]


def test_every_metric_is_documented_and_every_documented_one_exists():
    text = (DOCS / "observability.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(weir_[a-z0-9_]+)`", text, flags=re.MULTILINE))
    assert told == exposed.families()


def test_other_pages_name_metrics_that_there_are():
    there = exposed.names() | exposed.families()
    for path in sorted(DOCS.glob("*.md")):
        for name in re.findall(r"`(weir_[a-z0-9_]+)(?:\{[^`]*\})?`", path.read_text(encoding="utf-8")):
            assert name in there | exposed.NO_METRICS, f"{path.name}: {name}"
