"""LiteLLM and Portkey, where the person who runs the benchmark has installed them.

    BENCH_LITELLM=/path/to/venv               an environment in which `pip install 'litellm[proxy]'` was run
    BENCH_PORTKEY=/path/to/node_modules       the folder that `npm install @portkey-ai/gateway` has filled

Each runs as its own documentation starts it, with one worker. LiteLLM has a master key and no database, Portkey has
neither keys nor a ledger: both do less than Weir does.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from benchmarks import servers
from benchmarks.contenders import SAME_DIALECT, Contender, Up, started
from benchmarks.servers import HOST, Cores, Server
from benchmarks.wire import MODELS

LITELLM_KEY = "sk-bench"
LITELLM_VENDORS = {"anthropic": ("anthropic", ""), "openai": ("openai", "/v1")}
PORTKEY = Path("@portkey-ai/gateway/build/start-server.js")
NOT_INSTALLED = "not installed"


def present() -> tuple[Contender, ...]:
    """Both, with the reason where one cannot be measured."""
    environment, modules = os.environ.get("BENCH_LITELLM"), os.environ.get("BENCH_PORTKEY")
    has_litellm = environment is not None and (Path(environment) / "bin" / "litellm").exists()
    has_portkey = modules is not None and (Path(modules) / PORTKEY).exists()
    return (
        Contender("litellm", SAME_DIALECT[:1], litellm, missing="" if has_litellm else NOT_INSTALLED),
        Contender("portkey", SAME_DIALECT[:1], portkey, missing="" if has_portkey else NOT_INSTALLED),
    )


@contextlib.contextmanager
def litellm(folder: Path, cores: Cores, provider: Server) -> Iterator[Up]:
    models = []
    for name, (dialect, upstream_model) in MODELS.items():
        if dialect not in LITELLM_VENDORS:
            continue  # it is raced in its own dialect only
        vendor, path = LITELLM_VENDORS[dialect]
        parameters = {"model": f"{vendor}/{upstream_model}", "api_base": provider.url + path, "api_key": "upstream"}
        models.append({"model_name": name, "litellm_params": parameters})
    settings = {"model_list": models, "general_settings": {"master_key": LITELLM_KEY}}
    (folder / "litellm.yaml").write_text(json.dumps(settings))  # JSON is YAML
    port = servers.free_port()
    command = [f"{os.environ['BENCH_LITELLM']}/bin/litellm", "--config", str(folder / "litellm.yaml")]
    command += ["--host", HOST, "--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    environment = {**os.environ, "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    environment.pop("DATABASE_URL", None)
    with started(command, port=port, log=folder / "litellm.log", cores=cores, environment=environment) as server:
        yield Up(port=server.port, key=LITELLM_KEY, pid=server.pid, headers={})


@contextlib.contextmanager
def portkey(folder: Path, cores: Cores, provider: Server) -> Iterator[Up]:
    port = servers.free_port()
    command = ["node", str(Path(os.environ["BENCH_PORTKEY"]) / PORTKEY), f"--port={port}", "--headless"]
    environment = {**os.environ, "NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": HOST}
    with started(command, port=port, log=folder / "portkey.log", cores=cores, environment=environment) as server:
        headers = (("x-portkey-provider", "anthropic"), ("x-portkey-custom-host", f"{provider.url}/v1"))
        yield Up(port=server.port, key="upstream", pid=server.pid, headers={"anthropic": headers})
