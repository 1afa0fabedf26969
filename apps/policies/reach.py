"""Where calls can still go under policies: what providers there are to choose from, and who would be left with none."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from typing import NamedTuple

from apps.catalog import resolution
from apps.catalog.models import Deployment, Model, Provider
from apps.domain import snapshot
from apps.domain.policies import applying, hindrance
from apps.policies import selectors
from apps.policies.models import Assignment, DataPolicy

Stranded = dict[str, tuple[str, ...]]
_Provider = tuple[list[str], str]  # its tags and its region
_WHOSE = ("tenant", "project", "project__tenant", "key", "key__project")


class Words(NamedTuple):
    """Those that providers have, in order."""

    tags: tuple[str, ...]
    regions: tuple[str, ...]


def words() -> Words:
    """Of all providers, disabled ones too. One query."""
    rows = list(Provider.objects.values_list("tags", "region"))
    tags = {tag for found, _ in rows for tag in found}
    return Words(tuple(sorted(tags)), tuple(sorted({region for _, region in rows if region})))


def unknown(policy: DataPolicy) -> list[str]:
    """What is asked for that no provider has, in words for who asks for it."""
    known = words()
    asked = [("tag", tag) for tag in (*policy.required_tags, *filter(None, [policy.route_tag]))]
    asked += [("region", region) for region in policy.regions or ()]
    there_are = {"tag": known.tags, "region": known.regions}
    return [
        f"No provider has the {kind} “{word}” yet{_offered(kind, there_are[kind])}."
        for kind, word in dict.fromkeys(asked)
        if word not in there_are[kind]
    ]


def _offered(kind: str, there_are: Collection[str]) -> str:
    return f"; there is {', '.join(f'“{word}”' for word in there_are)}" if there_are else f": none has any {kind}"


def refusal(policies: Iterable[snapshot.DataPolicy], *, tags: Collection[str], region: str) -> str:
    """Why calls under these policies do not go to such a provider; "": they may."""
    own = frozenset(tags)
    found = ((policy.name, hindrance(policy, tags=own, region=region)) for policy in policies)
    return next((f"{name}: {why}" for name, why in found if why), "")


class _Model(NamedTuple):
    """`places`: its providers and its fallbacks', by whose deployments they are."""

    id: int
    name: str
    places: dict[int, list[_Provider]]


class _Subject(NamedTuple):
    name: str
    tenant_id: int | None
    policies: tuple[snapshot.DataPolicy, ...]


def stranded(policy: DataPolicy) -> Stranded:
    """The models that whoever is under the policy could use without any and cannot under all of theirs, by who that is.
    A handful of queries."""
    subjects = _subjects(policy, selectors.snapshot_policies()) if policy.is_enabled else []
    if not subjects:
        return {}
    models, tenants = _models(), _tenants()
    left: dict[tuple[int, ...], list[set[int]]] = {}
    found: Stranded = {}
    for subject in subjects:
        under = tuple(held.id for held in subject.policies)
        if under not in left:
            left[under] = [_left(model, subject.policies) for model in models]
        names = tuple(
            model.name
            for model, open_to in zip(models, left[under], strict=True)
            if _is_offered(subject, {model.id}, tenants)
            and _is_offered(subject, model.places, tenants)
            and not _is_offered(subject, open_to, tenants)
        )
        if names:
            found[subject.name] = names
    return found


def _left(model: _Model, policies: tuple[snapshot.DataPolicy, ...]) -> set[int]:
    """Of the models that it may be answered by, those with a provider that the policies let calls go to."""
    return {
        pk
        for pk, providers in model.places.items()
        if any(not refusal(policies, tags=tags, region=region) for tags, region in providers)
    }


def _is_offered(subject: _Subject, models: Iterable[int], tenants: dict[int, set[int]]) -> bool:
    """Whether one of the models is theirs to use."""
    tenant_id = subject.tenant_id
    return any(pk not in tenants or tenant_id is None or tenant_id in tenants[pk] for pk in models)


def _subjects(policy: DataPolicy, held: snapshot.Policies) -> list[_Subject]:
    """Whoever has an assignment of any policy and is under this one, by whatever way, with all that they are under."""
    found = {}
    for row in Assignment.objects.filter(policy__is_enabled=True).select_related(*_WHOSE).order_by("pk"):
        project = row.key.project if row.key is not None else row.project
        tenant_id = project.tenant_id if project is not None else row.tenant_id
        under = applying(
            held,
            tenant_id=tenant_id or 0,
            project_id=project.pk if project is not None else 0,
            key_id=row.key_id or 0,
        )
        if any(each.id == policy.pk for each in under):
            found[row.whom] = _Subject(row.whom, tenant_id, under)
    return list(found.values())


def _models() -> list[_Model]:
    """The enabled ones by name, with what they may be answered by: themselves and their fallbacks."""
    own: dict[int, list[_Provider]] = defaultdict(list)
    rows = Deployment.objects.filter(is_enabled=True, model__is_enabled=True, provider__is_enabled=True)
    for pk, tags, region in rows.values_list("model_id", "provider__tags", "provider__region"):
        own[pk].append((tags, region))
    fallbacks = resolution.fallbacks()
    found = []
    for pk, name in Model.objects.filter(is_enabled=True).order_by("name").values_list("pk", "name"):
        answers = [pk, *(target for _, target in resolution.tiers(pk, fallbacks))]
        found.append(_Model(pk, name, {each: own[each] for each in answers if each in own}))
    return found


def _tenants() -> dict[int, set[int]]:
    """By model; a model that is everyone's has no entry."""
    found: dict[int, set[int]] = defaultdict(set)
    for model, tenant in Model.tenants.through.objects.values_list("model_id", "tenant_id"):
        found[model].add(tenant)
    return found
