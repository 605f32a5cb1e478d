"use strict";
// Sorting and filtering alone: every number is there without this.
for (const table of document.querySelectorAll("table.sortable")) {
  table.querySelectorAll("thead th").forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => {
        const cell = row.cells[column];
        const data = cell.querySelector("data");
        return data ? data.value : cell.textContent.trim();
      };
      const order = (one, other) => {
        const [a, b] = [value(one), value(other)];
        if (a === "" || b === "") return (a === "") - (b === "");
        const numbers = !isNaN(a) && !isNaN(b);
        return (numbers ? a - b : a.localeCompare(b)) * (down ? -1 : 1);
      };
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort(order));
    });
  });
}
const place = document.getElementById("filter");
const rows = document.querySelectorAll("tr[data-row]");
if (place) {
  const label = document.createElement("label");
  const input = document.createElement("input");
  label.textContent = "Show rows of this table that contain: ";
  input.type = "search";
  label.append(input);
  place.append(label);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      row.hidden = !words.every((word) => row.dataset.row.toLowerCase().includes(word));
    }
  });
}
// A link to a data set opens it.
const open = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) {
    target.open = true;
    target.scrollIntoView();
  }
};
addEventListener("hashchange", open);
open();
