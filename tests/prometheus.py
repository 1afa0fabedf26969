"""A real Prometheus for tests: Debian's program as a child process, with the rules of deploy/monitoring, asking given
targets with a bearer token.

    with prometheus({"weir-gateway": ["127.0.0.1:8000"]}, token=…) as watching:
        watching.has_asked(times=2)
        assert watching.silent() == []

`silent` says which queries of the dashboards return nothing; `unsound`, which rules cannot be evaluated.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import yaml

from tests.deploy import queries
from tests.servers import until
from tests.services import NotAvailable, Server, _folder, free_port

READY = "Server is ready to receive web requests."
SCRAPE_SECONDS = 2  # also how long an answer may take


@dataclass(frozen=True)
class Prometheus:
    port: int
    targets: int

    def ask(self, query: str) -> list[dict[str, Any]]:
        """What it comes to now. Raises AssertionError where that cannot be evaluated."""
        return self._get("query", query=query)["result"]

    def number(self, query: str) -> float:
        """Of a query with one result, or 0."""
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else 0.0

    def has_asked(self, *, times: int) -> None:
        """Returns when it has had so many more answers from each target."""
        before = self._answers()
        until(lambda: self._all_asked(before, times))

    def _all_asked(self, before: Mapping[str, float], times: int) -> bool:
        now = self._answers()
        return len(now) == self.targets and all(count >= before.get(name, 0) + times for name, count in now.items())

    def _answers(self) -> dict[str, float]:
        found = self.ask("sum by (instance) (sum_over_time(up[10m]))")
        return {one["metric"]["instance"]: float(one["value"][1]) for one in found}

    def silent(self, asked: Iterator[tuple[str, str]] | None = None) -> list[str]:
        """Panels of all dashboards with a query that returns nothing, in their order; each told once."""
        nothing = (panel for panel, query in asked or queries.of_dashboards() if not self.ask(query))
        return list(dict.fromkeys(nothing))

    def unsound(self) -> dict[str, str]:
        """Rules that cannot be evaluated, and why; waits until each was tried."""
        until(lambda: all(rule["health"] != "unknown" for rule in self.rules()))
        return {rule["name"]: rule["lastError"] for rule in self.rules() if rule["health"] != "ok"}

    def rules(self) -> list[dict[str, Any]]:
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def firing(self) -> set[str]:
        """Alerts."""
        return {rule["name"] for rule in self.rules() if rule.get("state") == "firing"}

    def _get(self, path: str, **parameters: str) -> Any:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            told = json.loads(connection.getresponse().read())
        assert told["status"] == "success", f"{parameters}: {told.get('error')}"
        return told["data"]


@contextlib.contextmanager
def prometheus(targets: Mapping[str, Sequence[str]], *, token: str) -> Iterator[Prometheus]:
    """`targets`: hosts and ports by job. Raises NotAvailable where there is no such program."""
    program = shutil.which("prometheus")
    if program is None:
        raise NotAvailable("needs prometheus (Debian's prometheus has it)")
    port = free_port()
    with _folder() as folder:
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_settings(targets, token)), encoding="utf-8")
        command = [
            program,
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=info",
        ]
        server = Server(command, log=folder / "log", ready=READY, user=None)
        server.start()
        try:
            yield Prometheus(port=port, targets=sum(map(len, targets.values())))
        finally:
            server.end(signal.SIGTERM)


def _settings(targets: Mapping[str, Sequence[str]], token: str) -> dict[str, Any]:
    often = f"{SCRAPE_SECONDS}s"
    jobs = [
        {
            "job_name": job,
            "authorization": {"type": "Bearer", "credentials": token},
            "static_configs": [{"targets": [*places]}],
        }
        for job, places in targets.items()
    ]
    # A busy machine answers late; who is cut off has not answered.
    timing = {"scrape_interval": often, "scrape_timeout": often, "evaluation_interval": often}
    return {"global": timing, "rule_files": [str(path) for path in queries.RULES], "scrape_configs": jobs}
