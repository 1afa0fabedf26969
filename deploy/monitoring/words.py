"""PromQL that the dashboards' pages are made of."""

from __future__ import annotations

RATE = "$__rate_interval"
# Of one installation among several; where there is one and no such label, all is it.
INSTALLED = 'namespace=~"$namespace"'
HERE = f'{INSTALLED}, job=~"$job", instance=~"$instance"'
NAMESPACE = ("namespace", "label_values(weir_build_info, namespace)")
JOB = ("job", f"label_values(weir_build_info{{{INSTALLED}}}, job)")
INSTANCE = ("instance", f'label_values(weir_build_info{{{INSTALLED}, job=~"$job"}}, instance)')
MODEL = ("model", f"label_values(weir_calls_total{{{INSTALLED}}}, model)")
PROVIDER = ("provider", f"label_values(weir_upstream_requests_total{{{INSTALLED}}}, provider)")
OF_MODEL = f'{HERE}, model=~"$model"'
OF_PROVIDER = f'{HERE}, provider=~"$provider"'


def rate(metric: str, by: str = "", where: str = HERE) -> str:
    """A second, over all processes."""
    return f"sum{_by(by)} (rate({metric}{{{where}}}[{RATE}]))"


def total(metric: str, by: str = "", where: str = HERE) -> str:
    return f"sum{_by(by)} ({metric}{{{where}}})"


def greatest(metric: str, by: str = "", where: str = INSTALLED) -> str:
    """Of what every process tells alike, as the database knows it; or the worst of several."""
    return f"max{_by(by)} ({metric}{{{where}}})"


def quantile(share: float, metric: str, by: str = "", where: str = HERE) -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({grouped}) (rate({metric}_bucket{{{where}}}[{RATE}])))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
