"""What no schema knows: that the manifests speak of the program that there is, and of one another."""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys

import pytest
import yaml

from tests.deploy import manifests, tools

PAGE = tools.ROOT / "docs" / "configuration.md"
SECRETS = "/etc/weir/secrets/"
OVERLAYS = ["base", *manifests.OVERLAYS]
EVERYWHERE = [*OVERLAYS, *manifests.components()]
SECRET_VALUES = {
    "DATABASE_URL": "postgres://weir:word@database.internal/weir?sslmode=require",
    "REDIS_URL": "rediss://:word@redis.internal:6379/0",
    "CELERY_BROKER_URL": "amqp://weir:word@rabbitmq:5672//",
    "WEIR_KEYRING": base64.b64encode(b"thirty-two-letters-for-a-keyring").decode(),
}
OURS = ("gateway", "control", "worker", "beat", "migrate")


def settings() -> dict[str, str]:
    """Name of a setting -> its kind, as its page tells."""
    return dict(re.findall(r"^\| `([A-Z][A-Z0-9_]+)` \| ([^|]+?) \|", PAGE.read_text(), re.MULTILINE))


def configuration(folder: str) -> dict[str, str]:
    found = {}
    for it in manifests.of_kind(manifests.rendered(folder), "ConfigMap"):
        if it["metadata"]["name"].startswith("weir-config"):
            found |= it["data"]
    return found


def ours(folder: str) -> list[manifests.Object]:
    """Workloads that run Weir's image in one of its roles."""
    found = manifests.workloads(manifests.rendered(folder))
    return [it for it in found if labels(it).get("app.kubernetes.io/name") == "weir"]


def labels(workload: manifests.Object) -> dict[str, str]:
    return manifests.template(workload)["metadata"]["labels"]


def role(workload: manifests.Object) -> str:
    return labels(workload)["app.kubernetes.io/component"]


def container(workload: manifests.Object) -> manifests.Object:
    (only,) = manifests.template(workload)["spec"]["containers"]
    return only


def environment(workload: manifests.Object) -> dict[str, str]:
    return {it["name"]: it.get("value", "") for it in container(workload).get("env", ())}


@pytest.mark.parametrize("folder", EVERYWHERE)
def test_every_setting_is_one_that_weir_reads(folder):
    known = settings()
    assert known["DATABASE_URL"] == "address"
    for name in configuration(folder):
        plain = name.removesuffix("_FILE")
        assert name in known or known.get(plain) in ("secret", "address"), name
    for workload in ours(folder):
        for name in environment(workload):
            assert name in known or name in ("POD_IP", "POD_NAME", "PUBLIC_HOSTS", "NAMED_PROXIES"), name


@pytest.mark.parametrize("folder", ["overlays/dev", "overlays/prod", "overlays/prod-openshift"])
def test_what_lies_in_the_secret_is_read_and_what_is_read_lies_there(folder):
    named = {value for name, value in configuration(folder).items() if name.endswith("_FILE")}
    assert all(value.startswith(SECRETS) for value in named)
    read = {value.removeprefix(SECRETS) for value in named}
    assert read == secret_keys(folder)
    for name, value in configuration(folder).items():
        assert name.endswith("_FILE") or settings()[name] not in ("secret", "address") or "@" not in value, name


def secret_keys(folder: str) -> set[str]:
    documents = manifests.rendered(folder)
    plain = [
        it["data"] for it in manifests.of_kind(documents, "Secret") if it["metadata"]["name"][:12] == "weir-secrets"
    ]
    sealed = [it["spec"]["encryptedData"] for it in manifests.of_kind(documents, "SealedSecret")]
    fetched = [
        {entry["secretKey"]: "" for entry in it["spec"]["data"]}
        for it in manifests.of_kind(documents, "ExternalSecret")
    ]
    (one,) = [*plain, *sealed, *fetched]
    return set(one)


def plain_secrets(folder: str) -> dict[str, str]:
    found = {}
    for it in manifests.of_kind(manifests.rendered(folder), "Secret"):
        found |= {name: base64.b64decode(value).decode() for name, value in it["data"].items()}
    return found


@pytest.mark.parametrize("folder", OVERLAYS)
def test_production_has_all_that_it_demands(folder):
    required = set(re.findall(r"^\| `([A-Z_]+)` .*production: \*\*required\*\*", PAGE.read_text(), re.MULTILINE))
    assert required
    given = configuration(folder)
    assert {name for name in required if name not in given and f"{name}_FILE" not in given} == set()
    assert given["WEIR_PROFILE"] == "production"


