"""Endpoints that are pinned to one model, by path and by host name."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from apps.catalog import services as catalog
from apps.catalog.models import Model, PinnedEndpoint
from apps.gateway import routes
from apps.usage import rollups, selectors
from apps.usage.models import Entry, HourlyRollup
from tests.gateway.calls import ANTHROPIC, OPENAI, anthropic_error, ask, openai_error
from tests.gateway.upstreams import MESSAGE, upstream

pytestmark = pytest.mark.django_db(transaction=True)
HOST = {"host": "sonnet.example:8443"}
WAYS = {"path": ("/e/sonnet", {}), "host": ("", HOST)}
ASKED = {"as it is": "claude-test", "another": "gpt-test", "unknown": "no-such-model", "empty": "", "number": 7}


@pytest.fixture
def endpoint(gateway) -> PinnedEndpoint:
    found = pin(gateway, "sonnet", "claude-test", hosts=["sonnet.example"])
    gateway.refresh()
    return found


def pin(gateway, name, model, **fields) -> PinnedEndpoint:
    row = Model.objects.get(name=model)
    return catalog.create_endpoint(actor=gateway.world.alice, name=name, model=row, **fields)


def change(gateway, endpoint, **fields) -> None:
    catalog.update_endpoint(endpoint, actor=gateway.world.alice, **fields)
    gateway.refresh()


@pytest.mark.once
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI, "/anthropic/v1/messages"])
def test_every_dialect_gets_the_endpoints_model(gateway, simulator, endpoint, path, way, stream):
    prefix, headers = WAYS[way]
    response = ask(
        gateway, prefix + path, change={"stream": stream, "max_tokens": 64}, model="gpt-test", headers=headers
    )
    assert response.status_code == 200, response.text
    gateway.settle()
    entry = Entry.objects.get()
    assert (entry.model_name, entry.upstream_model, entry.pinned_id) == ("claude-test", "claude-upstream", endpoint.pk)
    assert entry.endpoint == ("chat_completions" if path == OPENAI else "messages")
    assert entry.cost_nano == gateway.world.price_of("claude-test", entry)


@pytest.mark.once
@pytest.mark.parametrize("path", sorted(routes.COMPLETIONS))
def test_there_is_every_path_that_there_is_without_a_pin(gateway, endpoint, path):
    response = gateway.client.post(f"/e/sonnet{path}", content=b"[]", headers={"x-api-key": gateway.world.key})
    assert response.status_code == 400, response.text


@pytest.mark.once
@pytest.mark.parametrize("asked", [*ASKED.values(), None], ids=[*ASKED, "absent"])
@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_what_the_caller_asks_for_does_not_matter(gateway, endpoint, path, asked):
    response = ask(gateway, f"/e/sonnet{path}", change={"model": asked, "max_tokens": 64})
    assert response.status_code == 200, response.text
    gateway.settle()
    assert Entry.objects.get().model_name == "claude-test"


@pytest.mark.once
def test_a_translated_answer_says_the_endpoints_model(gateway, endpoint):
    response = ask(gateway, f"/e/sonnet{OPENAI}", model="whatever")
    assert response.json()["model"] == "claude-test"


@pytest.mark.once
def test_but_for_the_model_the_body_is_relayed_to_the_byte(gateway, world):
    odd = b'{ "max_tokens":64,"x_unknown" : [1,  2.50], "model":"%b" ,"messages": [{"content":"hi", "role":"user"}]}'
    heard = []
    with upstream(MESSAGE, heard=heard) as url:
        world.deploy("claude-here", upstream="claude-there", url=url)
        pin(gateway, "here", "claude-here")
        gateway.refresh()
        assert ask(gateway, f"/e/here{ANTHROPIC}", body=odd % b"gpt-test").content == MESSAGE
    assert heard == [odd % b"claude-there"]


@pytest.mark.once
@pytest.mark.parametrize("way", WAYS)
def test_the_list_of_models_is_of_one(gateway, endpoint, way):
    prefix, headers = WAYS[way]
    headers = headers | {"x-api-key": gateway.world.key}
    listed = gateway.client.get(f"{prefix}/v1/models", headers=headers).json()
    assert [model["id"] for model in listed["data"]] == ["claude-test"]
    assert gateway.client.get(f"{prefix}/v1/models/claude-test", headers=headers).status_code == 200
    assert gateway.client.get(f"{prefix}/v1/models/gpt-test", headers=headers).status_code == 404
    assert len(gateway.client.get("/v1/models", headers={"x-api-key": gateway.world.key}).json()["data"]) == 2


@pytest.mark.once
def test_two_endpoints_do_not_know_of_each_other(gateway, endpoint):
    pin(gateway, "gpt", "gpt-test", hosts=["gpt.example"])
    gateway.refresh()
    for name, model in (("sonnet", "claude-test"), ("gpt", "gpt-test")):
        assert ask(gateway, f"/e/{name}{OPENAI}", model="x").json()["model"].startswith(model.partition("-")[0])
    assert ask(gateway, f"/e/gpt{OPENAI}", headers=HOST).status_code == 404, "a host's caller cannot leave it"


@pytest.mark.once
@pytest.mark.parametrize("path", ["/admin/", "/health/live", "/metrics", "/static/weir.svg", "/settings"])
def test_behind_a_pin_there_is_nothing_but_the_data_plane(gateway, endpoint, path):
    for prefix, headers in WAYS.values():
        response = gateway.client.get(prefix + path, headers=headers | {"accept": "text/html"})
        assert response.status_code == 404
        assert response.headers["content-type"] == "application/json"


@pytest.mark.once
@pytest.mark.parametrize("base", ["", "/", "/v1", "/anthropic"])
def test_a_client_finds_somebody_behind_a_pin_and_nobody_where_there_is_none(gateway, endpoint, base):
    for prefix, headers in WAYS.values():
        assert gateway.client.head(prefix + base, headers=headers).status_code == 200
    assert gateway.client.head(f"/e/nobody{base}").status_code == 404


@pytest.mark.once
@pytest.mark.parametrize("accept", ["text/html,*/*;q=0.8", "*/*"])
def test_a_person_who_opens_its_address_finds_somebody_as_a_program_does(gateway, endpoint, accept):
    for address, headers in (("/e/sonnet", {}), ("/e/sonnet/", {}), ("/", HOST)):
        found = gateway.client.get(address, headers=headers | {"accept": accept})
        assert (found.status_code, found.content) == (200, b"")
    assert gateway.client.get("/e/nobody", headers={"accept": accept}).status_code == 404


@pytest.mark.once
@pytest.mark.parametrize("host", ["SONNET.Example", "sonnet.example.", "sonnet.example:1"])
def test_a_host_name_is_known_however_it_is_spelt(gateway, endpoint, host):
    assert ask(gateway, OPENAI, model="x", headers={"host": host}).status_code == 200


@pytest.mark.once
def test_another_host_is_as_before(gateway, endpoint):
    openai_error(ask(gateway, OPENAI, model="no-such", headers={"host": "other.example"}), 404)


@pytest.mark.once
def test_a_disabled_endpoint_is_as_one_that_there_never_was(gateway, endpoint):
    before = ask(gateway, f"/e/nobody{ANTHROPIC}")
    assert "nobody" in anthropic_error(before, 404, "not_found_error")
    change(gateway, endpoint, is_enabled=False)
    anthropic_error(ask(gateway, f"/e/sonnet{ANTHROPIC}"), 404, "not_found_error")
    openai_error(ask(gateway, f"/e/sonnet{OPENAI}"), 404)
    assert ask(gateway, ANTHROPIC, headers=HOST).status_code == 200, "nothing is pinned under the name any more"


@pytest.mark.once
def test_a_wrong_base_url_is_told_the_endpoints_own(gateway, endpoint, settings):
    message = anthropic_error(ask(gateway, "/e/sonnet/messages"), 404, "not_found_error")
    assert message == (
        "unknown path: POST /e/sonnet/messages; did you mean /e/sonnet/v1/messages? "
        f"Set the client's base URL to {settings.WEIR_BASE_URL}/e/sonnet"
    )
    told = openai_error(ask(gateway, "/chat/completions", headers=HOST), 404)
    assert "http://sonnet.example:8443/v1" in told["message"]


@pytest.mark.once
@pytest.mark.parametrize("written", ["/e/sonnet", "/e/sonnet/", "/e/sonnet/v1/batches"])
def test_an_unknown_path_is_told_as_the_caller_wrote_it(gateway, endpoint, written):
    message = anthropic_error(ask(gateway, written), 404, "not_found_error")
    assert message == f"unknown path: POST {written}"


@pytest.mark.once
def test_without_its_model_an_endpoint_has_none(gateway, endpoint):
    catalog.update_model(endpoint.model, actor=gateway.world.alice, is_enabled=False)
    gateway.refresh()
    assert "claude-test" in anthropic_error(ask(gateway, f"/e/sonnet{ANTHROPIC}"), 404, "not_found_error")


@pytest.mark.once
def test_the_models_tenants_confine_it_here_too(gateway, endpoint):
    from apps.tenants import services as tenants

    other = tenants.create_tenant(actor=gateway.world.alice, name="Globex")
    key = gateway.world.issue_for(other)
    catalog.set_tenants(endpoint.model, actor=gateway.world.alice, tenants=[gateway.world.tenant])
    gateway.refresh()
    anthropic_error(ask(gateway, f"/e/sonnet{ANTHROPIC}", key=key), 404, "not_found_error")
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}").status_code == 200


# --- who may call ------------------------------------------------------------------------------------------------


@pytest.mark.once
def test_a_network_that_is_not_listed_is_refused_in_the_callers_dialect(gateway, endpoint, costs_nothing):
    change(gateway, endpoint, networks=["192.0.2.0/24"])
    message = anthropic_error(ask(gateway, f"/e/sonnet{ANTHROPIC}"), 403, "permission_error")
    assert message == "this endpoint may not be used from this address"
    openai_error(ask(gateway, OPENAI, headers=HOST, key=None), 403)
    assert gateway.client.get("/e/sonnet/v1/models").status_code == 403


@pytest.mark.once
def test_a_listed_network_is_served_and_others_ways_are_not_confined(gateway, endpoint):
    change(gateway, endpoint, networks=["192.0.2.0/24", "127.0.0.0/8"])
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}").status_code == 200
    change(gateway, endpoint, networks=["192.0.2.0/24"])
    assert ask(gateway, ANTHROPIC).status_code == 200


@pytest.mark.once
def test_a_key_may_be_confined_to_a_pinned_endpoint(gateway, endpoint):
    pin(gateway, "gpt", "gpt-test")
    gateway.refresh()
    key = gateway.world.issue(endpoints=["e/sonnet"])
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}", key=key).status_code == 200
    assert ask(gateway, OPENAI, key=key, headers=HOST).status_code == 200
    assert gateway.client.get("/e/sonnet/v1/models", headers={"x-api-key": key}).status_code == 200
    for path in (ANTHROPIC, f"/e/gpt{ANTHROPIC}"):
        assert "may not use the endpoint" in anthropic_error(ask(gateway, path, key=key), 403, "permission_error")
    by_kind = gateway.world.issue(endpoints=["messages"])
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}", key=by_kind).status_code == 200
    openai_error(ask(gateway, f"/e/sonnet{OPENAI}", key=by_kind), 403)


@pytest.mark.once
def test_a_key_stays_confined_to_an_endpoint_that_is_renamed_and_to_no_other(gateway, endpoint):
    key = gateway.world.issue(endpoints=["e/sonnet"])
    change(gateway, endpoint, name="claude")
    assert ask(gateway, f"/e/claude{ANTHROPIC}", key=key).status_code == 200
    assert ask(gateway, OPENAI, key=key, headers=HOST).status_code == 200
    anthropic_error(ask(gateway, f"/e/sonnet{ANTHROPIC}", key=key), 404, "not_found_error")
    with pytest.raises(ValidationError, match="had this name"):
        pin(gateway, "sonnet", "gpt-test")
    pin(gateway, "gpt", "gpt-test")
    gateway.refresh()
    told = anthropic_error(ask(gateway, f"/e/gpt{ANTHROPIC}", key=key), 403, "permission_error")
    assert told.endswith("the endpoint messages at e/gpt")


@pytest.mark.once
@pytest.mark.parametrize("way", WAYS)
def test_an_endpoint_has_origins_of_its_own(gateway, endpoint, way, settings):
    prefix, headers = WAYS[way]
    mine, theirs = "https://app.example", "https://elsewhere.example"
    change(gateway, endpoint, cors_origins=[mine])

    def granted(path, origin):
        asked = headers | {"origin": origin, "access-control-request-method": "POST"}
        preflight = gateway.client.options(path, headers=asked)
        assert preflight.status_code == 204
        answered = ask(gateway, path, headers=headers | {"origin": origin})
        found = {answer.headers.get("access-control-allow-origin") for answer in (preflight, answered)}
        assert len(found) == 1
        return found.pop()

    assert granted(prefix + ANTHROPIC, mine) == mine
    assert granted(prefix + ANTHROPIC, theirs) is None
    if way == "path":
        assert granted(ANTHROPIC, mine) is None


@pytest.mark.once
def test_a_page_reads_errors_and_streams_as_it_reads_answers(gateway, endpoint):
    page = {"origin": "https://app.example"}
    change(gateway, endpoint, cors_origins=["https://app.example"])
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key, x-weir-cache"}
    preflight = gateway.client.options(f"/e/sonnet{ANTHROPIC}", headers=page | asks)
    allowed = set(preflight.headers["access-control-allow-headers"].split(", "))
    assert {"x-api-key", "x-weir-cache", "anthropic-version", "content-type"} <= allowed
    answers = {
        200: ask(gateway, f"/e/sonnet{OPENAI}", change={"stream": True}, headers=page),
        400: ask(gateway, f"/e/sonnet{ANTHROPIC}", body=b"[]", headers=page),
        401: ask(gateway, f"/e/sonnet{ANTHROPIC}", key="nobody's", headers=page),
        404: gateway.client.get("/e/sonnet/v1/nothing", headers=page),
    }
    change(gateway, endpoint, networks=["192.0.2.0/24"])
    answers[403] = ask(gateway, f"/e/sonnet{ANTHROPIC}", headers=page)
    for status, answer in answers.items():
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == "https://app.example", status
        assert "retry-after" in answer.headers["access-control-expose-headers"], status
        assert answer.headers["vary"] == "origin", status


# --- what restrains it, and the books ----------------------------------------------------------------------------


def test_its_limit_restrains_all_its_ways_and_nothing_else(gateway, endpoint):
    gateway.world.limit(endpoint=endpoint, requests_per_minute=2)
    gateway.refresh()
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}").status_code == 200
    assert ask(gateway, OPENAI, headers=HOST).status_code == 200
    refused = ask(gateway, f"/e/sonnet{ANTHROPIC}", key=gateway.world.issue())
    assert "2 requests per minute for this endpoint" in anthropic_error(refused, 429, "rate_limit_error")
    assert ask(gateway, ANTHROPIC).status_code == 200


def test_its_budget_is_charged_by_it_alone_and_refuses_when_spent(gateway, endpoint):
    budget = gateway.world.budget(endpoint=endpoint, amount=2_000_000)
    gateway.refresh()
    assert ask(gateway, ANTHROPIC).status_code == 200
    assert ask(gateway, f"/e/sonnet{ANTHROPIC}").status_code == 200
    gateway.settle()
    pinned = Entry.objects.get(pinned=endpoint)
    assert len(pinned.windows) == 1
    assert Entry.objects.get(pinned=None).windows == []
    assert budget.windows.get().settled == pinned.high_nano > 0
    dear = ask(gateway, f"/e/sonnet{ANTHROPIC}", change={"max_tokens": 4096})
    assert "budget of this endpoint" in dear.json()["error"]["message"]
    assert dear.status_code in (402, 429), dear.text
    assert ask(gateway, ANTHROPIC, change={"max_tokens": 4096}).status_code == 200


def test_its_usage_is_a_line_of_its_own(gateway, endpoint):
    ask(gateway, ANTHROPIC)
    ask(gateway, f"/e/sonnet{ANTHROPIC}")
    gateway.settle()
    rollups.roll_up()
    lines = {row.pinned_id: row for row in HourlyRollup.objects.all()}
    assert set(lines) == {None, endpoint.pk}
    entry = Entry.objects.get(pinned=endpoint)
    assert (lines[endpoint.pk].calls, lines[endpoint.pk].cost_nano) == (1, entry.cost_nano)
    rollups.roll_up()
    assert HourlyRollup.objects.count() == 2
    spent = selectors.spent(entry.settled_at, days=1, pinned_id=endpoint.pk)
    assert (spent.calls, spent.cost) == (1, entry.cost_nano)
