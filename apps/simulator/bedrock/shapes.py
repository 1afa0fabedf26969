"""Requests held against the service's own model: AWS publishes it in botocore, types and bounds included.

What is wrong is said as AWS's services say it, with the path of the member: `messages.1.member.role`.
"""

from __future__ import annotations

import base64
import binascii
import re
from functools import lru_cache
from typing import Any, NoReturn

from botocore.loaders import Loader
from botocore.model import ListShape, MapShape, ServiceModel, Shape, StructureShape

from apps.simulator.ask import Object, Refused

Value = Any  # JSON of any shape: that is what is looked into
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "long": (int,),
    "float": (int, float),
    "double": (int, float),
    "list": (list,),
    "structure": (dict,),
    "map": (dict,),
}


@lru_cache(maxsize=1)
def service() -> ServiceModel:
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"), "bedrock-runtime")


def check(document: Object, *, shape: str, ignored: frozenset[str] = frozenset(), lenient: bool = False) -> None:
    """Raises Refused. `ignored` are members that travel elsewhere than in the body."""
    _structure(document, shape=service().shape_for(shape), at="", ignored=ignored, lenient=lenient)


def _value(value: Value, *, shape: Shape, at: str, lenient: bool) -> None:
    if shape.metadata.get("document"):
        return
    _check_kind(value, shape=shape, at=at)
    if isinstance(shape, StructureShape):
        _structure(value, shape=shape, at=at, ignored=frozenset(), lenient=lenient)
    elif isinstance(shape, ListShape):
        _bounds(len(value), shape=shape, value=value, at=at, what="length")
        for index, item in enumerate(value):
            _value(item, shape=shape.member, at=f"{at}.{index + 1}.member", lenient=lenient)
    elif isinstance(shape, MapShape):
        for key, item in value.items():
            _value(item, shape=shape.value, at=f"{at}.{key}.member", lenient=lenient)
    else:
        _scalar(value, shape=shape, at=at)


def _check_kind(value: Value, *, shape: Shape, at: str) -> None:
    kinds = KINDS[shape.type_name]
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise Refused(
            f"{at}: {type(value).__name__} can not be converted to {shape.type_name}", kind="SerializationException"
        )


def _structure(
    value: Object, *, shape: Shape | StructureShape, at: str, ignored: frozenset[str], lenient: bool
) -> None:
    assert isinstance(shape, StructureShape)
    prefix = f"{at}." if at else ""
    given = {name: item for name, item in value.items() if item is not None}
    unknown = sorted(given.keys() - (shape.members.keys() - ignored))
    if unknown and not lenient:
        _refuse(given[unknown[0]], at=f"{prefix}{unknown[0]}", rule=f"extraneous key [{unknown[0]}] is not permitted")
    for name in shape.required_members:
        if name not in given and name not in ignored:
            _refuse(None, at=f"{prefix}{name}", rule="Member must not be null")
    if shape.metadata.get("union") and len(given) != 1:
        _refuse(sorted(given), at=at, rule=f"Member must have exactly one of [{', '.join(shape.members)}]")
    for name, item in given.items():
        if name in shape.members:
            _value(item, shape=shape.members[name], at=f"{prefix}{name}", lenient=lenient)


def _scalar(value: Value, *, shape: Shape, at: str) -> None:
    enum = shape.metadata.get("enum")
    if enum and value not in enum:
        _refuse(value, at=at, rule=f"Member must satisfy enum value set: [{', '.join(enum)}]")
    if shape.type_name == "blob":
        try:
            size = len(base64.b64decode(value, validate=True))
        except (ValueError, binascii.Error):
            raise Refused(f"{at}: value is not valid base64", kind="SerializationException") from None
        return _bounds(size, shape=shape, value="…", at=at, what="length")
    if shape.type_name == "string":
        pattern = shape.metadata.get("pattern")
        if pattern and not re.fullmatch(pattern, value):
            _refuse(value, at=at, rule=f"Member must satisfy regular expression pattern: {pattern}")
        return _bounds(len(value), shape=shape, value=value, at=at, what="length")
    if not isinstance(value, bool):
        _bounds(value, shape=shape, value=value, at=at, what="value")


def _bounds(number: float, *, shape: Shape, value: Value, at: str, what: str) -> None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and number < low:
        _refuse(value, at=at, rule=f"Member must have {what} greater than or equal to {low}")
    if high is not None and number > high:
        _refuse(value, at=at, rule=f"Member must have {what} less than or equal to {high}")


def _refuse(value: Value, *, at: str, rule: str) -> NoReturn:
    told = "null" if value is None else f"'{str(value)[:100]}'"
    raise Refused(
        f"1 validation error detected: Value {told} at '{at}' failed to satisfy constraint: {rule}",
        kind="ValidationException",
    )
