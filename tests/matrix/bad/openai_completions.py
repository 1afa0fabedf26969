"""Legacy completions are answered by models that chat: one prompt of text, one answer."""

from __future__ import annotations

from typing import Any

from tests.matrix.bad.row import ABSENT, Bad

CLIENT = "openai_completions"
PATH = "/v1/completions"
BODY: dict[str, Any] = {"prompt": "Hello"}

ROWS = (
    Bad(what="no prompt", change={"prompt": ABSENT}, names="prompt"),
    *(
        Bad(what=f"the prompt {given!r}", change={"prompt": given}, names="prompt")
        for given in (None, "", " ", 5, [], ["a", "b"], [1, 2], [[1], [2]], ["a", 1])
    ),
    *(
        Bad(what=f"{name} {value!r}", change={name: value}, names=name)
        for name, value in (
            ("suffix", "x"),
            ("logprobs", 0),
            ("logprobs", 3),
            ("n", 0),
            ("n", 2),
            ("best_of", 2),
            ("echo", "x"),
            ("max_tokens", 0),
            ("max_tokens", "x"),
            ("temperature", 3),
            ("top_p", 2),
            ("frequency_penalty", 3),
            ("presence_penalty", -3),
            ("stop", list("abcde")),
            ("stop", 5),
            ("seed", "x"),
            ("user", 5),
            ("stream", "x"),
        )
    ),
    Bad(what="stop strings", change={"stop": "a"}, names="stop", at=("responses",)),
    Bad(what="a cap above the model's own", change={"max_tokens": 9000}, names=None, told="lowered to it"),
    Bad(
        what="`stream_options` without `stream`",
        names=None,
        told="there is always usage in the answer",
        change={"stream_options": {"include_usage": True}},
    ),
    Bad(
        what="`logit_bias`",
        names=None,
        told="left out, and the ledger's entry names it; a provider of Chat takes it",
        change={"logit_bias": {"5": 1}},
    ),
    Bad(
        what="fields that no dialect has",
        change={"zzz": 1, "messages": []},
        names=None,
        told="the ledger's entry counts them",
    ),
)
