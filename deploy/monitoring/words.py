"""PromQL that the dashboards' pages are made of."""

from __future__ import annotations

RATE = "$__rate_interval"
JOB = ("job", "label_values(weir_build_info, job)")
INSTANCE = ("instance", 'label_values(weir_build_info{job=~"$job"}, instance)')
MODEL = ("model", "label_values(weir_calls_total, model)")
PROVIDER = ("provider", "label_values(weir_upstream_requests_total, provider)")
HERE = 'job=~"$job", instance=~"$instance"'
OF_MODEL = f'{HERE}, model=~"$model"'
OF_PROVIDER = f'{HERE}, provider=~"$provider"'


def rate(metric: str, by: str = "", where: str = HERE) -> str:
    """A second, over all processes."""
    return f"sum{_by(by)} (rate({metric}{{{where}}}[{RATE}]))"


def total(metric: str, by: str = "", where: str = HERE) -> str:
    return f"sum{_by(by)} ({metric}{{{where}}})"


def greatest(metric: str, by: str = "", where: str = "") -> str:
    """Of what every process tells alike, as the database knows it; or the worst of several."""
    return f"max{_by(by)} ({metric}{{{where}}})" if where else f"max{_by(by)} ({metric})"


def quantile(share: float, metric: str, by: str = "", where: str = HERE) -> str:
    grouped = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({grouped}) (rate({metric}_bucket{{{where}}}[{RATE}])))"


def _by(labels: str) -> str:
    return f" by ({labels})" if labels else ""
