"""The call in one line has few fields, and every one is read."""

from __future__ import annotations

from typing import Any

from tests.matrix.bad.row import ABSENT, Bad

CLIENT = "prompt"
PATH = "/chat"
BODY: dict[str, Any] = {"prompt": "Hello"}

ROWS = (
    *(
        Bad(what=f"{name} {value!r}", change={name: value}, names=name)
        for name, value in (
            ("prompt", ABSENT),
            ("prompt", ""),
            ("prompt", " "),
            ("prompt", ["a"]),
            ("system", 5),
            ("max_tokens", 0),
            ("max_tokens", "x"),
            ("temperature", 3),
            ("temperature", -1),
            ("stream", "x"),
            ("model", 5),
            ("model", ""),
        )
    ),
    Bad(what="a cap above the model's own", change={"max_tokens": 9000}, names=None, told="lowered to it"),
    Bad(what="fields that no dialect has", change={"zzz": 1}, names=None, told="the ledger's entry counts them"),
)
