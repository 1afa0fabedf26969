"""How the portal writes what can be chosen: at once, and as Django does."""

from __future__ import annotations

from django import forms
from django.test.html import parse_html

from apps.portal.forms import Renderer

CHOICES = [("", "All"), (1, "<b>&\"'"), ("of a group <", [(2, "two"), (3, "three")]), (4, "four")]


def test_a_list_is_written_as_django_writes_it():
    attributes = {"id": "x", "required": True, "disabled": False, "aria-label": 'a"<b'}
    widget = forms.Select(attributes, choices=CHOICES)
    for value in (2, "4", None, "none of them"):
        ours = widget.render("who", value, renderer=Renderer())
        assert parse_html(ours) == parse_html(widget.render("who", value))
    assert 'aria-label="a&quot;&lt;b"' in ours
    assert "&lt;b&gt;&amp;" in ours
