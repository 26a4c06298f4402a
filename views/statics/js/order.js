// The order of todos: moved one by one, or dragged by the grip with mouse, pen or finger.

import { $$, ROW, act, keepFocus } from "./dom.js";
import { refresh } from "./refreshing.js";
import { enqueue } from "./sending.js";

const rowBefore = (row, rows = $$(ROW)) => rows[rows.indexOf(row) - 1];

function sendPlace(row) {
  const body = new URLSearchParams(new FormData(act));
  body.set("after", rowBefore(row)?.dataset.id ?? "");
  enqueue({ address: `/todos/${row.dataset.id}/move`, body, form: act, row });
}

// To the top, up or down.
export function moveRow(row, where) {
  const rows = $$(ROW);
  const at = rows.indexOf(row);
  const to = { top: 0, up: at - 1, down: at + 1 }[where];
  if (to === at || !rows[to]) return;
  keepFocus(() => rows[to][to < at ? "before" : "after"](row));
  row.scrollIntoView({ block: "nearest" });
  sendPlace(row);
}

function drag(row) {
  const home = $$(".todo-list > li");
  const first = rowBefore(row);
  const listening = new AbortController();
  const middle = (other) => other.getBoundingClientRect().y + other.offsetHeight / 2;
  row.classList.add("dragged");

  // The others move around the row: one that leaves the page lets go of the finger.
  function sort({ clientY: y }) {
    let other;
    while ((other = row.previousElementSibling) && y < middle(other)) row.after(other);
    while ((other = row.nextElementSibling) && y > middle(other)) row.before(other);
    row.scrollIntoView({ block: "nearest" }); // with its scroll-margin
  }
  function end(keep) {
    listening.abort();
    row.classList.remove("dragged");
    if (!keep) row.parentNode.append(...home);
    rowBefore(row) === first ? refresh() : sendPlace(row);
  }
  const on = (name, listener) =>
    document.addEventListener(name, listener, { signal: listening.signal });
  on("pointermove", sort);
  on("pointerup", () => end(true));
  on("pointercancel", () => end(false));
  on("keydown", ({ key }) => key === "Escape" && end(false));
}

document.addEventListener("pointerdown", (event) => {
  const row = event.target.closest(".grip")?.closest(ROW);
  if (!row || event.button) return;
  event.preventDefault();
  drag(row);
});
