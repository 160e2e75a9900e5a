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
const viewer = document.getElementById("viewer");
if (viewer) {
  const byId = (id) => document.getElementById(id);
  const columns = JSON.parse(viewer.dataset.columns), sheets = [...document.querySelectorAll("img.sheet")];
  const cut = (canvas, column) => {
    const sheet = sheets[Number(byId("people").value)], tile = sheet.naturalWidth / columns.length;
    const row = Math.min(Number(byId("face").value), Number(sheet.dataset.rows) - 1), pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(sheet, column * tile, row * tile, tile, tile, 0, 0, canvas.width, canvas.height);
  };
  const views = columns.map((name) => {
    const figure = document.createElement("figure"), canvas = document.createElement("canvas");
    const caption = document.createElement("figcaption");
    canvas.width = canvas.height = Math.max(256, Number(viewer.dataset.tile));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", name);
    caption.textContent = name;
    figure.append(canvas, caption);
    byId("all").append(figure);
    return canvas;
  });
  const compare = () => {
    for (const side of ["a", "b"]) {
      const column = Number(byId(`side-${side}`).value);
      cut(byId(`canvas-${side}`), column);
      byId(`canvas-${side}`).setAttribute("aria-label", columns[column]);
    }
  };
  const split = () => {
    const share = Number(byId("split").value), width = byId("canvas-b").clientWidth;
    byId("canvas-a").style.clipPath = `inset(0 ${100 - share}% 0 0)`;
    byId("edge").style.left = `${share}%`;
    byId("edge").style.height = `${width}px`;
  };
  const show = () => { views.forEach(cut); compare(); split(); };
  const place = (label, other) => Math.max(columns.indexOf(label), 0) || other;
  byId("side-a").value = place(viewer.dataset.one, 0);
  byId("side-b").value = place(viewer.dataset.other, columns.length - 1);
  for (const id of ["people", "face"]) byId(id).addEventListener("change", show);
  for (const id of ["side-a", "side-b"]) byId(id).addEventListener("change", compare);
  byId("split").addEventListener("input", split);
  byId("canvas-a").parentElement.addEventListener("pointermove", (event) => {
    const box = byId("canvas-b").getBoundingClientRect();
    if (event.clientY > box.bottom) return;
    byId("split").value = 100 * (event.clientX - box.left) / box.width;
    split();
  });
  viewer.closest("details").addEventListener("toggle", split);
  Promise.all(sheets.map((sheet) => sheet.decode().catch(() => null))).then(show);
}
document.querySelectorAll("button.copy").forEach((button) => button.addEventListener("click", async () => {
  const text = button.parentElement.querySelector("code");
  getSelection().selectAllChildren(text);
  const done = await navigator.clipboard?.writeText(text.textContent).then(() => true, () => false);
  button.textContent = done || document.execCommand("copy") ? "copied" : "selected";
}));
const unfold = () => {
  const to = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (to && to.tagName === "DETAILS") { to.open = true; to.scrollIntoView(); }
};
window.addEventListener("hashchange", unfold);
document.querySelectorAll('a[href^="#"]').forEach((link) => link.addEventListener("click", () => setTimeout(unfold)));
unfold();
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  folded.forEach((details) => { details.open = true; });
});
window.addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
