"use strict";
const table = document.getElementById("decision-table");
if (table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => Number.parseFloat(row.cells[column].dataset.sort);
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const x = key(a), y = key(b);
      if (Number.isNaN(x) || Number.isNaN(y)) return Number.isNaN(x) - Number.isNaN(y);
      return up ? x - y : y - x;
    });
    table.tBodies[0].append(...rows);
  }));
}
const dialog = document.getElementById("zoom");
document.querySelectorAll("button.zoom").forEach((button) => button.addEventListener("click", () => {
  const from = button.querySelector("img"), to = dialog.querySelector("img");
  to.src = from.src;
  to.alt = from.alt;
  dialog.showModal();
}));
dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
document.querySelectorAll("button.peek").forEach((button) => {
  const strip = button.parentElement.querySelector(".zoom img");
  const truth = new Image();  // the strip's own pixels, moved so that the truth's column shows
  truth.src = strip.src;
  truth.alt = "";
  button.append(truth);
  button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
  });
});
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => { details.open = true; });
});
window.addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
