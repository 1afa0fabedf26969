"""What detectors find, in the words that policies use. A placeholder stands where a finding was masked."""

from __future__ import annotations

from typing import Literal, NamedTuple

Group = Literal["pii", "secrets"]


class Kind(NamedTuple):
    """`entity`: what Presidio calls it, who alone can find it; "": detectors of our own do."""

    label: str
    group: Group
    entity: str = ""


KINDS: dict[str, Kind] = {
    "card": Kind("Card numbers", "pii"),
    "iban": Kind("IBANs", "pii"),
    "email": Kind("E-mail addresses", "pii"),
    "phone": Kind("Phone numbers", "pii"),
    "national_id": Kind("National ids", "pii"),
    "secret": Kind("Keys and other secrets", "secrets"),
    "person": Kind("Names of persons", "pii", "PERSON"),
    "location": Kind("Places", "pii", "LOCATION"),
    "affiliation": Kind("Nationalities, religions, politics", "pii", "NRP"),
}


def placeholder(kind: str) -> str:
    return f"[{kind}]"
