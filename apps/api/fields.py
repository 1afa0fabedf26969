"""Fields that take what they are sent for what it is: no number for a text, no text for a number."""

from __future__ import annotations

import datetime
import json
import math
from typing import Any

from rest_framework import serializers

LARGEST = 2**63 - 1
MOST_WORDS = 1_000


class Text(serializers.CharField):
    default_error_messages = {"invalid": "Give a text.", "unreadable": "There is half a character in it."}

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        try:
            data.encode()
        except UnicodeEncodeError:
            self.fail("unreadable")
        return str(super().to_internal_value(data))


class Integer(serializers.IntegerField):
    default_error_messages = {"invalid": "Give a whole number."}

    def __init__(self, **options: Any) -> None:
        options.setdefault("max_value", LARGEST)
        options.setdefault("min_value", -LARGEST)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> int:
        if type(data) is not int:
            self.fail("invalid")
        return data  # type: ignore[no-any-return]  # it is one


class Number(serializers.FloatField):
    default_error_messages = {"invalid": "Give a number."}

    def to_internal_value(self, data: Any) -> float:
        if isinstance(data, bool) or not isinstance(data, int | float):
            self.fail("invalid")
        try:
            found = float(data)
        except OverflowError:
            self.fail("invalid")
        if not math.isfinite(found):
            self.fail("invalid")
        return found


class Truth(serializers.BooleanField):
    default_error_messages = {"invalid": "Give true or false."}

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data  # type: ignore[no-any-return]  # it is one


class Moment(serializers.DateTimeField):
    """RFC 3339, with an offset."""

    default_error_messages = {
        "invalid": "Give a moment like 2027-01-31T12:00:00Z.",
        "naive": "Say of which time zone it is: end it with Z, or with an offset like +01:00.",
    }

    def to_internal_value(self, value: Any) -> datetime.datetime:
        if not isinstance(value, str):
            self.fail("invalid", format="")
        try:
            found: datetime.datetime = super().to_internal_value(value)
            return found.astimezone(datetime.UTC)
        except (OverflowError, ValueError):
            self.fail("invalid", format="")

    def enforce_timezone(self, value: datetime.datetime) -> datetime.datetime:
        if value.tzinfo is None:
            self.fail("naive")
        return value


class Day(serializers.DateField):
    default_error_messages = {"invalid": "Give a day like 2027-01-31."}

    def to_internal_value(self, value: Any) -> datetime.date:
        if not isinstance(value, str):
            self.fail("invalid", format="")
        found: datetime.date = super().to_internal_value(value)
        return found


class Words(serializers.ListField):
    default_error_messages = {"not_a_list": "Give a list of texts."}

    def __init__(self, **options: Any) -> None:
        options.setdefault("child", Text(max_length=255))
        super().__init__(max_length=MOST_WORDS, **options)

    def to_internal_value(self, data: Any) -> list[str]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        found: list[str] = super().to_internal_value(data)
        return found


class Object(serializers.DictField):
    """Any JSON by name."""

    default_error_messages = {"not_a_dict": "Give an object.", "unstorable": "It holds half a character, or a NUL."}

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.fail("not_a_dict", input_type=type(data).__name__)
        try:
            written = json.dumps(data, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            self.fail("unstorable")
        if b"\\u0000" in written:
            self.fail("unstorable")
        return dict(data)


class Choice(serializers.ChoiceField):
    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)


class Nano(Integer):
    """Money: whole billionths of a US dollar."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("help_text", "Whole billionths of a US dollar.")
        options.setdefault("max_value", 9 * 10**18)
        if not options.get("read_only"):
            options.setdefault("min_value", 0)
        super().__init__(**options)


class Ref(Integer):
    """The id of a row of another resource, one that whoever asks may see; inside, the row."""

    default_error_messages = {"missing": "There is no such {noun}."}

    def __init__(self, to: str, **options: Any) -> None:
        self.to = to
        super().__init__(min_value=1, **options)

    def run_validators(self, value: Any) -> None:
        """Bounds are an id's, and there is no row beyond them."""

    def get_attribute(self, instance: Any) -> Any:
        """The row itself need not be read."""
        return getattr(instance, f"{self.source_attrs[0]}_id")

    def to_internal_value(self, data: Any) -> Any:
        found = super().to_internal_value(data)
        view = self.context["view"]
        row = view.found(self.to, found)
        if row is None:
            self.fail("missing", noun=view.noun_of(self.to))
        return row


class Person(Ref):
    """A user: any, for whoever may see all; else oneself, and the members of tenants where one manages keys."""

    def __init__(self, **options: Any) -> None:
        super().__init__("users", **options)

    def to_internal_value(self, data: Any) -> Any:
        pk = Integer.to_internal_value(self, data)
        person = self.context["view"].person(pk)
        if person is None:
            self.fail("missing", noun="user")
        return person


class Refs(serializers.ListField):
    """Ids of rows of another resource."""

    default_error_messages = {"not_a_list": "Give a list of ids."}

    def __init__(self, to: str, **options: Any) -> None:
        super().__init__(child=Ref(to), max_length=MOST_WORDS, **options)

    def to_internal_value(self, data: Any) -> list[Any]:
        if not isinstance(data, list):
            self.fail("not_a_list", input_type=type(data).__name__)
        found: list[Any] = super().to_internal_value(data)
        return found

    def to_representation(self, data: Any) -> list[int]:
        return sorted(row.pk for row in data.all())


def shown(kind: type[serializers.Field], **options: Any) -> Any:
    """A field that is only told."""
    return kind(read_only=True, **options)
