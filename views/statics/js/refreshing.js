// Shows what the server answered: the page without its frame, after a form or when it is asked for
// again because of news; or why something was refused. What the server drew is always right.

import { $, $$, act, keepFocus, list, pageAddress, parse, patch, shownVersion } from "./dom.js";
import { keepText, showError } from "./drafts.js";
import { openRow } from "./editing.js";
import * as queue from "./sending.js";

export let wanted = 0; // the version that the list has by now
let stale = false; // what is around it: other lists, who is here
let etag = "";
let pulling;
let announcing;
let announced = 0; // milliseconds

export const expectVersion = (version) => (wanted = version);
export const markStale = () => (stale = true);

// Asks for the page when news say that it is another one; in a moment, as news come in crowds.
export function catchUp() {
  clearTimeout(pulling);
  const isCurrent = () => wanted === shownVersion() && !stale;
  pulling = list && setTimeout(() => queue.sending || isCurrent() || refresh(), 25);
}

export async function refresh() {
  const before = queue.enqueued;
  stale = false;
  const answer = await queue.request({ address: pageAddress() }, etag && { "If-None-Match": etag });
  stale ||= !answer;
  if (answer?.ok && !queue.unanswered() && queue.enqueued === before) show(answer);
}

function show(answer) {
  const fresh = parse(answer.html);
  const status = $("#status", fresh);
  const before = $("#status");
  if (status?.dataset.role !== before.dataset.role) return queue.leave(); // or no log-in
  if ($(".dragged")) return; // who drags asks again
  etag = answer.headers.get("ETag") ?? "";
  const open = $(".editing");
  const draft = open && !fresh.getElementById(open.id) ? $(".edit", open).value : "";
  const news = status.textContent !== before.textContent;
  if (news || "fresh" in before.dataset) status.dataset.fresh = "";
  keepFocus(() => patchParts(fresh));
  if (draft) showError(act.dataset.gone, keepText(draft));
  // It hides itself after a while.
  if (news) for (const animation of $(".said")?.getAnimations() ?? []) animation.play();
  wanted = Math.max(wanted, shownVersion());
  showName();
  showTimes();
}

function patchParts(fresh) {
  for (const part of [...fresh.children]) {
    const old = document.getElementById(part.id);
    if (part.id === "news") announce(old, part);
    else if (old) patch(old, part);
  }
}

// What others did is said every five seconds at most.
function announce(old, fresh) {
  clearTimeout(announcing);
  const say = () => patch(old, fresh, (announced = Date.now()));
  announcing = setTimeout(say, Math.max(100, announced + 5_000 - Date.now()));
}

function showName() {
  const name = $(".side [aria-current] span").textContent;
  const count = Number($(".todo-count strong")?.textContent);
  for (const place of $$(".list-name")) place.textContent = name;
  if ($(".rows")) document.title = `${count ? `(${count}) ` : ""}${name} – Afazeres`;
}

// In the reader's time zone.
const style = { dateStyle: "medium", timeStyle: "short" };
const moments = new Intl.DateTimeFormat(document.documentElement.lang, style);
function showTimes() {
  for (const time of $$("time")) time.textContent = moments.format(new Date(time.dateTime));
}

// What was typed goes back into its field, with the reason.
async function showRefused(action, answer) {
  const { form, row } = action;
  const page = parse(answer.html);
  const login = $("#login", page);
  queue.whenSent(null);
  if (login) return queue.leave(login.getAttribute("href"), row ? null : action);
  etag = ""; // what is shown is not what the server drew
  await refresh();
  let reason = $("[role=alert]", page)?.textContent || act.dataset.failed;
  if (answer.status === 404) reason = act.dataset.gone;
  const open = form.matches(".editor") && row.isConnected;
  const busy = document.activeElement.matches("input, textarea");
  const text = queue.typedText(action);
  const wrong = open ? openRow(row, text, !busy) : keepText(text, form);
  showError(reason, wrong, open && row);
}

showTimes();
queue.handleAnswers({ accepted: show, refused: showRefused, idle: catchUp });
