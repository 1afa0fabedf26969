"""The Compose file, as Compose itself reads it: valid, hardened, and at one with what it mounts."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from apps.status import urls
from tests.deploy import front, tools
from tests.deploy.test_env import values

FOLDER = tools.ROOT / "deploy" / "compose"
FILE = FOLDER / "compose.yaml"
STORES = ("postgres", "valkey", "rabbitmq", "qdrant")
WEIR = ("gateway-1", "gateway-2", "control", "worker", "beat", "migrate")
UNITS = {"s": 1, "m": 60}
CONNECTION_BYTES = 512  # that nginx takes for each there may be, before there is any


@pytest.fixture(scope="module")
def read() -> dict[str, Any]:
    """All of it, with every profile, as it would be started."""
    command = ("--file", FILE, "--profile", "*", "config", "--format", "json")
    said = tools.run("docker-compose", *command, variables={"WEIR_HOST": "weir.example.net"})
    assert said.status == 0, said.text
    return json.loads(said.output)


def seconds(text: str) -> int:
    return sum(int(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([sm])", text))


def test_it_fits_the_schema_and_a_planted_fault_does_not(tmp_path):
    schema = ("--builtin-schema", "vendor.compose-spec")
    said = tools.run("check-jsonschema", *schema, FILE)
    assert said.status == 0, said.text
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(FILE.read_text().replace("stop_signal: SIGINT", "stop_sign: SIGINT"))
    assert tools.run("check-jsonschema", *schema, wrong).status != 0


def test_every_service_is_confined(read):
    for name, service in read["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        limits = service["deploy"]["resources"]["limits"]
        assert limits.keys() == {"cpus", "memory", "pids"}, name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name
        assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.?\d*[\w-]*", service["image"]), service["image"]


def test_databases_are_in_a_network_without_a_way_in_or_out(read):
    assert read["networks"]["back"]["internal"] is True
    for name in STORES:
        assert list(read["services"][name]["networks"]) == ["back"]
        assert "ports" not in read["services"][name]
    assert "back" not in read["services"]["nginx"]["networks"]
    published = {name: service["ports"] for name, service in read["services"].items() if "ports" in service}
    assert published.keys() == {"nginx", "grafana"}
    assert published["grafana"][0]["host_ip"] == "127.0.0.1"


def test_no_secret_is_in_an_environment_and_each_that_is_read_is_made(read):
    made = set(re.findall(r"^(?:\[.*\|\| )?make (\S+) ", (FOLDER / "secrets.sh").read_text(), re.MULTILINE))
    assert {Path(secret["file"]).name for secret in read["secrets"].values()} <= made
    for name, service in read["services"].items():
        for variable, value in (service.get("environment") or {}).items():
            if re.search(r"PASSWORD|TOKEN|SECRET|KEYRING|DATABASE_URL|REDIS_URL", variable):
                assert "/run/secrets/" in value, (name, variable)
        held = {secret["source"] for secret in service.get("secrets", ())}
        named = set(re.findall(r"/run/secrets/([\w.]+)", json.dumps(service)))
        assert named <= held, name


def test_processes_wait_for_what_they_need_and_are_waited_for(read):
    services = read["services"]
    known = values("prod")
    least = int(known["WEIR_PRESTOP_SECONDS"]) + int(known["WEIR_DRAIN_SECONDS"]) + 30
    for name in WEIR:
        needed = services[name]["depends_on"]
        assert needed["postgres"]["condition"] == "service_healthy"
        assert name == "migrate" or needed["migrate"]["condition"] == "service_completed_successfully"
        assert services[name]["environment"]["WEIR_BASE_URL"] == "https://weir.example.net"
    for name in ("gateway-1", "gateway-2", "nginx"):
        assert seconds(services[name]["stop_grace_period"]) >= least
    assert {name: services[name]["command"][0] for name in WEIR} == {
        **{"gateway-1": "gateway", "gateway-2": "gateway", "control": "control"},
        **{"worker": "worker", "beat": "beat", "migrate": "migrate"},
    }
    for name in ("gateway-1", "gateway-2", "control"):
        told = int(services[name]["environment"]["WEIR_STOP_SECONDS"])
        assert told == seconds(services[name]["stop_grace_period"])
    # Others end in their own time, which Weir does not compare with a drain.
    assert not any("WEIR_STOP_SECONDS" in services[name]["environment"] for name in ("worker", "beat", "migrate"))
    for name in ("gateway-1", "gateway-2"):
        kept = {volume["source"] for volume in services[name]["volumes"] if volume["type"] == "volume"}
        assert kept == {"state", "journal"}


def test_what_it_mounts_is_there(read):
    for name, service in read["services"].items():
        for volume in service.get("volumes", ()):
            if volume.get("bind", {}).get("create_host_path") is False:
                assert Path(volume["source"]).relative_to(FOLDER).parts[0] in ("secrets", "acme"), (name, volume)
            else:
                assert volume["type"] == "volume" or Path(volume["source"]).exists(), (name, volume)


def test_an_engine_can_mount_all_of_it(read):
    """What Compose writes into a container by itself does not get into a read-only one (docker/compose#12031), and what
    is mounted to be read only takes no further mount."""
    for name, service in read["services"].items():
        for kind in ("configs", "secrets"):
            assert {"file"} >= {
                source
                for used in service.get(kind, ())
                for source in read[kind][used["source"]].keys() & {"content", "environment", "file"}
            }, name
        folders = [Path(mount["target"]) for mount in service.get("volumes", ()) if mount.get("read_only")]
        targets = [Path(mount["target"]) for mount in service.get("volumes", ())]
        targets += [Path(text.partition(":")[0]) for text in service.get("tmpfs", ())]
        within = [(target, folder) for target in targets for folder in folders if folder in target.parents]
        assert within == [], name


def test_nginx_has_every_file_that_its_configuration_includes(read):
    mounted = {Path(mount["target"]) for mount in read["services"]["nginx"]["volumes"]}
    texts = [(FOLDER.parent / "nginx" / name).read_text() for name in ("nginx.conf", "weir.conf")]
    texts += [path.read_text() for path in (FOLDER.parent / "nginx" / "weir").iterdir()]
    included = set(re.findall(r"^\s*include (weir[\w./-]*);", "\n".join(texts), re.MULTILINE))
    assert {Path("/etc/nginx", name) for name in included} <= mounted
    assert len(included) > 6


def test_nginx_has_room_for_the_connections_of_all_its_workers(read):
    """A reload starts as many anew, while those before end their streams."""
    service, folder = read["services"]["nginx"], FOLDER.parent / "nginx"
    (mounted,) = [mount["source"] for mount in service["volumes"] if mount["target"] == "/etc/nginx/weir/workers.conf"]
    told = [Path(mounted).read_text(), (folder / "nginx.conf").read_text()]
    (workers,) = re.findall(r"^worker_processes (\w+);", "\n".join(told), re.MULTILINE)
    (connections,) = re.findall(r"^    worker_connections (\d+);", told[1], re.MULTILINE)
    limits = service["deploy"]["resources"]["limits"]
    assert int(limits["memory"]) > 4 * int(workers) * int(connections) * CONNECTION_BYTES
    assert int(limits["pids"]) > 4 * int(workers)
    (files,) = re.findall(r"^worker_rlimit_nofile (\d+);", told[1], re.MULTILINE)
    assert service["ulimits"]["nofile"] == {"soft": int(files), "hard": int(files)}


def test_valkey_is_full_before_it_is_killed(read):
    service = read["services"]["valkey"]
    least = int(service["command"][service["command"].index("--maxmemory") + 1].removesuffix("mb")) * 1024 * 1024
    assert least * 1.25 < int(service["deploy"]["resources"]["limits"]["memory"])
    assert service["command"][-2:] == ["--maxmemory-policy", "noeviction"]


def test_secrets_sh_says_which_host_nginx_answers_to(tmp_path):
    shutil.copy(FOLDER / "secrets.sh", tmp_path)

    def said() -> str:
        command = ["sh", tmp_path / "secrets.sh"]
        subprocess.run(command, check=True, capture_output=True, timeout=60, env={"PATH": os.environ["PATH"]})
        return (tmp_path / "secrets" / "host.conf").read_text()

    assert said() == "server_name weir.example.org;\n"
    (tmp_path / ".env").write_text('WEIR_IMAGE=weir:mine\nWEIR_HOST="weir.example.net"\n')
    assert said() == "server_name weir.example.net;\n"
    assert (tmp_path / "secrets" / "host.conf").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "acme").stat().st_mode & 0o777 == 0o755


def test_secrets_are_made_once_and_fit_one_another(tmp_path):
    shutil.copy(FOLDER / "secrets.sh", tmp_path)

    def made() -> dict[str, str]:
        subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True, timeout=60)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir() if path.is_file()}

    first = made()
    assert made() == first
    word = first["postgres_password"].strip()
    assert first["database_url"].strip() == f"postgres://weir:{word}@postgres/weir"
    word = re.search(r":(\w+)@valkey", first["redis_url"])[1]
    assert f" >{word} " in first["valkey.acl"]
    assert re.search(r":(\w+)@rabbitmq", first["rabbitmq_url"])[1] in first["rabbitmq.conf"]
    texts = [first[name] for name in ("secret_key", "keyring", "operator_token", "postgres_password")]
    assert len(set(texts)) == len(texts)
    assert all(len(text) > 40 for text in texts)
    for name in ("keyring", "secret_key", "database_url"):
        status = (tmp_path / "secrets" / name).stat()
        assert status.st_mode & 0o777 == 0o400
        assert os.geteuid() != 0 or status.st_uid == 10001


def test_a_secret_that_only_some_have_gets_to_every_process_and_nobody_else(read, tmp_path):
    for name in WEIR:
        mounts = {mount["target"]: mount for mount in read["services"][name]["volumes"]}
        assert mounts["/etc/weir/secrets"]["source"] == str(FOLDER / "secrets" / "more"), name
        assert mounts["/etc/weir/secrets"]["read_only"] is True
    shutil.copy(FOLDER / "secrets.sh", tmp_path)
    (tmp_path / "secrets" / "more").mkdir(parents=True)
    path = tmp_path / "secrets" / "more" / "email_url"
    path.write_text("smtp+tls://weir:word@mail.example.org:587")
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True, timeout=60)
    assert path.stat().st_mode & 0o777 == 0o400
    assert os.geteuid() != 0 or path.stat().st_uid == 10001


def test_a_new_certificate_gets_to_nginx_and_nginx_hears_of_it(tmp_path):
    """As certbot calls its hook, with a `docker` that writes down what it was told."""
    for name in ("secrets.sh", "renewed.sh"):
        shutil.copy(FOLDER / name, tmp_path)
    subprocess.run(["sh", tmp_path / "secrets.sh"], check=True, capture_output=True, timeout=60)
    lineage, programs = tmp_path / "live", tmp_path / "bin"
    for folder in (lineage, programs):
        folder.mkdir()
    for name in ("fullchain.pem", "privkey.pem"):
        (lineage / name).write_text(f"new {name}")
    (programs / "docker").write_text(f'#!/bin/sh\npwd >{tmp_path}/told\necho "$@" >>{tmp_path}/told\n')
    (programs / "docker").chmod(0o755)
    variables = {"PATH": f"{programs}:{os.environ['PATH']}", "RENEWED_LINEAGE": str(lineage)}
    for _ in range(2):
        command = ["sh", tmp_path / "renewed.sh"]
        subprocess.run(command, check=True, capture_output=True, timeout=60, cwd="/", env=variables)
    assert (tmp_path / "told").read_text().splitlines() == [str(tmp_path), "compose kill --signal HUP nginx"]
    for name in ("fullchain.pem", "privkey.pem"):
        path = tmp_path / "secrets" / "tls" / name
        assert path.read_text() == f"new {name}"
        assert path.stat().st_mode & 0o777 == 0o440


def test_prometheus_asks_every_process_under_a_name_that_it_answers_to(read):
    path = FOLDER / "observability" / "prometheus.yaml"
    said = tools.run("promtool", "check", "config", "--syntax-only", path)
    assert said.status == 0, said.text
    hosts = read["services"]["gateway-1"]["environment"]["WEIR_ALLOWED_HOSTS"].split(",")
    asked = re.findall(r'"([\w-]+):(\d+)"', path.read_text())
    assert {name for name, _ in asked} - {"localhost", "alertmanager"} == set(WEIR) - {"migrate"}
    assert {"gateway-1", "gateway-2", "control"} <= set(hosts)
    assert any(str(each.pattern) == "metrics" for each in urls.urlpatterns)


def test_what_fires_is_told_to_somebody(read):
    asking = yaml.safe_load((FOLDER / "observability" / "prometheus.yaml").read_text())
    (told,) = [
        target for each in asking["alerting"]["alertmanagers"] for target in each["static_configs"][0]["targets"]
    ]
    assert told == "alertmanager:9093"
    service = read["services"]["alertmanager"]
    assert "watch" in service["networks"]
    assert not read["networks"]["watch"].get("internal")  # it has a way out
    telling = yaml.safe_load((FOLDER / "observability" / "alertmanager.yaml").read_text())
    receivers = {receiver["name"]: receiver for receiver in telling["receivers"]}
    routes = [telling["route"], *telling["route"]["routes"]]
    assert {route["receiver"] for route in routes} <= receivers.keys()
    held = {f"/run/secrets/{secret['source']}" for secret in service["secrets"]}
    assert {hook["url_file"] for one in receivers.values() for hook in one["webhook_configs"]} <= held
    rules = (tools.ROOT / "deploy" / "monitoring" / "rules" / "alerts.yaml").read_text()
    (severity,) = re.findall(r'severity="(\w+)"', telling["route"]["routes"][0]["matchers"][0])
    assert f"severity: {severity}" in rules


def test_the_page_calls_prometheus_s_jobs_as_the_rules_do():
    """Else alerts of a missing job fire for ever."""
    text = page("docs/observability.md")
    (text,) = re.findall(r"^```yaml\n((?:(?!```).*\n)*?scrape_configs:\n(?:(?!```).*\n)*)", text, re.MULTILINE)
    jobs = {job["job_name"] for job in yaml.safe_load(text)["scrape_configs"]}
    assert jobs == {"weir-gateway", "weir-control", "weir-worker", "weir-beat"}
    rules = (tools.ROOT / "deploy" / "monitoring" / "rules" / "alerts.yaml").read_text()
    assert set(re.findall(r'job="([\w-]+)"', rules)) <= jobs


def page(name: str) -> str:
    return (tools.ROOT / name).read_text()


def test_its_nginx_is_the_one_of_every_machine_with_other_addresses(tmp_path):
    """What only a newer nginx knows, names that are resolved anew, is taken out for the one here."""
    upstreams = tmp_path / "upstreams.conf"
    text = (FOLDER / "nginx" / "upstreams.conf").read_text()
    text = re.sub(r"^resolver .*\n", "", text, flags=re.MULTILINE).replace(" resolve", "")
    upstreams.write_text(re.sub(r"(gateway-\d|control):", "127.0.0.1:", text))
    ports = {f"{host}{port}": f"{host}{port + 9000}" for host in ("listen ", "[::]:") for port in (443, 80)}
    folder = front.moved(tmp_path / "nginx", changes=ports, upstreams=upstreams)
    said = subprocess.run(front.command(folder, "-t"), capture_output=True, text=True, timeout=60, check=False)
    assert said.returncode == 0, said.stderr
