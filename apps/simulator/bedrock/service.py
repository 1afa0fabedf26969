"""What all of Bedrock shares: ids of models, errors, headers."""

from __future__ import annotations

import re
import uuid
from typing import Any, NoReturn
from urllib.parse import unquote

import msgspec

from apps.simulator.ask import Object, Refused
from apps.simulator.bedrock import eventstream
from apps.simulator.dialect import Broken, Failure, Frame, Head, Headers, Request

# fmt: off
REGIONS = ("us", "us-gov", "eu", "apac", "global", "jp", "au", "ca", "sa")
FAMILIES = (
    "ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "luma", "meta", "minimax", "mistral", "moonshot",
    "moonshotai", "nvidia", "openai", "qwen", "simulated", "stability", "twelvelabs", "writer", "zai",
)
# fmt: on
_MODEL = re.compile(
    rf"(?:(?P<region>{'|'.join(REGIONS)})\.)?(?P<family>{'|'.join(FAMILIES)})\.(?P<name>[a-z0-9][a-z0-9.-]*)"
    r"(?::(?P<version>\d+(?::[a-z0-9]+)?))?"
)
_ARN = re.compile(r"arn:aws(?:-[a-z-]+)?:bedrock:[a-z0-9-]+:\d*:(?:[a-z-]+)/(?P<id>.+)")
BROKE = "The system encountered an unexpected error during processing. Try your request again."
EXCEPTIONS: dict[int, tuple[str, str]] = {
    400: ("ValidationException", "The request was refused by the simulator's script."),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "The requested resource was not found."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    413: ("RequestEntityTooLargeException", "The request is too large."),
    424: ("ModelErrorException", BROKE),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", BROKE),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}
NO_CREDENTIALS = ("UnrecognizedClientException", "The security token included in the request is invalid.")


class Model(msgspec.Struct, frozen=True):
    """`name` is without region, family and version: `claude-sonnet-4-6` of `us.anthropic.claude-sonnet-4-6-v1:0`."""

    id: str
    family: str
    name: str
    region: str = ""

    @property
    def is_claude(self) -> bool:
        return self.family == "anthropic"

    @property
    def embeds(self) -> bool:
        return "embed" in self.name


def refuse(message: str, *, kind: str | None = None) -> NoReturn:
    raise Refused(message, kind=kind)


def path_model(request: Request) -> str:
    return unquote(request.path.split("/")[2])


def model(request: Request) -> Model:
    """The model that the path names. Raises Refused."""
    return named(path_model(request))


def named(name: str) -> Model:
    arn = _ARN.fullmatch(name)
    found = _MODEL.fullmatch(arn["id"] if arn else name)
    if found is None:
        refuse("The provided model identifier is invalid.")
    short = re.sub(r"-v\d+$", "", found["name"])
    return Model(name, found["family"], short, found["region"] or "")


def head(request: Request) -> Head:
    """The path says all of it."""
    return Head(path_model(request), request.path.endswith("-stream"))


def document(body: bytes) -> Object:
    try:
        decoded: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        refuse("Malformed input request, please reformat your input and try again.")
    if not isinstance(decoded, dict):
        refuse("Malformed input request: #: expected type: JSONObject, please reformat your input and try again.")
    return decoded


def failure(error: Refused, request_id: str) -> Failure:
    """Bedrock has no 401, 422 or 529; gateways' own statuses come without the name of an exception."""
    status = {401: 403, 422: 400, 529: 503}.get(error.status, error.status)
    kind, message = NO_CREDENTIALS if error.status == 401 else EXCEPTIONS.get(status, ("", "Error"))
    kind = error.kind or kind
    named = [(b"x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode())]
    return Failure(status, {"message": error.message or message}, named if kind else [])


def failure_frames(broken: Broken) -> list[Frame]:
    if broken.is_throttled:
        return [eventstream.exception("throttlingException", {"message": EXCEPTIONS[429][1]})]
    told = {"message": BROKE, "originalStatusCode": 500, "originalMessage": "Internal server error"}
    return [eventstream.exception("modelStreamErrorException", told)]


def headers(request_id: str) -> Headers:
    return [(b"x-amzn-requestid", request_id.encode())]


def new_request_id() -> str:
    return str(uuid.uuid4())


def overflow(tokens: int, model: str) -> Refused:
    if "anthropic." in model:
        return Refused("Input is too long for requested model.")
    return Refused(
        "The model returned the following errors: Input Tokens Exceeded: Number of input tokens exceeds maximum "
        "length. Please update the input to try again."
    )
