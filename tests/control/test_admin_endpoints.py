"""Pinned endpoints: what they can be, who may change them, what restrains them, and their page for callers."""

from __future__ import annotations

import json

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import ProtectedError
from django.utils.html import escape

from apps.audit.models import Record, Revision
from apps.catalog import clients, selectors, services
from apps.catalog.models import PinnedEndpoint
from apps.keys import services as keys
from apps.quotas import services as quotas
from apps.quotas import windows
from apps.quotas.models import Budget, Limit
from apps.quotas.selectors import rule_book
from apps.runtime.state import state
from apps.usage import ledger, rollups
from tests import factories
from tests.control.desk import Desk, errors
from tests.money.calls import intent, outcome

pytestmark = [pytest.mark.django_db, pytest.mark.once]
BASE = "http://127.0.0.1:8000"


@pytest.fixture
def model(db):
    return factories.model("claude-sonnet", display_name="Claude Sonnet")


@pytest.fixture
def sonnet(model) -> PinnedEndpoint:
    return factories.endpoint(model, "sonnet", hosts=["sonnet.example"], port=8091)


# --- what they can be --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "Sonnet", "a b", "a/b", "-a", "a-", "a--b", "ä", "a" * 41, "a\n"])
def test_a_name_has_to_fit_in_a_path(name, model):
    with pytest.raises(ValidationError, match="name"):
        factories.endpoint(model, name=name or " ")


@pytest.mark.parametrize(
    "hosts", [["a b"], ["UPPER.example"], ["a.example:80"], ["-a.example"], ["1.2.3.4"], ["::1"], ["a", "a"], "a", [7]]
)
def test_what_is_no_list_of_host_names_is_refused(hosts, model):
    with pytest.raises(ValidationError, match="hosts"):
        factories.endpoint(model, hosts=hosts)


@pytest.mark.parametrize("host", ["localhost", "weir.example", "admin.example"])
def test_the_installations_own_name_stays_the_admins(host, model, settings):
    settings.WEIR_BASE_URL = "https://weir.example:8443"
    settings.ALLOWED_HOSTS = ["admin.example"]
    with pytest.raises(ValidationError, match="installation's own"):
        factories.endpoint(model, hosts=[host])


@pytest.mark.parametrize(
    "origins",
    [
        ["app.example"],
        ["https://app.example/"],
        ["https://APP.example"],
        ["https://"],
        ["https://a:x"],
        ["https://a:0"],
    ],
)
def test_what_no_browser_sends_is_no_origin(origins, model):
    with pytest.raises(ValidationError, match="origin"):
        factories.endpoint(model, cors_origins=origins)
    factories.endpoint(model, cors_origins=["*", "https://app.example", "http://localhost:3000"])


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"port": 0}, "port"),
        ({"port": 65_536}, "port"),
        ({"port": 8091}, "port"),
        ({"address": "127.0.0.1"}, "address"),
        ({"port": 8092, "address": "here"}, "address"),
        ({"networks": ["anywhere"]}, "networks"),
        ({"hosts": ["sonnet.example"]}, "hosts"),
    ],
)
def test_what_another_one_has_or_nothing_can_be_is_refused_at_its_field(wrong, field, sonnet, model):
    with pytest.raises(ValidationError) as refused:
        factories.endpoint(model, **wrong)
    assert set(refused.value.error_dict) == {field}


def test_it_may_keep_what_it_has(sonnet):
    services.update_endpoint(sonnet, actor=None, port=8092, hosts=["sonnet.example", "s.example"], address="127.0.0.2")
    found = PinnedEndpoint.objects.get()
    assert (found.port, found.hosts, found.address) == (8092, ["sonnet.example", "s.example"], "127.0.0.2")


def test_a_model_that_is_pinned_is_not_deleted(sonnet):
    with pytest.raises(ProtectedError):
        sonnet.model.delete()


def test_changes_are_recorded_and_noticed(operator, model):
    before = Revision.objects.get(area="catalog").number
    made = services.create_endpoint(actor=operator, name="sonnet", model=model)
    services.update_endpoint(made, actor=operator, networks=["192.0.2.0/24"])
    assert Revision.objects.get(area="catalog").number == before + 2
    records = Record.objects.filter(actor_id=operator.pk).order_by("pk")
    assert list(records.values_list("action", flat=True)) == ["endpoint.created", "endpoint.updated"]
    assert records.last().after == {"networks": ["192.0.2.0/24"]}


