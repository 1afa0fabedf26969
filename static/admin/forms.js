// A form that was refused opens where its first mistake is, and lists that are searched have names.
{
  const FAULT = ".errorlist, .errornote, [aria-invalid='true']";
  const part = (words) => words.match(/'(.*)'/)?.[1];

  // Unfold opens the last part with a mistake, or the one that the address names; neither need be the first.
  function openFirstFault(state) {
    const shown = [...document.querySelectorAll(`[x-show^="${state} =="]`)].filter((each) => each.querySelector(FAULT));
    const faulty = new Set(shown.map((each) => part(each.getAttribute("x-show"))));
    const links = [...document.querySelectorAll(`[x-on\\:click^="${state} ="]`)];
    const wrong = links.filter((link) => faulty.has(part(link.getAttribute("x-on:click"))));
    wrong.forEach((link) => link.classList.add("weir-faulty"));
    if (wrong.length) Alpine.$data(wrong[0])[state] = part(wrong[0].getAttribute("x-on:click"));
  }

  // The parts of a part are links that lead nowhere, which no key reaches.
  function reachByKeys() {
    for (const link of document.querySelectorAll("a[x-on\\:click]:not([href])")) {
      link.tabIndex = 0;
      link.setAttribute("role", "button");
      link.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        link.click();
      });
    }
  }

  document.addEventListener("alpine:initialized", () => {
    ["activeTab", "activeFieldsetTab"].forEach(openFirstFault);
    reachByKeys();
  });

  const nameOf = (select) =>
    select.getAttribute("aria-label") || [...select.labels].map((label) => label.textContent.trim()).join(" ");

  // What Select2 puts in a list's place is named by its value alone, and by nothing where it has none.
  function nameSearched() {
    for (const box of document.querySelectorAll("select + .select2-container")) {
      const name = nameOf(box.previousElementSibling);
      const field = box.querySelector(".select2-selection");
      if (!name || field.hasAttribute("aria-label")) continue;
      const value = field.querySelector(".select2-selection__rendered");
      field.id ||= `${box.previousElementSibling.id}-searched`;
      field.setAttribute("aria-label", name);
      if (value?.id) {
        ["role", "aria-readonly"].forEach((each) => value.removeAttribute(each)); // or it would want a name of its own
        field.setAttribute("aria-labelledby", `${field.id} ${value.id}`);
      }
      box.querySelector(".select2-search__field")?.setAttribute("aria-label", name);
    }
  }

  // It is put there at any time: after the page has loaded, and with each row that is added.
  document.addEventListener("DOMContentLoaded", () => {
    nameSearched();
    new MutationObserver(nameSearched).observe(document.body, { childList: true, subtree: true });
    window.django?.jQuery?.(document).on("select2:open", (event) => {
      const search = document.querySelector(".select2-container--open .select2-dropdown .select2-search__field");
      search?.setAttribute("aria-label", `Search: ${nameOf(event.target)}`);
    });
  });
}
