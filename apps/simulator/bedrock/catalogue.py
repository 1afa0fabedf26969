"""The control plane's lists. In life they live at another host (`bedrock.` instead of `bedrock-runtime.`)."""

from __future__ import annotations

from urllib.parse import unquote

from apps.simulator import models
from apps.simulator.ask import Object, Refused
from apps.simulator.dialect import Request

REGION = "us-east-1"
MODELS = (
    ("anthropic.claude-opus-4-6-v1", "Claude Opus 4.6"),
    ("anthropic.claude-sonnet-4-6", "Claude Sonnet 4.6"),
    ("anthropic.claude-haiku-4-5-20251001-v1:0", "Claude Haiku 4.5"),
    ("amazon.nova-pro-v1:0", "Nova Pro"),
    ("amazon.nova-lite-v1:0", "Nova Lite"),
    ("amazon.titan-embed-text-v2:0", "Titan Text Embeddings V2"),
    ("cohere.embed-multilingual-v3", "Embed Multilingual"),
    ("meta.llama3-3-70b-instruct-v1:0", "Llama 3.3 70B Instruct"),
)  # fmt: skip
PROVIDERS = {"anthropic": "Anthropic", "amazon": "Amazon", "cohere": "Cohere", "meta": "Meta"}


def foundation_models(request: Request) -> Object:
    return {"modelSummaries": [_model(*model) for model in MODELS]}


def inference_profiles(request: Request) -> Object:
    return {"inferenceProfileSummaries": [_profile(*model) for model in MODELS if "embed" not in model[0]]}


def foundation_model(request: Request) -> Object:
    wanted = unquote(request.path.split("/", 2)[2])
    return {"modelDetails": next((_model(*model) for model in MODELS if model[0] == wanted), None) or _unknown(wanted)}


def inference_profile(request: Request) -> Object:
    wanted = unquote(request.path.split("/", 2)[2])
    found = (profile for profile in map(_profile, *zip(*MODELS, strict=True)) if wanted in _names(profile))
    return next(found, None) or _unknown(wanted)


def _names(profile: Object) -> tuple[str, str]:
    return profile["inferenceProfileId"], profile["inferenceProfileArn"]


def _unknown(name: str) -> Object:
    raise Refused(f"The provided identifier {name!r} was not found.", status=404)


def _model(name: str, title: str) -> Object:
    embeds = "embed" in name
    return {
        "modelArn": _arn(name),
        "modelId": name,
        "modelName": title,
        "providerName": PROVIDERS[name.partition(".")[0]],
        "inputModalities": ["TEXT"] if embeds else ["TEXT", "IMAGE"],
        "outputModalities": ["EMBEDDING"] if embeds else ["TEXT"],
        "responseStreamingSupported": not embeds,
        "customizationsSupported": [],
        "inferenceTypesSupported": ["ON_DEMAND"] if embeds else ["ON_DEMAND", "INFERENCE_PROFILE"],
        "modelLifecycle": {"status": "ACTIVE"},
    }


def _profile(name: str, title: str) -> Object:
    return {
        "inferenceProfileId": f"us.{name}",
        "inferenceProfileName": f"US {title}",
        "inferenceProfileArn": f"arn:aws:bedrock:{REGION}:000000000000:inference-profile/us.{name}",
        "description": f"Routes requests to {title} in several regions of the US.",
        "models": [{"modelArn": _arn(name)}],
        "status": "ACTIVE",
        "type": "SYSTEM_DEFINED",
        "createdAt": models.SINCE_TEXT,
        "updatedAt": models.SINCE_TEXT,
    }


def _arn(name: str) -> str:
    return f"arn:aws:bedrock:{REGION}::foundation-model/{name}"
