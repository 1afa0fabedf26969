from __future__ import annotations

import ast
import io
import json
import logging
import logging.config
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
from celery.utils.saferepr import saferepr

from apps.domain import keys
from apps.domain.snapshot import Secret
from apps.runtime.redact import CUT, redact
from gateway_site import logs
from gateway_site.telemetry.delivery import Delivery
from gateway_site.telemetry.lines import Lines

DICE = random.Random(20261121)
WEIR_KEY = keys.mint(public_bits=DICE.getrandbits(72), secret_bits=DICE.getrandbits(257))
SECRETS = {
    "weir": WEIR_KEY.split("_")[2],
    "anthropic": "sk-ant-api03-" + "Ab1-_" * 18,
    "anthropic oauth": "sk-ant-oat01-" + "Zz9" * 20,
    "openai": "sk-" + "T3BlbkFJ" * 6,
    "openai project": "sk-proj-" + "a1B2_c3D4-" * 8,
    "google": "AIzaSyD" + "x9-_" * 8,
    "groq": "gsk_" + "q1W2e3R4" * 6,
    "cerebras": "csk-" + "q1w2e3r4" * 6,
    "aws id": "AKIAIOSFODNN7EXAMPLE",
    "aws session id": "ASIAIOSFODNN7EXAMPLE",
    "github": "ghp_" + "a1B2" * 9,
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
}
# What PostgreSQL says of a row, whose second value has line ends, quotes and words like those that come after.
ROW = 'DETAIL:  Failing row contains (7, ada\')\nada\n  File "ada", \n\nTraceback (ada, null).'
TOLD = f"no\n{ROW}\n"
AFTER_A_ROW = (
    *(
        "",
        "\n",
        "\nHINT:  Ask.",
        f"\nCONTEXT:  {CUT}",
        "\nTraceback (most recent call last):",
        '\n  File "a.py", line 1',
    ),
    "\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):",
)
SETTINGS = {
    "in a sentence": "it said {} and left",
    "quoted": 'key="{}"',
    "in JSON": '{{"error": {{"message": "Incorrect API key provided: {}."}}}}',
    "in a header": "authorization: Bearer {}",
    "in a list of headers": "[(b'x-api-key', b'{}')]",
    "in a URL": "GET https://api.example.com/v1?alt=sse&key={}&x=1",
    "alone": "{}",
}


@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("kind", SECRETS)
def test_it_cuts_every_kind_of_key_wherever_it_stands(kind: str, setting: str) -> None:
    secret = SECRETS[kind]
    text = setting.format(WEIR_KEY if kind == "weir" else secret)
    cut = redact(text)
    assert secret not in cut
    assert CUT in cut
    assert redact(cut) == cut


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"key {WEIR_KEY} used", f"key {WEIR_KEY[:18]}{CUT} used"),
        ("postgres://weir:hunter2@db:5432/weir", f"postgres://{CUT}@db:5432/weir"),
        ("redis://:hunter2@cache:6379/0 refused", f"redis://{CUT}@cache:6379/0 refused"),
        ("https://token@example.com/a@b", f"https://{CUT}@example.com/a@b"),
        ("GET /v1beta/models?key=short1&alt=sse", f"GET /v1beta/models?key={CUT}&alt=sse"),
        ("Bearer opaque-token-1", f"Bearer {CUT}"),
        ("{'password': 'correct horse'}", f"{{'password': '{CUT} horse'}}"),
        ("x-api-key: plainword", f"x-api-key: {CUT}"),
        ("violates it\nDETAIL:  Failing row contains (5, ada).\n", f"violates it\nDETAIL:  {CUT}\n"),
        ("bad input\nLINE 1: ... WHERE name = 'ada'\n      ^", f"bad input\nLINE 1: {CUT}\n      ^"),
        ("CONTEXT:  COPY people, line 1: ada", f"CONTEXT:  {CUT}"),
        ("QUERY:  select 'ada'\nfrom people", f"QUERY:  {CUT}"),
        *((f"no\n{ROW}{after}", f"no\nDETAIL:  {CUT}{after}") for after in AFTER_A_ROW),
        *((f"no\nCONTEXT:  ada\nada{after}", f"no\nCONTEXT:  {CUT}{after}") for after in AFTER_A_ROW),
        (f"  | no\n  | {ROW}\n  +----", f"  | no\n  | DETAIL:  {CUT}\n  +----"),
        (f"failed: {saferepr(ValueError(TOLD))}\nTraceback", f"failed: ValueError('no\\nDETAIL:  {CUT}\nTraceback"),
    ],
)
def test_it_cuts_what_has_a_place_but_no_shape(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "task-list and disk-usage of sk-learn",
        "weir_calls_total 5",
        "GET /v1/messages 200 in 12 ms",
        "https://api.example.com/v1/messages?beta=true",
        "the token bucket holds 5 tokens; key 17 of tenant acme",
        "user@example.com wrote to admin@example.org",
        "claude-sonnet-4-5 at 2026-11-21T03:54:00Z",
        "",
    ],
)
def test_it_leaves_ordinary_text_alone(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "seed",
    [
        "a",
        "sk-",
        "eyJ-",
        "eyJ.",
        "weir_",
        "://",
        "://a:",
        "?key",
        "bearer ",
        "api_key ",
        "AKIA",
        "password:",
        "-",
        "\nLINE 1: ",
        "\n",
        "\n |",
        "\nDETAIL:  ",
        "\nDETAIL:  [redacted]",
        "DETAIL:  a.\n\n |",
        "\nCONTEXT:  a\n",
        "\\n",
        "\\nDETAIL:  ",
    ],
)
def test_it_takes_time_in_proportion_to_the_text(seed: str) -> None:
    def seconds(size: int) -> float:
        text = seed * (size // len(seed))
        best = 10.0
        for _ in range(3):
            started = time.thread_time()
            redact(text)
            best = min(best, time.thread_time() - started)
        return best

    small = max(seconds(10_000), 1e-4)
    assert seconds(160_000) < small * 16 * 6, "sixteen times the text, far more than sixteen times the work"


# --- the whole chain ---------------------------------------------------------------------------------------------

Written = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def restored() -> Iterator[None]:
    """Whatever the run has configured comes back."""
    root = logging.getLogger()
    handlers, level, configuration = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:], root.level = handlers, level
    structlog.configure(**configuration)


