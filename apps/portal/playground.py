"""The playground: a conversation with a model, through the data plane, as any program has it."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import render

from apps.catalog.clients import Question
from apps.portal import snippets, trying
from apps.portal.visits import Visit, page
from apps.tenants.rights import Right

USUAL_TOKENS = 1024
MOST_TOKENS = 1_000_000
MOST_TURNS = 200
MOST_CHARACTERS = 400_000


@page(right=Right.CALL)
def playground(visit: Visit) -> HttpResponse:
    """`?model=`: the one to begin with."""
    return visit.show(
        "portal/playground.html",
        asked=visit.request.GET.get("model", "")[:200],
        usual_tokens=USUAL_TOKENS,
        **trying.context(visit),
    )


class _Asked(forms.Form):
    model = forms.CharField(max_length=200)
    system = forms.CharField(max_length=MOST_CHARACTERS, required=False, strip=False)
    messages = forms.CharField(max_length=MOST_CHARACTERS, strip=False)
    max_tokens = forms.IntegerField(min_value=1, max_value=MOST_TOKENS)
    temperature = forms.FloatField(min_value=0, max_value=2, required=False)

    def clean_messages(self) -> tuple[dict[str, str], ...]:
        try:
            turns = json.loads(self.cleaned_data["messages"])
        except (ValueError, RecursionError):
            turns = None
        if not isinstance(turns, list) or not 0 < len(turns) <= MOST_TURNS or not all(map(_is_turn, turns)):
            raise ValidationError("These are no turns of a conversation.")
        return tuple({"role": turn["role"], "content": turn["content"]} for turn in turns)


def _is_turn(value: Any) -> bool:
    is_turn = isinstance(value, dict) and value.get("role") in ("user", "assistant")
    return is_turn and isinstance(value.get("content"), str)


@page("POST", right=Right.CALL)
def code(visit: Visit) -> HttpResponse:
    """The conversation as programs ask for its next turn: a part of the page."""
    form = _Asked(visit.request.POST)
    if not form.is_valid():
        told = [f"{name}: {error}" for name, errors in form.errors.items() for error in errors]
        return HttpResponse("\n".join(told), status=400, content_type="text/plain; charset=utf-8")
    asked = dict(form.cleaned_data)
    model = asked.pop("model")
    shown = {"tabs": snippets.of_question(Question(**asked), model=model)}
    return render(visit.request, "portal/snippets.html", shown)