def test_the_data_plane_is_told_of_the_enabled_ones_in_one_query(sonnet, model, django_assert_num_queries):
    factories.endpoint(model, "off", is_enabled=False, port=8092, hosts=["off.example"])
    with django_assert_num_queries(1):
        found = selectors.snapshot_endpoints()
    assert set(found.by_name) == {"sonnet"}
    assert set(found.by_host) == {b"sonnet.example"}
    assert set(found.by_port) == set(found.addresses) == {8091}
    assert found.by_name["sonnet"].model == "claude-sonnet"
    assert selectors.pinned_names() == {"off": "off", "sonnet": "sonnet"}


def test_a_name_once_used_stays_the_endpoints(sonnet, model):
    services.update_endpoint(sonnet, actor=None, name="opus")
    services.update_endpoint(sonnet, actor=None, name="haiku")
    assert (sonnet.name, sonnet.former_names) == ("haiku", ["opus", "sonnet"])
    other = factories.endpoint(model, "other")
    for taken in ("haiku", "opus", "sonnet"):
        with pytest.raises(ValidationError, match="name"):
            factories.endpoint(model, taken)
        with pytest.raises(ValidationError, match="name"):
            services.update_endpoint(other, actor=None, name=taken)
    services.update_endpoint(sonnet, actor=None, name="sonnet")
    assert (sonnet.name, sonnet.former_names) == ("sonnet", ["haiku", "opus"])
    with pytest.raises(TypeError):
        services.update_endpoint(sonnet, actor=None, former_names=[])


def test_the_page_of_a_renamed_endpoint_shows_its_former_names_which_are_told_to_who_wants_one(sonnet, model, desk):
    assert "Former names" not in desk.text("catalog_pinnedendpoint_change", sonnet.pk)
    services.update_endpoint(sonnet, actor=None, name="opus")
    page = desk.text("catalog_pinnedendpoint_change", sonnet.pk)
    assert page.index("Former names") < page.index(">sonnet<")
    with pytest.raises(ValidationError, match="“opus” had this name"):
        factories.endpoint(model, "sonnet")


def test_a_key_page_calls_a_renamed_endpoint_as_it_is_called_now(sonnet, desk):
    key = factories.key(endpoints=["e/sonnet", "messages"]).key
    response = desk.send("catalog_pinnedendpoint_change", sonnet.pk, name="opus")
    assert response.status_code == 302, errors(response)
    assert desk.form("keys_key_change", key.pk)["endpoints"] == ["messages", "e/opus"]
    assert desk.send("keys_key_change", key.pk, name="Renamed").status_code == 302
    assert desk.send("keys_key_change", key.pk, endpoints=["e/opus"]).status_code == 302
    key.refresh_from_db()
    assert (key.name, key.endpoints) == ("Renamed", ["e/opus"])


# --- what restrains them, and keys -------------------------------------------------------------------------------


def test_limits_and_budgets_have_it_as_their_one_subject(sonnet, acme):
    limit = quotas.create_limit(actor=None, endpoint=sonnet, requests_per_minute=5)
    budget = quotas.create_budget(actor=None, endpoint=sonnet, amount=10**9, period="day")
    rules = rule_book().endpoints[sonnet.pk]
    assert [found.id for found in rules.limits] == [limit.pk]
    assert [(found.id, found.scope, found.subject) for found in rules.budgets] == [
        (budget.pk, "endpoint", "endpoint sonnet")
    ]
    assert (str(limit), rules.budgets[0].timezone) == ("limit of endpoint sonnet", "UTC")
    for second in ({"tenant": acme}, {"model": sonnet.model}):
        with pytest.raises(ValidationError):
            quotas.create_limit(actor=None, endpoint=sonnet, requests_per_minute=5, **second)
        with pytest.raises(IntegrityError), transaction.atomic():
            Limit.objects.create(endpoint=sonnet, requests_per_minute=5, **second)


def test_a_rule_of_an_endpoint_can_be_made_in_the_admin(desk, sonnet):
    assert desk.send("quotas_budget_add", endpoint=sonnet.pk, amount="5").status_code == 302
    budget = Budget.objects.get()
    assert (budget.scope, budget.subject) == ("endpoint", sonnet)
    assert "sonnet" in desk.text("quotas_budget_changelist", endpoint__id__exact=sonnet.pk)
    text = desk.text("catalog_pinnedendpoint_change", sonnet.pk)
    assert "Monthly budget" in text
    assert f"quotas/limit/add/?endpoint={sonnet.pk}" in text


