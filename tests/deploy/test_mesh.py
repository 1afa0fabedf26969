"""Ways in and ways to look: a gateway for each model, Istio, Prometheus, Argo CD."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from tests.deploy import manifests, tools
from tests.deploy.test_cluster import configuration, container, environment, labels, ours, role

MAP = "ConfigMap"
TALKING = ("gateway", "control", "worker", "beat")
MODELS = {"sonnet": 8091, "opus": 8092, "haiku": 8093}
CALLS = ("/v1/messages", "/anthropic/v1/messages", "/chat", "/e/sonnet/v1/messages", "/v1/models", "/api/hello")
PAGES = ("/", "/admin/", "/portal/", "/api/v1/keys", "/static/a.css", "/health/ready")
TELLING = tuple(
    f"/{path}" for path in re.findall(r'path\("([^"]+)"', (tools.ROOT / "apps/status/urls.py").read_text("utf-8"))
)


def one(folder: str, kind: str, name: str) -> manifests.Object:
    found = manifests.of_kind(manifests.rendered(folder), kind)
    (only,) = [it for it in found if it["metadata"]["name"] == name]
    return only


@pytest.mark.parametrize(("model", "port"), MODELS.items())
def test_a_model_has_a_port_a_route_and_a_policy_of_its_own(model, port):
    gateway, route = (one("per-model-gateways", kind, f"weir-{model}") for kind in ("Gateway", "HTTPRoute"))
    assert [it["port"] for it in gateway["spec"]["listeners"]] == [port]
    assert route["spec"]["parentRefs"] == [{"name": f"weir-{model}", "sectionName": "http"}]
    (rule,) = route["spec"]["rules"]
    rewritten = {"type": "ReplacePrefixMatch", "replacePrefixMatch": f"/e/{model}"}
    assert [it["urlRewrite"]["path"] for it in rule["filters"]] == [rewritten]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    service = one("base", "Service", rule["backendRefs"][0]["name"])
    assert rule["backendRefs"][0]["port"] in {it["port"] for it in service["spec"]["ports"]}
    worn = gateway["spec"]["infrastructure"]["labels"]
    policy = one("per-model-gateways", "NetworkPolicy", f"weir-model-{model}")["spec"]
    assert manifests.selects(policy["podSelector"], worn)
    assert [it["port"] for it in policy["ingress"][0]["ports"]] == [port]
    (source,) = policy["ingress"][0]["from"]
    assert manifests.selects(source["namespaceSelector"], {f"weir-gateway.org/calls-{model}": ""})
    assert not manifests.selects(source["namespaceSelector"], {"weir-gateway.org/calls-other": ""})


def test_what_stands_for_a_model_is_filled_in_everywhere():
    documents = manifests.rendered("per-model-gateways")
    assert "MODEL" not in json.dumps(documents)
    assert len(documents) == 4 * len(MODELS)
    assert "/e/" in (tools.ROOT / "docs" / "endpoints.md").read_text()


def leads(path: str) -> str:
    """Where the Ingress sends it."""
    (rule,) = one("components/ingress", "Ingress", "weir")["spec"]["rules"]
    paths = rule["http"]["paths"]
    fits = [it for it in paths if it["pathType"] == "Exact" and it["path"] == path]
    fits = fits or [it for it in paths if (path + "/").startswith(it["path"].rstrip("/") + "/")]
    return str(max(fits, key=lambda it: len(it["path"]))["backend"]["service"]["name"])


def routed(path: str, folder: str = "components/gateway-api") -> manifests.Object:
    """The rule of the Gateway API's routes on https that takes it: the longest path wins."""
    rules = []
    for route in manifests.of_kind(manifests.rendered(folder), "HTTPRoute"):
        (parent,) = route["spec"]["parentRefs"]
        if parent["sectionName"] == "https":
            rules += route["spec"]["rules"]
    fits = [
        (len(match["path"]["value"]), number)
        for number, rule in enumerate(rules)
        for match in rule["matches"]
        if (path + "/").startswith(match["path"]["value"].rstrip("/") + "/")
    ]
    exact = [rule for rule in rules if {"type": "Exact", "value": path} in [it["path"] for it in rule["matches"]]]
    return dict(*exact or [rules[max(fits)[1]]])


def goes(path: str, method: str) -> manifests.Object:
    """The route of the virtual service that takes it."""
    for route in one("istio/overlays/prod", "VirtualService", "weir")["spec"]["http"]:
        for match in route.get("match", [{}]):
            uri, asked = match.get("uri", {}), match.get("method", {}).get("exact", method)
            if asked == method and path.startswith(uri.get("prefix", "")) and path == uri.get("exact", path):
                return dict(route)
    raise AssertionError(path)


