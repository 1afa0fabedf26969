"""Cuts out of a text whatever has the shape of a credential. The last of the nets, not the first.

Every pattern runs in linear time: quantified classes never overlap with what follows them, and a match can start only
where the character before is not of the class.
"""

from __future__ import annotations

import re

from apps.domain import credentials

CUT = "[redacted]"

_DONE = r"(?!\[redacted\])"
_VALUE = r"(?:\[redacted\]|[^\s\"'`,;&)\]}])"
_NAMES = (
    r"x-api-key|x-goog-api-key|api[-_]?key|(?:proxy-)?authorization|set-cookie|cookie|password|passwd|passphrase"
    r"|client[-_]secret|aws_secret_access_key|secret[-_]?key|secret|access[-_]token|refresh[-_]token|id[-_]token"
)
# Of what PostgreSQL tells, in a traceback too, which may be one of several with a margin.
_BEGINS = r"(?:^|\n)[ |]{0,40}"
_ENDS = (
    r"[ |\n]{0,80}(?:\Z|(?:DETAIL|HINT|QUERY|CONTEXT):  |LINE [0-9]|Traceback \(|File \""
    r"|The above exception |During handling |\+-)"
)

_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # Our own keys and tokens keep the public id, which names them in logs.
    (re.compile(r"(weir(?:api|[ar]t)?_[0-9A-Za-z]{12}_)[0-9A-Za-z]+"), rf"\1{CUT}"),
    (
        re.compile(
            rf"(?i)(?<![0-9a-z])((?:{_NAMES})(?>[\"'`]?\s{{0,4}}[:=,]\s{{0,4}}(?:b(?=[\"']))?[\"'`]?)){_DONE}"
            rf"(?>(?:bearer|basic|digest)\s{{1,4}})?(?:{_VALUE}{{4,}}|\[redacted\])"
        ),
        rf"\1{CUT}",
    ),
    (re.compile(rf"(?i)([?&](?:key|token|sig|signature|code|{_NAMES})=){_DONE}{_VALUE}+"), rf"\1{CUT}"),
    (re.compile(credentials.SHAPE), CUT),
    (re.compile(rf"(?i)\b(bearer(?>\s{{1,4}})){_DONE}{_VALUE}{{6,}}"), rf"\1{CUT}"),
    (re.compile(r"(://)[^/\s@\"']{1,512}@"), rf"\1{CUT}@"),
    # PostgreSQL tells of a row that it refuses what is in it, and of a statement what stands there. A value may
    # have line ends of its own: what is told of a row ends with a full stop.
    (re.compile(rf"({_BEGINS}DETAIL:  ){_DONE}[^\n]*(?:(?:(?<!\.)\n|\n(?!{_ENDS}))[^\n]*)*"), rf"\1{CUT}"),
    (re.compile(rf"({_BEGINS}(?:QUERY|CONTEXT):  ){_DONE}[^\n]*(?:\n(?!{_ENDS})[^\n]*)*"), rf"\1{CUT}"),
    (re.compile(rf"({_BEGINS}LINE [0-9]{{1,9}}: ){_DONE}[^\n]+"), rf"\1{CUT}"),
    # As repr() has it: nobody can tell its last quote from one of the value's.
    (re.compile(rf"(\\n(?:(?:DETAIL|QUERY|CONTEXT): |LINE [0-9]{{1,9}}:) ){_DONE}[^\n]+"), rf"\1{CUT}"),
)


def redact(text: str) -> str:
    """The text without anything that looks like a key, a token, a password in a URL or a named secret."""
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text
