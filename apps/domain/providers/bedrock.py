"""AWS Bedrock. Claude is asked through InvokeModel, every other family through Converse.

A secret is a Bedrock API key; or an access key, `id:secret` or `id:secret:session token`, with which requests are
signed (`outbound.signing`); or the word `role`: the machine's own credentials, as every AWS program finds them.
"""

from __future__ import annotations

import re

import msgspec

from apps.domain.providers.vendor import HeaderList, Option, Options, Vendor, bearer, joined

ROLE = "role"
_BASE_URL = "https://bedrock-runtime.{region}.amazonaws.com"
_REGION = re.compile(r"://bedrock(?:-runtime)?(?:-fips)?\.([a-z0-9-]+)\.")
_DEFAULT_REGION = "us-east-1"
# Of inference profiles; models themselves have none.
_PREFIX = re.compile(r"(?:.*/)?(?:us-gov|us|eu|apac|global|jp|au|ca|sa|me|af|mx|il|in|uk)\.(?=[a-z0-9-]+\.)")
_COUNTS = "/count-tokens"


class AccessKey(msgspec.Struct, frozen=True):
    id: str
    secret: str
    token: str | None = None


def access_key(secret: str) -> AccessKey | None:
    """None: it is none."""
    parts = secret.split(":", 2)
    return AccessKey(*parts) if len(parts) > 1 and all(parts) else None


def is_signed_with(secret: str) -> bool:
    return secret == ROLE or access_key(secret) is not None


def authorize(secret: str) -> HeaderList:
    return () if is_signed_with(secret) else bearer(secret)


def protocol_of(model: str) -> str:
    """By the id of a model, of an inference profile, or the ARN of either."""
    return "bedrock_invoke" if "anthropic.claude" in model else "bedrock_converse"


def bare(model: str) -> str:
    """The id of the model behind an inference profile. Tokens are counted of models only."""
    return _PREFIX.sub("", model, count=1)


def address(base_url: str, path: str, *, model: str, options: Options) -> str:
    return joined(base_url, path, model=bare(model) if path.endswith(_COUNTS) else model, options=options)


def lists_at(base_url: str) -> str:
    """Models are listed at the control plane."""
    return base_url.replace("://bedrock-runtime", "://bedrock", 1)


def region(base_url: str, options: Options) -> str:
    """For which a request is signed: as it was told, or as the host says."""
    found = _REGION.search(base_url)
    return options.get("region") or (found.group(1) if found else _DEFAULT_REGION)


VENDOR = Vendor(
    slug="bedrock",
    label="AWS Bedrock",
    protocols=("bedrock_invoke", "bedrock_converse"),
    base_url=_BASE_URL,
    authorize=authorize,
    protocol_of=protocol_of,
    address=address,
    lists_at=lists_at,
    options=(Option(name="region", label="Region", hint="As us-east-1: where the models are asked.", required=True),),
    signer="aws",
    summary="Claude, Nova, Llama and others in an AWS account of your own.",
    key_hint="An API key; an access key as id:secret or id:secret:token; or the word role, for the machine's own.",
    key_page="https://console.aws.amazon.com/bedrock/home#/api-keys",
    tags=("cloud",),
    prices="aws",
)