@pytest.mark.parametrize(
    ("paths", "service"), [(CALLS, "weir-gateway"), (PAGES, "weir-control")], ids=["calls", "pages"]
)
def test_calls_go_to_gateways_and_pages_to_control(paths, service):
    for path in paths:
        assert leads(path) == service
        assert goes(path, "GET")["route"][0]["destination"]["host"] == service
        assert routed(path)["backendRefs"] == [{"name": service, "port": 80}]


@pytest.mark.parametrize("path", CALLS)
def test_the_mesh_neither_ends_nor_repeats_a_call(path):
    route = goes(path, "POST")
    assert route["timeout"] == "0s"
    assert route["retries"] == {"attempts": 0}


def test_the_gateway_apis_way_in_ends_no_stream_and_nobody_is_served_in_the_clear():
    for path in (*CALLS, *PAGES):
        assert routed(path)["timeouts"] == {"request": "0s", "backendRequest": "0s"}
    gateway = one("components/gateway-api", "Gateway", "weir")["spec"]
    sections = {it["name"]: it for it in gateway["listeners"]}
    for route in manifests.of_kind(manifests.rendered("components/gateway-api"), "HTTPRoute"):
        (parent,) = route["spec"]["parentRefs"]
        assert parent["name"] == "weir"
        listener = sections[parent["sectionName"]]
        assert route["spec"].get("hostnames") == ([listener["hostname"]] if "hostname" in listener else None)
        if sections[parent["sectionName"]]["protocol"] == "HTTP":
            (rule,) = route["spec"]["rules"]
            assert [it["requestRedirect"]["scheme"] for it in rule["filters"]] == ["https"]
            assert "backendRefs" not in rule


