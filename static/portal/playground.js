// The playground: turns, one call at a time, and what each of them cost.
"use strict";

(() => {
  const page = document.querySelector("[data-playground]");
  if (!page) return;
  const { lendUrl, outcomeUrl, codeUrl, raisers, budgets } = page.dataset;
  const form = page.querySelector("form");
  const talk = page.querySelector("[data-talk]");
  const empty = page.querySelector("[data-empty]");
  const [sendButton, stopButton, againButton, newButton] = ["send", "stop", "again", "new"].map((name) => page.querySelector(`[data-${name}]`));
  let turns = [];  // {role, content, element}
  let running = null;

  const make = (tag, className, text) => {
    const element = document.createElement(tag);
    if (className) element.className = className;
    if (text) element.textContent = text;
    return element;
  };

  const show = (role, content) => {
    const element = make("article", `turn ${role}`);
    element.append(make("h3", "", role === "user" ? "You" : form.elements.model.value));
    const text = make("div", "turn-text", content);
    element.append(text);
    talk.append(element);
    empty.hidden = true;
    return { element, text };
  };

  const settle = () => {
    const isBusy = running !== null;
    sendButton.hidden = isBusy;
    sendButton.disabled = false;  // until this script is there: nothing of it goes into an address
    stopButton.hidden = !isBusy;
    newButton.disabled = isBusy || !turns.length;
    againButton.disabled = isBusy || !turns.length;
    empty.hidden = turns.length > 0 || isBusy;
    talk.setAttribute("aria-busy", String(isBusy));
  };

  const number = (name) => (form.elements[name].value === "" ? null : Number(form.elements[name].value));
  const messages = () => turns.map(({ role, content }) => ({ role, content }));
  const body = () => ({
    model: form.elements.model.value,
    max_tokens: number("max_tokens"),
    ...(form.elements.system.value ? { system: form.elements.system.value } : {}),
    ...(number("temperature") === null ? {} : { temperature: number("temperature") }),
    messages: messages(),
  });

  const fact = (list, title, value) => {
    const pair = make("div");
    pair.append(make("dt", "", title), make("dd", "", value));
    list.append(pair);
    return pair.lastElementChild;
  };

  const facts = async (element, told) => {
    const list = make("dl", "turn-facts");
    element.append(list);
    fact(list, "First token", weir.time(told.firstMs));
    fact(list, "Total", weir.time(told.totalMs));
    const tokens = fact(list, "Tokens", "…");
    const cost = fact(list, "Cost", "…");
    const identity = fact(list, "Request", "");
    identity.append(make("code", "", told.requestId || "—"));
    const found = await weir.outcome(outcomeUrl, told.requestId);
    tokens.textContent = found ? `${found.tokens_in.toLocaleString("en")} in, ${found.tokens_out.toLocaleString("en")} out` : "not known yet";
    cost.textContent = found ? `${found.cost}${found.is_settled ? "" : ", not confirmed"}${found.is_cached ? ", from the cache" : ""}` : "not known yet";
    if (found?.link) {
      const link = make("a", "", told.requestId);
      link.href = found.link;
      identity.replaceChildren(link);
    }
  };

  const complain = (element, error) => {
    const { words, link } = weir.advice(error, { raisers, budgets });
    const box = make("p", "callout bad", words);
    box.setAttribute("role", "alert");
    if (link) {
      const to = make("a", "", "See the budgets");
      to.href = link;
      box.append(" ", to, ".");
    }
    element.append(box);
  };

  const answer = async () => {
    const { element, text } = show("assistant", "");
    let thoughts = null;
    let content = "";
    let begun = { requestId: "", firstMs: null };
    const startedAt = performance.now();
    running = new AbortController();
    settle();
    try {
      const told = await weir.ask({
        url: lendUrl, project: form.elements.project.value, body: body(), signal: running.signal,
        onBegun: (known) => { begun = known; },
        onText: (part) => { content += part; text.textContent = content; },
        onThought: (part) => {
          if (!thoughts) {
            const details = make("details", "more small");
            thoughts = make("div", "turn-text soft");
            details.append(make("summary", "", "Reasoning"), thoughts);
            text.before(details);
          }
          thoughts.textContent += part;
        },
      });
      if (told.stop === "max_tokens") element.append(make("p", "soft small", "Cut at its maximum of tokens."));
      facts(element, told);
    } catch (error) {
      if (error.name === "AbortError") {
        element.append(make("p", "soft small", "Stopped: what was used until then is paid for."));
      } else {
        complain(element, error instanceof weir.Refused ? error : new weir.Refused("The connection broke off."));
      }
      const requestId = error.requestId || begun.requestId;
      if (begun.requestId) facts(element, { ...begun, requestId, totalMs: performance.now() - startedAt });
    }
    running = null;
    // Without an answer the question stands alone: it is asked again, or goes with the next one.
    if (content) turns.push({ role: "assistant", content, element });
    else turns.at(-1).after = element;
    settle();
    form.elements.message.focus();
  };

  const drop = (turn) => { turn.element.remove(); turn.after?.remove(); };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const content = form.elements.message.value;
    if (running || !content.trim()) return;
    if (turns.at(-1)?.role === "user") {  // it got no answer
      form.elements.message.value = "";
      drop(turns.pop());
    }
    turns.push({ role: "user", content, element: show("user", content).element });
    form.elements.message.value = "";
    answer();
  });

  form.elements.message.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });

  stopButton.addEventListener("click", () => running?.abort());
  newButton.addEventListener("click", () => { turns.forEach(drop); turns = []; settle(); form.elements.message.focus(); });
  againButton.addEventListener("click", () => {
    if (turns.at(-1)?.role === "assistant") drop(turns.pop());
    turns.at(-1)?.after?.remove();
    answer();
  });

  // As code: made by the site, from what would be sent now.
  const code = page.querySelector("[data-code]");
  const target = code.querySelector("[data-code-text]");
  const write = async () => {
    const { model, system = "", max_tokens, temperature = "", messages: said } = body();
    const last = form.elements.message.value;
    const all = last.trim() && said.at(-1)?.role !== "user" ? [...said, { role: "user", content: last }] : said;
    const shown = all.length ? all : [{ role: "user", content: "What is a weir?" }];
    const reply = await weir.post(codeUrl, { model, system, max_tokens, temperature, messages: JSON.stringify(shown) }).catch(() => null);
    if (!reply?.ok) { target.textContent = reply ? await reply.text() : "It cannot be written just now."; return; }
    const parsed = new DOMParser().parseFromString(await reply.text(), "text/html");
    target.replaceChildren(...parsed.body.children);
  };
  code.addEventListener("toggle", () => { if (code.open) write(); });
  form.addEventListener("change", () => { if (code.open) write(); });
  settle();
})();
