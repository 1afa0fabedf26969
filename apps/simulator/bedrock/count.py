"""CountTokens: how long a prompt is, written as either way of asking would have it."""

from __future__ import annotations

import base64
import binascii

from apps.simulator.ask import Object
from apps.simulator.bedrock import converse_request, invoke_request, service
from apps.simulator.bedrock.service import refuse
from apps.simulator.dialect import Request

CONVERSE_FIELDS = {"messages", "system", "toolConfig", "additionalModelRequestFields"}


def count(request: Request) -> Object:
    """Raises Refused. Only Claude can, and only by its bare id: not by that of an inference profile."""
    model = service.model(request)
    if not model.is_claude or model.region or model.id.startswith("arn:"):
        refuse("The provided model doesn't support counting tokens.")
    given = service.document(request.body).get("input")
    if not isinstance(given, dict) or len(given) != 1 or not given.keys() <= {"invokeModel", "converse"}:
        refuse("1 validation error detected: Value at 'input' failed to satisfy constraint: Member must be a union")
    if "converse" in given:
        if not isinstance(given["converse"], dict):
            refuse("input.converse: an object is expected.")
        unknown = sorted(given["converse"].keys() - CONVERSE_FIELDS)
        if unknown:
            refuse(f"The field {unknown[0]} is not supported for counting tokens.")
        return {"inputTokens": converse_request.understand(given["converse"], model=model, stream=False).tokens}
    body = given["invokeModel"].get("body") if isinstance(given["invokeModel"], dict) else None
    try:
        raw = base64.b64decode(str(body), validate=True)
    except (ValueError, binascii.Error):
        refuse("1 validation error detected: Value at 'input.invokeModel.body' must be base64 of a request's body")
    return {"inputTokens": invoke_request.understand(service.document(raw), model=model, stream=False).tokens}
