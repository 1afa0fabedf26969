// The date of a key's end is asked for only where "Until …" is chosen.
document.addEventListener("DOMContentLoaded", () => {
  const choices = document.querySelectorAll("input[name=lifetime]");
  const date = document.getElementById("id_expires_at_0");
  if (!choices.length || !date) return;
  const row = date.closest(".field-expires_at") || date.closest(".form-row");
  const show = () => {
    row.hidden = document.querySelector("input[name=lifetime]:checked")?.value !== "other";
  };
  choices.forEach((choice) => choice.addEventListener("change", show));
  show();
});
