"""Content blocks for Converse, from turns that are arranged as Anthropic wants them; Converse's rules are the same."""

from __future__ import annotations

import base64
import re
from typing import Any

from apps.domain.errors import TakesNoURL, Unfit

Object = dict[str, Any]

PLACEHOLDER = "(no content)"
_BESIDE_A_DOCUMENT = "(see the document)"
_IMAGES = {"image/jpeg": "jpeg", "image/jpg": "jpeg", "image/png": "png", "image/gif": "gif", "image/webp": "webp"}
_OFFICE = "application/vnd.openxmlformats-officedocument."
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    f"{_OFFICE}wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    f"{_OFFICE}spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_UNFIT = re.compile(r"[^A-Za-z0-9()\[\]-]+")
_LONGEST_NAME = 100


class Writer:
    """Writes the blocks of one request: documents' names are unique in it."""

    def __init__(self, capabilities: frozenset[str]) -> None:
        self._capabilities = capabilities
        self._names: set[str] = set()

    def turn(self, content: list[Object]) -> list[Object]:
        """Raises InvalidRequest for what Converse has no form for."""
        written = self._blocks(content)
        if any("document" in block for block in written) and not any("text" in block for block in written):
            written.append({"text": _BESIDE_A_DOCUMENT})
        return written or [{"text": PLACEHOLDER}]

    def mark(self, raw: Object) -> list[Object]:
        """A cache point behind what is marked."""
        mark = raw.get("cache_control")
        if mark is None or "cache_points" not in self._capabilities:
            return []
        lasts = {"ttl": "1h"} if mark.get("ttl") == "1h" and "cached_tools" in self._capabilities else {}
        return [{"cachePoint": {"type": "default"} | lasts}]

    def _blocks(self, content: list[Object]) -> list[Object]:
        written: list[Object] = []
        for raw in content:
            block = self._block(raw)
            if block is not None:
                written += (block, *self.mark(raw))
        return written

    def _block(self, raw: Object) -> Object | None:
        match raw["type"]:
            case "text":
                return {"text": raw["text"]}
            case "image":
                return {"image": _image(raw["source"])}
            case "document":
                return {"document": self._document(raw)}
            case "tool_use":
                return {"toolUse": {"toolUseId": raw["id"], "name": raw["name"], "input": raw["input"]}}
            case "tool_result":
                return {"toolResult": self._result(raw)}
            case "thinking" if "signed" in self._capabilities:
                return _reasoning({"reasoningText": {"text": raw["thinking"], "signature": raw["signature"]}})
            case "redacted_thinking" if "signed" in self._capabilities:
                return _reasoning({"redactedContent": base64.b64encode(raw["data"].encode()).decode()})
        return None  # a server tool's, or thinking that the model has not signed

    def _document(self, raw: Object) -> Object:
        source = raw["source"]
        _refuse_url(source, what="documents")
        if source["type"] == "text":
            format, data = "txt", base64.b64encode(source["data"].encode()).decode()
        else:
            format, data = _format(source["media_type"], _DOCUMENTS, what="documents"), source["data"]
        return {"format": format, "name": self._name(raw.get("title") or "document"), "source": {"bytes": data}}

    def _name(self, title: str) -> str:
        """Of letters, digits, hyphens, brackets and single blanks: what Converse takes, and each only once."""
        plain = _UNFIT.sub(" ", title).strip()[:_LONGEST_NAME].strip() or "document"
        name, number = plain, 1
        while name in self._names:
            number += 1
            name = f"{plain} {number}"
        self._names.add(name)
        return name

    def _result(self, raw: Object) -> Object:
        content = [block for block in self._blocks(raw["content"]) if "cachePoint" not in block]
        failed = bool(raw.get("is_error"))
        result: Object = {"toolUseId": raw["tool_use_id"]}
        if "tool_status" in self._capabilities:
            result["status"] = "error" if failed else "success"
        elif failed:
            content = [{"text": "Error:"}, *content]
        return result | {"content": content or [{"text": PLACEHOLDER}]}


def _reasoning(inner: Object) -> Object:
    return {"reasoningContent": inner}


def _image(source: Object) -> Object:
    _refuse_url(source, what="images")
    return {"format": _format(source["media_type"], _IMAGES, what="images"), "source": {"bytes": source["data"]}}


def _format(media_type: str, known: dict[str, str], *, what: str) -> str:
    plain = media_type.partition(";")[0].strip().lower()
    if plain not in known:
        raise Unfit("messages", f"this model takes no {what} of type '{media_type[:100]}'")
    return known[plain]


def _refuse_url(source: Object, *, what: str) -> None:
    if source["type"] == "url":
        raise TakesNoURL(what)
