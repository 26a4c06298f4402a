// Text that is not saved yet, and why. It goes back into a field, and outlives a log-in.

import { $, $$, MESSAGE, TODO, field, make, reader } from "./dom.js";

// Puts text where there is room; returns the field.
export function keepText(text, form) {
  const many = text.includes("\n") || (text && ![text, ""].includes(field.value));
  const room = form?.matches(".say") ? $(MESSAGE) : (many && $("#lines")) || field;
  room.value = [...new Set([room.value.trim(), text])].filter(Boolean).join("\n");
  if (room.matches("#lines")) room.closest("details").open = true;
  return text ? room : null;
}

export function showError(reason, wrong, row) {
  const alert = make("p", { className: "problem refused", id: "refused", role: "alert" });
  alert.textContent = reason;
  wrong?.setAttribute("aria-invalid", true);
  wrong?.setAttribute("aria-describedby", "refused");
  (row || (wrong || field).form).prepend(alert);
}

export function clearError() {
  $$("#refused").forEach((alert) => alert.remove());
  $$("[aria-describedby=refused]").forEach((wrong) => wrong.removeAttribute("aria-invalid"));
}

// Keeps what was not sent, and what still stands in fields, for the next page.
export function storeTexts(todos, messages) {
  const texts = [
    [...todos, $(TODO)?.value, $(".edit")?.value],
    [...messages, $(MESSAGE)?.value],
  ].map((each) => each.filter(Boolean).join("\n"));
  sessionStorage.setItem("typed", JSON.stringify([reader(), ...texts]));
}

// Only for the same person.
function restoreTexts() {
  const [person, todo, message] = JSON.parse(sessionStorage.getItem("typed") ?? "[]");
  sessionStorage.removeItem("typed");
  if (person === reader() && todo) keepText(todo, null, (field.value = ""));
  if (person === reader() && message) keepText(message, $(MESSAGE)?.form);
}

// Several lines: offer to add them all.
function pasteLines(event) {
  const text = event.clipboardData.getData("text");
  if (text.trim().split(/[\r\n]+/).length < 2) return;
  event.preventDefault();
  keepText((field.value + text).trim());
  field.value = "";
  $(".several button").focus();
}

if (field) restoreTexts();
$(TODO)?.addEventListener("paste", pasteLines);
