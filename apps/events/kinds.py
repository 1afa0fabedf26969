"""What is told of. The name of a kind is stored and public: as `type` of an event it has a prefix and a version."""

from __future__ import annotations

# In the order in which people choose of them.
KINDS: dict[str, str] = {
    "usage.settled": "A call's usage and cost are known",
    "usage.unconfirmed": "What a call used is not known, within bounds",
    "usage.corrected": "What was said of a call before has changed, by a difference",
    "budget.threshold": "A budget has reached a share of its amount",
    "key.created": "A key was made",
    "key.updated": "What a key may do has changed",
    "key.rotated": "A key got another secret",
    "key.lent": "A key got one more secret, for a while",
    "key.expiring": "A key's time is over within seven days",
    "key.expired": "A key's time is over",
    "key.revoked": "A key was revoked",
    "grant.created": "Somebody has signed a program in",
    "grant.ended": "A signed-in program was let go",
    "provider.health": "A provider answers no more, or again",
}
TEST = "sink.test"  # tells of nothing: what somebody sends to see whether it arrives
_PREFIX = "weir."
_VERSION = "v1"


def type_of(kind: str) -> str:
    """As in `weir.usage.settled.v1`. A version of Weir that knows more kinds may have written this one."""
    return f"{_PREFIX}{kind}.{_VERSION}"


def schema_of(kind: str) -> str:
    """The URI by which the schema of its data is known."""
    return f"urn:weir:event:{kind}.{_VERSION}"


def words(given: str) -> list[str]:
    """Of a sink's column."""
    return given.split()
