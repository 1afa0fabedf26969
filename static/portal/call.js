// Calls of the data plane from a page: with a secret that is lent for minutes and kept in memory only. What a model
// says is text and stays text: whoever shows it uses textContent.
"use strict";

window.weir = (() => {
  const RENEW_BEFORE = 600;  // seconds: a long answer must not outlive the secret that it was asked with
  const lent = new Map();  // by project

  class Refused extends Error {
    constructor(message, { status = 0, type = "", requestId = "", wait = "" } = {}) {
      super(message);
      Object.assign(this, { status, type, requestId, wait });
    }
  }

  const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;

  const post = async (url, fields) => {
    const answer = await fetch(url, {
      method: "POST", body: new URLSearchParams(fields), headers: { "x-csrftoken": token() }, redirect: "error",
    });
    return answer;
  };

  const secret = async (url, project, { isFresh = false } = {}) => {
    const known = lent.get(project);
    if (known && !isFresh && known.until > performance.now()) return known.key;
    const answer = await post(url, { project });
    const told = await answer.json().catch(() => ({}));
    if (!answer.ok || !told.key) {
      throw new Refused(told.error ?? "You are signed out, or may no longer do this. Load the page again.");
    }
    const until = performance.now() + 1000 * Math.max(5, told.seconds - RENEW_BEFORE);
    lent.set(project, { key: told.key, until });
    return told.key;
  };

  const refusal = async (answer) => {
    const told = await answer.json().catch(() => null);
    return new Refused(told?.error?.message ?? `The gateway answered ${answer.status}.`, {
      status: answer.status,
      type: told?.error?.type ?? "",
      requestId: answer.headers.get("request-id") ?? "",
      wait: answer.headers.get("retry-after") ?? "",
    });
  };

  // Server-sent events: their data, parsed. An event may come in any number of pieces.
  async function* events(stream) {
    const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
        if (data.length) yield JSON.parse(data.join("\n"));
      }
    }
  }

  // `body` is that of a call of /v1/messages. Returns what is known when it ends; throws Refused or AbortError.
  const ask = async ({ url, project, body, signal, onText = () => {}, onThought = () => {}, onBegun = () => {} }) => {
    const send = async (isFresh) => fetch("/v1/messages", {
      method: "POST",
      headers: {
        "content-type": "application/json", "anthropic-version": "2023-06-01", "x-api-key": await secret(url, project, { isFresh }),
      },
      body: JSON.stringify({ ...body, stream: true }),
      credentials: "omit", signal,
    });
    let began = performance.now();
    let answer = await send(false);
    if (answer.status === 401) {  // revoked or rotated meanwhile: once more, with another
      began = performance.now();
      answer = await send(true);
    }
    if (!answer.ok) throw await refusal(answer);
    const told = { requestId: answer.headers.get("request-id") ?? "", status: answer.status, firstMs: null, model: "", stop: "" };
    onBegun(told);
    for await (const event of events(answer.body)) {
      if (event.type === "error") throw new Refused(event.error?.message ?? "It broke off.", { requestId: told.requestId, type: event.error?.type ?? "" });
      if (event.type === "message_start") told.model = event.message?.model ?? "";
      if (event.type === "message_delta") told.stop = event.delta?.stop_reason ?? "";
      if (event.type !== "content_block_delta") continue;
      told.firstMs ??= performance.now() - began;
      if (event.delta.type === "text_delta") onText(event.delta.text);
      if (event.delta.type === "thinking_delta") onThought(event.delta.thinking);
    }
    return { ...told, totalMs: performance.now() - began };
  };

  const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

  // What the ledger says of it: some tenths of a second after its end. null: nothing within `seconds`.
  const outcome = async (pattern, requestId, { seconds = 8 } = {}) => {
    const until = performance.now() + 1000 * seconds;
    for (let pause = 200; requestId && performance.now() < until; pause = Math.min(1000, pause * 1.5)) {
      await sleep(pause);
      const answer = await fetch(pattern.replace("req_0", encodeURIComponent(requestId)), { redirect: "error" }).catch(() => null);
      const told = answer?.ok ? await answer.json().catch(() => null) : null;
      if (told?.known) return told;
    }
    return null;
  };

  const time = (ms) => (ms === null || ms === undefined ? "—" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

  // Why a call failed, in words, and who can do something about it.
  const advice = (error, { raisers, budgets }) => {
    const said = error.message.charAt(0).toUpperCase() + error.message.slice(1);
    const parts = [/[.!?]$/.test(said) ? said : `${said}.`];
    const isLimit = error.status === 429 || error.type === "billing_error";
    if (isLimit) parts.push(`${raisers} can raise it.`);
    if (error.wait && error.type !== "billing_error") parts.push(`Worth trying again in ${error.wait} s.`);
    return { words: parts.join(" "), link: isLimit ? budgets : "" };
  };

  return { ask, outcome, advice, time, post, Refused };
})();
