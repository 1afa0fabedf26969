"""Lines to paste: right for each program, and whole whatever the model is called."""

from __future__ import annotations

import ast
import json
import shlex
import tomllib

import pytest

from apps.catalog import clients
from apps.catalog.clients import Question, Target

BASE = "https://weir.example"
RASCAL = 'it\'s "a" $(model) \\ `of` №\u200b1'
TALK = Question(
    messages=(
        {"role": "user", "content": RASCAL},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Why?"},
    ),
    system=RASCAL,
    max_tokens=77,
    temperature=0.5,
)


def found(to: Target) -> dict[str, clients.Snippet]:
    return {snippet.id: snippet for snippet in clients.snippets(to)}


def asked(to: Target, question: Question) -> dict[str, str]:
    return {snippet.id: snippet.text for snippet in clients.code(to, question)}


def test_no_two_have_one_id():
    snippets = clients.snippets(Target(base=BASE))
    assert len({snippet.id for snippet in snippets}) == len(snippets)


@pytest.mark.parametrize("key", ["weir_0123", clients.KEY])
def test_the_key_is_wherever_a_program_looks_for_it(key):
    for snippet in clients.snippets(Target(base=BASE, key=key)):
        assert key in snippet.text + snippet.command, snippet.id


def test_claude_code_gets_its_address_without_a_version_and_a_model_for_all_that_it_does():
    texts = found(Target(base=BASE, key="weir_0123", model="sonnet"))
    names = json.loads(texts["claude-code"].text)["env"]
    assert names == {
        "ANTHROPIC_BASE_URL": BASE,
        "ANTHROPIC_AUTH_TOKEN": "weir_0123",
        "ANTHROPIC_MODEL": "sonnet",
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "sonnet",
    }
    assert texts["claude-code"].command == "/status"
    shell = texts["claude-code-shell"].text.splitlines()
    assert [*names.items()] == [tuple(line.removeprefix("export ").split("=")) for line in shell[:-1]]
    assert shell[-1] == "unset ANTHROPIC_API_KEY"


def test_claude_code_chooses_its_models_itself_where_none_is_named():
    assert clients.MODEL not in found(Target(base=BASE))["claude-code"].text


def test_codex_is_told_of_the_one_format_that_it_speaks():
    told = tomllib.loads(found(Target(base=BASE, model=RASCAL))["codex"].text)
    assert told["model"] == RASCAL
    assert told["model_providers"][told["model_provider"]] == {
        "name": "Weir",
        "base_url": f"{BASE}/v1",
        "env_key": "WEIR_KEY",
        "wire_api": "responses",
    }


def test_python_can_read_what_is_python():
    for name in ("openai-python", "anthropic-python"):
        (call,) = [
            node.value
            for node in ast.walk(ast.parse(asked(Target(base=BASE, model=RASCAL), TALK)[name]))
            if isinstance(node, ast.Assign) and node.targets[0].id == "answer"  # type: ignore[attr-defined]
        ]
        said = {word.arg: ast.literal_eval(word.value) for word in call.keywords}  # type: ignore[attr-defined]
        assert said == (TALK.as_chat(RASCAL) if name == "openai-python" else TALK.as_messages(RASCAL))


@pytest.mark.parametrize(
    ("name", "path", "body"),
    [
        ("curl-chat", "chat/completions", TALK.as_chat(RASCAL)),
        ("curl-messages", "messages", TALK.as_messages(RASCAL)),
        ("curl-responses", "responses", TALK.as_responses(RASCAL)),
    ],
)
def test_a_shell_hands_curl_the_question_as_it_is(name, path, body):
    words = shlex.split(asked(Target(base=BASE, model=RASCAL), TALK)[name].replace("\\\n", ""))
    assert words[:2] == ["curl", f"{BASE}/v1/{path}"]
    assert json.loads(words[words.index("-d") + 1]) == body


def test_each_dialect_has_its_own_words_for_the_same():
    assert TALK.as_messages("m")["system"] == TALK.as_responses("m")["instructions"] == RASCAL
    assert TALK.as_chat("m")["messages"][0] == {"role": "system", "content": RASCAL}
    assert len(TALK.as_responses("m")["input"]) == len(TALK.as_messages("m")["messages"]) == 3
    assert Question().as_responses("m")["input"] == "What is a weir?"
    assert "temperature" not in Question().as_chat("m")
