// A first call, and what came of it.
"use strict";

(() => {
  const box = document.querySelector("[data-try]");
  if (!box) return;
  const { lendUrl, outcomeUrl, raisers, budgets } = box.dataset;
  const form = box.querySelector("form");
  const button = form.querySelector("button");
  const result = box.querySelector("[data-result]");
  button.disabled = false;
  const field = (name) => result.querySelector(`[data-field="${name}"]`);
  const set = (name, text) => { field(name).textContent = text; };

  const chosen = document.querySelector("[data-choice]");
  chosen?.addEventListener("change", () => chosen.submit());

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    result.hidden = false;
    for (const element of result.querySelectorAll("[data-field]")) element.textContent = "…";
    const problem = result.querySelector("[data-problem]");
    problem.hidden = true;
    const startedAt = performance.now();
    let requestId = "";
    try {
      let text = "";
      set("answer", "");
      const told = await weir.ask({
        url: lendUrl,
        project: form.elements.project.value,
        body: { model: form.elements.model.value, max_tokens: 200, messages: [{ role: "user", content: "In one sentence: what is a weir?" }] },
        onText: (part) => { text += part; set("answer", text); },
        onBegun: (known) => { requestId = known.requestId; },
      });
      set("status", `${told.status} OK`);
      set("model", told.model || form.elements.model.value);
      set("first", weir.time(told.firstMs));
      set("total", weir.time(told.totalMs));
    } catch (error) {
      const refused = error instanceof weir.Refused ? error : new weir.Refused("The connection broke off.");
      const { words, link } = weir.advice(refused, { raisers, budgets });
      requestId ||= refused.requestId;
      problem.textContent = words;
      if (link) {
        const to = document.createElement("a");
        to.href = link;
        to.textContent = "See the budgets";
        problem.append(" ", to, ".");
      }
      problem.hidden = false;
      set("status", refused.status ? String(refused.status) : "failed");
      set("answer", "—");
      set("model", form.elements.model.value);
      set("first", "—");
      set("total", weir.time(performance.now() - startedAt));
    }
    set("request", requestId || "—");
    const found = await weir.outcome(outcomeUrl, requestId, { seconds: problem.hidden ? 8 : 2 });
    set("tokens", found ? `${found.tokens_in.toLocaleString("en")} in, ${found.tokens_out.toLocaleString("en")} out` : "—");
    set("cost", found ? found.cost : "—");
    if (found?.link) {
      const link = document.createElement("a");
      link.href = found.link;
      link.textContent = requestId;
      field("request").replaceChildren(link);
    }
    result.querySelector("[data-next]").hidden = !problem.hidden;
    button.disabled = false;
    button.textContent = "Send it again";
  });
})();
