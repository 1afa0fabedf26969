"""The pages of `docs/` as a site: `make docs` has nothing to warn of, and what it makes asks nothing of other hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway_site.manual import hook, routes
from tests.servers import ROOT

SECONDS = 240


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `make docs` does, elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return folder


def article(site: Path, name: str) -> str:
    text = (site / name).read_text(encoding="utf-8")
    return text[text.index("<article") : text.index("</article>")]


def test_every_page_and_guide_is_there(site):
    for name in (
        "index",
        "quick-start",
        "configuration",
        "architecture",
        "changelog",
        "decisions/all",
        "api/budgets",
    ):
        assert "<h1" in article(site, f"{name}.html"), name
    decisions = list((ROOT / "docs/decisions").glob("0*.md"))
    assert article(site, "decisions/all.html").count('<a href="0') == len(decisions)


def test_nothing_is_fetched_from_elsewhere(site):
    fetched = re.compile(
        r'<(?:script|img|iframe|link rel="(?:stylesheet|preconnect|icon)")[^>]*(?:src|href)="(?://|https?:)'
    )
    assert [path.name for path in site.rglob("*.html") if fetched.search(path.read_text(encoding="utf-8"))] == []


def test_pictures_are_there_in_light_and_dark(site):
    text = article(site, "admin.html")
    light, dark = (set(re.findall(rf'images/([\w-]+)-{word}\.png#only-{word}"', text)) for word in ("light", "dark"))
    assert {"dashboard", "keys", "explain"} <= light == dark
    assert all((site / f"images/{name}-dark.png").exists() for name in dark)


def test_markdown_is_read_as_the_repository_shows_it(site):
    """A list or a table that follows a paragraph without a line between them would be text."""
    text_of_lists = re.compile(r"<p>(?:(?!</p>).)*?\n(?:- |\d+\. |\|)", re.DOTALL)
    assert [path.name for path in site.rglob("*.html") if text_of_lists.search(_prose(path))] == []


def _prose(path: Path) -> str:
    text = path.read_text(encoding="utf-8").partition("<article")[2].partition("</article>")[0]
    return re.sub(r"<pre.*?</pre>", "", text, flags=re.DOTALL)


def test_links_lead_from_the_site_to_pages_and_to_code():
    def led(link: str, *, source: str, at: str) -> str:
        found = hook._LINK.search(link)
        assert found is not None
        return hook._led(found, source=source, at=at)

    assert led("[a](../CHANGELOG.md#b)", source="docs/production.md", at="production.md") == "](changelog.md#b)"
    assert led("[a](docs/money.md)", source="ARCHITECTURE.md", at="architecture.md") == "](money.md)"
    assert led("[a](../configuration.md)", source="docs/decisions/0006-x.md", at="decisions/0006-x.md") == (
        "](../configuration.md)"
    )
    assert led("[a](decisions/)", source="docs/index.md", at="index.md") == "](decisions/all.md)"
    assert led("[a](../deploy/x.yaml)", source="docs/api.md", at="api.md") == f"]({hook.SOURCE}deploy/x.yaml)"


def test_a_resource_that_is_on_no_page_is_noticed(tmp_path):
    pages = {name: text for name, _, text in routes.pages(ROOT / "apps/api/openapi.yaml")}
    assert "### POST /api/v1/budgets" in pages["budgets"]
    assert "| `amount_nano_usd` | integer | Required. Whole billionths of a US dollar. |" in pages["budgets"]
    strange = tmp_path / "openapi.yaml"
    strange.write_text("paths: {/x: {get: {tags: [strange]}}}\ncomponents: {schemas: {}}\n")
    with pytest.raises(routes.Homeless, match="strange"):
        list(routes.pages(strange))