@pytest.fixture
def written(restored: None) -> Written:
    out = configured(console=False)
    return lambda: [json.loads(line) for line in out.getvalue().splitlines()]


def configured(*, console: bool) -> io.StringIO:
    """Where the one handler writes to, in place of stdout."""
    logging.config.dictConfig(logs.configure(console=console, level="INFO"))
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    assert handler.stream is sys.__stdout__
    handler.setStream(out := io.StringIO())
    return out


def test_a_record_is_one_line_of_json_with_its_named_fields(written: Written) -> None:
    structlog.get_logger("apps.gateway").info("gateway.started", revision=7, model="claude")
    (record,) = written()
    assert record["event"] == "gateway.started"
    assert (record["level"], record["logger"]) == ("info", "apps.gateway")
    assert (record["revision"], record["model"]) == (7, "claude")
    assert {"time", "replica"} <= record.keys()


@pytest.mark.attack("F25", "F31")
def test_a_field_without_a_name_in_the_list_does_not_get_out(written: Written) -> None:
    structlog.get_logger("weir").info("call", body=b"my diary", headers={"a": "diary"}, prompt="diary", status=200)
    (record,) = written()
    assert "diary" not in json.dumps(record)
    assert record["dropped"] == "body, headers, prompt"
    assert record["status"] == 200


@pytest.mark.parametrize("kind", SECRETS)
def test_no_secret_gets_out_by_any_way(written: Written, kind: str) -> None:
    secret = SECRETS[kind]
    shown = WEIR_KEY if kind == "weir" else secret
    own = structlog.get_logger("apps.gateway")
    foreign = logging.getLogger("some.library")
    own.info(f"event {shown}", error=f"it was {shown}", reason=ValueError(shown), target=Secret(shown, host="h"))
    foreign.warning("as argument: %s", shown)
    foreign.warning("as mapping: %(key)s", {"key": shown})
    foreign.warning("wrong format: %d", shown)
    for logger in (own, foreign):
        try:
            raise RuntimeError(f"in the chain {shown}")
        except RuntimeError:
            logger.exception("failed")
    records = written()
    assert len(records) == 6
    assert secret not in json.dumps(records)
    assert sum("RuntimeError" in record.get("exception", "") for record in records) == 2


def test_tracebacks_show_no_local_variables(written: Written) -> None:
    diary = "dear " + "diary"
    try:
        raise RuntimeError(str(len(diary)))
    except RuntimeError:
        structlog.get_logger("weir").exception("failed")
    (record,) = written()
    assert "dear diary" not in json.dumps(record)