def test_a_key_is_confined_to_endpoints_that_there_are(sonnet, website):
    issued = factories.key(website, endpoints=["e/sonnet", "messages"])
    assert issued.key.endpoints == ["e/sonnet", "messages"]
    for wrong in ("e/nobody", "e/", "e/So", "nothing"):
        with pytest.raises(ValidationError, match="endpoint"):
            keys.update(issued.key, actor=None, endpoints=[wrong])


def test_pinned_endpoints_are_offered_on_a_keys_form(desk, sonnet, website):
    issued = factories.key(website, endpoints=["e/sonnet"])
    assert "Pinned: sonnet" in desk.text("keys_key_add")
    assert desk.form("keys_key_change", issued.key.pk)["endpoints"] == "e/sonnet"


# --- in the admin ------------------------------------------------------------------------------------------------


def test_one_is_added_changed_and_switched(desk, model):
    sent = {"name": "sonnet", "model": model.pk, "hosts": "a.example, b.example", "port": "8091", "networks": ""}
    assert desk.send("catalog_pinnedendpoint_add", **sent).status_code == 302
    endpoint = PinnedEndpoint.objects.get()
    assert (endpoint.hosts, endpoint.port, endpoint.networks) == (["a.example", "b.example"], 8091, None)
    changed = desk.send("catalog_pinnedendpoint_change", endpoint.pk, networks="192.0.2.0/24", port="")
    assert changed.status_code == 302
    endpoint.refresh_from_db()
    assert (endpoint.networks, endpoint.port) == (["192.0.2.0/24"], None)
    desk.act("catalog_pinnedendpoint_changelist", "disable", endpoint)
    endpoint.refresh_from_db()
    assert not endpoint.is_enabled
    actions = Record.objects.filter(actor_id=desk.user.pk).order_by("pk").values_list("action", flat=True)
    assert list(actions) == ["endpoint.created", "endpoint.updated", "endpoint.updated"]


def test_what_is_refused_is_told_at_its_field(desk, sonnet):
    wrong = desk.send("catalog_pinnedendpoint_add", name="other", model=sonnet.model.pk, hosts="sonnet.example")
    assert errors(wrong) == {"hosts": ["“sonnet.example” is another endpoint's."]}


@pytest.mark.parametrize(("told", "shown"), [({}, "closed"), ({8091: ""}, "open"), ({8091: "in use"}, "in use")])
def test_the_list_and_the_page_say_how_the_port_fares(desk, sonnet, monkeypatch, told, shown):
    monkeypatch.setattr(state, "ports", told)
    for text in (desk.text("catalog_pinnedendpoint_changelist"), desk.text("catalog_pinnedendpoint_change", sonnet.pk)):
        assert f">{shown}<" in text


def test_how_the_port_fares_at_other_gateways_is_told_where_pages_are_served(desk, sonnet, monkeypatch):
    monkeypatch.setattr(state, "ports", {})
    for name, why in (("one", ""), ("two", "in use"), ("three", "in use")):
        windows.beat(name, epoch=windows.register(name), about=json.dumps({"ports": {"8091": why}}))
    texts = (desk.text("catalog_pinnedendpoint_changelist"), desk.text("catalog_pinnedendpoint_change", sonnet.pk))
    assert all(">in use, at 2 of 3<" in text for text in texts)


def test_it_stays_for_the_ledgers_sake(desk, sonnet):
    desk.client.post(desk.url("catalog_pinnedendpoint_delete", sonnet.pk), {"post": "yes"})
    assert PinnedEndpoint.objects.filter(pk=sonnet.pk).exists()


def test_its_calls_and_its_line_are_found(desk, sonnet, website):
    of = {"tenant_id": website.tenant_id, "project_id": website.pk, "model_id": sonnet.model.pk}
    ledger.post([outcome(intent(**of, pinned_id=sonnet.pk), cost=10**9), outcome(intent(**of), cost=10**9)])
    rollups.roll_up()
    for page in ("usage_entry", "usage_hourlyrollup"):
        assert len(desk.get(f"{page}_changelist", since="all").context["cl"].result_list) == 2
        (row,) = desk.get(f"{page}_changelist", since="all", pinned__id__exact=sonnet.pk).context["cl"].result_list
        assert row.pinned == sonnet
        assert "sonnet" in desk.text(f"{page}_change", row.pk)
    text = desk.text("catalog_pinnedendpoint_change", sonnet.pk)
    assert "1 call<" in text
    assert f"since=30d&amp;pinned__id__exact={sonnet.pk}" in text


