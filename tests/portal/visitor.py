"""Somebody at a tenant's pages, as a browser would have it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from tests.control.desk import Values, fields


class Visitor:
    """`user` None: nobody has signed in. Pages are named as in `apps.portal.urls`."""

    def __init__(self, user: Any, tenant: Any) -> None:
        self.user = user
        self.tenant = tenant
        self.client = Client()
        if user is not None:
            self.client.force_login(user)

    def url(self, page: str, **arguments: Any) -> str:
        return reverse(f"portal:{page}", kwargs={"tenant": self.tenant.slug, **arguments})

    def get(self, page: str, query: Values | None = None, **arguments: Any) -> HttpResponse:
        return self.client.get(self.url(page, **arguments), query or {})

    def text(self, page: str, query: Values | None = None, **arguments: Any) -> str:
        """The page, which must open."""
        response = self.get(page, query, **arguments)
        assert response.status_code == 200, (page, response.status_code)
        return response.content.decode()

    def send(self, page: str, values: Values | None = None, **arguments: Any) -> HttpResponse:
        """Fills the page's form in with `values`, None: left out, and sends it."""
        whole = fields(self.text(page, **arguments)) | (values or {})
        return self.post(page, {name: value for name, value in whole.items() if value is not None}, **arguments)

    def post(self, page: str, values: Values | None = None, **arguments: Any) -> HttpResponse:
        return self.client.post(self.url(page, **arguments), values or {})


def errors(response: HttpResponse) -> dict[str, list[str]]:
    """By field, of a form that was shown again; what concerns all of it under ''."""
    assert response.status_code == 422, response.status_code
    return {name if name != "__all__" else "": list(texts) for name, texts in response.context["form"].errors.items()}