@pytest.mark.attack("F21", "F30")
@pytest.mark.parametrize("console", [False, True])
def test_control_characters_cannot_forge_a_line(restored: None, console: bool) -> None:
    written_to = configured(console=console)
    forged = "x\r\n2026-01-01 [info] forged\x1b[2J\x9b31m\u2028\u202e\x00"
    structlog.get_logger("weir").info("call", path=forged)
    logging.getLogger("some.library").warning("path %s", forged)
    out = written_to.getvalue()
    assert len(out.splitlines()) == 2
    assert not any(forgery in out for forgery in ("\r", "\x1b[2J", "\x9b", "\u2028", "\u202e", "\x00"))


@pytest.mark.attack("F30")
@pytest.mark.parametrize("console", [False, True])
@pytest.mark.parametrize("sign", ["\ud800", "\u200b", "\u200f", "\u061c", "\u2060", "\ufeff", "\U000e0041"])
def test_what_cannot_be_seen_or_written_is_spelt_out(restored: None, console: bool, sign: str) -> None:
    """Half a character would lose the line, and have it told raw with a traceback."""
    written_to = configured(console=console)
    structlog.get_logger("weir").info("call", path=f"a{sign}b")
    logging.getLogger("some.library").warning("path %s", f"a{sign}b")
    out = written_to.getvalue()
    assert len(out.splitlines()) == 2
    assert sign not in out
    assert out.count(sign.encode("unicode_escape").decode()) == 2


@pytest.mark.attack("F30")
@pytest.mark.parametrize("value", [2**63, -(2**70), 10**4_000, float("inf"), float("nan")])
def test_a_number_beyond_all_measure_loses_no_line(written: Written, value: float) -> None:
    structlog.get_logger("weir").info("call", tokens=value)
    assert [record["event"] for record in written()] == ["call"]


@pytest.mark.attack("F30")
def test_a_megabyte_is_cut(written: Written) -> None:
    structlog.get_logger("weir").info("call", path="x" * 1_000_000)
    logging.getLogger("some.library").warning("path %s", "\x1b" * 1_000_000)
    assert [len(json.dumps(record)) < 40_000 for record in written()] == [True, True]


@pytest.mark.attack("F25")
def test_a_record_that_cannot_be_written_is_told_without_its_values(
    written: Written, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("quagga")

    lines = Lines(cast("Delivery", None))
    logging.getLogger().addHandler(lines)
    structlog.get_logger("apps.gateway").info("quagga", path="quagga", error=Broken())
    (record,) = written()
    assert (record["event"], record["logger"], record["kind"]) == ("log.failed", "apps.gateway", "RuntimeError")
    assert record.keys() <= logs.FIELDS
    assert "quagga" not in json.dumps(record) + capsys.readouterr().err


def test_a_log_that_nobody_takes_stops_nobody(restored: None, capsys: pytest.CaptureFixture[str]) -> None:
    configured(console=False).close()
    structlog.get_logger("weir").info("quagga")
    assert "quagga" not in capsys.readouterr().err


def test_other_handlers_are_redacted_by_the_filter() -> None:
    seen: list[str] = []

    class Keeping(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(self.format(record))

    handler = Keeping()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.addFilter(logs.RedactionFilter())
    logger = logging.Logger("lonely")
    logger.addHandler(handler)
    try:
        raise RuntimeError(SECRETS["openai"])
    except RuntimeError:
        logger.exception("with %s", SECRETS["anthropic"])
    (text,) = seen
    assert SECRETS["openai"] not in text
    assert SECRETS["anthropic"] not in text
    assert "RuntimeError" in text


def test_every_servers_loggers_end_in_the_one_handler(written: Written) -> None:
    for name in ("uvicorn.error", "daphne.server", "django.request", "celery.worker", "django.db"):
        logging.getLogger(name).warning("from %s", name)
    logging.getLogger("uvicorn.access").info("GET /?key=k")
    assert [record["logger"] for record in written()] == [
        "uvicorn.error",
        "daphne.server",
        "django.request",
        "celery.worker",
        "django.db",
    ]


def test_a_record_below_the_level_costs_no_line(written: Written) -> None:
    structlog.get_logger("weir").debug("detail")
    logging.getLogger("some.library").debug("detail")
    assert written() == []


def test_every_field_that_is_logged_has_a_name_that_gets_out() -> None:
    root = Path(logs.__file__).parents[1]
    said = {
        (path.name, call.lineno, field.arg)
        for package in ("apps", "gateway_site")
        for path in (root / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if isinstance(call.func.value, ast.Name) and call.func.value.id == "log"
        for field in call.keywords
        if field.arg is not None and field.arg != "exc_info"
    }
    assert len(said) > 20, "the loggers have another name"
    assert [field for field in sorted(said) if field[2] not in logs.FIELDS] == []
