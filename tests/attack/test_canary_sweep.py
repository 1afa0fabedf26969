"""A whole installation whose every secret is a canary, as are prompts, answers and people: all its error paths are
driven, all its pages opened, all its sinks searched. Each canary is where it is due, and nowhere else."""

from __future__ import annotations

import json
import os
import random
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack import premises, sinks
from tests.attack.canaries import Coop, Hit, Part, Sieve
from tests.attack.errands import Errands
from tests.attack.sinks import SINKS
from tests.servers import until

pytestmark = [pytest.mark.attack("F25", "F31"), pytest.mark.timeout(600)]

ROWS = {"pages", "API", "database", "dumpdata"}  # what is meant to be kept, and seen by those who may
PEOPLE = ROWS | {"configuration", "PostgreSQL's log"}  # which tells of statements that failed
CALLERS, PROVIDERS = {"answers to callers"}, {"providers"}
TOLD = CALLERS | PROVIDERS  # whom it was for, and who hears from them what they sent
# What is not named here is due nowhere at all.
DUE: dict[str, set[str]] = {
    **dict.fromkeys(("prompt", "system prompt", "tool's result", "picture", "vector's input", "phone"), TOLD),
    **dict.fromkeys(("user of the caller", "broken prompt"), TOLD),
    **dict.fromkeys(("answer", "thought", "tool's arguments"), CALLERS),
    **dict.fromkeys(("credential", "shaped credential", "client secret", "report key"), PROVIDERS),
    "given secret": PROVIDERS,
    "key": CALLERS,  # in the path that they wrote it into
    "query": {"answers to callers", "pages"},  # the same, and where somebody is led on to
    "given key": TOLD,  # in the body; and a code that comes with whoever comes back from their provider
    "wrong password": {"pages"},  # in the field for a code, for whoever has typed it there
    "password typed as a name": {"pages"},
    "first name": PEOPLE | {"mail"},
    "last name": PEOPLE | {"mail"},
    "e-mail": PEOPLE | TOLD,
    "another e-mail": PEOPLE,
    "invited e-mail": ROWS,
    "another invited e-mail": ROWS | {"mail"},
    "lost e-mail": {"PostgreSQL's log"},
    "user agent": ROWS | {"files"},
    "session name": ROWS | {"files", "events", "providers"},
    "argument of a task": {"Redis", "Redis's commands"},  # the broker
    "project's name": PEOPLE,
    "model's name": ROWS
    | {"configuration", "files", "events", "telemetry", "operator's pages", "providers", "answers to callers", "output"}
    | {"Redis", "Redis's commands", "commands"},
}
# Where some of them are without fail: they have been through all of it.
SURE = {
    **dict.fromkeys(("prompt", "system prompt", "tool's result", "picture", "phone"), TOLD),
    **dict.fromkeys(("answer", "thought", "tool's arguments"), CALLERS),
    **dict.fromkeys(("credential", "shaped credential", "client secret", "report key"), PROVIDERS),
    **dict.fromkeys(("first name", "e-mail"), ROWS | {"configuration"}),
    "user agent": ROWS,
    "lost e-mail": {"PostgreSQL's log"},
    "another invited e-mail": {"mail"},
    "model's name": {"pages", "API", "database", "files", "events", "telemetry", "operator's pages"},
}
# Words that are in each sink, so that one that is empty, or is not read, is not taken for a clean one.
PUBLIC = {
    "command lines": "gateway_site.",
    "output": "call.refused",
    "sessions": "_auth_user_id",
    "commands": "keyring version 1",
    "Redis": "weir",
    "Redis's commands": "apps.usage.tasks.roll_up",
    "mail": "invites you",
}


