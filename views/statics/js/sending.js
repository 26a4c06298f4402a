// Sends forms in the background: one after the other, in the order of typing, each again until
// there is an answer. What that means is for who handles answers.

import { $, act, make, messagesVisible } from "./dom.js";
import { clearError, storeTexts } from "./drafts.js";

const queue = []; // not answered yet: {address, body, form, row}
export let sending = false;
export let enqueued = 0; // how many until now, to know an answer that is older than the last
let offline = false; // there was no answer, and the first of the queue is tried again
let afterwards = null; // to do when all is sent: follow a link, submit another form, undo
let endPause; // before the next try
let handlers; // {accepted(answer), refused(action, answer), idle()}

export const handleAnswers = (given) => (handlers = given);
export const unanswered = () => queue.length;
export const mustWait = () => queue.length > 0 && !offline;
export const whenSent = (action) => (afterwards = action);
export const retry = () => endPause?.();
export const typedText = ({ body }) =>
  body.get("title") || body.get("lines") || body.get("text") || "";
const isUndo = ({ address }) => address === "/undo";

export function enqueue(action) {
  // Whatever happens to the answer, what has one `op` is done once.
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  action.body.set("op", bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  if (!offline && !isUndo(action) && !action.body.has("text")) $(".said")?.remove(); // it's older
  clearError();
  enqueued += 1;
  queue.push(action);
  if (!sending) send();
}

async function send() {
  document.body.toggleAttribute("data-sending", (sending = true));
  for (let pause = 250; queue.length; pause = Math.min(2 * pause, 15_000)) {
    const answer = await request(queue[0]);
    if (answer) {
      pause = 125;
      offline = false;
      const action = queue.shift();
      if (!answer.ok) await handlers.refused(action, answer);
      else if (!queue.length) handlers.accepted(answer); // else it is older than what is shown
    } else {
      showOffline();
      await new Promise((go) => setTimeout((endPause = go), pause * (0.5 + Math.random())));
    }
  }
  document.body.toggleAttribute("data-sending", (sending = false));
  const next = afterwards ?? handlers.idle;
  afterwards = null;
  next();
}

function showOffline() {
  const said = make("p", { className: "said", textContent: act.dataset.offline });
  if (!offline) $("#status").replaceChildren(said);
  $("#status").dataset.fresh = "";
  offline = true;
  afterwards = null;
}

// The answer with its text, or nothing for the moment.
export async function request({ address, body }, headers) {
  const seen = messagesVisible() && { "X-Seen": "1" };
  try {
    const answer = await fetch(address, {
      method: body ? "POST" : "GET",
      body,
      headers: { "X-Fragment": "rows", ...seen, ...headers },
      signal: AbortSignal.timeout(10_000),
    });
    answer.html = await answer.text();
    return [429, 502, 503, 504].includes(answer.status) ? null : answer;
  } catch {
    return null;
  }
}

// Presses Undo or Redo. What was done last, or undone, has its button when it is answered.
export function press(button) {
  const before = afterwards;
  if (!queue.length) $(button)?.click();
  else afterwards = () => (before?.(), press(button));
}

// Goes to another page, or reloads this one. What was typed is kept, also in a refused action.
export function leave(href, refused) {
  const all = refused ? [refused, ...queue] : queue;
  const texts = (has) => all.filter(({ body }) => body.has("text") === has).map(typedText);
  storeTexts(texts(false), texts(true));
  queue.length = 0;
  href ? location.assign(href) : location.reload();
}

document.addEventListener("input", () => (afterwards = null));

// What still waits when the page is left is sent by the browser on its own.
addEventListener("beforeunload", (event) => (offline || queue[1]) && event.preventDefault());
addEventListener("pagehide", () => {
  const options = { method: "POST", keepalive: true, redirect: "manual" };
  for (const { address, body } of queue) fetch(address, { ...options, body }).catch(() => {});
});
