"""Which lines of a report and which calls of the ledger are of the same model and credential.

A model is the one that a person has said, or the deployment's of that name, or the only one that is called so but for
a date or a region; an account likewise, and where there is one of each they are the same. What nobody can tell keeps
its own name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from apps.catalog.models import Credential, Deployment
from apps.reconciliation.models import ProviderName, Report
from apps.usage.adjustments import CREDENTIAL_LENGTH, fitting

_DATED = re.compile(r"[-@](?:20\d{6}|20\d{2}-\d{2}-\d{2}|latest)(?:-v\d+)?")
_REGION = re.compile(r"\A(?:us|eu|apac|jp|au|ca|global|us-gov)\.(?=\w+\.)")
_VERSION = re.compile(r"-v\d+(?::\d+)?\Z|:\d+\Z")
_JOINT = re.compile(r"[\s._-]+")
JOIN = ", "


class Group(NamedTuple):
    """`model` as deployments call it, or as the report does; "": all. `credential`: aliases, or the report's name."""

    model: str
    credential: str


class Grouping:
    """Of one report. `spoken`: its models and accounts; `known`: upstream models that the ledger has besides those of
    deployments. Four queries."""

    def __init__(self, report: Report, *, known: Iterable[str] = ()) -> None:
        self._by_model, self._by_account = report.by_model, report.by_account
        named = list(ProviderName.objects.filter(provider=report.provider_id).select_related("credential"))
        self._models = {row.name: row.upstream_model for row in named if row.upstream_model}
        deployed = Deployment.objects.filter(provider=report.provider_id).values_list("upstream_model", flat=True)
        self._known = {*deployed, *known, *self._models.values()}
        self._alike: dict[str, set[str]] = {}
        for name in self._known:
            self._alike.setdefault(plain(name), set()).add(name)
        self._accounts: dict[str, str] = {}
        self._aliases: dict[str, str] = {}
        if self._by_account:
            self._join(report, named)

    def of_line(self, model: str, account: str) -> Group:
        return Group(
            self.model(model) if self._by_model else "",
            self._accounts.get(account, fitting(account, CREDENTIAL_LENGTH)) if self._by_account else "",
        )

    def of_way(self, credential: str, upstream_model: str) -> Group:
        """What was posted before somebody said whose it is stands under the report's own names."""
        return Group(
            self._models.get(upstream_model, upstream_model) if self._by_model else "",
            self._aliases.get(credential, credential) if self._by_account else "",
        )

    def model(self, name: str) -> str:
        if (said := self._models.get(name)) is not None:
            return said
        if name in self._known:
            return name
        alike = self._alike.get(plain(name), set())
        return next(iter(alike)) if len(alike) == 1 else name

    def _join(self, report: Report, named: list[ProviderName]) -> None:
        """Accounts that share a credential are one, and so are their credentials."""
        accounts = set(report.lines.order_by().values_list("account", flat=True).distinct())
        aliases = set(Credential.objects.filter(provider=report.provider_id).values_list("alias", flat=True))
        said = [(row.name, row.credential.alias) for row in named if row.credential is not None]
        pairs = [(account, alias) for account, alias in said if account in accounts]
        pairs += [(account, account) for account in accounts & aliases]
        if not pairs and len(accounts) == len(aliases) == 1:
            pairs = [(*accounts, *aliases)]
        groups: list[tuple[set[str], set[str]]] = []
        for account, alias in pairs:
            mine, others = (({account}, {alias}), [])
            for group in groups:
                if group[0] & mine[0] or group[1] & mine[1]:
                    mine = (mine[0] | group[0], mine[1] | group[1])
                else:
                    others.append(group)
            groups = [*others, mine]
        for names, members in groups:
            label = JOIN.join(sorted(members))[:400]
            self._accounts |= dict.fromkeys(names, label)
            posted = [fitting(name, CREDENTIAL_LENGTH) for name in (*names, label)]
            self._aliases |= dict.fromkeys((*members, *posted), label)


def plain(name: str) -> str:
    """Without what providers add to a name: a date, a region, a version."""
    name = _VERSION.sub("", _DATED.sub("", _REGION.sub("", name.lower())))
    return _JOINT.sub("-", name.rpartition("/")[2]).strip("-")
