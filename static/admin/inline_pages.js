// Another page of the rows within a page is loaded as a page: half of a form would not fit the other half.
document.addEventListener(
  "click",
  (event) => {
    const link = event.target.closest(".inline-pagination a[hx-get]");
    if (!link) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    window.location.assign(link.getAttribute("hx-get"));
  },
  true,
);
