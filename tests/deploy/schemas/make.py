"""Writes the schemas beside this file: `python -m tests.deploy.schemas.make FOLDER`, where FOLDER/node_modules holds
the packages that `sources.json` names, at its versions (`npm install --prefix FOLDER --force NAME@VERSION …`).

Those packages are TypeScript's view of custom resource definitions. Of each kind that `sources.json` asks for, names
and types of the fields are kept, with what is required and which words are allowed; descriptions, patterns, ranges and
`status` are not. Every object is closed: a field that nobody knows is an error, where a cluster would drop it unsaid.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SOURCES = HERE / "sources.json"
Schema = dict[str, Any]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|[A-Za-z_$][\w$]*|[{}()<>\[\]|&;:?,]')
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_IMPORT = re.compile(r'import \{([^}]*)\} from "([^"]+)"')
_INTERFACE = re.compile(r"export interface (\w+)(?: extends ([^{]+))?\s*(?=\{)")
_ALIAS = re.compile(r"export type (\w+) ()=")
_PLAIN: dict[str, Schema] = {
    "string": {"type": "string"},
    "boolean": {"type": "boolean"},
    "number": {"type": "number"},
    "null": {"type": "null"},
    "IObjectMeta": {"type": "object"},
    "IIoK8sApimachineryPkgApisMetaV1ObjectMeta": {"type": "object"},
    "IIntOrString": {"type": ["integer", "string"]},
    "IIoK8sApimachineryPkgUtilIntstrIntOrString": {"type": ["integer", "string"]},
    "IIoK8sApimachineryPkgApiResourceQuantity": {"type": ["number", "string"]},
}


class Types:
    """A recursive-descent reader of one type. `resolve` gives the schema of a name; `without`: fields of the outermost
    object that are left out."""

    def __init__(self, text: str, resolve: Callable[[str], Schema], *, without: tuple[str, ...] = ()) -> None:
        self._tokens = _TOKEN.findall(text)
        self._at = 0
        self._resolve = resolve
        self._without = without
        self._depth = 0

    def union(self) -> Schema:
        self._skip("|")
        options = [self._intersection()]
        while self._skip("|"):
            options.append(self._intersection())
        return _either(options)

    def _intersection(self) -> Schema:
        parts = [self._postfix()]
        while self._skip("&"):
            parts.append(self._postfix())
        return parts[0] if len(parts) == 1 else _merged(parts, required=set.union)

    def _postfix(self) -> Schema:
        found = self._primary()
        while self._skip("["):
            self._take("]")
            found = {"type": "array", "items": found}
        return found

    def _primary(self) -> Schema:
        token = self._next()
        if token == "{":
            return self._members()
        if token == "(":
            found = self.union()
            self._take(")")
            return found
        if token[0] == '"':
            return {"enum": [json.loads(token)]}
        if token[0].isdigit() or token[0] == "-":
            return {"enum": [json.loads(token)]}
        if token == "Array":
            self._take("<")
            items = self.union()
            self._take(">")
            return {"type": "array", "items": items}
        if token == "Exclude":  # "none of these": what they would require is not forbidden here
            self._take("<")
            found = self.union()
            self._take(",")
            self.union()
            self._take(">")
            return found
        return self._resolve(token)

    def _members(self) -> Schema:
        found: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
        required = []
        self._depth += 1
        while not self._skip("}"):
            if self._skip("["):
                while self._next() != "]":
                    pass
                self._take(":")
                found["additionalProperties"] = self.union()
            else:
                name = self._next().strip('"')
                optional = self._skip("?")
                self._take(":")
                if self._depth == 1 and name in self._without:
                    self._pass_over()
                else:
                    found["properties"][name] = self.union()
                    required += [] if optional else [name]
            self._skip(";")
        self._depth -= 1
        if not found["properties"] and found["additionalProperties"] is False:
            return {"type": "object"}  # whatever somebody else knows
        return found | ({"required": required} if required else {})

    def _pass_over(self) -> None:
        """To the end of this field."""
        depth = 0
        while depth or self._tokens[self._at] != ";":
            depth += {"{": 1, "}": -1}.get(self._tokens[self._at], 0)
            self._at += 1

    def _next(self) -> str:
        self._at += 1
        return str(self._tokens[self._at - 1])

    def _skip(self, token: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at] == token:
            self._at += 1
            return True
        return False

    def _take(self, token: str) -> None:
        if not self._skip(token):
            raise ValueError(f"{token!r} expected, not {self._tokens[self._at : self._at + 5]}")


def _either(options: list[Schema]) -> Schema:
    options = [option for index, option in enumerate(options) if option not in options[:index]]
    if len(options) == 1:
        return options[0]
    if all("enum" in option for option in options):
        return {"enum": [word for option in options for word in option["enum"]]}
    if all("properties" in option for option in options):
        return _merged(options, required=set.intersection)
    return {"anyOf": options}


def _merged(parts: list[Schema], *, required: Callable[..., set[str]]) -> Schema:
    """One object with the fields of all: which of them exclude one another is not kept."""
    objects = [part for part in parts if "properties" in part]
    if not objects:
        return {}
    fields: dict[str, list[Schema]] = {}
    for part in objects:
        for name, value in part["properties"].items():
            fields.setdefault(name, []).append(value)
    needed = required(*(set(part.get("required", ())) for part in objects))
    values = {name: _either([value for value in found if value] or [{}]) for name, found in fields.items()}
    closed = {"type": "object", "properties": values, "additionalProperties": False}
    return closed | ({"required": sorted(needed)} if needed else {})


class Package:
    """One kind's file and all those that it imports, each in `definitions` once."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def read(self, path: Path, name: str, *, without: tuple[str, ...] = ()) -> Schema:
        text = _COMMENT.sub("", path.read_text(encoding="utf-8"))
        imports = {
            word.strip(): source for words, source in _IMPORT.findall(text) for word in words.split(",") if word.strip()
        }

        def resolve(word: str) -> Schema:
            if word in _PLAIN:
                return _PLAIN[word]
            if word in ("any", "unknown", "object") or word not in imports or not imports[word].startswith("."):
                return {}
            target = (path.parent / imports[word]).with_suffix(".d.ts").resolve()
            return self._reference(target)

        for found in (*_INTERFACE.finditer(text), *_ALIAS.finditer(text)):
            if found[1] in (f"I{name}", name):
                own = Types(text[found.end() :], resolve, without=without).union()
                return _merged([own, *self._inherited(found[2], resolve)], required=set.union) if found[2] else own
        raise ValueError(f"{path} has no {name}")

    def _inherited(self, words: str, resolve: Callable[[str], Schema]) -> list[Schema]:
        references = [resolve(word.strip()).get("$ref", "") for word in words.split(",")]
        return [self.definitions[reference.rpartition("/")[2]] for reference in references if reference]

    def _reference(self, target: Path) -> Schema:
        name = target.name.removesuffix(".d.ts")
        if name not in self.definitions:
            self.definitions[name] = {}
            self.definitions[name] = self.read(target, name)
        return {"$ref": f"#/$defs/{name}"}


def main(folder: Path) -> None:
    sources = json.loads(SOURCES.read_text(encoding="utf-8"))
    for package in sources["packages"]:
        root = folder / "node_modules" / package["name"]
        told = json.loads((root / "package.json").read_text(encoding="utf-8"))
        if (told["version"], told["license"]) != (package["version"], package["license"]):
            raise SystemExit(f"{package['name']}: {told['version']} ({told['license']}) is not what sources.json says")
        for kind in package["kinds"]:
            reader = Package()
            name = kind.rpartition("/")[2]
            schema = reader.read(root / f"{kind}.d.ts", name, without=("status",))
            written = schema | ({"$defs": dict(sorted(reader.definitions.items()))} if reader.definitions else {})
            place = HERE / f"{kind.replace('/', '_').lower()}.json"
            place.write_text(json.dumps(written, indent=None, separators=(",", ":"), sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
