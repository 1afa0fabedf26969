"""Every overlay and component renders, and each of its objects is what Kubernetes or its operator takes: no field that
nobody knows, none of the wrong type."""

from __future__ import annotations

import copy
import json

import pytest

from tests.deploy import manifests, tools

COMPONENTS = manifests.components()
FOLDERS = [*manifests.kustomizations(), *COMPONENTS]


# kubernetes-validate, by its own Python: it would read a schema of megabytes anew for every object.
JUDGE = """
import functools, sys
from kubernetes_validate import __main__, utils
utils.schema_contents = functools.cache(utils.schema_contents)
utils.yaml.SafeLoader = getattr(utils.yaml, "CSafeLoader", utils.yaml.SafeLoader)
sys.exit(__main__.main())
"""


def judged(tmp_path, documents) -> tools.Said:
    file = tmp_path / "all.yaml"
    file.write_text("\n---\n".join(json.dumps(document) for document in documents))
    versions = [f"--kubernetes-version={version}" for version in manifests.VERSIONS]
    return tools.run("python", "-c", JUDGE, "--strict", "--quiet", *versions, file)


@pytest.mark.parametrize("folder", FOLDERS)
def test_it_renders_to_objects_that_are_there_once(folder):
    documents = manifests.rendered(folder)
    assert documents
    named = [(it["apiVersion"], manifests.named(it), it["metadata"].get("namespace")) for it in documents]
    assert sorted(set(named), key=str) == sorted(named, key=str)
    assert "PinnedModel" not in {document["kind"] for document in documents}


def test_there_are_all_that_are_promised():
    told = (
        "acme autoscaling external-secrets gateway-api ingress istio ollama openshift otel-collector postgresql qdrant"
        " rabbitmq valkey"
    )
    assert {f"components/{name}" for name in f"{told} sealed-secrets".split()} <= set(COMPONENTS)
    assert {"base", *manifests.OVERLAYS, "per-model-gateways", "operators", "argocd"} <= set(FOLDERS)
    assert {f"{part}/overlays/{name}" for part in ("istio", "monitoring") for name in ("dev", "prod")} <= set(FOLDERS)


def test_kubernetes_takes_what_is_its_own(tmp_path):
    said = judged(tmp_path, [document for document in manifests.distinct() if manifests.is_core(document)])
    assert said.status == 0, said.text
    assert "Couldn't find schema" not in said.text


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("spec", "replicaCount"), 2),
        (("spec", "replicas"), "two"),
        (("spec", "template", "spec", "terminationGracePeriod"), 30),
    ],
)
def test_a_planted_fault_in_a_workload_is_found(tmp_path, place, value):
    (gateway,) = manifests.of_kind(manifests.rendered("base"), "StatefulSet")
    planted = copy.deepcopy(gateway)
    parent = planted
    for name in place[:-1]:
        parent = parent[name]
    parent[place[-1]] = value
    assert judged(tmp_path, [planted]).status != 0


def test_operators_take_what_is_theirs():
    theirs = [document for document in manifests.distinct() if not manifests.is_core(document)]
    found = [fault for document in theirs for fault in manifests.faults(document)]
    assert found == []


def test_every_kind_has_a_schema_and_every_schema_has_a_source():
    used = {manifests.schema_of(it).stem for _, it in manifests.everything() if not manifests.is_core(it)}
    there = {path.stem for path in manifests.SCHEMAS.glob("*.json")} - {"sources"}
    sources = json.loads((manifests.SCHEMAS / "sources.json").read_text())
    told = {kind.replace("/", "_").lower() for it in (*sources["packages"], *sources["own"]) for kind in it["kinds"]}
    assert used <= there
    assert there == told
    assert all(package["license"] and package["specification"] for package in sources["packages"])


def test_a_planted_fault_in_a_custom_resource_is_found():
    seen = {}
    for _, document in manifests.everything():
        if not manifests.is_core(document) and isinstance(document.get("spec"), dict):
            seen.setdefault(document["kind"], document)
    assert len(seen) >= 12
    for document in seen.values():
        assert manifests.faults({**document, "spec": {**document["spec"], "noSuchField": 1}}), document["kind"]
        assert manifests.faults({**document, "spec": "text"}), document["kind"]


def test_yaml_is_written_as_elsewhere():
    said = tools.run(
        "yamllint", "--strict", "--config-file", tools.ROOT / "tests/deploy/yamllint.yaml", manifests.FOLDER
    )
    assert said.status == 0, said.text


def test_only_names_that_are_meant_as_examples_are_in_them():
    """A person replaces these; what is forgotten leads nowhere."""
    allowed = ("weir.example.org", "weir-dev.example.org", "111122223333", ".example.eu", ".example.euc1")
    for path in sorted(manifests.FOLDER.rglob("*")):
        if path.is_file():
            text = path.read_text()
            for word in allowed:
                text = text.replace(word, "")
            assert "example." not in text, path
            assert "arn:aws:iam::1" not in text.replace("arn:aws:iam::111122223333", ""), path
