"""What has found a fault once is tried for ever."""

from __future__ import annotations

import pytest

from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

pytestmark = [pytest.mark.attack("fuzz"), pytest.mark.once]

MOST = 16 * 1024  # bytes of a file


@pytest.mark.parametrize("path", corpus.files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_file_of_the_corpus_is_read_or_refused(path):
    data = path.read_bytes()
    assert path.name == corpus.named(data), "it is called by its digest"
    assert len(data) <= MOST
    TARGETS[path.parent.name].run(data)


def test_there_is_something_of_every_kind_of_decoder(figure):
    kept = [path.parent.name for path in corpus.files()]
    assert {"sse", "ndjson", "eventstream", "json", "key", "jwt", "cloudevent"} <= set(kept)
    figure("fuzz", "files of tests/corpus", len(kept))
