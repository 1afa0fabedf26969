"""Testing a provider's connection in the admin, and taking up models that it lists."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from apps.audit.models import Record
from apps.catalog.models import AllowedNetwork, Credential, Deployment, Model, Price, Provider
from apps.usage.models import Entry
from tests import factories
from tests.control.desk import Desk
from tests.servers import Simulator, start_simulator

pytestmark = [pytest.mark.django_db, pytest.mark.once]
TEST = "catalog_provider_test_connection"
ADOPT = "catalog_provider_add_models"
SECRET = "sk-a-secret-of-the-provider"
STEPS = ("list", "call", "stream")
COUNTERS = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    running = start_simulator(tmp_path_factory.mktemp("provider"), "--fast")
    yield running
    running.stop()


@pytest.fixture
def near(db, simulator) -> Provider:
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    return factories.provider("Near", vendor="simulated", base_url=simulator.base_url)


@pytest.fixture
def kept(near) -> Credential:
    return factories.credential(near, secret=SECRET, alias="main")


def step(desk: Desk, provider: Provider, name: str, **values):
    return desk.client.post(desk.url(TEST, provider.pk), {"step": name, **values})


def trials() -> list[dict]:
    return [record.after for record in Record.objects.filter(action="provider.tested").order_by("pk")]


def test_a_visit_asks_nobody_and_says_what_a_test_costs(desk, near, kept, simulator):
    before = simulator.seen()
    text = desk.text(TEST, near.pk)
    for shown in ("Test now", "one token", "not yet", "main •••", "/static/admin/connection.js"):
        assert shown in text, shown
    assert "data-begins" not in text
    assert simulator.seen() == before


def test_every_step_tells_what_came_of_it(desk, near, kept, simulator):
    first = step(desk, near, "list").json()
    assert first["ok"] is True
    assert first["model"]
    assert first["model"] in first["models"]
    for name in ("call", "stream"):
        told = step(desk, near, name, model="claude-test", credential=kept.pk).json()
        assert (told["ok"], told["model"]) == (True, "claude-test")
        assert "works" in told["row"]
        assert " ms" in told["row"]
    assert [call["path"] for call in simulator.calls()][-3:] == ["/v1/models", "/v1/messages", "/v1/messages"]
    assert [(one["model"], one["stream"], one["credential"], one["works"]) for one in trials()] == [
        ("claude-test", False, "main", True),
        ("claude-test", True, "main", True),
    ]
    near.refresh_from_db()
    assert near.last_check_ms is not None
    assert not Entry.objects.exists()


def test_without_a_script_all_steps_come_in_one_answer(desk, near, kept):
    factories.deployment(at=near, upstream_model="not-on-its-list")
    text = desk.client.post(desk.url(TEST, near.pk), {"model": "claude-test"}).content.decode()
    assert text.count("weir-badge-good") >= len(STEPS)
    for shown in ("not-on-its-list", "Test again", "Add ticked models"):
        assert shown in text, shown
    assert len(trials()) == 2


def test_a_failure_is_told_in_the_providers_words_and_without_the_key(desk, near, kept):
    told = step(desk, near, "call", model="claude-leak").json()  # it refuses the call and tells the key
    assert told["ok"] is False
    assert "[removed]" in told["row"].split("weir-words")[1]
    assert SECRET not in told["row"]
    assert trials()[0]["works"] is False


def test_nobody_there_is_an_answer_too(desk, near, kept):
    Provider.objects.filter(pk=near.pk).update(base_url="http://127.0.0.1:9")
    factories.credential(near, alias="spare")
    for name in STEPS:
        told = step(desk, near, name, model="claude-test").json()
        assert told["ok"] is False
    near.refresh_from_db()
    kept.refresh_from_db()


def test_a_model_must_be_named_before_it_is_called(desk, near, kept, simulator):
    before = simulator.seen()
    told = step(desk, near, "call").json()
    assert "Name a model" in told["row"]
    assert "not yet" in told["row"]
    assert told["ok"] is None
    assert simulator.seen() == before
    assert trials() == []


def test_what_is_deployed_is_tried_in_the_protocol_of_its_deployment(desk, near, kept, simulator):
    factories.deployment(at=near, upstream_model="gpt-test", protocol="openai_chat")
    assert step(desk, near, "list").json()["model"] == "gpt-test"
    assert step(desk, near, "call", model="gpt-test").json()["ok"] is True
    assert simulator.calls()[-1]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize(
    ("vendor", "protocol", "model", "path"),
    [
        ("openai_compatible", "openai_chat", "text-embedding-test", "/v1/embeddings"),
        ("ollama", "ollama_chat", "nomic-embed-text", "/api/embed"),
        ("bedrock", "bedrock_converse", "amazon.titan-embed-text-v2:0", "/model/amazon.titan-embed-text-v2%3A0/invoke"),
    ],
)
def test_an_embedding_model_is_asked_for_embeddings_and_not_for_a_stream(
    near, desk, simulator, vendor, protocol, model, path
):
    base = simulator.base_url + ("/v1" if protocol == "openai_chat" else "")
    row = factories.provider("Embeds", vendor=vendor, protocol=protocol, base_url=base, options={"region": "us-east-1"})
    factories.credential(row, secret=SECRET)
    called = step(desk, row, "call", model=model).json()
    assert called["ok"] is True, called["row"]
    assert simulator.calls()[-1]["path"] == path
    before = simulator.seen()
    streamed = step(desk, row, "stream", model=model).json()
    assert streamed["ok"] is True
    assert "come whole" in streamed["row"]
    assert simulator.seen() == before


def test_a_tenants_own_credential_is_not_offered(desk, near, acme):
    own = factories.credential(near, tenant=acme, alias="acmes-own")
    assert "acmes-own" not in desk.text(TEST, near.pk)
    step(desk, near, "call", model="claude-test", credential=own.pk)
    assert trials()[0]["credential"] == ""


def test_the_test_of_a_new_provider_begins_by_itself_and_once(desk, near, simulator):
    response = desk.send(
        "catalog_provider_add", query={"vendor": "simulated"}, base_url=simulator.base_url, secret=SECRET
    )
    assert response.status_code == 302
    assert "data-begins" in desk.client.get(response["location"]).content.decode()
    assert "data-begins" not in desk.client.get(response["location"]).content.decode()


def test_a_provider_that_is_not_there_cannot_be_tested(desk):
    assert desk.get(TEST, 987_654).status_code == 404
    assert desk.client.post(desk.url(ADOPT, 987_654)).status_code == 404


def test_testing_is_for_those_who_may_change_providers(near, kept, simulator):
    desk = Desk(factories.staff("catalog.view_provider", "catalog.add_provider"))
    before = simulator.seen()
    assert desk.get(TEST, near.pk).status_code == 403
    assert step(desk, near, "call", model="claude-test").status_code == 403
    assert desk.client.post(desk.url(ADOPT, near.pk), {"models": ["claude-test"]}).status_code == 403
    assert simulator.seen() == before


# --- taking up models --------------------------------------------------------------------------------------------


def listed(desk: Desk, provider: Provider) -> str:
    return step(desk, provider, "list").json()["model"]


def test_ticked_models_are_made_and_deployed(desk, near, kept):
    name = listed(desk, near)
    response = desk.client.post(desk.url(ADOPT, near.pk), {"models": [name, "on-no-list"]}, follow=True)
    assert "Models added: 1. Without a price: 1; while a budget applies" in response.content.decode()
    assert "Not on the list any more: 1." in response.content.decode()
    deployment = Deployment.objects.get()
    assert (deployment.upstream_model, deployment.model.name, deployment.provider) == (name, name, near)
    assert "deployed" in step(desk, near, "list").json()["models"]
    desk.client.post(desk.url(ADOPT, near.pk), {"models": [name]})
    assert Deployment.objects.count() == 1


def test_a_model_of_that_name_or_alias_gets_a_deployment_more(desk, near, kept):
    name = listed(desk, near)
    model = factories.model("own-name", aliases=[name])
    desk.client.post(desk.url(ADOPT, near.pk), {"models": [name]})
    assert Model.objects.get() == model
    assert model.deployments.get().upstream_model == name


def test_what_ollama_says_of_a_model_by_itself_comes_with_it(desk, near, kept):
    Provider.objects.filter(pk=near.pk).update(protocol="ollama_chat")
    names = ["llama3.2:latest", "qwen3:8b", "nomic-embed-text:latest"]
    desk.client.post(desk.url(ADOPT, near.pk), {"models": names})
    made = {model.name: (model.capabilities, model.context_tokens) for model in Model.objects.all()}
    assert made == {
        "llama3.2:latest": (["text"], 131_072),
        "qwen3:8b": (["text", "adaptive_thinking"], 131_072),
        "nomic-embed-text:latest": (["embeddings"], 2048),
    }


FREE = "They cost nothing: book them at 0"
ADDS = ("catalog.view_provider", "catalog.change_provider", "catalog.add_model", "catalog.add_deployment")


def test_what_costs_nothing_is_priced_at_0_if_that_is_ticked(desk, near):
    own = factories.provider("Own", vendor="ollama", protocol="ollama_chat", base_url=near.base_url)
    page = step(desk, own, "list").json()["models"]
    assert FREE in page
    assert 'name="is_free" checked' not in page
    told = desk.client.post(desk.url(ADOPT, own.pk), {"models": ["qwen3:8b"]}, follow=True).content.decode()
    assert "Without a price: 1" in told
    assert not Price.objects.exists()
    ticked = {"models": ["llama3.2:latest"], "is_free": "on"}
    told = desk.client.post(desk.url(ADOPT, own.pk), ticked, follow=True).content.decode()
    assert "Models added: 1." in told
    assert "Without a price" not in told
    price = Price.objects.get()
    assert price.deployment.upstream_model == "llama3.2:latest"
    assert {getattr(price, name) for name in COUNTERS} == {0}


def test_nobody_prices_at_0_who_may_set_no_price(near, kept):
    desk = Desk(factories.staff(*ADDS))
    assert FREE not in step(desk, near, "list").json()["models"]
    desk.client.post(desk.url(ADOPT, near.pk), {"models": [listed(desk, near)], "is_free": "on"})
    assert Deployment.objects.exists()
    assert not Price.objects.exists()


def test_a_vendor_who_takes_money_is_not_priced_at_0(desk, near):
    paid = factories.provider("Paid", vendor="openai", protocol="openai_chat", base_url=f"{near.base_url}/v1")
    factories.credential(paid)
    assert FREE not in step(desk, paid, "list").json()["models"]
    desk.client.post(desk.url(ADOPT, paid.pk), {"models": [listed(desk, paid)], "is_free": "on"})
    assert Deployment.objects.exists()
    assert not Price.objects.filter(input=0).exists()


def test_models_are_taken_up_by_those_who_may_add_models_and_deployments(near, kept):
    may = ["catalog.view_provider", "catalog.change_provider"]
    desk = Desk(factories.staff(*may, "catalog.add_model"))
    assert "Add ticked models" not in step(desk, near, "list").json()["models"]
    assert desk.client.post(desk.url(ADOPT, near.pk), {"models": ["claude-test"]}).status_code == 403
    assert not Model.objects.exists()


def test_a_credential_that_does_not_open_is_told_wherever_it_is_asked_with(desk, near, kept):
    name = listed(desk, near)
    Credential.objects.filter(pk=kept.pk).update(ciphertext="v1:broken")
    assert "does not open" in step(desk, near, "list").json()["row"]
    answer = desk.client.post(desk.url(ADOPT, near.pk), {"models": [name]}, follow=True)
    assert "does not open" in answer.content.decode()
    assert not Deployment.objects.exists()


@pytest.mark.parametrize("model", ["a\0b", "a\nb", "\u202egpt", "x" * 201])
def test_what_cannot_be_a_models_name_is_not_asked_for(desk, near, kept, model):
    told = step(desk, near, "call", model=model)
    assert told.status_code == 200
    assert trials() == [] or len(model) > 200
