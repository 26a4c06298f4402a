// Sends forms in the background: one after the other, in the order of typing, each again until
// there is an answer. The browser keeps what waits, so that any later page of the same person sends
// it; two windows may, as its `op` makes it once.

import { $, clearError, make, messagesVisible, pageAddress, parse, rowAt, words } from "./dom.js";
import { addRow } from "./optimistic.js";
import { forget, keep, placeOf, read, user } from "./storage.js";

const queue = []; // not answered yet: {key, address, body, form, row, shown, added, kept}
export let sending = false;
export let left = false; // for another page
export let enqueued = 0; // how many until now, to know an answer that is older than the last
let delayed = false; // there was no answer, and the first of the queue is tried again
let reason = ""; // what the server said of that, if it did
let afterwards = null; // to do when all is sent: follow a link, submit another form, undo
let endPause; // before the next try
let handlers; // {accepted(answer), refused(action, answer), idle()}
let last = 0; // when the last was enqueued: ms, each another

const DAY = 86_400_000; // ms for which the server knows an `op`
export const LOGIN = `/login?ended=1&next=${encodeURIComponent(pageAddress())}`;
export const handleAnswers = (given) => (handlers = given);
export const unanswered = () => queue.length;
export const isDelayed = () => delayed && queue.length > 0;
export const mustWait = () => queue.length > 0 && !delayed;
export const whenSent = (action) => (afterwards = action);
export const retry = () => endPause?.();
export const typedText = ({ body }) =>
  body.get("title") || body.get("lines") || body.get("text") || "";
const isKept = () => queue.every(({ kept }) => kept ?? true); // all that is stored by now
const isUndo = ({ address }) => address === "/undo";

export function enqueue(action) {
  // Whatever happens to the answer, what has one `op` is done once.
  const { address, body, form, row } = action;
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  body.set("op", bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  last = Math.max(Date.now(), last + 1);
  action.key = ["action", last, body.get("op")];
  const fields = [...body].filter(([name]) => !["_xsrf", "back"].includes(name));
  const values = { address, body: String(new URLSearchParams(fields)) };
  keep(action.key, values, "strict").then((key) => tell((action.kept = Boolean(key))));
  for (const place of form.elements) if (place.matches(".new-todo, textarea")) forget(placeOf(place));
  if (row) row.acted = true;
  if (!delayed && !isUndo(action) && !body.has("text")) $(".said")?.remove(); // it's older
  clearError();
  enqueued += 1;
  queue.push(action);
  tell();
  if (!sending) send();
}

async function send() {
  document.body.toggleAttribute("data-sending", (sending = true));
  for (let pause = 250; queue.length; pause = Math.min(2 * pause, 15_000)) {
    const answer = await request(queue[0]);
    if (answer) {
      pause = 125;
      const action = queue.shift();
      if (answer.ok) forget(action.key);
      tell();
      if (!answer.ok) await handlers.refused(action, answer);
      else if (!queue.length) handlers.accepted(answer); // else it is older than what is shown
      delayed &&= queue.length > 0;
    } else {
      delayed = true;
      afterwards = null;
      for (const action of queue) if (action.added) action.shown ??= addRow($(".todo-list"), action.added);
      tell();
      await new Promise((go) => setTimeout((endPause = go), pause * (0.5 + Math.random())));
    }
  }
  document.body.toggleAttribute("data-sending", (sending = false));
  const next = afterwards ?? handlers.idle;
  afterwards = null;
  next();
}

// How many changes wait, and why; and which they are.
function tell() {
  if (!delayed) return;
  const count = (queue.length === 1 ? words.one : words.many).replace("%(count)d", queue.length);
  const text = [reason || words.offline, count, isKept() ? "" : words.unkept].join(" ").trim();
  const status = $("#status") ?? make("div", { id: "status", className: "status", role: "status" });
  if (!status.isConnected) $("main").prepend(status);
  status.dataset.fresh = "";
  const said = make("p", { className: "said waits", textContent: text });
  if (queue.length) status.replaceChildren(said);
  else if (!status.dataset.role) status.replaceChildren(); // not a list's, which the server draws
  const stored = queue.filter(({ shown, kept }) => shown?.dataset && kept !== undefined);
  for (const { shown } of stored) shown.dataset.waiting = words.sign;
}

// The answer with its text, or nothing for the moment.
export async function request({ address, body }, headers) {
  const seen = messagesVisible() && { "X-Seen": "1" };
  reason = "";
  try {
    const answer = await fetch(address, {
      method: body ? "POST" : "GET",
      body,
      headers: { "X-Fragment": "rows", "X-User": user, ...seen, ...headers },
      signal: AbortSignal.timeout(10_000),
    });
    answer.html = await answer.text();
    if (![429, 502, 503, 504].includes(answer.status)) return answer;
    reason = $("[role=alert]", parse(answer.html))?.textContent ?? "";
  } catch {
    // No answer, or not all of it.
  }
  return null;
}

// Presses Undo or Redo. What was done last, or undone, has its button when it is answered.
export function press(button) {
  const before = afterwards;
  if (!queue.length) $(button)?.click();
  else afterwards = () => (before?.(), press(button));
}

// Goes to another page, or reloads this one. What waits and what was typed is kept for that.
export function leave(href) {
  left = true;
  queue.length = 0;
  href ? location.assign(href) : location.reload();
}

// Goes on with what an earlier page of the same person has left. What may have been done so long
// ago that the server has forgotten it isn't sent again: its text is for its writer to check.
async function takeUp() {
  const left = (await read("action")).filter(({ key }) => !queue.some((each) => each.key[2] === key[2]));
  const before = [];
  for (const { key, address, body } of left) {
    const row = rowAt(address);
    const action = { key, address, body: new URLSearchParams(body), form: null, row, kept: true };
    if (key[1] < Date.now() - DAY && typedText(action)) {
      handlers.refused(action, null);
      continue;
    }
    action.body.set("_xsrf", $("[name=_xsrf]").value);
    action.body.set("back", pageAddress());
    // A row is added only when there is no answer: the server may have had it before this page.
    if ($(`.new[action="${address}"]`)) action.added = action.body.get("title");
    else action.shown = row;
    before.push(action);
  }
  queue.splice(sending ? 1 : 0, 0, ...before); // before what this page has enqueued
  if (queue.length && !sending) send();
}

document.addEventListener("input", () => (afterwards = null));

// When the page is left, the browser sends the first on its own. Not all: they would overtake each
// other. Any later page sends the rest.
addEventListener("beforeunload", (event) => isKept() || event.preventDefault());
addEventListener("pagehide", () => {
  const options = { method: "POST", keepalive: true, redirect: "manual", headers: { "X-User": user } };
  for (const { address, body } of queue.slice(0, 1)) fetch(address, { ...options, body }).catch(() => {});
});
takeUp();
