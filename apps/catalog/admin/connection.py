"""The page that tests a provider, step by step, and takes up models that it lists."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.decorators import action

from apps.catalog import adoption, connection
from apps.catalog.admin.presets import JUST_ADDED
from apps.catalog.models import Credential, Provider
from apps.catalog.questions import gives_embeddings
from apps.catalog.vault import SecretUnreadable

TITLES = {"list": "List of models", "call": "A call", "stream": "A stream"}
_MOST_SHOWN = 500
_UNPRICED = " Without a price: {}; while a budget applies to a call, such a model is not used."
_UNREADABLE = "The credential does not open any more: set its secret anew."
_NO_MODEL = "Name a model to call."
_NO_STREAM = "Embeddings come whole: there is nothing to try."


class Row(NamedTuple):
    """A step and what came of it; `ok` None: it was not made."""

    step: str
    ok: bool | None = None
    milliseconds: int | None = None
    message: str = ""
    words: str = ""

    @property
    def title(self) -> str:
        return TITLES[self.step]


class Test:
    """One run: the steps that were made, and what they found."""

    def __init__(self, request: HttpRequest, provider: Provider) -> None:
        self.request = request
        self.provider = provider
        self.credentials = connection.credentials_of(provider)
        self.credential = self._chosen(request.POST.get("credential", ""))
        self.model = request.POST.get("model", "").strip()[:200]
        self.listed: tuple[str, ...] = ()

    def _chosen(self, pk: str) -> Credential | None:
        found = [row for row in self.credentials if str(row.pk) == pk]
        return (found or self.credentials or [None])[0]

    def make(self, step: str) -> Row:
        try:
            return self._list() if step == "list" else self._try(step)
        except SecretUnreadable:
            return Row(step, ok=False, message=_UNREADABLE)

    def _list(self) -> Row:
        found = connection.ask_list(self.provider, credential=self.credential)
        self.listed = found.models
        self.model = self.model or connection.suggested(self.provider, listed=found.models)
        return Row("list", found.ok, found.milliseconds, found.message, found.words)

    def _try(self, step: str) -> Row:
        if not self.model or not self.model.isprintable():
            return Row(step, message=_NO_MODEL)
        if step == "stream" and gives_embeddings(self.provider, model=self.model):
            return Row(step, ok=True, message=_NO_STREAM)
        tried = connection.try_model(
            self.provider,
            actor=self.request.user,
            credential=self.credential,
            model=self.model,
            stream=step == "stream",
        )
        return Row(step, tried.ok, tried.milliseconds, tried.message, tried.words)

    def offered(self) -> dict[str, Any]:
        """The models of the list, for ticking."""
        deployed = set(self.provider.deployments.values_list("upstream_model", flat=True))
        return {
            "provider": self.provider,
            "credential": self.credential,
            "offers": [(name, name in deployed) for name in self.listed[:_MOST_SHOWN]],
            "more": max(0, len(self.listed) - _MOST_SHOWN),
            "missing": sorted(deployed - set(self.listed)) if self.listed else [],
            "can_adopt": may_adopt(self.request),
            "may_be_free": may_price(self.request) and adoption.may_be_free(self.provider),
        }


def may_adopt(request: HttpRequest) -> bool:
    return request.user.has_perms(["catalog.add_model", "catalog.add_deployment"])


def may_price(request: HttpRequest) -> bool:
    return request.user.has_perm("catalog.add_price")


class Connection:
    """The part of the providers' page that asks them."""

    admin_site: Any
    opts: Any

    def get_urls(self) -> list[Any]:
        adopt = self.admin_site.admin_view(self.add_models)
        own = [path("<path:object_id>/add_models/", adopt, name="catalog_provider_add_models")]
        return [*own, *super().get_urls()]  # type: ignore[misc]

    @action(description="Test connection", icon="bolt", permissions=["change"])
    def test_connection(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks on POST, a step or all of them; a plain visit offers the button."""
        test = Test(request, self._provider(request, object_id))
        step = request.POST.get("step")
        if step in connection.STEPS:
            return self._step(test, step)
        rows = [Row(name) for name in connection.STEPS]
        if request.method == "POST":
            rows = [test.make(name) for name in connection.STEPS]
        context = {
            **self.admin_site.each_context(request),
            **test.offered(),
            "opts": self.opts,
            "title": f"Connection to {test.provider}",
            "object": test.provider,
            "credentials": test.credentials,
            "model": test.model or connection.suggested(test.provider, listed=()),
            "rows": rows,
            "is_tested": request.method == "POST",
            "begins": request.method == "GET" and request.session.pop(JUST_ADDED, None) == test.provider.pk,
        }
        return TemplateResponse(request, "admin/catalog/connection.html", context)

    def _step(self, test: Test, step: str) -> HttpResponse:
        row = test.make(step)
        told = {"ok": row.ok, "model": test.model, "row": _rendered("connection_row.html", {"row": row}, test)}
        if step == "list":
            told["models"] = _rendered("connection_models.html", test.offered(), test)
        return JsonResponse(told)

    def add_models(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Takes up what was ticked, with what the list says of it by now."""
        provider = self._provider(request, object_id)
        if not may_adopt(request):
            raise PermissionDenied
        ticked = set(request.POST.getlist("models"))
        if request.method == "POST" and ticked:
            self._adopt(request, provider, ticked)
        return HttpResponseRedirect(reverse("admin:catalog_provider_change", args=[provider.pk]))

    def _adopt(self, request: HttpRequest, provider: Provider, ticked: set[str]) -> None:
        try:
            credential = Test(request, provider).credential
            models = connection.listed_models(provider, credential=credential, names=ticked)
            made = adoption.adopt(
                provider,
                actor=request.user,
                models=models,
                with_prices=may_price(request),
                is_free="is_free" in request.POST and adoption.may_be_free(provider),
            )
        except SecretUnreadable:
            messages.error(request, _UNREADABLE)
            return
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
            return
        unpriced = sum(1 for deployment in made if not deployment.prices.exists())
        messages.success(request, f"Models added: {len(made)}." + (_UNPRICED.format(unpriced) if unpriced else ""))
        if lost := len(ticked) - len(models):
            messages.warning(request, f"Not on the list any more: {lost}.")

    def _provider(self, request: HttpRequest, object_id: str) -> Provider:
        provider = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if provider is None:
            raise Http404
        if not self.has_change_permission(request, provider):  # type: ignore[attr-defined]
            raise PermissionDenied
        assert isinstance(provider, Provider)
        return provider


def _rendered(template: str, context: dict[str, Any], test: Test) -> str:
    return render_to_string(f"admin/catalog/{template}", context, request=test.request)
