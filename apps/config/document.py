"""YAML as the configuration is written in: plain values only, each knowing its line, and one way to write them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import yaml

LARGEST = 20_000_000  # characters
DEEPEST = 12
_NULL, _BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))


class Refused(Exception):
    """What cannot be brought in, one message a place, each with its line."""

    def __init__(self, *messages: str) -> None:
        super().__init__("\n".join(messages))
        self.messages = messages


class Mapping(dict[str, Any]):
    """`line` is its own, `lines` those of its entries."""

    line = 1

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.lines: dict[str, int] = {}

    def line_of(self, name: str) -> int:
        return self.lines.get(name, self.line)


def parsed(text: str) -> Mapping:
    """Numbers with a point are Decimal, dates stay text. Raises Refused: for what is no YAML, for anchors, tags,
    entries given twice, and whatever is deeper or longer than a configuration is."""
    if len(text) > LARGEST:
        raise Refused(f"The file is longer than {LARGEST:,} characters.")
    try:
        _refuse_anchors(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark is not None else ""
        raise Refused(f"{where}{error.problem or 'this is no YAML'}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise Refused(f"This is no YAML: {error}") from None
    if node is None:
        return Mapping()
    if not isinstance(node, yaml.MappingNode):
        raise Refused(f"line {_line(node)}: Sections are expected here, as “tenants:”.")
    found = _value(node, depth=0)
    assert isinstance(found, Mapping)
    return found


def _refuse_anchors(text: str) -> None:
    """A few of them could stand for more than any memory holds. Nesting is bounded before anything is composed."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise Refused(f"line {line}: Anchors and aliases are not read.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise Refused(f"line {line}: This is nested too deeply.")


def is_text(word: str) -> bool:
    """Whether a database can keep it: half characters and NULs come out of escapes only."""
    return "\x00" not in word and not any("\ud800" <= letter <= "\udfff" for letter in word)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _value(node: yaml.Node, *, depth: int) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, depth=depth)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, depth=depth + 1) for item in node.value]
    return _scalar(node)


def _mapping(node: yaml.MappingNode, *, depth: int) -> Mapping:
    found = Mapping()
    found.line = _line(node)
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise Refused(f"line {_line(key)}: A name is expected here.")
        name = str(key.value)
        if name in found:
            raise Refused(f"line {_line(key)}: “{name}” is given twice.")
        found[name] = _value(value, depth=depth + 1)
        found.lines[name] = _line(key)
    return found


def _scalar(node: yaml.Node) -> Any:
    text = str(node.value)
    if not is_text(text):
        raise Refused(f"line {_line(node)}: This is no text: it holds a NUL or half a character.")
    try:
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.lower() in ("yes", "true", "on")
        if node.tag == _INT:
            return int(text.replace("_", ""))
        if node.tag == _FLOAT:
            return _number(text)
    except (ValueError, ArithmeticError):
        raise Refused(f"line {_line(node)}: “{text[:40]}” is no number here: put it in quotes for a text.") from None
    return text


def _number(text: str) -> Decimal:
    number = Decimal(text.replace("_", ""))
    if not number.is_finite():
        raise ValueError(text)
    return number


class _Writer(yaml.SafeDumper):
    """Lists stand under their name by two spaces, and what is written means the same when it is read."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represented(writer: yaml.SafeDumper, value: Decimal) -> yaml.ScalarNode:
    text = f"{value:f}"
    return writer.represent_scalar(_FLOAT, text if "." in text else f"{text}.0")


_Writer.add_representer(Decimal, _represented)


def written(sections: dict[str, Any]) -> str:
    """The same text for the same values."""
    text: str = yaml.dump(sections, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=100)
    return text


def entries(value: Any, *, name: str, line: int) -> Iterator[Mapping]:
    """The entries of a section. Raises Refused for what is no list of them."""
    if value is None:
        return
    if not isinstance(value, list):
        raise Refused(f"line {line}: “{name}” is a list: its entries begin with “- ”.")
    for entry in value:
        if not isinstance(entry, Mapping):
            raise Refused(f"line {line}: Each of “{name}” has named fields.")
        yield entry
