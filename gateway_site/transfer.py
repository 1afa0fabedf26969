"""The page on which models, deployments and prices are taken away as a file and brought in again: first what would
change, then, when that was seen, the change."""

from __future__ import annotations

import hashlib
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.cache import never_cache
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from apps.audit import downloads
from apps.config import services, tables
from apps.config.document import Refused
from apps.config.services import Outcome

EVERYTHING = "everything"
TITLES = {"models": "Models", "deployments": "Deployments", "prices": "Prices", EVERYTHING: "The whole configuration"}
NEEDED = {"models": "model", "deployments": "deployment", "prices": "price"}
MOST_SHOWN = 200


class Upload(forms.Form):
    what = forms.ChoiceField(label="What", widget=UnfoldAdminSelectWidget)
    file = forms.FileField(label="File", required=False, widget=UnfoldAdminFileFieldWidget)
    text = forms.CharField(required=False, widget=forms.HiddenInput, strip=False)
    form = forms.ChoiceField(required=False, choices=[(name, name) for name in (*tables.FORMATS, "yaml")])

    def __init__(self, *args: Any, user: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        offered = [(name, TITLES[name]) for name in TITLES if may_bring_in(user, name)]
        self.fields["what"].choices = offered  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """The text is the file's, or that of the page which showed what it would change."""
        values: dict[str, Any] = super().clean() or {}
        if "what" not in values:
            return values
        if (file := values.get("file")) is not None:
            values["text"], values["form"] = self._read(file), file.name.rpartition(".")[2].lower()
        values["text"] = values.get("text", "").replace("\r\n", "\n")  # as a page that was sent has it
        if not values["text"]:
            self.add_error("file", "Choose a file.")
        elif values["form"] not in (("yaml", "yml") if values["what"] == EVERYTHING else tables.FORMATS):
            self.add_error("file", f"Its name ends in {'.yaml' if values['what'] == EVERYTHING else '.csv or .json'}.")
        return values

    def _read(self, file: Any) -> str:
        if file.size > tables.LARGEST:
            self.add_error("file", f"It is longer than {tables.LARGEST:,} bytes.")
            return " "
        try:
            return str(file.read().decode("utf-8-sig"))
        except UnicodeDecodeError:
            self.add_error("file", "It is no text in UTF-8.")
            return " "


def may_take(user: Any, name: str) -> bool:
    return bool(user.is_superuser if name == EVERYTHING else user.has_perm(f"catalog.view_{NEEDED[name]}"))


def may_bring_in(user: Any, name: str) -> bool:
    if name == EVERYTHING:
        return bool(user.is_superuser)
    return bool(user.has_perms([f"catalog.{verb}_{NEEDED[name]}" for verb in ("add", "change", "view")]))


def may_ask(user: Any) -> bool:
    """Whether the page is of any use to somebody."""
    return any(may_take(user, name) for name in TITLES)


@never_cache
def page(request: HttpRequest) -> HttpResponse:
    if not may_ask(request.user):
        raise PermissionDenied
    form = Upload(
        request.POST or None, request.FILES or None, user=request.user, initial={"what": request.GET.get("what")}
    )
    told: dict[str, Any] = {}
    if request.method == "POST" and form.is_valid():
        told = _asked(request, form.cleaned_data)
        if told.get("done"):
            return HttpResponseRedirect(reverse("admin:transfer"))
    context = {
        **admin.site.each_context(request),
        **told,
        "title": "Import and export",
        "form": form,
        "can_bring_in": bool(form.fields["what"].choices),  # type: ignore[attr-defined]
        "offers": [(name, title, _endings(name)) for name, title in TITLES.items() if may_take(request.user, name)],
    }
    return TemplateResponse(request, "admin/transfer.html", context)


def _endings(name: str) -> tuple[str, ...]:
    return ("yaml",) if name == EVERYTHING else tables.FORMATS


def _asked(request: HttpRequest, values: dict[str, Any]) -> dict[str, Any]:
    """Does it, if that is what the page before has shown; else shows it."""
    sent = request.POST.get("mark", "")
    try:
        outcome = _bring_in(values, actor=request.user, dry_run=True)
        mark = hashlib.sha256(repr((values["what"], values["text"], outcome)).encode()).hexdigest()[:32]
        if sent == mark:
            outcome = _bring_in(values, actor=request.user, dry_run=False)
            messages.success(request, f"Brought in: {len(outcome.changes):,} changes.")
            return {"done": True}
    except Refused as refusal:
        return {"refusals": refusal.messages}
    if sent:
        messages.warning(request, "Something has changed meanwhile. Look again.")
    return {
        "outcome": outcome,
        "shown": outcome.changes[:MOST_SHOWN],
        "more": max(0, len(outcome.changes) - MOST_SHOWN),
        "same": sum(outcome.unchanged.values()),
        "mark": mark,
        "values": values,
        "what": TITLES[values["what"]],
    }


def _bring_in(values: dict[str, Any], *, actor: Any, dry_run: bool) -> Outcome:
    if values["what"] == EVERYTHING:
        return services.bring_in(values["text"], actor=actor, dry_run=dry_run)
    given = {"form": values["form"], "actor": actor, "dry_run": dry_run}
    return tables.bring_in(values["what"], values["text"], **given)


def file(request: HttpRequest, name: str, ending: str) -> HttpResponse:
    if name not in TITLES or ending not in _endings(name):
        raise Http404
    if not may_take(request.user, name):
        raise PermissionDenied
    if ending == "csv":
        head = list(tables.table(name).columns)
        return downloads.csv(request, f"weir-{name}", head, downloads.in_batches(tables.cells(name)))
    text = services.export() if name == EVERYTHING else tables.as_json(name)
    kind = "application/yaml" if name == EVERYTHING else "application/json"
    headers = {"Content-Disposition": f'attachment; filename="weir-{name}.{ending}"', "Cache-Control": "no-store"}
    return HttpResponse(text, content_type=f"{kind}; charset=utf-8", headers=headers)