def test_a_pinned_endpoint_has_a_name_of_its_own_with_a_certificate_and_leads_to_gateways_alone():
    listeners = {it["name"]: it for it in one("components/pinned-hosts", "Gateway", "weir")["spec"]["listeners"]}
    route = one("components/pinned-hosts", "HTTPRoute", "weir-pinned")["spec"]
    (parent,), (rule,) = route["parentRefs"], route["rules"]
    listener = listeners[parent["sectionName"]]
    assert route["hostnames"] == [listener["hostname"]] != [listeners["https"]["hostname"]]
    assert listener["tls"]["certificateRefs"] != listeners["https"]["tls"]["certificateRefs"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/"}}]
    assert rule["backendRefs"] == [{"name": "weir-gateway", "port": 80}]
    assert rule["timeouts"] == {"request": "0s", "backendRequest": "0s"}


def test_the_example_of_a_pinned_endpoint_s_rule_is_one():
    text = (manifests.FOLDER / "components/ingress/ingress.yaml").read_text("utf-8")
    example = re.sub(r"^#(    .*)$", r"\1", text, flags=re.MULTILINE)
    first, second = yaml.safe_load(example)["spec"]["rules"]
    assert second["host"] != first["host"]
    (path,) = second["http"]["paths"]
    assert (path["path"], path["backend"]["service"]["name"]) == ("/", "weir-gateway")


@pytest.mark.parametrize("path", TELLING)
def test_telling_pages_are_not_there_for_who_comes_from_outside(path):
    assert leads(path) == "weir-nowhere"
    assert not {"backendRefs", "filters"} & routed(path).keys()
    routes = manifests.of_kind(manifests.rendered("components/openshift"), "Route")
    (led,) = [it["spec"]["to"]["name"] for it in routes if it["spec"]["path"] == path]
    assert led == "weir-nowhere"
    for folder in ("ingress", "openshift"):
        assert "selector" not in one(f"components/{folder}", "Service", led)["spec"]


@pytest.mark.parametrize(("folder", "kind"), [("ingress", "Ingress"), ("gateway-api", "Gateway")])
def test_a_certificate_can_be_had_by_the_way_in(folder, kind):
    """The issuer that it names is there, and the pod that answers for it is reached from the balancer."""
    way = one(f"components/{folder}", kind, "weir")
    issuer = one("issuers", "ClusterIssuer", way["metadata"]["annotations"]["cert-manager.io/cluster-issuer"])
    (solver,) = issuer["spec"]["acme"]["solvers"]
    assert "http01" in solver
    policies = manifests.of_kind(manifests.rendered(f"components/{folder}"), "NetworkPolicy")
    (opened,) = [
        it["spec"]
        for it in policies
        if it["spec"]["podSelector"] and manifests.selects(it["spec"]["podSelector"], manifests.VISITORS[0])
    ]
    (rule,) = opened["ingress"]
    assert rule["ports"] == [{"port": 8089, "protocol": "TCP"}]
    (source,) = rule["from"]
    assert manifests.selects(source["namespaceSelector"], {"weir-gateway.org/balancer": "true"})


@pytest.mark.parametrize("model", MODELS)
def test_a_models_proxies_are_let_in_beside_the_gateway_and_beside_their_controller(model):
    worn = one("per-model-gateways", "Gateway", f"weir-{model}")["spec"]["infrastructure"]["labels"]
    policy = one("per-model-gateways", "NetworkPolicy", f"weir-from-{model}")["spec"]
    beside, elsewhere = policy["ingress"][0]["from"]
    assert "namespaceSelector" not in beside
    assert manifests.selects(elsewhere["namespaceSelector"], {"weir-gateway.org/gateway-controller": "true"})
    assert not manifests.selects(elsewhere["namespaceSelector"], {"kubernetes.io/metadata.name": "default"})
    for source in (beside, elsewhere):
        assert manifests.selects(source["podSelector"], worn)
        assert not manifests.selects(source["podSelector"], {"weir-gateway.org/model": "other"})


def test_a_form_is_sent_once_and_may_take_minutes():
    form = goes("/admin/keys/apikey/add/", "POST")
    assert form["retries"] == {"attempts": 0}
    assert int(form["timeout"].removesuffix("s")) >= 300


def test_the_way_in_buffers_nothing_and_waits_longer_than_it_takes():
    given = one("components/ingress", "Ingress", "weir")["metadata"]["annotations"]
    told = {name.rpartition("/")[2]: value for name, value in given.items()}
    assert (told["proxy-buffering"], told["proxy-request-buffering"]) == ("off", "off")
    assert int(told["proxy-read-timeout"]) >= 600
    assert int(told["proxy-body-size"].removesuffix("m")) > 32
    for route in manifests.of_kind(manifests.rendered("components/openshift"), "Route"):
        assert route["spec"]["tls"]["termination"] == "edge"
        if route["spec"]["path"] not in TELLING:
            assert int(route["metadata"]["annotations"]["haproxy.router.openshift.io/timeout"].removesuffix("s")) >= 600


def test_a_gateway_is_not_thrown_out_for_what_a_provider_answers():
    for name in ("weir-gateway", "weir-control"):
        policy = one("istio/overlays/prod", "DestinationRule", name)["spec"]["trafficPolicy"]
        seen = policy["outlierDetection"]
        assert seen["splitExternalLocalOriginErrors"] is True
        assert (seen["consecutive5xxErrors"], seen["consecutiveGatewayErrors"]) == (0, 0)
        assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
        assert int(policy["connectionPool"]["http"]["idleTimeout"].removesuffix("s")) < 75


def test_production_speaks_mutual_tls_and_lets_in_whom_it_names():
    documents = manifests.rendered("istio/overlays/prod")
    assert one("istio/overlays/prod", "PeerAuthentication", "weir")["spec"]["mtls"] == {"mode": "STRICT"}
    assert one("istio/overlays/prod", "AuthorizationPolicy", "weir-nothing")["spec"] == {}
    assert one("istio/overlays/prod", "Sidecar", "weir")["spec"]["outboundTrafficPolicy"] == {"mode": "REGISTRY_ONLY"}
    pods = [labels(it) for it in ours("overlays/prod")]
    chosen = [it["spec"]["selector"] for it in manifests.of_kind(documents, "AuthorizationPolicy") if it["spec"]]
    chosen.append(
        {"matchLabels": one("istio/overlays/prod", "EnvoyFilter", "weir-flood")["spec"]["workloadSelector"]["labels"]}
    )
    for selector in chosen:
        assert any(manifests.selects(selector, it) for it in pods)
    assert one("istio/overlays/dev", "PeerAuthentication", "weir")["spec"]["mtls"] == {"mode": "PERMISSIVE"}


def test_nobody_outside_sees_the_telling_pages():
    (rule,) = one("istio/overlays/prod", "AuthorizationPolicy", "weir-not-from-outside")["spec"]["rules"]
    assert set(rule["to"][0]["operation"]["paths"]) == set(TELLING)


def test_a_proxy_outlives_what_its_pod_takes_to_end():
    lasts = {}
    for workload in ours("components/istio"):
        pod = manifests.template(workload)
        if workload["kind"] == "Job":
            continue
        told = json.loads(pod["metadata"]["annotations"]["proxy.istio.io/config"])
        lasts[role(workload)] = float(told["terminationDrainDuration"].removesuffix("s"))
        assert lasts[role(workload)] < pod["spec"]["terminationGracePeriodSeconds"] <= lasts[role(workload)] + 15
        waits = container(workload).get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drains = [float(it["value"]) for it in container(workload)["env"] if re.search("_(PRESTOP|DRAIN)_", it["name"])]
        assert waits + sum(drains) + 15 <= lasts[role(workload)]
    assert lasts.keys() == {"gateway", "control", "worker", "beat"}


def test_a_pod_has_a_proxy_that_finds_its_mesh_or_none():
    documents = manifests.rendered("components/istio")
    mesh = one("components/istio", "NetworkPolicy", "weir-mesh")["spec"]["podSelector"]
    for workload in manifests.workloads(documents):
        worn = labels(workload)
        is_in = worn["app.kubernetes.io/name"] == "weir" and role(workload) in TALKING
        assert (worn.get("sidecar.istio.io/inject") != "false") == is_in, manifests.named(workload)
        assert manifests.selects(mesh, worn) or not is_in, manifests.named(workload)


def test_who_calls_is_not_the_proxy_beside_weir():
    """It comes from the address at which Istio's proxy hands calls on; what the overlay names stays named."""
    for workload in ours("components/istio"):
        if role(workload) in ("gateway", "control"):
            names = [it["name"] for it in container(workload)["env"]]
            assert names.index("NAMED_PROXIES") < names.index("WEIR_TRUSTED_PROXIES")
            said = environment(workload)["WEIR_TRUSTED_PROXIES"].split(",")
            assert said == ["127.0.0.6/32", "127.0.0.1/32", "$(NAMED_PROXIES)"]
            (source,) = [it["valueFrom"] for it in container(workload)["env"] if it["name"] == "NAMED_PROXIES"]
            there = {it["metadata"]["name"] for it in manifests.of_kind(manifests.rendered("components/istio"), MAP)}
            assert source["configMapKeyRef"]["name"] in there
            assert source["configMapKeyRef"]["key"] in configuration("components/istio")


@pytest.mark.parametrize("name", ["dev", "prod", "prod-istio"])
def test_prometheus_asks_every_process_with_a_token_that_is_there(name):
    overlay = f"overlays/{name.removesuffix('-istio')}"
    monitors = manifests.of_kind(manifests.rendered(f"monitoring/overlays/{name}"), "PodMonitor", "ServiceMonitor")
    asked = set()
    for monitor in monitors:
        (endpoint,) = monitor["spec"].get("podMetricsEndpoints") or monitor["spec"]["endpoints"]
        for worn, ports, found in _watched(overlay, monitor["kind"]):
            if manifests.selects(monitor["spec"]["selector"], worn):
                assert endpoint["port"] in ports
                assert {"targetLabel": "job", "replacement": f"weir-{found}"} in endpoint["relabelings"]
                asked.add(found)
        token = endpoint["authorization"]["credentials"]
        (volume,) = [it["secret"] for it in _volumes(overlay) if "secret" in it]
        assert token["name"] == volume["secretName"]
        assert f"{token['key']}_FILE" in configuration(overlay)
    assert asked == {"gateway", "control", "worker", "beat"}


def _watched(folder: str, kind: str) -> list[tuple[dict[str, str], set[str], str]]:
    """Labels by which a monitor of that kind finds a role, the names of its ports, and the role."""
    if kind == "PodMonitor":
        return [(labels(it), {port["name"] for port in container(it)["ports"]}, role(it)) for it in _serving(folder)]
    found = []
    for service in manifests.services(manifests.rendered(folder)):
        (pod,) = [
            it for it in _serving(folder) if manifests.selects({"matchLabels": service["spec"]["selector"]}, labels(it))
        ]
        found.append((service["metadata"]["labels"], {port["name"] for port in service["spec"]["ports"]}, role(pod)))
    return found


def _serving(folder: str) -> list[manifests.Object]:
    return [it for it in ours(folder) if role(it) in TALKING]


def test_in_a_mesh_that_takes_nothing_in_the_clear_prometheus_shows_its_certificate():
    documents = manifests.rendered("monitoring/overlays/prod-istio")
    assert not manifests.of_kind(documents, "PodMonitor")
    page = (tools.ROOT / "docs/deploy/kubernetes.md").read_text("utf-8")
    plain = {
        it["metadata"]["name"]: it
        for it in manifests.of_kind(manifests.rendered("monitoring/overlays/prod"), "PodMonitor")
    }
    monitors = manifests.of_kind(documents, "ServiceMonitor")
    assert {it["metadata"]["name"] for it in monitors} == plain.keys()
    for monitor in monitors:
        (endpoint,) = monitor["spec"]["endpoints"]
        shown, scheme = endpoint.pop("tlsConfig"), endpoint.pop("scheme")
        assert scheme == "https"
        for name in ("caFile", "certFile", "keyFile"):
            assert f'"OUTPUT_CERTS": "{shown[name].rpartition("/")[0]}"' in page
        assert plain[monitor["metadata"]["name"]]["spec"]["podMetricsEndpoints"] == [endpoint]


def _volumes(folder: str) -> list[manifests.Object]:
    (gateway,) = [it for it in ours(folder) if role(it) == "gateway"]
    return list(manifests.template(gateway)["spec"]["volumes"])


def test_rules_and_dashboards_are_those_of_the_monitoring_folder():
    documents = manifests.rendered("monitoring/overlays/prod")
    (rule,) = manifests.of_kind(documents, "PrometheusRule")
    plain = [yaml.safe_load(path.read_text()) for path in (tools.ROOT / "deploy/monitoring/rules").glob("*.yaml")]
    wanted = {group["name"] for file in plain for group in file["groups"]}
    assert {group["name"] for group in rule["spec"]["groups"]} == wanted
    held = {name for it in manifests.of_kind(documents, "ConfigMap") for name in it["data"]}
    assert held == {path.name for path in (tools.ROOT / "deploy/monitoring/dashboards").glob("*.json")}
    # Another copy would have the same uids, and one Grafana looks at all namespaces.
    assert not manifests.of_kind(manifests.rendered("monitoring/overlays/dev"), "ConfigMap")


def test_what_gateways_are_scaled_by_is_counted():
    scaler = one("components/scale-by-calls", "HorizontalPodAutoscaler", "weir-gateway")["spec"]
    (named,) = [it["pods"]["metric"]["name"] for it in scaler["metrics"] if it["type"] == "Pods"]
    sources = (tools.ROOT / "apps/status").glob("*.py")
    assert any(f'"{named}"' in path.read_text() for path in sources)
    adapter = yaml.safe_load((manifests.FOLDER / "components/scale-by-calls/prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    assert rule["seriesQuery"].partition("{")[0] == named
    assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}
    down = scaler["behavior"]["scaleDown"]
    assert down["stabilizationWindowSeconds"] >= 300
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


@pytest.mark.parametrize("folder", manifests.OVERLAYS)
def test_nothing_is_scaled_by_what_a_cluster_may_lack(folder):
    """An autoscaler that misses one of its metrics never scales down."""
    for scaler in manifests.of_kind(manifests.rendered(folder), "HorizontalPodAutoscaler"):
        assert [it["type"] for it in scaler["spec"]["metrics"]] == ["Resource"], manifests.named(scaler)


def test_production_can_scale_by_calls_and_is_the_same_in_all_else():
    plain, by_calls = (
        {(it["kind"], it["metadata"]["name"]): it for it in manifests.rendered(f"overlays/{name}")}
        for name in ("prod", "prod-by-calls")
    )
    changed = [key for key in plain if by_calls[key] != plain[key]]
    assert changed == [("HorizontalPodAutoscaler", "weir-gateway")]
    assert by_calls.keys() == plain.keys()
    metrics = [it["type"] for it in by_calls["HorizontalPodAutoscaler", "weir-gateway"]["spec"]["metrics"]]
    assert metrics == ["Resource", "Pods"]


def test_argo_finds_what_it_follows_and_may_make_it():
    applications, project = (one("argocd", kind, "weir")["spec"] for kind in ("ApplicationSet", "AppProject"))
    allowed = {(it["group"], it["kind"]) for it in project["clusterResourceWhitelist"]}
    for element in applications["generators"][0]["list"]["elements"]:
        path = tools.ROOT / element["path"]
        assert (path / "kustomization.yaml").is_file()
        documents = manifests.rendered(path.relative_to(manifests.FOLDER).as_posix())
        for it in documents:
            if "namespace" in it["metadata"]:
                assert it["metadata"]["namespace"] == element["namespace"]
            else:
                assert (manifests.group(it).removeprefix("v1"), it["kind"]) in allowed
    assert applications["template"]["spec"]["project"] == one("argocd", "AppProject", "weir")["metadata"]["name"]
