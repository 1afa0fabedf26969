"""What `deploy/kubernetes` comes to: every overlay rendered once a run, and what its objects may look like."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.deploy import tools

FOLDER = tools.ROOT / "deploy" / "kubernetes"
SCHEMAS = Path(__file__).parent / "schemas"
# The oldest that these suit, and the one that Terraform makes.
VERSIONS = [
    version.rpartition(".")[0]
    for version in json.loads((SCHEMAS / "sources.json").read_text(encoding="utf-8"))["kubernetes"]
]
# Groups that Kubernetes itself has; all others need a schema here.
CORE = ("apps", "autoscaling", "batch", "networking.k8s.io", "policy", "scheduling.k8s.io", "storage.k8s.io", "v1")
IMAGE = "ghcr.io/weir-gateway/weir"
OVERLAYS = ("overlays/dev", "overlays/prod", "overlays/prod-green", "overlays/prod-openshift", "overlays/rehearsal")
# What a component is tried on, where that is not the base.
ON = {
    "backup": "overlays/prod",
    "external-secrets": "overlays/dev",
    "green-live": "overlays/prod",
    "istio": "overlays/dev",
    "openshift": "overlays/dev",
    "pinned-hosts": "overlays/prod",
    "production-sizes": "overlays/dev",
    "scale-by-calls": "overlays/prod",
    "sealed-secrets": "base",
}
# Pods that somebody else starts here for a while, and what policies know them by.
VISITORS = ({"acme.cert-manager.io/http01-solver": "true"},)
Object = dict[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast


def kustomizations(kind: str = "Kustomization") -> list[str]:
    """Folders below `deploy/kubernetes` that hold one of that kind."""
    paths = sorted(FOLDER.rglob("kustomization.yaml"))
    held = [path for path in paths if yaml.safe_load(path.read_text(encoding="utf-8"))["kind"] == kind]
    return [path.parent.relative_to(FOLDER).as_posix() for path in held]


def components() -> list[str]:
    return [name for name in kustomizations("Component") if name.startswith("components/")]


@functools.cache
def rendered(folder: str) -> tuple[Object, ...]:
    """The objects of an overlay, or of a component on what it is tried on."""
    if folder.startswith("components/"):
        name = folder.rpartition("/")[2]
        return combined(name, on=ON.get(name, "base"))
    return _built(FOLDER / folder)


@functools.cache
def combined(*names: str, on: str = "base") -> tuple[Object, ...]:
    """The objects of several components, in that order, on an overlay or the base."""
    return _built(_trial(names, on))


def _built(path: Path) -> tuple[Object, ...]:
    said = tools.run("kubectl", "kustomize", path)
    assert said.status == 0, f"{path}: {said.text}"
    return tuple(document for document in yaml.load_all(said.output, Loader=_LOADER) if document)


def _trial(names: tuple[str, ...], on: str) -> Path:
    """A kustomization below `var`, of these components and what they are put on."""
    place = tools.FOLDER / "kustomize" / f"{'-'.join(names)}-{os.getpid()}"
    place.mkdir(parents=True, exist_ok=True)
    text = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "namespace": "weir",
        "resources": [os.path.relpath(FOLDER / on, place)],
        "components": [os.path.relpath(FOLDER / "components" / name, place) for name in names],
    }
    (place / "kustomization.yaml").write_text(yaml.safe_dump(text), encoding="utf-8")
    return place


def distinct() -> list[Object]:
    """Every object once, wherever it is from."""
    return [*{json.dumps(it, sort_keys=True): it for _, it in everything()}.values()]


def everything() -> Iterator[tuple[str, Object]]:
    """Every object of every overlay and component, with where it is from."""
    for folder in (*kustomizations(), *components()):
        for document in rendered(folder):
            yield folder, document


def group(document: Object) -> str:
    return str(document["apiVersion"]).partition("/")[0]


def is_core(document: Object) -> bool:
    return group(document) in CORE


def named(document: Object) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


def schema_of(document: Object) -> Path:
    return SCHEMAS / f"{document['apiVersion']}_{document['kind']}.json".lower().replace("/", "_")


@functools.cache
def _validator(path: Path) -> Draft202012Validator:
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8")))


def faults(document: Object) -> list[str]:
    """What the schema of a custom resource says against it."""
    found = _validator(schema_of(document)).iter_errors(document)
    return [f"{named(document)}: {error.json_path}: {error.message[:200]}" for error in found]


def of_kind(documents: tuple[Object, ...], *kinds: str) -> list[Object]:
    return [document for document in documents if document["kind"] in kinds]


def services(documents: tuple[Object, ...]) -> list[Object]:
    """Those that lead to pods: what is hidden from outside is led to one that leads nowhere."""
    return [it for it in of_kind(documents, "Service") if "selector" in it["spec"]]


def template(workload: Object) -> Object:
    """The pod that it makes."""
    spec: Object = workload["spec"]
    made: Object = spec["jobTemplate"]["spec"]["template"] if workload["kind"] == "CronJob" else spec["template"]
    return made


def workloads(documents: tuple[Object, ...]) -> list[Object]:
    return of_kind(documents, "Deployment", "StatefulSet", "Job", "CronJob")


def selects(selector: Object, labels: dict[str, str]) -> bool:
    """As Kubernetes reads a label selector: an empty one takes everything."""
    for name, value in selector.get("matchLabels", {}).items():
        if labels.get(name) != value:
            return False
    for rule in selector.get("matchExpressions", ()):
        has, values = rule["key"] in labels, rule.get("values", [])
        holds = {
            "In": labels.get(rule["key"]) in values,
            "NotIn": labels.get(rule["key"]) not in values,
            "Exists": has,
            "DoesNotExist": not has,
        }
        if not holds[rule["operator"]]:
            return False
    return True
