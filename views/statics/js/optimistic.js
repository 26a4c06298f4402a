// Shows what an action will do before the server has answered. What the server draws then takes
// its place; this only bridges the wait.

import { $, $$, ROW, field, keepFocus, make, pageAddress } from "./dom.js";
import { closeRow, storedTitle } from "./editing.js";

// Returns whether there is anything to send: the row that shows it, or true.
export function showOptimistically(form, button, row, body) {
  if (form.matches(".new, .say")) return showWritten(form);
  if (form.matches(".editor")) return showEdited(form, button, row, body.get("title")?.trim());
  if (form.matches(".several form")) {
    form.reset();
    form.closest("details").open = false;
    field.focus();
  } else if (button?.matches(".toggle")) {
    complete([row], !row.matches(".completed"));
  } else if (button?.matches(".toggle-all")) {
    complete($$(ROW), button.value === "true");
  } else if (button?.matches(".destroy")) {
    hide([row]);
  } else if (button?.matches(".clear-completed")) {
    hide($$(`${ROW}.completed`));
    keepFocus(() => (button.hidden = true));
  }
  return row ?? true;
}

function showWritten(form) {
  const input = $(".new-todo, textarea", form);
  const text = input.value.trim();
  input.value = "";
  input.focus();
  const rows = $(form.matches(".say") ? ".messages" : ".todo-list");
  return text && (addRow(rows, text) ?? true);
}

export function addRow(rows, text) {
  if (pageAddress().endsWith("/completed")) return;
  const row = rows.appendChild(make("li", { inert: true }));
  row.append(make("label", { dir: "auto", textContent: text }));
  if (rows.matches(".todo-list")) $(".main").hidden = false;
  $(".empty")?.remove();
  row.scrollIntoView({ block: "nearest" });
  return row;
}

function showEdited(form, button, row, title) {
  const changed = [...form.elements].some(({ value, defaultValue = value }) => value !== defaultValue);
  closeRow(row);
  if (!title) hide([row]);
  else if (title !== storedTitle(row)) $("label", row).textContent = row.dataset.title = title;
  return (changed || button?.name === "put") && row;
}

function complete(rows, completed) {
  for (const row of rows) {
    row.classList.toggle("completed", completed);
    $(".toggle", row).setAttribute("aria-checked", completed);
    const verb = completed ? "reopen" : "complete";
    $(".toggle", row).setAttribute("formaction", `/todos/${row.dataset.id}/${verb}`);
  }
}

const hide = (rows) => keepFocus(() => rows.forEach((row) => (row.hidden = true)));
