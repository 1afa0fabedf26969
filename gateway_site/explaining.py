"""The page that explains a call. No provider is asked and nothing booked, and what is pasted is in the answer only: it
is neither kept nor logged."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from apps.audit.panels import Panel, panel_of
from apps.catalog.models import Deployment, Model
from apps.catalog.selectors import models_of_tenant
from apps.domain import explanation
from apps.domain.explanation import Explanation
from apps.gateway.explain import ENDPOINTS
from apps.keys import selectors as key_selectors
from apps.keys.models import Endpoint, Key
from apps.usage.models import Entry
from gateway_site import dry_run, explainers, ladder

MOST_OFFERED = 50
_UNTOUCHED = {"autocomplete": "off", "spellcheck": "false"}
_LABELS = dict(Endpoint.choices)


class Question(forms.Form):
    """`request` empty: a ready-made one for the model."""

    key = forms.CharField(
        label="Key, by its beginning or name",
        required=False,
        max_length=100,
        widget=UnfoldAdminTextInputWidget(attrs={"list": "explain-keys", **_UNTOUCHED}),
    )
    endpoint = forms.ChoiceField(
        label="Endpoint", choices=[(name, _LABELS[name]) for name in ENDPOINTS], widget=UnfoldAdminSelectWidget
    )
    model = forms.CharField(
        label="Model",
        required=False,
        max_length=200,
        widget=UnfoldAdminTextInputWidget(
            attrs={"list": "explain-models", "placeholder": "the request's own", **_UNTOUCHED}
        ),
    )
    address = forms.GenericIPAddressField(
        label="Caller's address",
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "anywhere", **_UNTOUCHED}),
    )
    request = forms.CharField(
        label="Request, as JSON",
        required=False,
        strip=False,
        widget=UnfoldAdminTextareaWidget(
            attrs={"rows": 8, "placeholder": "Empty: a short question to the model", **_UNTOUCHED}
        ),
    )

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._user = user

    def clean_key(self) -> Key | None:
        term = self.cleaned_data["key"].strip()
        if not term:
            if explainers.is_operator(self._user):
                return None
            raise forms.ValidationError("Name one of your keys.")
        found = key_selectors.named(term, among=explainers.keys_of(self._user))
        if len(found) != 1:
            raise forms.ValidationError("Several keys begin so." if found else "There is no such key.")
        return found[0]

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        body, model = told.get("request", "").strip(), told.get("model", "").strip()
        if not body and not model:
            self.add_error("model", "Name a model, or paste a request.")
        elif not body:
            told["body"] = json.dumps(explanation.example(told.get("endpoint", ""), model=model)).encode()
        elif model:
            told["body"] = self._renamed(body, model=model)
        else:
            told["body"] = body.encode()
        return told

    def _renamed(self, body: str, *, model: str) -> bytes:
        """What is no object is refused as its endpoint refuses it."""
        try:
            return json.dumps({**json.loads(body), "model": model}).encode()
        except (ValueError, TypeError, RecursionError):
            return body.encode()


@never_cache
@sensitive_post_parameters()
def page(request: HttpRequest) -> HttpResponse:
    if not explainers.may_ask(request.user):
        raise PermissionDenied
    form = Question(request.POST if request.method == "POST" else None, user=request.user, initial=_begun(request))
    told = _answered(form, request) if request.method == "POST" and form.is_valid() else None
    if told is not None and told.refusal is not None and told.refusal.status == 400 and told.size is None:
        named = f"{told.refusal.param}: " if told.refusal.param else ""  # it could not be read: no more is known of it
        form.add_error("request", f"{named}{told.refusal.message}")
        told = None
    context = {
        **admin.site.each_context(request),
        "title": "Explain a call",
        "form": form,
        "told": told,
        "shown": ladder.drawn(told) if told is not None else None,
        "curl": _curl(form),
        "has_analyzer": bool(settings.WEIR_PRESIDIO_URL),
        **_offers(request),
    }
    return TemplateResponse(request, "admin/explain.html", context)


def _answered(form: Question, request: HttpRequest) -> Explanation | None:
    key = form.cleaned_data["key"]
    told = dry_run.explained(
        form.cleaned_data["endpoint"],
        form.cleaned_data["body"],
        key_id=None if key is None else key.pk,
        address=form.cleaned_data["address"],
        shows_all=explainers.is_operator(request.user),
    )
    if told is None:
        form.add_error("key", "Its user is shut off, or has left the tenant.")
    return told


def _begun(request: HttpRequest) -> dict[str, Any]:
    """What a link asks for."""
    found: dict[str, Any] = {name: request.GET.get(name, "")[:200] for name in ("model", "endpoint")}
    pk = request.GET.get("key", "")
    key = explainers.keys_of(request.user).filter(pk=pk).first() if pk.isdecimal() and len(pk) < 19 else None
    return {**found, "key": f"weir_{key.public_id}" if key is not None else ""}


def _offers(request: HttpRequest) -> dict[str, Any]:
    keys = explainers.keys_of(request.user).filter(revoked_at=None).select_related("tenant")
    tenants = {key.tenant_id for key in keys[:MOST_OFFERED]}
    models = Model.objects.filter(is_enabled=True)
    if not explainers.is_operator(request.user):
        models = models.filter(pk__in=[row.pk for tenant in tenants for row in models_of_tenant(tenant)])
    return {
        "keys": keys.order_by("-id")[:MOST_OFFERED],
        "models": models.order_by("name").values_list("name", flat=True)[:MOST_OFFERED],
        "next_step": _next_step(request) if not models.exists() else None,
    }


def _next_step(request: HttpRequest) -> tuple[str, str] | None:
    if not request.user.has_perm("catalog.add_model"):
        return None
    return reverse("admin:catalog_model_add"), "Add a model"


def _curl(form: Question) -> str:
    """The same question, to the gateway itself; "": it is none."""
    data = getattr(form, "cleaned_data", {})
    endpoint = data.get("endpoint") or "messages"
    sent = data.get("body", b"").decode() or json.dumps(explanation.example(endpoint, model="MODEL"))
    try:
        json.loads(sent)
    except (ValueError, RecursionError):
        return ""
    told = sent.replace("'", "'\\''")
    return (
        f"curl {settings.WEIR_BASE_URL}/v1/explain -H 'x-api-key: YOUR_WEIR_KEY' \\\n"
        f'  -H \'content-type: application/json\' -d \'{{"endpoint": "{endpoint}", "request": {told}}}\''
    )


def _panel(request: HttpRequest, title: str, note: str, **asked: Any) -> Panel | None:
    if not explainers.may_ask(request.user):
        return None
    return Panel(title, "Explain", note, f"{reverse('admin:explain')}?{urlencode(asked)}")


@panel_of(Model)
def of_model(request: HttpRequest, row: Any) -> Panel | None:
    return _panel(request, "Where would a call go?", "no provider is asked", model=row.name)


@panel_of(Deployment)
def of_deployment(request: HttpRequest, row: Any) -> Panel | None:
    return _panel(request, "When is it chosen?", "no provider is asked", model=row.model.name)


@panel_of(Entry)
def of_entry(request: HttpRequest, row: Any) -> Panel | None:
    endpoint = row.endpoint if row.endpoint in ENDPOINTS else "messages"
    return _panel(
        request, "Why here?", "how it would go now", model=row.model_name, key=row.key_id or "", endpoint=endpoint
    )
