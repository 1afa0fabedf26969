"""The rows of the table in docs/security.md: what is tried, and what must come of it.

Tests say `pytest.mark.attack("F20")` for the rows that they prove, wherever in tests/ they are.
"""

from __future__ import annotations

ROWS = {
    "F16": ("Ten thousand slow and idle connections", "healthy calls do not feel them; memory is bounded"),
    "F17": ("Clients that stop reading", "cut off in time, little held for each, paid as if they had left"),
    "F18": ("Bodies beyond the limit, declared or in chunks", "413 early; memory stays at twice the limit"),
    "F19": ("Deep and hostile JSON", "400 in constant work; no recursion, no value read two ways"),
    "F20": ("Ambiguous framing, smuggled headers", "one reading, or 400 and the end of the connection"),
    "F21": ("Bytes that are no UTF-8, control characters", "400; nothing is told again raw; a log line stays one line"),
    "F22": ("Forged and confused tokens", "only the issuer's own algorithm and keys"),
    "F23": ("An issuer away, a flood of key ids", "known keys go on; the issuer is asked once in half a minute"),
    "F24": ("Inward addresses, however spelt or rebound", "no connection leaves for one"),
    "F25": ("Secrets and prompts wherever they might turn up", "found where they are due, and nowhere else"),
    "F26": ("Guessing keys", "one answer, one path, whatever the cause; no secret is compared byte by byte"),
    "F27": ("Another tenant's rows", "they do not exist: in code, and again in PostgreSQL"),
    "F28": ("Raising one's own rights by any sequence of calls", "rights never grow"),
    "F29": ("Forms from another site", "403, and nothing has changed"),
    "F30": ("Markup, formulas and line ends in names", "shown as text, in pages, exports and logs"),
    "F31": ("Personal data in what is kept", "not kept, or sealed by tenant, expiring and shreddable"),
    "F32": (
        "Guessing passwords, fixing sessions",
        "slowed by person and by address; a session is made anew at sign-in",
    ),
    "F33": ("Slow queries of people", "calls do not feel them"),
    "F34": ("Configuration and credentials that change all the time", "no call in flight breaks"),
    "F35": ("A poisoned supply", "nothing is installed, built or shipped that is not locked, known and listed"),
    "fuzz": ("Random and mutated input to every decoder and route", "an answer or a named error, never a fault"),
}
