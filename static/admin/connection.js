// Makes the steps of a test one after the other, and shows each as it ends. Without this script all come in one answer.
document.addEventListener("DOMContentLoaded", () => {
  const form = document.getElementById("connection");
  if (!form) return;
  const button = form.querySelector("button[type=submit]");
  const badge = (step, text) => {
    const row = form.querySelector(`tr[data-step=${step}]`);
    row.querySelector(".weir-badge").className = "weir-badge";
    row.querySelector(".weir-badge").textContent = text;
    for (const cell of [...row.cells].slice(2)) cell.textContent = "";
  };

  const make = async (step) => {
    badge(step, "running");
    const body = new FormData(form);
    body.set("step", step);
    const answer = await fetch(form.getAttribute("action") || window.location.pathname, { method: "POST", body });
    if (!answer.ok) throw new Error(`${answer.status}`);
    const told = await answer.json();
    form.querySelector(`tr[data-step=${step}]`).outerHTML = told.row;
    form.elements.model.value = told.model;
    if (told.models !== undefined) document.getElementById("models").innerHTML = told.models;
    return told.ok;
  };

  const run = async () => {
    button.disabled = true;
    const steps = [...form.querySelectorAll("tr[data-step]")].map((row) => row.dataset.step);
    let step;
    try {
      for (const each of steps) badge(each, "not yet");
      for (step of steps) await make(step);
    } catch (error) {
      badge(step, "no answer");
    }
    button.disabled = false;
    button.textContent = "Test again";
  };

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  document.addEventListener("input", (event) => {
    const list = document.getElementById(event.target.dataset.narrows || "");
    if (!list) return;
    const words = event.target.value.toLowerCase().split(/\s+/);
    for (const item of list.children) item.hidden = !words.every((word) => item.textContent.toLowerCase().includes(word));
  });
  if ("begins" in form.dataset) run();
});
