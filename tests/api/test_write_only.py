"""What goes in and never comes out cannot be asked about either: no list is filtered, searched or put in order by it,
and no answer holds it, or what it is stored as."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps

from apps.api.urls import VIEWS
from apps.audit.models import Record
from apps.audit.redaction import is_secret

pytestmark = [pytest.mark.once, pytest.mark.attack("F25")]

LISTS = [view.place for view in VIEWS if hasattr(view, "list")]
ASKED = (
    *("ciphertext", "ciphertext__startswith", "secret", "secret__startswith", "digest__gt", "password__startswith"),
    *("credentials__ciphertext__startswith", "secrets__digest", "user__password__startswith", "sealed__isnull"),
    *("ordering", "order_by", "o", "sort", "search", "q", "fields", "expand", "include"),
)


def test_no_list_can_be_asked_about_what_is_secret(world: Any, figure: Any) -> None:
    answered = []
    for place in LISTS:
        refusal = world.operator("GET", f"/{place}?{'&'.join(f'{name}=ciphertext' for name in ASKED)}")
        named = refusal.json().get("errors", {}) if refusal.status_code in (400, 422) else {}
        answered += [(place, name) for name in ASKED if name not in str(named)]
    assert answered == []
    figure("F25", "questions about secrets that the API refuses", len(LISTS) * len(ASKED), least=500)


def stored() -> set[str]:
    """What secrets are stored as, of every row of every table."""
    found: set[str] = set()
    for model in apps.get_models():
        names = [field.name for field in model._meta.concrete_fields if is_secret(field.name) and not field.is_relation]
        for row in model._base_manager.values_list(*names) if names else ():
            found |= {bytes(value).hex() if isinstance(value, bytes | memoryview) else str(value) for value in row}
    return {text for text in found if len(text) >= 12}


def test_no_answer_holds_what_a_secret_is_stored_as(world: Any) -> None:
    secrets = stored()
    assert len(secrets) >= 8
    told = [world.operator("GET", f"/{place}").content.decode() for place in LISTS]
    told += [world.operator("GET", f"/{place}/{pk}").content.decode() for place, pk in world.ids.items()]
    told.append(str(list(Record.objects.values())))
    assert [text for text in secrets if any(text in page for page in told)] == []
