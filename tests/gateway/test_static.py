"""Static files through the front door. A warning in the server would be an error here."""

from __future__ import annotations

import pytest

from tests.architecture import tree

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]
PATH = "/static/admin/weir.css"
CONTENT = (tree.ROOT / "static/admin/weir.css").read_bytes()


def test_a_file_is_answered_whole_in_part_by_its_head_and_not_at_all(gateway):
    whole = gateway.client.get(PATH)
    assert (whole.status_code, whole.content) == (200, CONTENT)
    assert whole.headers["content-type"].startswith("text/css")
    assert whole.headers["content-length"] == str(len(CONTENT))
    part = gateway.client.get(PATH, headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, CONTENT[10:20])
    head = gateway.client.head(PATH)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(CONTENT)))
    again = gateway.client.get(PATH, headers={"if-modified-since": whole.headers["last-modified"]})
    assert (again.status_code, again.content) == (304, b"")
