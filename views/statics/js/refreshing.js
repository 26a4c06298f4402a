// Shows what the server answered: the page without its frame, after a form or when asked for
// again because of news; or why something was refused. What the server drew is always right.

import { $, $$, field, keepFocus, list, pageAddress, parse, patch, showError } from "./dom.js";
import { ROW, shownVersion, words } from "./dom.js";
import { keepText, showKept, typedTexts } from "./drafts.js";
import { openRow, saveRow } from "./editing.js";
import * as queue from "./sending.js";
import { forget, keep, keepTyped } from "./storage.js";

export let wanted = 0; // the version that the list has by now
let stale = false; // what is around it: other lists, who is here
let etag = "";
let pulling;
let announcing;
let announced = 0; // milliseconds

export const expectVersion = (version) => (wanted = version);
export const markStale = () => (stale = true);

// Midnight, or a todo's time.
let turning;
function waitForTurn() {
  const left = Date.parse($("[data-turn]")?.dataset.turn) - Date.now();
  clearTimeout(turning);
  const wait = left > 0 ? left + 1_000 * Math.random() : 20_000; // this clock is ahead
  if (left) turning = setTimeout(() => catchUp(markStale()), wait);
}

// Asks for the page when news say that it is another one; in a moment, as news come in crowds.
export function catchUp() {
  clearTimeout(pulling);
  const isCurrent = () => wanted === shownVersion() && !stale;
  pulling = list && setTimeout(() => queue.sending || isCurrent() || refresh(), 25);
}

export async function refresh() {
  if (!$("[data-version]")) return; // no list, or not any more
  const before = queue.enqueued;
  stale = false;
  const answer = await queue.request({ address: pageAddress() }, etag && { "If-None-Match": etag });
  stale ||= !answer;
  if (answer?.status === 404) showGone(answer);
  if (answer?.ok && !queue.unanswered() && queue.enqueued === before) show(answer);
  waitForTurn();
}

function show(answer) {
  const fresh = parse(answer.html);
  const status = $("#status", fresh);
  const before = $("#status");
  if ($("[name=password]", fresh)) return queue.leave(queue.LOGIN);
  if (!before?.dataset.role) return; // not the page of a list
  if (status?.dataset.role !== before.dataset.role) return queue.leave();
  if ($(".dragged")) return; // who drags asks again
  etag = answer.headers.get("ETag") ?? "";
  const open = $(".editing");
  if (open && !fresh.getElementById(open.id)) saveRow(open); // refused if it is gone, not only moved
  const news = status.textContent !== before.textContent;
  if (news || "fresh" in before.dataset) status.dataset.fresh = "";
  keepFocus(() => patchParts(fresh));
  for (const row of $$(ROW)) row.acted = false;
  // It hides itself after a while.
  if (news) for (const animation of $(".said")?.getAnimations() ?? []) animation.play();
  wanted = Math.max(wanted, shownVersion());
  showName();
  showTimes();
  document.dispatchEvent(new Event("shown"));
}

// The list is gone, or its reader was removed: why, and what was being typed.
function showGone(answer) {
  const page = parse(answer.html);
  const texts = typedTexts();
  $("[role=alert]", page).textContent = words.gone;
  $(".editing")?.classList.remove("editing"); // or leaving its field would save it
  $("aside")?.remove();
  $("main").replaceWith($("main", page));
  showKept(words.gone, texts);
  document.title = $("title", page).textContent;
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
  for (const time of $$("time:not(.due, .day)")) time.textContent = moments.format(new Date(time.dateTime));
}

// What was typed goes back into its field, with the reason.
async function showRefused(action, answer) {
  const { form, row, address, key } = action;
  const page = parse(answer?.html ?? "");
  queue.whenSent(null);
  if ($("#login", page)) return queue.leave(queue.LOGIN); // it is sent after that
  etag = ""; // what is shown is not what the server drew
  await refresh();
  if (queue.left) return; // somebody else is logged in by now: its writer's next page sends it
  let reason = $("[role=alert]", page)?.textContent || words.failed;
  if (answer?.status === 404) reason = words.gone;
  if (!answer) reason = words.old;
  const open = answer?.status !== 404 && /^\/todos\/\d+$/.test(address) && row?.isConnected;
  const busy = document.activeElement.matches("input, textarea");
  const text = queue.typedText(action);
  const name = ["text", "lines"].find((each) => action.body.has(each)) ?? "title";
  const here = form ?? $(`form[action="${address}"][data-live]`);
  if (field?.isConnected && (open || here)) {
    const wrong = open ? openRow(row, text, false) : keepText(text, here);
    showError(reason, wrong, open && row);
    if (wrong) keepTyped(wrong);
    if (!busy) wrong?.focus();
  } else {
    if (text) keep(["text", address, name], { text, base: "" }); // for the page that has a field
    showKept(reason, text ? [text] : []);
  }
  forget(key);
}

showTimes();
waitForTurn();
queue.handleAnswers({ accepted: show, refused: showRefused, idle: catchUp });
