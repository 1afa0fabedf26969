// What every page of the portal can do: copy, the menu of small windows, the theme, and questions before what cannot
// be undone. One listener for all; elements say what they are by data-attributes.
"use strict";

const say = (button, words) => {
  const before = button.dataset.says ?? button.textContent;
  button.dataset.says = before;
  button.textContent = words;
  setTimeout(() => { button.textContent = before; }, 2000);
};

const copy = async (button) => {
  const source = document.getElementById(button.dataset.copy);
  const text = source.value ?? source.textContent;
  try {
    await navigator.clipboard.writeText(text);
    say(button, "Copied");
  } catch {  // no clipboard without TLS: what is marked can be copied by hand
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    say(button, "Press Ctrl+C");
  }
};

const themes = ["", "light", "dark"];
const nextTheme = (button) => {
  const root = document.documentElement;
  const theme = themes[(themes.indexOf(root.dataset.theme ?? "") + 1) % themes.length];
  if (theme) root.dataset.theme = theme; else delete root.dataset.theme;
  document.cookie = `theme=${theme}; path=/; max-age=${theme ? 31536000 : 0}; samesite=lax`;
  const label = button.querySelector("[data-label]");
  if (label) label.textContent = `Theme: ${theme || "system"}`;
  document.dispatchEvent(new Event("weir:theme"));
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-theme-button], [data-menu]");
  if (!button) {
    for (const open of document.querySelectorAll("details.switch[open]")) {
      if (!open.contains(event.target)) open.open = false;
    }
    return;
  }
  if (button.dataset.copy) copy(button);
  if (button.hasAttribute("data-theme-button")) nextTheme(button);
  if (button.hasAttribute("data-menu")) {
    const isOpen = button.closest(".side").classList.toggle("is-open");
    button.setAttribute("aria-expanded", String(isOpen));
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.switch[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// A name that is cut says the whole of itself to whoever points at it.
document.addEventListener("mouseover", (event) => {
  const cut = event.target.closest?.(".cut");
  if (cut && cut.scrollHeight > cut.clientHeight) cut.title = cut.textContent.trim();
});

// A form is sent once: a second click while the first is on its way makes no second key.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || form.hasAttribute("hx-post")) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  form.dataset.sent = "yes";
});
addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// What only some choice of another field needs: data-when="field=value".
const follow = () => {
  for (const part of document.querySelectorAll("[data-when]")) {
    const [name, value] = part.dataset.when.split("=");
    const field = document.querySelector(`[name="${name}"]:checked`) ?? document.querySelector(`select[name="${name}"]`);
    part.hidden = (field?.value ?? "") !== value;
  }
};
document.addEventListener("change", follow);
follow();
