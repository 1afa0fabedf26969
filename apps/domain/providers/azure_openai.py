"""Azure OpenAI. A model's name is the deployment's there.

The v1 API is OpenAI's own at another address. With the option `api_version` calls go to the dated API before it, where
the deployment is part of the path.
"""

from __future__ import annotations

from apps.domain.providers.vendor import HeaderList, Option, Options, Vendor, joined


def authorize(secret: str) -> HeaderList:
    return (("api-key", secret),) if secret else ()


def address(base_url: str, path: str, *, model: str, options: Options) -> str:
    version = options.get("api_version")
    if not version:
        return joined(base_url, path, model=model, options=options)
    home = base_url.rstrip("/").removesuffix("/v1")
    if path in ("/chat/completions", "/embeddings"):
        path = "/deployments/{model}" + path
    return f"{joined(home, path, model=model, options=options)}?api-version={version}"


def deployed_at(base_url: str) -> str:
    """The resource's deployments. Of the versions of the dated API the first only has this, which Microsoft documents
    no more; it was seen to answer in 2026. The documented lists name all that could be deployed."""
    return f"{base_url.rstrip('/').removesuffix('/v1')}/deployments?api-version=2023-03-15-preview"


VENDOR = Vendor(
    slug="azure_openai",
    label="Azure OpenAI",
    protocols=("openai_chat", "openai_responses"),
    beside=frozenset({"openai_chat", "openai_responses"}),
    base_url="https://{resource}.openai.azure.com/openai/v1",
    authorize=authorize,
    address=address,
    deployed_at=deployed_at,
    options=(
        Option(name="resource", label="Resource", hint="The first part of its host name.", required=True),
        Option(name="api_version", label="API version", hint="Of the dated API, as 2024-10-21. Empty: the v1 API."),
    ),
    quirks=frozenset({"max_completion_tokens", "developer_role", "no_reasoning_history"}),
    summary="OpenAI's models in a resource of your own at Microsoft.",
    key_page="https://portal.azure.com",
    tags=("cloud",),
    prices="azure",
)
