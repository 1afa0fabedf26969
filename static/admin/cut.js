// What is cut says the whole of itself to whoever points at it.
const MAY_BE_CUT = ".weir-cut, .weir-card-figure, .weir-lines > div, #result_list td, #result_list th";

document.addEventListener("mouseover", (event) => {
  const cut = event.target.closest?.(MAY_BE_CUT);
  if (!cut || cut.title || cut.querySelector("[title]")) return;
  const isWhole = cut.scrollWidth <= cut.clientWidth && cut.scrollHeight <= cut.clientHeight + 1;
  if (!isWhole) cut.title = cut.textContent.trim().replace(/\s+/g, " ");
});
