"""What MkDocs calls while it builds the site (`hooks` in `mkdocs.yml`).

The guides at the root of the repository become pages of the site, and so does the management API, route by route. Links
are written for the repository, where `../CHANGELOG.md` is a file; here they lead to its page, and those to code lead to
the code's own place.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel

from gateway_site.manual import routes

ROOT = Path(__file__).resolve().parents[2]
SOURCE = "https://github.com/weir-gateway/weir/blob/main/"
GUIDES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
    "README.md": "index.md",
    "examples/README.md": "examples.md",
}
INDEX = "decisions/all.md"  # one called index.md would be the page of the section that it is in
API = "api"
_LINK = re.compile(r"(?<!!)(\]\()([^)\s:#]+)((?:#[^)\s]*)?\))")
_FENCE = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The pages of the API below the one that tells how it speaks."""
    below = [f"{API}/{group.name}.md" for group in routes.GROUPS]
    assert config.nav is not None
    for section in config.nav:
        for pages in section.values():
            for entry in pages:
                if isinstance(entry, dict) and "Management API" in entry:
                    entry["Management API"] += below
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for guide, page in GUIDES.items():
        if files.get_file_from_path(page) is None:
            files.append(File.generated(config, page, content=(ROOT / guide).read_text(encoding="utf-8")))
    for name, _, markdown in routes.pages(ROOT / "apps/api/openapi.yaml"):
        files.append(File.generated(config, f"{API}/{name}.md", content=markdown))
    files.append(File.generated(config, "assets/weir.svg", abs_src_path=str(ROOT / "static/weir.svg")))
    files.append(File.generated(config, INDEX, content=_decisions()))
    for file in files:
        if file.src_uri.startswith("decisions/0"):
            file.inclusion = InclusionLevel.NOT_IN_NAV
    return files


def _decisions() -> str:
    lines = ["# Decisions", "", "Why Weir is built as it is, with what was measured.", ""]
    for path in sorted((ROOT / "docs/decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")
        lines.append(f"- [{title}]({path.name})")
    return "\n".join(lines)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    at = page.file.src_uri
    source = next((guide for guide, name in GUIDES.items() if name == at and page.file.generated_by), f"docs/{at}")
    parts = _FENCE.split(markdown)
    parts[::2] = [_LINK.sub(lambda found: _led(found, source=source, at=at), part) for part in parts[::2]]
    return "".join(parts)


def _led(found: re.Match[str], *, source: str, at: str) -> str:
    """A link as it is right on the page `at`, which was written in the file `source`."""
    opening, target, closing = found.groups()
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if path in GUIDES:
        path = GUIDES[path]
    elif path.rstrip("/") == "docs/decisions":
        path = INDEX
    elif path.startswith("docs/"):
        path = path.removeprefix("docs/")
    else:
        return f"{opening}{SOURCE}{path}{closing}"
    return f"{opening}{posixpath.relpath(path, posixpath.dirname(at) or '.')}{closing}"
