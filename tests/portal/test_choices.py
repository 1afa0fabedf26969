"""How what can be chosen is written: at once, and as Django does."""

from __future__ import annotations

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates
from django.test.html import parse_html
from unfold.widgets import UnfoldAdminSelectWidget

from apps.audit.choices import Renderer as OurRenderer
from apps.portal.forms import Renderer as PortalRenderer

CHOICES = [("", "All"), (1, "<b>&\"'"), ("of a group <", [(2, "two"), (3, "three")]), (4, "four")]


@pytest.mark.parametrize("renderer", [OurRenderer, PortalRenderer])
@pytest.mark.parametrize("kind", [forms.Select, forms.SelectMultiple, UnfoldAdminSelectWidget])
def test_a_list_is_written_as_django_writes_it(kind, renderer):
    widget = kind({"id": "x", "required": True, "disabled": False, "aria-label": 'a"<b'}, choices=CHOICES)
    for value in ([2], ["4", 1], [], ["none of them"]):
        one = value if kind is forms.SelectMultiple else next(iter(value), None)
        ours = widget.render("who", one, renderer=renderer())
        assert parse_html(ours) == parse_html(widget.render("who", one, renderer=DjangoTemplates()))
    assert 'aria-label="a&quot;&lt;b"' in ours
    assert "&lt;b&gt;&amp;" in ours
