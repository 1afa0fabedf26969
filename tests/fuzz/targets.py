"""Every decoder that reads what strangers write, by name."""

from __future__ import annotations

from tests.fuzz import answers, documents, presented, requests, wires
from tests.fuzz.contract import Target

TARGETS: dict[str, Target] = {
    each.name: each
    for each in (*wires.TARGETS, *requests.TARGETS, *answers.TARGETS, *presented.TARGETS, *documents.TARGETS)
}
