// Renaming a todo in its row. Enter and leaving the field save, Escape and Cancel don't.

import { $, $$, ROW, act, clearError } from "./dom.js";
import { forget, placeOf } from "./storage.js";

// As it was written, not as links or a translation show it.
export const storedTitle = (row) => row.dataset.title;
export const saveRow = (row) => $(".editor", row).requestSubmit();

export function openRow(row, text = storedTitle(row), focus = true) {
  const other = $(".editing");
  if (other && other !== row) saveRow(other);
  if (!row.matches(".editing")) row.prepend($("#open").content.cloneNode(true));
  row.classList.add("editing");
  $(".editor", row).setAttribute("action", `/todos/${row.dataset.id}`);
  $(".more", row)?.setAttribute("href", `/todos/${row.dataset.id}`);
  const edit = $(".edit", row);
  edit.setAttribute("aria-labelledby", `w t-${row.dataset.id}`);
  edit.value = text; // first, as it moves the caret to the end
  edit.defaultValue = storedTitle(row);
  for (const place of $$(".editor [name^=due]", row)) {
    place.value = place.defaultValue = $(".due", row)?.dataset[place.name.replace("_was", "")] ?? "";
  }
  if (focus) edit.focus();
  return edit;
}

export function closeRow(row) {
  const inside = $(".editor", row).contains(document.activeElement);
  forget(placeOf($(".edit", row)));
  row.classList.remove("editing"); // first: leaving the field saves only a row that is open
  $(".editor", row).remove();
  clearError();
  if (inside) $(".rename", row).focus();
}

document.addEventListener("dblclick", (event) => {
  const row = event.target.closest(".view label")?.closest(ROW);
  if (row && act) openRow(row);
});
document.addEventListener("click", (event) => {
  const control = event.target.closest(".view .rename, .editor .cancel");
  if (!control || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  if (control.matches(".cancel")) closeRow(control.closest(ROW));
  else openRow(control.closest(ROW));
});
document.addEventListener("focusout", (event) => {
  const row = event.target.closest(`${ROW}.editing`);
  if (!row || !document.hasFocus() || $(".editor", row).contains(event.relatedTarget)) return;
  const save = () => row.matches(".editing") && saveRow(row);
  if (!pressing) save();
  else addEventListener("pointerup", () => setTimeout(save), { once: true });
});
let pressing = false; // so nothing moves
for (const name of ["pointerdown", "pointerup", "pointercancel"]) {
  document.addEventListener(name, () => (pressing = name === "pointerdown"), true);
}
document.addEventListener("mousedown", (event) => {
  if (event.target.closest(".editor button")) event.preventDefault(); // the field keeps the focus
});
