// Text that is not saved yet goes back into a field: what was refused, what lost its row, and what
// was half typed when the page was left.

import { $, $$, MESSAGE, TODO, act, field, list, make, rowAt, showError, words } from "./dom.js";
import { openRow } from "./editing.js";
import { TEXTS, forget, keep, keepTyped, read } from "./storage.js";

// Puts text where there is room; returns the field.
export function keepText(text, form) {
  const many = text.includes("\n") || (text && ![text, ""].includes(field.value));
  const room = form?.matches(".say") ? $(MESSAGE) : (many && $("#lines")) || field;
  room.value = [...new Set([room.value.trim(), text])].filter(Boolean).join("\n");
  if (room.matches("#lines")) room.closest("details").open = true;
  keepTyped(room);
  return text ? room : null;
}

// Where there is no field for it: for reading, below the reason.
export function showKept(reason, texts) {
  const main = $("main .narrow") ?? $("main");
  if (!$("[role=alert]", main)) showError(reason, null, main);
  const place = $("[role=alert]", main);
  place.after(...texts.map((text) => make("p", { className: "kept", dir: "auto", textContent: text })));
}

export const typedTexts = () =>
  $$(TEXTS).filter(({ value, defaultValue }) => value !== defaultValue).map(({ value }) => value);

// The field of a place; for a row of the list, that of the row, opened.
function fieldAt(address, name) {
  const row = rowAt(address);
  if (row && act && !$(".editing")) return openRow(row, undefined, false);
  const form = $$("form").find((each) => each.getAttribute("action") === address && each[name]);
  return form?.[name].matches(TEXTS) && form[name];
}

function restoreText({ key: [, address, name], text, base, sent }) {
  const came = new URL(document.referrer || location).pathname;
  if (sent && came === address) return forget(["text", address, name]); // the server has had it
  const place = fieldAt(address, name);
  if (place && place.value === place.defaultValue) {
    place.value = text;
    if (place.defaultValue !== base) showError(words.changed, place);
    if (place.matches("#lines")) place.closest("details").open = true;
  } else if (place) {
    if (place.value !== text) showKept(words.failed, [text]);
  } else if (list && !act && [`/lists/${list}`, `/lists/${list}/messages`].includes(address)) {
    showKept(words.failed, [text]); // who may only read by now
    forget(["text", address, name]);
  }
}

// Several lines: offer to add them all.
function pasteLines(event) {
  const text = event.clipboardData.getData("text");
  if (text.trim().split(/[\r\n]+/).length < 2) return;
  event.preventDefault();
  keepText((field.value + text).trim());
  field.value = "";
  keepTyped(field);
  $(".several button").focus();
}

// The forms that leave the page: whether the server has had them, the next page shows.
document.addEventListener("submit", ({ target: form }) => {
  for (const place of form.matches("[data-live]") ? [] : $$(TEXTS, form)) {
    const { value: text, defaultValue: base } = place;
    keep(["text", form.getAttribute("action"), place.name], { text, base, sent: true });
  }
});
document.addEventListener("click", ({ target }) => {
  const form = target.closest(".todo .cancel")?.closest("form");
  for (const { name } of form ? $$(TEXTS, form) : []) forget(["text", form.getAttribute("action"), name]);
});
$(TODO)?.addEventListener("paste", pasteLines);
read("text").then((kept) => kept.forEach(restoreText));
