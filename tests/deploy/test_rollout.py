"""In which order things come, how pods leave, and what stands ready for the next version."""

from __future__ import annotations

import pytest

from tests.deploy import manifests
from tests.deploy.test_cluster import labels

MIGRATING = ["base", *(name for name in manifests.OVERLAYS if name != "overlays/prod-green"), *manifests.components()]


def wave(document: manifests.Object) -> int:
    return int(document["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))


def is_ours(document: manifests.Object) -> bool:
    """Weir itself, and not what it stands on."""
    if document["kind"] == "Service":
        return bool(document["spec"]["selector"].get("app.kubernetes.io/name") == "weir")
    return labels(document).get("app.kubernetes.io/name") == "weir"


@pytest.mark.parametrize("folder", MIGRATING)
def test_what_migrations_need_is_there_before_them(folder):
    """A wave begins when the one before is healthy: a job whose database comes later waits for ever."""
    documents = manifests.rendered(folder)
    (job,) = [it for it in manifests.of_kind(documents, "Job") if it["metadata"]["name"] == "weir-migrate"]
    held = manifests.of_kind(documents, "NetworkPolicy", "ConfigMap", "Secret", "ExternalSecret", "SealedSecret")
    stores = manifests.of_kind(documents, "StatefulSet", "Deployment", "Service")
    needed = [*held, *(it for it in stores if not is_ours(it))]
    assert [manifests.named(it) for it in needed if wave(it) >= wave(job)] == []
    assert all(wave(it) > wave(job) for it in stores if is_ours(it) and it["kind"] != "Service")
