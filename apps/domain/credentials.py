"""What credentials look like, for whoever must cut them out of a text.

The one list of shapes; what may be cut besides (whole headers, named fields) differs with what the text is for.
"""

from __future__ import annotations

_PREFIXES = (
    # vendors, then what else turns up in environments
    r"sk[-_]|csk-|[rp]k-|[rp]k_(?:live|test)_|gsk[-_]|xai-|pplx-|nvapi-|AIza|ya29\.|hf_|r8_|fw_"
    r"|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|AKIA|ASIA|ABIA|ACCA"
)
SHAPE = (
    # at the beginning of a word, or behind JSON's escape of a line end
    r"(?:(?<![0-9A-Za-z_-])|(?<=\\[nrt]))"
    rf"(?:(?:{_PREFIXES})[0-9A-Za-z_*.-]{{6,}}|eyJ[0-9A-Za-z_-]{{6,}}\.[0-9A-Za-z_.-]+)"
)
"""A pattern, in linear time, of vendors' keys and of signed tokens. Of ASCII only, so that it serves for bytes too."""
