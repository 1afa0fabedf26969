"""What is served where. Ids may hold `:` and, as ARNs, an escaped slash."""

from __future__ import annotations

import re

from apps.simulator.bedrock import catalogue, converse, count, embed, invoke
from apps.simulator.dialect import Place

PREFIX = "/model/"
DIALECT = converse.DIALECT  # of what is served to no family in particular
EXACT = {
    "/foundation-models": Place(DIALECT, method="GET", document=catalogue.foundation_models),
    "/inference-profiles": Place(DIALECT, method="GET", document=catalogue.inference_profiles),
}
PATTERNS = [
    (re.compile(pattern), place)
    for pattern, place in (
        (r"/model/[^/]*embed[^/]*/invoke", Place(embed.DIALECT)),
        (r"/model/[^/]+/invoke(?:-with-response-stream)?", Place(invoke.DIALECT)),
        (r"/model/[^/]+/converse(?:-stream)?", Place(converse.DIALECT)),
        (r"/model/[^/]+/count-tokens", Place(DIALECT, document=count.count)),
        (r"/foundation-models/.+", Place(DIALECT, method="GET", document=catalogue.foundation_model)),
        (r"/inference-profiles/.+", Place(DIALECT, method="GET", document=catalogue.inference_profile)),
    )
]
