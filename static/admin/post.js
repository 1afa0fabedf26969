// Sends a link that does something as a form, with the page's token; without this script the link leads to a button.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[data-post]");
  if (!link) return;
  event.preventDefault();
  const form = document.createElement("form");
  form.method = "post";
  form.action = link.href;
  form.append(document.querySelector("input[name=csrfmiddlewaretoken]").cloneNode());
  document.body.append(form);
  form.submit();
});