@pytest.fixture(scope="module")
def errands(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Errands]:
    """All has been done that can be, and all pages have been opened."""
    coop = Coop(int(os.environ.get("FAULTS_SEED") or random.randrange(10**9)))
    print(f"canaries: FAULTS_SEED={coop.seed}")
    with premises.opened(tmp_path_factory.mktemp("premises"), coop) as standing:
        errands = Errands(standing)
        try:
            errands.come_in()
            errands.call_everything()
            errands.work()
            errands.fail()
            until(lambda: not standing.ask("unposted"))
            until(lambda: standing.events.heard)
            until(lambda: standing.mail.mails)
            errands.opened = sinks.crawl(errands)
            yield errands
        finally:
            errands.close()


@pytest.fixture(scope="module")
def parts(errands: Errands) -> dict[str, list[Part]]:
    return {name: list(read(errands)) for name, read in SINKS.items()}


def test_each_canary_is_where_it_is_due_and_nowhere_else(errands, parts, figure):
    texts = errands.premises.coop.texts
    sieve = Sieve(texts)
    hits: list[Hit] = []
    searched = 0
    for sink, found in parts.items():
        each, size = sieve.search(sink, found)
        hits, searched = [*hits, *each], searched + size
    undue = [hit for hit in hits if hit.sink not in DUE.get(hit.canary, ())]
    figure("F25", "canaries", len(texts), least=60)
    figure("F25", "sinks searched", len(parts), least=18)
    figure("F25", "megabytes searched", searched / 1e6, least=5)
    figure("F25", "pages and routes opened", errands.opened, least=350)
    figure("F25", "canaries where none is due", len(undue), most=0)
    assert [f"{hit.canary} ({hit.how}) in {hit.sink}, {hit.where}: {hit.around}" for hit in undue] == []
    seen = defaultdict(set)
    for hit in hits:
        seen[hit.canary].add(hit.sink)
    assert DUE.keys() <= texts.keys()
    assert {name: sinks - seen[name] for name, sinks in SURE.items() if sinks - seen[name]} == {}


def test_every_sink_is_read(parts):
    assert PUBLIC.keys() | set().union(*SURE.values()) == SINKS.keys()
    assert {name for name, found in parts.items() if not found} == set()
    unread = []
    for sink, word in PUBLIC.items():
        hits, _ = Sieve({"public": word}).search(sink, parts[sink])
        unread += [] if hits else [sink]
    assert unread == []


def test_what_a_policy_keeps_is_kept_and_sealed(parts):
    """Else there were no answer that could have been found in Redis."""
    held = [part for part in parts["Redis"] if re.search(r"\{kept\}:[0-9a-f]{32,}", part.where)]
    assert held, [part.where for part in parts["Redis"]]
    assert any(b"x-weir-cache: hit" in part.data for part in parts["answers to callers"])


def test_no_proxy_and_no_netrc_of_the_environment_is_asked(errands, figure):
    figure("F24", "requests that a proxy in the environment saw", len(errands.premises.proxy.asked), most=0)
    assert errands.premises.proxy.asked == []
    assert errands.premises.collector.received


def test_every_secret_still_opens(errands):
    told = json.loads(errands.premises.ask("run", command="secrets", arguments=["verify", "--json"]))
    assert (told["ok"], told["unreadable"]) == (True, [])


def test_the_sieve_finds_what_is_cut_short_or_written_otherwise(tmp_path: Path):
    coop = Coop(7)
    word = coop.make("word")
    sieve = Sieve(coop.texts)
    import base64
    from urllib.parse import quote

    for raw in (word, word[:12], word[-12:], word.upper(), f"{word[:16]}…"):
        for before in range(4):
            text = b"x" * before + raw.encode() + b"yz"
            for written in (text, text.hex().encode(), base64.b64encode(text), base64.urlsafe_b64encode(text)):
                if raw != raw.upper() or written == text:
                    assert sieve.search("s", [Part("w", b"a\n" + written + b"\nb")])[0], (raw, written)
    assert sieve.search("s", [Part("w", word.encode("utf-16-le"))])[0]
    assert sieve.search("s", [Part("w", quote(word).encode())])[0]
    assert sieve.search("s", [Part("w", word[:11].encode() + b" " + word[-11:].encode())])[0] == []
