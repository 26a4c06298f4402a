// What the page does by forms and links, done at once and without leaving it: here is what becomes
// of each form, link and key; each module beside this one is one behaviour.

import { $, $$, MESSAGE, ROW, act, field, isQuiet, list, parse, words } from "./dom.js";
import { closeRow, openRow, saveRow } from "./editing.js";
import { ignoreNews } from "./live.js";
import { showOptimistically } from "./optimistic.js";
import { moveRow } from "./order.js";
import { enqueue, isDelayed, mustWait, press, request, unanswered, whenSent } from "./sending.js";
import { dropUnfinished } from "./storage.js";

addEventListener("unhandledrejection", () => location.reload()); // after a mistake of ours

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (form.method === "dialog") return;
  if (!form.matches("[data-live]") || button?.matches("[data-plain]")) {
    // Logging out has the browser forget what it has stored.
    const logsOut = form.matches(".bar form");
    if (logsOut && isDelayed() && !confirm(words.logout)) return event.preventDefault();
    if (logsOut) dropUnfinished();
    if (!mustWait()) return ignoreNews(sessionStorage.setItem("sent", form.action));
    event.preventDefault();
    return whenSent(() => form.requestSubmit(button));
  }
  event.preventDefault();
  const row = (button ?? form).closest(ROW);
  if (button?.matches(".undo") && unanswered()) return; // pressed twice
  if (button?.closest(".menu")) saveAndMove(row, button.className);
  else submit(form, button, row);
});

function saveAndMove(row, where) {
  saveRow(row);
  if (!row.hidden) moveRow(row, where);
}

function submit(form, button, row) {
  const body = new URLSearchParams(new FormData(form, button));
  const address = button?.getAttribute("formaction") ?? form.getAttribute("action");
  const shown = showOptimistically(form, button, row, body);
  if (shown) enqueue({ address, body, form, row, shown });
}

// Following a link waits, too.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !mustWait() || event.defaultPrevented) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  whenSent(() => location.assign(link.href));
});

const single = {
  n: () => field?.focus(),
  "/": () => field?.focus(),
  j: (row) => step(row, 1),
  k: (row) => step(row, -1),
  e: (row) => act && row && openRow(row),
  d: (row) => row && $(".toggle", row)?.click(),
  g: (row, { timeStamp }) => (pressed = timeStamp),
  t: (row, event) => go("/today", event) || setDate(row),
  u: (row, event) => go("/upcoming", event),
  z: backOrForth,
  Z: backOrForth, // with Shift, or Caps Lock
  "?": () => $("#keys")?.showModal(),
};

let pressed; // ms: when g was

function go(place, { timeStamp }) {
  const link = timeStamp - pressed < 1_000 && $(`a[href="${place}"]`);
  link && link.click();
  return link;
}

function setDate(row) {
  const when = act && row && $(".when", openRow(row).form);
  if (!when) return;
  when.open = true;
  $("[name=due]", when).focus();
}

function backOrForth(row, { repeat, shiftKey }) {
  if (!repeat) press(shiftKey ? ".redo" : ".undo:not(.redo)");
}

function step(row, by) {
  const rows = $$(ROW);
  const next = row ? rows[rows.indexOf(row) + by] : rows.at(by > 0 ? 0 : -1);
  $(".toggle, label", next ?? row ?? document)?.focus();
}

const isTyping = ({ target }) => target.matches("input, textarea, select");

// Where a layout has other letters than Latin, a key is the one of its place.
function keyOf({ key, code, shiftKey }) {
  if (!/^[^\p{ASCII}\p{Script=Latin}]$/u.test(key)) return key;
  if (code === "Slash") return shiftKey ? "?" : "/";
  const letter = code.replace("Key", "");
  return shiftKey ? letter : letter.toLowerCase();
}

function ignoreKey(event) {
  if (!isQuiet() || isTyping(event) || event.key === "Tab") return;
  event.preventDefault();
  event.stopImmediatePropagation();
}
for (const name of ["keydown", "keyup"]) document.addEventListener(name, ignoreKey, true);

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return; // it chooses letters, 229 in Safari
  const { target } = event;
  const key = keyOf(event);
  const row = target.closest(ROW);
  const typing = isTyping(event);
  const arrow = { ArrowUp: "up", ArrowDown: "down" }[key];
  const sends = key === "Enter" && !event.shiftKey && target.matches(MESSAGE);
  if (sends && matchMedia("(hover: hover)").matches) target.form.requestSubmit();
  else if (key === "Escape" && row?.matches(".editing")) closeRow(row);
  else if (key === "F2" && row && act && !typing) openRow(row);
  else if (arrow && event.altKey && row && $(".grip", row) && !typing) moveRow(row, arrow);
  else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  else if (!("keys" in document.body.dataset) || $("dialog[open]")) return;
  else if (single[key]) single[key](row, event);
  else return;
  event.preventDefault();
});

$("#help")?.addEventListener("click", () => $("#keys").showModal());
// The next dates of a repeat, while it is being chosen.
let asking;
$(".todo")?.addEventListener("input", ({ target }) => {
  if (!target.closest(".when, .repeat")) return;
  clearTimeout(asking);
  asking = setTimeout(showDates, 250, target.form);
});

async function showDates(form) {
  const body = new URLSearchParams(new FormData(form));
  body.set("preview", 1);
  const answer = await request({ address: form.getAttribute("action"), body });
  const said = $(".dates, [role=alert]", parse(answer?.html ?? ""));
  if (said) $(".dates").replaceChildren(said);
}

const { timeZone = "" } = Intl.DateTimeFormat().resolvedOptions();
$("[type=hidden][name=timezone]")?.setAttribute("value", timeZone);
$("#show")?.addEventListener("change", ({ target }) => {
  $("#password").type = target.checked ? "text" : "password";
});

// The page that such a form leads to says what it did, if that was to a list.
if ($("#status")) {
  const sent = /\/(lists|todos|undo)\b/.test(sessionStorage.getItem("sent"));
  if (sent && !$("[role=alert]")) $("#status").dataset.fresh = "";
  sessionStorage.removeItem("sent");
}
if (field && list && /[?&](edit|title)=/.test(location.search)) history.replaceState(null, "", location.pathname);
