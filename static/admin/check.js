// Checks the page's providers, a few at a time, and shows each as it ends. Without this script all come in one answer.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("check");
  if (!form) return;
  const button = form.querySelector("button[type=submit]");
  const bar = form.querySelector("progress");
  const status = document.getElementById("checked");
  const AT_ONCE = 4;

  const badge = (row, text) => {
    const shown = row.querySelector(".weir-badge");
    shown.className = "weir-badge";
    shown.textContent = text;
    for (const cell of [...row.cells].slice(2)) cell.textContent = "";
  };

  const check = async (row) => {
    badge(row, "asking");
    const body = new FormData();
    body.set("csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value);
    body.set("one", row.dataset.provider);
    try {
      const answer = await fetch(window.location.pathname, { method: "POST", body });
      if (answer.ok) row.outerHTML = (await answer.json()).row;
      else badge(row, answer.status === 404 ? "gone" : "no answer");
    } catch (error) {
      badge(row, "no answer");
    }
    bar.value += 1;
    status.textContent = `${bar.value} of ${bar.max} checked`;
  };

  const run = async () => {
    button.disabled = true;
    bar.value = 0;
    const waiting = [...form.querySelectorAll("tr[data-provider]")];
    for (const row of waiting) badge(row, "waiting");
    const worker = async () => {
      for (let row = waiting.shift(); row; row = waiting.shift()) await check(row);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
    button.disabled = false;
    button.textContent = "Check again";
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  if ("begins" in form.dataset) run();
});
