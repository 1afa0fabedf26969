"""In which order things come, how pods leave, and what stands ready for the next version."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
from django.conf import settings
from django.http.request import split_domain_port, validate_host

from tests.deploy import manifests, tools
from tests.deploy.test_cluster import configuration, environment, labels, ours, role

DRAINING = ("gateway", "control")
MIGRATING = ["base", *(name for name in manifests.OVERLAYS if name != "overlays/prod-green"), *manifests.components()]


def wave(document: manifests.Object) -> int:
    return int(document["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))


@pytest.mark.parametrize("folder", manifests.OVERLAYS)
def test_an_autoscaler_comes_after_what_it_scales(folder):
    """Without its target it is degraded, and a wave that holds it does not end."""
    documents = manifests.rendered(folder)
    waves = {manifests.named(it): wave(it) for it in documents}
    for it in manifests.of_kind(documents, "HorizontalPodAutoscaler"):
        target = it["spec"]["scaleTargetRef"]
        assert wave(it) > waves[f"{target['kind']}/{target['name']}"], manifests.named(it)


@pytest.mark.parametrize("folder", MIGRATING)
def test_a_claim_s_template_says_what_the_cluster_would_add(folder):
    """A list that is applied by the server is compared as a whole: what it adds would be a difference for ever."""
    for it in manifests.of_kind(manifests.rendered(folder), "StatefulSet"):
        for claim in it["spec"].get("volumeClaimTemplates", ()):
            assert (claim["apiVersion"], claim["kind"]) == ("v1", "PersistentVolumeClaim"), manifests.named(it)
            assert claim["spec"]["volumeMode"] == "Filesystem"


def is_ours(document: manifests.Object) -> bool:
    """Weir itself, and not what it stands on."""
    if document["kind"] == "Service":
        named = document["spec"].get("selector", document["metadata"]["labels"])["app.kubernetes.io/name"]
        return bool(named in ("weir", "weir-nowhere"))
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


@pytest.mark.parametrize("folder", ["base", *manifests.OVERLAYS])
def test_weir_is_told_when_it_will_be_killed(folder):
    told = 0
    for workload in ours(folder):
        given, grace = environment(workload), manifests.template(workload)["spec"]["terminationGracePeriodSeconds"]
        assert ("WEIR_STOP_SECONDS" in given) == ("WEIR_DRAIN_SECONDS" in given) == (role(workload) in DRAINING)
        if role(workload) in DRAINING:
            assert float(given["WEIR_STOP_SECONDS"]) == grace
            told += 1
    assert told == len(DRAINING)


@pytest.mark.parametrize("folder", ["base", *manifests.OVERLAYS])
def test_a_worker_may_finish_the_longest_task(folder):
    for workload in ours(folder):
        if role(workload) == "worker":
            pod = manifests.template(workload)["spec"]
            assert pod["terminationGracePeriodSeconds"] >= settings.CELERY_TASK_TIME_LIMIT + 20


@pytest.mark.parametrize("address", ["10.40.1.7", "fd00:40::7"])
def test_pages_answer_at_a_pods_own_address_of_either_kind(address):
    host, _ = split_domain_port(f"[{address}]:8000" if ":" in address else f"{address}:8000")
    for workload in ours("base"):
        said = environment(workload)["WEIR_ALLOWED_HOSTS"]
        names = said.replace("$(PUBLIC_HOSTS)", "weir.example.org").replace("$(POD_IP)", address).split(",")
        assert validate_host(host, names)


def test_names_are_asked_of_a_cache_on_the_node_as_well():
    policies = manifests.of_kind(manifests.rendered("base"), "NetworkPolicy")
    (names,) = [it["spec"]["egress"] for it in policies if it["metadata"]["name"] == "weir-names"]
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in names[0]["to"]
    assert {it["port"] for it in names[0]["ports"]} == {53}


def of_slot(folder: str, slot: str, found: str) -> manifests.Object:
    """The spec of a role's workload, with its slot and image taken out."""
    (workload,) = [it for it in ours(folder) if role(it) == found]
    text = re.sub(rf"{manifests.IMAGE}:[^\"]+", "IMAGE", json.dumps(workload["spec"], sort_keys=True))
    plain = text.replace(f'"weir-gateway.org/slot": "{slot}"', '"weir-gateway.org/slot": "SLOT"')
    spec: manifests.Object = json.loads(plain.replace("weir-gateway-peers-green", "weir-gateway-peers"))
    return spec


@pytest.mark.parametrize("found", DRAINING)
def test_green_carries_what_blue_does(found):
    """The same in all but the slot and the version: resources, spread, priority, volumes, probes, settings."""
    blue, green = of_slot("overlays/prod", "blue", found), of_slot("overlays/prod-green", "green", found)
    for spec in (blue, green):
        for claim in spec.get("volumeClaimTemplates", ()):
            del claim["metadata"]["labels"]
        for source in spec["template"]["spec"]["containers"][0]["envFrom"]:
            assert source["configMapRef"].pop("name").startswith("weir-config")
        for entry in spec["template"]["spec"]["containers"][0]["env"]:
            entry.get("valueFrom", {}).get("configMapKeyRef", {}).pop("name", None)
    assert green == blue
    assert "SLOT" in json.dumps(blue)


def test_green_scales_as_blue_does():
    scalers = {}
    for name in ("prod", "prod-green"):
        for it in manifests.of_kind(manifests.rendered(f"overlays/{name}"), "HorizontalPodAutoscaler"):
            spec = {key: value for key, value in it["spec"].items() if key != "scaleTargetRef"}
            scalers[it["metadata"]["name"]] = spec
    for name in ("weir-gateway", "weir-control"):
        assert scalers[f"{name}-green"] == scalers[name]


@pytest.mark.parametrize("folder", ["base", *manifests.OVERLAYS])
def test_few_may_say_who_calls(folder):
    """Not a whole cluster, nor a whole network: every address that is trusted can pretend to be any other."""
    said = configuration(folder)["WEIR_TRUSTED_PROXIES"]
    for word in [] if said == "none" else said.split(","):
        assert ipaddress.ip_network(word).prefixlen >= 19, word
    assert (said == "none") == (folder in ("base", "overlays/dev", "overlays/rehearsal"))


@pytest.mark.parametrize("folder", ["base", *manifests.OVERLAYS])
def test_callers_are_counted_by_address_where_the_balancer_is_told_from_them(folder):
    """Else all of them, and the kubelet's probes, may have one address."""
    given = configuration(folder)
    assert (given["WEIR_TRUSTED_PROXIES"] == "none") == (given["WEIR_MAX_CONNECTIONS_PER_ADDRESS"] == "0")


def test_who_may_say_it_are_pods_of_terraforms_subnets():
    folder = tools.ROOT / "deploy" / "terraform"
    whole = re.search(
        r'variable "vpc_cidr" \{.*?default += "([^"]+)"', (folder / "variables.tf").read_text(), re.DOTALL
    )
    assert whole is not None
    assert "cidrsubnet(var.vpc_cidr, 3, count.index)" in (folder / "modules/network/main.tf").read_text()
    subnets = [*ipaddress.ip_network(whole[1]).subnets(prefixlen_diff=3)][:3]
    assert configuration("overlays/prod")["WEIR_TRUSTED_PROXIES"] == ",".join(str(it) for it in subnets)
