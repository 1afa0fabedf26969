"""What callers, people and programs do at the searched installation: all that can go wrong, with a canary in it."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from tests.attack.canaries import Part
from tests.attack.clerk import MODELS, SLUG
from tests.attack.leaky import ENDS, STATUSES
from tests.attack.premises import Premises, secret_part
from tests.control.desk import fields

SITE = "weir.example"
PATHS = {"claude": "/v1/messages", "gpt": "/v1/chat/completions"}
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="(\w+)"')
CARD = "4111 1111 1111 1111"


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Caller:
    """Somebody at one of the ports. All that is answered is kept in `heard`, until it is said otherwise."""

    def __init__(self, base: str, heard: list[Part], **headers: str) -> None:
        self._netloc = urlsplit(base).netloc
        self._connection = http.client.HTTPConnection(self._netloc, timeout=60)
        self._heard = heard
        self.headers = {"host": SITE, "x-forwarded-proto": "https", **headers}
        self.cookies: dict[str, str] = {}

    def __call__(self, method: str, path: str, body: Any = b"", *, is_kept: bool = True, **headers: str) -> Answer:
        sent = self.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        if raw:
            sent.setdefault("content-type", "application/json")
        try:
            self._connection.request(method, path, raw or None, sent)
            answer = self._connection.getresponse()
            told = answer.read()
        except http.client.IncompleteRead as cut:
            told = cut.partial
            self._connection.close()
        except (http.client.HTTPException, OSError):
            self._connection.close()
            return Answer(0, {}, b"")
        head = "".join(f"{name}: {value}\n" for name, value in answer.getheaders() if name.lower() != "set-cookie")
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                self._take(value)
        if is_kept:
            self._heard.append(Part(f"{method} {path}", head.encode() + told))
        return Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, told)

    def _take(self, cookie: str) -> None:
        name, _, value = cookie.partition(";")[0].partition("=")
        self.cookies[name] = value
        if not value or value == '""':
            del self.cookies[name]

    def send(self, path: str, values: Mapping[str, str], *, is_kept: bool = True) -> Answer:
        """The form of a page, as a browser sends it that has filled in `values`."""
        page = self("GET", path, is_kept=is_kept).text
        found = _TOKEN.search(page)
        form = {**fields(page), **values, "csrfmiddlewaretoken": found[1] if found else ""}
        kind = "application/x-www-form-urlencoded"
        whose = {"content_type": kind, "origin": f"https://{SITE}"}
        return self("POST", path, urlencode(form, doseq=True).encode(), is_kept=is_kept, **whose)

    def close(self) -> None:
        self._connection.close()


class Errands:
    """`heard` is what was answered, by who asked: callers, people, programs."""

    def __init__(self, premises: Premises) -> None:
        self.premises, self.words, self.made = premises, premises.words, premises.made
        self.calls: list[Part] = []
        self.pages: list[Part] = []
        self.api: list[Part] = []
        agent = {"user_agent": f"agent/1 {self.words['user agent']}"}
        self.gateway = Caller(premises.url("gateway"), self.calls, **{"user-agent": agent["user_agent"]})
        self.alice = Caller(premises.url("control"), self.pages)
        self.root = Caller(premises.url("control"), self.pages)
        self.stranger = Caller(premises.url("control"), self.pages)
        self.programs = {
            whose: Caller(premises.url("control"), self.api, authorization=f"Bearer {self.made[f'token of {whose}']}")
            for whose in ("root", "alice")
        }
        self.statuses: list[int] = []
        self.provider = 0

    def close(self) -> None:
        for caller in (self.gateway, self.alice, self.root, self.stranger, *self.programs.values()):
            caller.close()

    # --- calls ---------------------------------------------------------------------------------------------------

    def call_everything(self) -> None:
        """Each model in each dialect, streamed and not."""
        for upstream in MODELS:
            for kind in (*STATUSES, *ENDS, "refused", "closed"):
                model = f"{upstream}-{kind}"
                for dialect in MODELS if kind in ("fine", "400", "500", "halfway") else (upstream,):
                    for stream in (False, True) if kind in ("fine", *ENDS, "400") else (False,):
                        self.call(dialect, model, stream=stream)
        for model in ("aws", "shaped-401", self.words["model's name"]):
            self.call("claude", model)
        self._others()

    def call(self, dialect: str, model: str, **fields: Any) -> Answer:
        body = {**self.body(dialect), "model": model, **fields}
        answer = self.gateway(
            "POST",
            f"{PATHS[dialect]}?q={self.words['query']}",
            body,
            x_api_key=self.made["key"],
            x_custom=self.words["header"],
            cookie_2=self.words["header"],
            x_claude_code_session_id=self.words["session name"],
        )
        self.statuses.append(answer.status)
        return answer

    def body(self, dialect: str) -> dict[str, Any]:
        """A prompt with all that a prompt can have."""
        words = self.words
        said = f"{words['prompt']}. Call me: {words['phone']}."
        picture = base64.b64encode(b"\x89PNG\r\n\x1a\n" + words["picture"].encode()).decode()
        asked = {"type": "object", "properties": {"word": {"type": "string", "description": words["system prompt"]}}}
        if dialect == "claude":
            image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": picture}}
            use = {"type": "tool_use", "id": "toolu_0", "name": "look", "input": {"word": words["tool's result"]}}
            result = {"type": "tool_result", "tool_use_id": "toolu_0", "content": words["tool's result"]}
            return {
                "max_tokens": 200,
                "system": words["system prompt"],
                "metadata": {"user_id": words["user of the caller"]},
                "tools": [{"name": "look", "description": "Looks.", "input_schema": asked}],
                "messages": [
                    {"role": "user", "content": [image, {"type": "text", "text": said}]},
                    {"role": "assistant", "content": [use]},
                    {"role": "user", "content": [result]},
                ],
            }
        look = {"name": "look", "arguments": json.dumps({"word": words["tool's result"]})}
        url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{picture}"}}
        return {
            "user": words["user of the caller"],
            "tools": [{"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": asked}}],
            "messages": [
                {"role": "system", "content": words["system prompt"]},
                {"role": "user", "content": [{"type": "text", "text": said}, url]},
                {"role": "assistant", "tool_calls": [{"id": "call_0", "type": "function", "function": look}]},
                {"role": "tool", "tool_call_id": "call_0", "content": words["tool's result"]},
            ],
        }

    def _others(self) -> None:
        """What is refused before any provider hears of it, and the other endpoints."""
        words, key = self.words, self.made["key"]
        ask, broken = self.gateway, words["broken prompt"]
        bodies = [
            f'{{"model": "claude-fine", "messages": [{{"role": "user", "content": "{broken}'.encode(),
            b'{"model": "claude-fine", "messages": "\xff' + broken.encode() + b'"}',
            json.dumps({"model": "claude-fine", "max_tokens": broken, "messages": []}).encode(),
            json.dumps({"model": "claude-fine", "max_tokens": 9, "messages": broken}).encode(),
            json.dumps({"model": "claude-fine", "max_tokens": 9, "messages": [{"role": broken}]}).encode(),
            json.dumps({"model": "nobody's", "messages": [{"role": "user", "content": broken}]}).encode(),
            b"[" * 2_000 + broken.encode(),
        ]
        for path in PATHS.values():
            for body in bodies:
                ask("POST", path, body, x_api_key=key)
        for path in ("/v1/messages", f"/v1/lost/{key}", f"/v1/models/{words['query']}", "/v1/models"):
            ask("GET", f"{path}?key={key}&q={words['query']}", x_api_key=key)
            ask("POST", f"{path}?api_key={key}", {"model": "claude-fine"})
        for bad in (f"{key}x", key[:-1] + ("0" if key[-1] != "0" else "1"), words["given key"], f"Bearer {key}"):
            ask("POST", PATHS["claude"], self.body("claude") | {"model": "claude-fine"}, x_api_key=bad)
            ask("POST", PATHS["gpt"], self.body("gpt") | {"model": "gpt-fine"}, authorization=f"Bearer {bad}")
        basic = base64.b64encode(f"weir:{key}".encode()).decode()
        ask("POST", PATHS["gpt"], self.body("gpt") | {"model": "gpt-fine"}, authorization=f"Basic {basic}")
        ask("POST", PATHS["claude"], self.body("claude") | {"model": "claude-fine"}, x_api_key=self.made["poor key"])
        blocked = {"role": "user", "content": f"{words['prompt']} {CARD} or {words['e-mail']}"}
        for content in (blocked, blocked | {"content": f"{words['prompt']} {words['e-mail']}"}):
            self.call("claude", "claude-fine", messages=[content])
        hosts = {
            "api_base": self.premises.proxy.url,
            "base_url": self.premises.proxy.url,
            "api_key": words["given key"],
        }
        self.call("gpt", "gpt-400", **hosts)
        vectors = {"model": "gpt-fine", "input": [words["vector's input"]]}
        ask("POST", "/v1/embeddings", vectors, x_api_key=key)
        counted = self.body("claude") | {"model": "claude-500"}
        ask("POST", "/v1/messages/count_tokens", counted, x_api_key=key)
        asked = {"model": "gpt-fine", "instructions": words["system prompt"], "input": words["prompt"]}
        for stream in (False, True):
            ask("POST", "/v1/responses", asked | {"stream": stream}, x_api_key=key)

    # --- people --------------------------------------------------------------------------------------------------

    def come_in(self) -> None:
        """Wrongly in all ways, then rightly; what their cookies say is looked for from now on."""
        words = self.words
        for name, password in (("alice", words["wrong password"]), (words["password typed as a name"], "x" * 12)):
            self.stranger.send("/sign-in/", {"username": name, "password": password})
        self.stranger("GET", f"/sign-in/?password={words['wrong password']}&next=/{words['query']}")
        self.stranger("GET", f"/invitations/{self.made['invitation']}/")
        left = self.stranger("GET", "/sign-in/with/example/")
        state = re.search(r"[?&]state=(\w+)", left.headers.get("location", ""))
        assert state is not None, left
        self.stranger("GET", f"/sign-in/with/example/back/?code={words['given key']}&state={state[1]}")
        assert any("/token" in asked.split()[0] for asked in self.premises.leaky.asked)
        self.alice.send("/sign-in/", {"username": "alice", "password": words["password of alice"]})
        self.root.send("/sign-in/", {"username": "root", "password": words["password of root"]})
        self.root.send("/sign-in/code/", {"code": self.made["recovery code"]})
        self.stranger.send("/sign-in/", {"username": "root", "password": words["password of root"]})
        self.stranger.send("/sign-in/code/", {"code": words["wrong password"]})
        for who, caller in (("alice", self.alice), ("root", self.root)):
            self.premises.coop.add(
                f"session of {who}", next(word for name, word in caller.cookies.items() if "session" in name)
            )
            assert caller("GET", "/account/").status == 200

    def work(self) -> None:
        """What has to do with secrets, done well and badly by pages and programs."""
        coop, root, alice = self.premises.coop, self.programs["root"], self.programs["alice"]
        secret = self.words["given secret"]
        projects = json.loads(alice("GET", "/api/v1/projects").body)["items"]
        wanted = {"tenant": projects[0]["tenant"], "project": projects[0]["id"], "name": "by a program"}
        issued = alice("POST", "/api/v1/keys", wanted, is_kept=False, idempotency_key="once")
        coop.add("key of a program", secret_part(json.loads(issued.body)["secret"]))
        alice("POST", "/api/v1/keys", wanted, idempotency_key="once")
        token = root("POST", "/api/v1/tokens", {"name": "another", "scope": "read"}, is_kept=False)
        coop.add("token of a program", secret_part(json.loads(token.body)["secret"]))
        self.provider = json.loads(root("GET", "/api/v1/providers").body)["items"][0]["id"]
        body = {"provider": self.provider, "alias": "given", "secret": secret}
        for wrong in ({}, {"nonsense": secret}, {"weight": secret}, {"provider": 10**9}):
            root("POST", "/api/v1/credentials", body | wrong)
        root("POST", "/api/v1/credentials", json.dumps(body).encode()[:-1])
        root(
            "POST", "/api/v1/users", {"username": "new", "password": secret[:10], "email": self.words["another e-mail"]}
        )
        root("POST", "/api/v1/identity-providers", {"name": "x", "issuer": "http://169.254.169.254", "secret": secret})
        root("GET", f"/api/v1/credentials?secret={secret}&ordering=ciphertext")
        self.stranger("GET", "/api/v1/me", authorization=f"Bearer {self.words['given key']}")
        for place, verb in (("sinks", "test"), ("alert-destinations", "test"), ("providers", "check")):
            for row in json.loads(root("GET", f"/api/v1/{place}").body)["items"][:12]:
                root("POST", f"/api/v1/{place}/{row['id']}/{verb}")
        self.alice.send(f"/t/{SLUG}/members/invite/", {"email": self.words["another invited e-mail"], "role": "viewer"})
        page = f"/t/{SLUG}/keys/new/"
        shown = self.alice.send(page, {"name": "by hand", "project": str(projects[0]["id"])}, is_kept=False)
        text = self.alice("GET", shown.headers["location"], is_kept=False).text
        found = re.search(r"weir_[0-9A-Za-z]{12}_([0-9A-Za-z]{40,})", text)
        assert found is not None, shown
        coop.add("key made by hand", found[1])

    def fail(self) -> None:
        """Errors of our own, where secrets and people are in the request: the database lacks what all of it needs."""
        secret, root = self.words["given secret"], self.programs["root"]
        with self._without("audit_record"):
            person = {"username": "lost", "password": secret, "email": self.words["lost e-mail"]}
            told = [
                root("POST", "/api/v1/users", person),
                root("POST", "/api/v1/credentials", {"provider": self.provider, "alias": "lost", "secret": secret}),
                self._add_person("lost"),
                self.alice.send(f"/t/{SLUG}/projects/new/", {"name": self.words["project's name"]}),
                self.root.send("/admin/catalog/credential/add/", {"alias": "lost", "secret": secret}),
            ]
            assert [answer.status for answer in told[:4]] == [500] * 4, told
        with self._refusing("accounts_user"):
            assert self._add_person("refused").status == 500
        with self._without("keys_key"):
            wrong = self.made["key"][:-1] + ("0" if self.made["key"][-1] != "0" else "1")
            self.gateway("POST", PATHS["claude"], self.body("claude") | {"model": "claude-fine"}, x_api_key=wrong)
            self.gateway("POST", PATHS["claude"], self.body("claude"), x_api_key=self.made["program's token"])
        for arguments in ([self.words["argument of a task"]], []):
            self.premises.ask("send", task="apps.usage.tasks.roll_up", arguments=arguments)
            self.premises.ask("send", task="no.such.task", arguments=[self.words["argument of a task"], *arguments])
        for task in TASKS:
            self.premises.ask("send", task=task, arguments=[])

    def _add_person(self, name: str) -> Answer:
        secret, words = self.words["given secret"], self.words
        person = {"username": name, "email": words["lost e-mail"], "first_name": words["first name"]}
        return self.root.send("/admin/accounts/user/add/", person | {"password1": secret, "password2": secret})

    @contextlib.contextmanager
    def _without(self, table: str) -> Iterator[None]:
        self.premises.ask("sql", statement=f"ALTER TABLE {table} RENAME TO lost")
        try:
            yield
        finally:
            self.premises.ask("sql", statement=f"ALTER TABLE lost RENAME TO {table}")

    @contextlib.contextmanager
    def _refusing(self, table: str) -> Iterator[None]:
        """PostgreSQL says of a row that it refuses what was in it."""
        self.premises.ask("sql", statement=f"ALTER TABLE {table} ADD CONSTRAINT never CHECK (id < 0) NOT VALID")
        try:
            yield
        finally:
            self.premises.ask("sql", statement=f"ALTER TABLE {table} DROP CONSTRAINT never")


TASKS = (
    *("apps.catalog.tasks.check_providers", "apps.events.tasks.deliver", "apps.alerts.tasks.evaluate"),
    *("apps.reconciliation.tasks.work", "apps.usage.tasks.verify_recent", "apps.usage.tasks.roll_up"),
)