# --- for its callers ---------------------------------------------------------------------------------------------


def test_every_way_to_it_is_told(sonnet):
    found = clients.ways(sonnet, base_url="https://weir.example")
    assert [way.base for way in found] == [
        "https://weir.example/e/sonnet",
        "https://sonnet.example",
        "http://weir.example:8091",
    ]
    sonnet.address = "192.0.2.7"
    assert clients.ways(sonnet, base_url=BASE)[-1].base == "http://192.0.2.7:8091"
    sonnet.address = "2001:db8::7"
    assert clients.ways(sonnet, base_url=BASE)[-1].base == "http://[2001:db8::7]:8091"
    sonnet.address = "0.0.0.0"
    assert [way.base for way in clients.ways(sonnet, base_url=BASE)][1:] == [
        "http://sonnet.example:8000",
        "http://127.0.0.1:8091",
    ]


@pytest.mark.parametrize("way", [0, 1, 2])
def test_the_page_has_what_each_program_wants_and_no_secret(desk, sonnet, way):
    text = desk.text("catalog_pinnedendpoint_clients", sonnet.pk, way=way)
    base = clients.ways(sonnet, base_url=BASE)[way].base
    for wanted in (
        f'"ai:endpoint": "{base}/v1/chat/completions"',
        f"export ANTHROPIC_BASE_URL={base}\n",
        f'base_url = "{base}/v1"',
        'wire_api = "responses"',
        f"curl {base}/v1/chat/completions",
    ):
        assert escape(wanted) in text
    assert text.count("data-copy=") == 3 + 12
    assert "admin/copy.js" in text


def test_the_file_for_wave_is_json_and_kept_as_such(desk, sonnet):
    response = desk.get("catalog_pinnedendpoint_wave", sonnet.pk, way=2)
    assert response["content-disposition"] == 'attachment; filename="waveai.json"'
    (mode,) = json.loads(response.content).values()
    assert mode["display:name"] == "Claude Sonnet"
    assert mode["ai:apitype"] == "openai-chat"
    assert mode["ai:endpoint"] == "http://127.0.0.1:8091/v1/chat/completions"
    assert "ai:apitoken" not in mode


@pytest.mark.parametrize("way", ["9", "-1", "x", "", "²", "9" * 5000])
def test_a_way_that_there_is_not_is_the_first(desk, sonnet, way):
    assert f"export ANTHROPIC_BASE_URL={BASE}/e/sonnet\n" in desk.text(
        "catalog_pinnedendpoint_clients", sonnet.pk, way=way
    )


def test_a_model_named_by_a_rascal_breaks_out_of_nothing(desk):
    rascal = factories.model('"<script>', display_name="</pre><script>alert(1)</script>")
    endpoint = factories.endpoint(rascal)
    assert "<script>alert" not in desk.text("catalog_pinnedendpoint_clients", endpoint.pk)
    assert '"\\"<script>"' in desk.get("catalog_pinnedendpoint_wave", endpoint.pk).content.decode()


def test_who_may_not_look_at_endpoints_sees_neither_page_nor_file(sonnet):
    stranger = Desk(factories.staff("catalog.view_model"))
    for page in ("clients", "wave"):
        assert stranger.get(f"catalog_pinnedendpoint_{page}", sonnet.pk).status_code == 403
    assert Desk(factories.staff("catalog.view_pinnedendpoint")).text("catalog_pinnedendpoint_clients", sonnet.pk)


@pytest.mark.parametrize("host", ["weir.example", "eu.weir.example"])
@pytest.mark.parametrize("allowed", ["Weir.Example", ".weir.example", "WEIR.example."])
def test_the_installations_own_name_is_its_own_in_any_spelling(host, allowed, model, settings):
    settings.ALLOWED_HOSTS = [allowed]
    if host == "weir.example":
        with pytest.raises(ValidationError, match="its admin would be gone"):
            factories.endpoint(model, hosts=[host])
    else:
        assert factories.endpoint(model, hosts=[host])