@pytest.mark.parametrize("folder", ["overlays/dev", "overlays/prod"])
def test_weir_starts_with_these_settings_and_finds_nothing_wrong_with_production(folder, tmp_path):
    """As a pod would: what the ConfigMap says, and the secrets as files."""
    given = configuration(folder)
    for secret in secret_keys(folder):
        place = tmp_path / secret
        place.write_text(plain_secrets(folder).get(secret) or SECRET_VALUES.get(secret) or f"{secret.lower()}-" * 5)
        place.chmod(0o440)
        given[f"{secret}_FILE"] = str(place)
    given |= {"WEIR_VAR": str(tmp_path / "var"), "WEIR_JOURNAL_DIR": str(tmp_path / "var" / "journal")}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DATABASE_", "REDIS_"))}
    command = [sys.executable, "manage.py", "check", "--deploy", "--fail-level"]
    command.append("WARNING" if folder.endswith("prod") else "ERROR")
    ended = subprocess.run(command, cwd=tools.ROOT, env=kept | given, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("folder", EVERYWHERE)
def test_every_pod_is_bounded_watched_and_confined(folder):
    for workload in manifests.workloads(manifests.rendered(folder)):
        pod, it = manifests.template(workload)["spec"], container(workload)
        assert it["resources"]["limits"]["memory"], manifests.named(workload)
        assert it["resources"]["requests"]["cpu"], manifests.named(workload)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        confined = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert it["securityContext"] == confined
        if workload["kind"] not in ("Job", "CronJob"):
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert it[probe], f"{manifests.named(workload)} has no {probe}"


@pytest.mark.parametrize("folder", ["components/openshift", "overlays/prod-openshift"])
def test_on_openshift_no_pod_asks_for_a_uid(folder):
    for workload in manifests.workloads(manifests.rendered(folder)):
        context = manifests.template(workload)["spec"]["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys(), manifests.named(workload)


STORES = ("postgresql", "valkey", "rabbitmq", "qdrant", "ollama", "otel-collector", "backup")


def test_what_changes_pods_changes_those_of_all_that_were_listed_before_it():
    for workload in manifests.workloads(manifests.combined(*STORES, "istio", "openshift")):
        context = manifests.template(workload)["spec"]["securityContext"]
        assert not {"runAsUser", "runAsGroup", "fsGroup"} & context.keys(), manifests.named(workload)
        worn = labels(workload)
        is_in = worn["app.kubernetes.io/name"] == "weir" and role(workload) != "migrate"
        assert (worn.get("sidecar.istio.io/inject") != "false") == is_in, manifests.named(workload)
    for path in manifests.FOLDER.rglob("kustomization.yaml"):
        listed = [it.rpartition("/")[2] for it in yaml.safe_load(path.read_text()).get("components", ())]
        assert sorted(listed, key=lambda name: name in ("istio", "openshift", "green-live")) == listed, path


@pytest.mark.parametrize("folder", OVERLAYS)
def test_ports_and_probes_are_those_of_the_program(folder):
    door = (tools.ROOT / "deploy" / "docker" / "weir").read_text()
    ports = dict(re.findall(r"^(gateway|control|worker|beat)[^)]*\) .*_PORT:-(\d+)", door, re.MULTILINE))
    probes = (tools.ROOT / "apps" / "status" / "probes.py").read_text()
    for workload in ours(folder):
        it = container(workload)
        assert it["args"][0] == role(workload)
        if workload["kind"] == "Job":
            continue
        (port,) = it["ports"]
        assert str(port["containerPort"]) == ports[role(workload)]
        for probe, path in (("startupProbe", "live"), ("livenessProbe", "live"), ("readinessProbe", "ready")):
            assert it[probe]["httpGet"] == {"path": f"/health/{path}", "port": port["name"]}
            assert f"health/{path}" in probes


@pytest.mark.parametrize("folder", OVERLAYS)
def test_nobody_is_killed_while_he_drains(folder):
    for workload in ours(folder):
        if role(workload) in ("gateway", "control"):
            told = environment(workload)
            waits = container(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
            needs = waits + float(told["WEIR_PRESTOP_SECONDS"]) + float(told["WEIR_DRAIN_SECONDS"]) + 30
            assert manifests.template(workload)["spec"]["terminationGracePeriodSeconds"] >= needs


@pytest.mark.parametrize("folder", OVERLAYS)
def test_a_gateway_has_its_journal_on_a_volume_that_its_successor_gets(folder):
    (gateway,) = [it for it in ours(folder) if role(it) == "gateway"]
    assert gateway["kind"] == "StatefulSet"
    (claim,) = gateway["spec"]["volumeClaimTemplates"]
    mounts = {it["mountPath"]: it["name"] for it in container(gateway)["volumeMounts"]}
    assert mounts[configuration(folder)["WEIR_JOURNAL_DIR"]] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] in (["ReadWriteOnce"], ["ReadWriteOncePod"])
    assert set(gateway["spec"]["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}


@pytest.mark.parametrize("folder", OVERLAYS)
def test_selectors_find_what_they_are_meant_for(folder):
    documents = manifests.rendered(folder)
    pods = [labels(it) for it in manifests.workloads(documents)]
    for workload in manifests.of_kind(documents, "Deployment", "StatefulSet"):
        assert manifests.selects(workload["spec"]["selector"], labels(workload)), manifests.named(workload)
    for service in manifests.services(documents):
        found = [it for it in pods if manifests.selects({"matchLabels": service["spec"]["selector"]}, it)]
        assert len(found) == 1, manifests.named(service)
    for budget in manifests.of_kind(documents, "PodDisruptionBudget"):
        assert sum(manifests.selects(budget["spec"]["selector"], it) for it in pods) == 1, manifests.named(budget)
    there = {(it["kind"], it["metadata"]["name"]) for it in documents}
    for scaler in manifests.of_kind(documents, "HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        assert (target["kind"], target["name"]) in there
        (scaled,) = [it for it in documents if (it["kind"], it["metadata"]["name"]) == (target["kind"], target["name"])]
        assert "replicas" not in scaled["spec"]


@pytest.mark.parametrize("folder", OVERLAYS)
def test_services_lead_to_ports_that_are_there(folder):
    documents = manifests.rendered(folder)
    for service in manifests.services(documents):
        selector = {"matchLabels": service["spec"]["selector"]}
        (pod,) = [it for it in manifests.workloads(documents) if manifests.selects(selector, labels(it))]
        there = {port["name"] for port in container(pod)["ports"]}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= there


@pytest.mark.parametrize(
    "folder", ["base", "overlays/dev", "overlays/prod", "overlays/prod-openshift", *manifests.components()]
)
def test_network_policies_cover_every_pod_both_ways(folder):
    documents = manifests.rendered(folder)
    policies = manifests.of_kind(documents, "NetworkPolicy")
    (deny,) = [it for it in policies if it["metadata"]["name"] == "default-deny"]
    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    pods = {manifests.named(it): labels(it) for it in manifests.workloads(documents)}
    for policy in policies[:]:
        selector = policy["spec"]["podSelector"]
        there = (*pods.values(), *manifests.VISITORS)
        assert any(manifests.selects(selector, it) for it in there), manifests.named(policy)
    for name, worn in pods.items():
        opened = [
            it["spec"] for it in policies if it is not deny and manifests.selects(it["spec"]["podSelector"], worn)
        ]
        assert any(it.get("egress") for it in opened), name
        assert any(it.get("ingress") for it in opened) or name.partition("/")[0] in ("Job", "CronJob"), name


def ways(folder: str, port: int) -> set[str]:
    """Roles of Weir, and `*` for all others, from which a store's port is let in."""
    found = set()
    documents = manifests.rendered(folder)
    pods = {role(it): labels(it) for it in ours(folder)}
    for policy in manifests.of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            if any(it.get("port") == port for it in rule.get("ports", ())):
                for source in rule.get("from", [{}]):
                    selector = source.get("podSelector")
                    if selector is None or "namespaceSelector" in source:
                        found.add("*")
                    else:
                        found |= {name for name, worn in pods.items() if manifests.selects(selector, worn)}
    return found


@pytest.mark.parametrize(
    ("folder", "port", "expected"),
    [
        ("overlays/dev", 6379, set(OURS)),
        ("overlays/dev", 5432, set(OURS)),
        ("overlays/dev", 5672, set(OURS)),
        ("components/qdrant", 6333, {"gateway"}),
        ("components/ollama", 11434, {"gateway", "control", "worker"}),
        ("components/otel-collector", 4318, {"gateway", "control", "worker", "beat"}),
    ],
)
def test_a_store_is_reached_from_weirs_own_pods_only(folder, port, expected):
    assert ways(folder, port) == expected


def test_what_goes_out_reaches_no_address_inside():
    inward = {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8", "100.64.0.0/10"}
    for _, it in manifests.everything():
        if it["kind"] == "NetworkPolicy":
            for rule in it["spec"].get("egress", ()):
                for target in rule.get("to", [{}]):
                    if target.get("ipBlock", {}).get("cidr") == "0.0.0.0/0":
                        assert inward - {"127.0.0.0/8"} <= set(target["ipBlock"]["except"]), manifests.named(it)
                        assert {port["port"] for port in rule["ports"]} <= {443, 465, 587}


@pytest.mark.parametrize("folder", EVERYWHERE)
def test_weir_runs_one_version_and_nothing_floats(folder):
    images = [container(it)["image"] for it in manifests.workloads(manifests.rendered(folder))]
    assert len({image for image in images if image.startswith(manifests.IMAGE)}) == 1
    for image in images:
        assert re.search(r":v?\d+\.\d+\.\d+|:17\.\d+", image), image


def test_the_version_is_the_changelogs():
    version = re.search(r"^## (\S+)", (tools.ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert version is not None
    for folder in OVERLAYS:
        for workload in ours(folder):
            assert container(workload)["image"] == f"{manifests.IMAGE}:{version[1]}"


@pytest.mark.parametrize("folder", EVERYWHERE)
def test_weir_has_no_rights_in_the_cluster(folder):
    documents = manifests.rendered(folder)
    assert not manifests.of_kind(documents, "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding")
    accounts = {it["metadata"]["name"] for it in manifests.of_kind(documents, "ServiceAccount")}
    for workload in ours(folder):
        name = manifests.template(workload)["spec"]["serviceAccountName"]
        assert name == f"weir-{role(workload)}"
        assert name in accounts or folder == "overlays/prod-green"


def test_migrations_come_first_and_beat_is_alone():
    documents = {manifests.named(it): it for it in manifests.rendered("overlays/prod")}
    waves = {
        name: int(it["metadata"].get("annotations", {}).get("argocd.argoproj.io/sync-wave", 0))
        for name, it in documents.items()
    }
    order = ["Job/weir-migrate", "StatefulSet/weir-gateway", "Deployment/weir-control", "Deployment/weir-worker"]
    assert [waves[name] for name in order] == sorted({waves[name] for name in order})
    before = [
        name for name in waves if name.split("/")[0] in ("ConfigMap", "ExternalSecret", "SecretStore", "Namespace")
    ]
    assert all(waves[name] < waves["Job/weir-migrate"] for name in before)
    beat = documents["Deployment/weir-beat"]["spec"]
    assert (beat["replicas"], beat["strategy"]) == (1, {"type": "Recreate"})


def test_green_differs_from_blue_by_its_slot_and_has_the_same_settings():
    blue, green = (configuration(f"overlays/{name}") for name in ("prod", "prod-green"))
    assert blue == green
    pods = [labels(it) for it in ours("overlays/prod-green")]
    for service in manifests.of_kind(manifests.rendered("overlays/prod"), "Service"):
        assert not any(manifests.selects({"matchLabels": service["spec"]["selector"]}, it) for it in pods)


@pytest.mark.parametrize("ways", ["gateway-api pinned-hosts", "ingress"])
def test_every_way_in_leads_to_green_once_that_is_live(ways):
    served = {it["metadata"]["name"] for it in manifests.of_kind(manifests.rendered("overlays/prod-green"), "Service")}
    documents = manifests.combined(*ways.split(), "green-live")
    routes = manifests.of_kind(documents, "HTTPRoute", "Ingress")
    rules = [rule for it in routes for rule in it["spec"]["rules"]]
    led = {backend["name"] for rule in rules for backend in rule.get("backendRefs", ())}
    led |= {path["backend"]["service"]["name"] for rule in rules if "http" in rule for path in rule["http"]["paths"]}
    assert led - {"weir-nowhere"} == {"weir-gateway-green", "weir-control-green"}
    assert led - {"weir-nowhere"} < served
