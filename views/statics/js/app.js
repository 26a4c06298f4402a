// What the page does by forms and links, done at once and without leaving it.
//
// Every action is still a form: it is sent in the background, and the answer is the page without its
// frame, drawn by the server. That is always right; what is shown before only bridges the wait.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const ROW = ".todo-list > li:not([hidden], [inert])"; // not those that go, nor those that come
const act = $("#act[data-live]"); // the form of all single buttons; readers have none
const field = $(".new-todo");
const language = document.documentElement.lang;
const title = document.title.replace(/^\(\d+\) /, "");

// ---- sending, in the order of typing

const waiting = []; // not acknowledged yet: {address, body, form, row}
let sending = false;
let stuck = false; // there was no answer, and the first of them is tried again
let acts = 0; // how many, to know an answer that is older than the last
let leaving = null; // to do when all is sent: follow a link, submit another form

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (form.method === "dialog") return;
  if (!form.matches("[data-live]") || button?.matches("[data-plain]")) {
    if (waiting.length && !stuck) {
      event.preventDefault();
      leaving = () => form.requestSubmit(button);
    } else lines += 1;
    return;
  }
  event.preventDefault();
  if (button?.matches(".undo") && waiting.length) return undoLater();
  const body = new URLSearchParams(new FormData(form, button));
  const address = button?.getAttribute("formaction") ?? form.getAttribute("action");
  const row = (button ?? form).closest(ROW);
  if (button?.closest(".menu")) {
    saveRow(row);
    if (!row.hidden) moveBy(row, button.className);
  } else if (foresee(form, button, row, body)) {
    enqueue({ address, body, form, row });
  }
});

function enqueue(action) {
  // Whatever happens to the answer, the server does a thing with one `op` once.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  action.body.set("op", Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  if (!stuck && !undoing(action)) $(".said")?.remove(); // it was about something older
  forget();
  acts += 1;
  waiting.push(action);
  if (!sending) send();
}

async function send() {
  document.body.toggleAttribute("data-sending", (sending = true));
  try {
    for (let pause = 250; waiting.length; pause = Math.min(2 * pause, 15_000)) {
      const answer = await ask(waiting[0]);
      if (answer) {
        pause = 125;
        stuck = false;
        const action = waiting.shift();
        if (!answer.ok) await refuse(action, answer);
        else if (!waiting.length) apply(answer); // else it is older than what is shown
      } else {
        if (!stuck) say(act.dataset.offline);
        stuck = true;
        leaving = null;
        await pausing(pause * (0.5 + Math.random()));
      }
    }
  } catch (error) {
    location.reload(); // what is shown can't be trusted; what waits is sent on the way out
    throw error;
  } finally {
    document.body.toggleAttribute("data-sending", (sending = false));
  }
  document.dispatchEvent(new Event("idle"));
  const deed = leaving;
  leaving = null;
  deed?.();
}

// The answer with its text, or nothing when there is none for the moment.
async function ask({ address, body }, headers = {}) {
  try {
    const answer = await fetch(address, {
      method: body ? "POST" : "GET",
      body,
      headers: { "X-Fragment": "rows", ...headers },
      signal: AbortSignal.timeout(10_000),
    });
    answer.html = await answer.text();
    return [502, 503, 504].includes(answer.status) ? null : answer;
  } catch {
    return null;
  }
}

function pausing(time) {
  return new Promise((go) => {
    setTimeout(go, time);
    for (const sign of ["online", "line"]) addEventListener(sign, go, { once: true });
  });
}

const undoing = ({ address }) => address === "/undo";
const typed = ({ body }) => body.get("title") || body.get("lines") || "";

async function refuse(action, answer) {
  const { form, row } = action;
  const page = parse(answer.html);
  const login = $("#login", page);
  leaving = null;
  if (login) {
    if (!row) waiting.unshift(action);
    return logIn(login.getAttribute("href"));
  }
  await refresh(true);
  let reason = $("[role=alert]", page)?.textContent || act.dataset.failed;
  if (answer.status === 404) reason = act.dataset.gone;
  const open = form.matches(".editor") && row.isConnected;
  const busy = document.activeElement.matches("input, textarea");
  complain(reason, open ? openRow(row, typed(action), !busy) : keep(typed(action)), open && row);
}

// The session has ended: what was typed is kept for the same person.
function logIn(href) {
  const texts = [...waiting.map(typed), field?.value, $(".edit")?.value];
  sessionStorage.setItem("typed", JSON.stringify([reader(), texts.filter(Boolean).join("\n")]));
  waiting.length = 0;
  location.assign(href);
}

// Puts text that was not saved where there is room; returns the field.
function keep(text) {
  const lines = $("#lines");
  const several = text.includes("\n") || (field.value && text);
  if (several) {
    lines.value = [lines.value.trim(), text].filter(Boolean).join("\n");
    lines.closest("details").open = true;
  } else {
    field.value ||= text;
  }
  return text && (several ? lines : field);
}

function complain(reason, wrong, row) {
  const alert = document.createElement("p");
  alert.className = "problem refused";
  alert.id = "refused";
  alert.setAttribute("role", "alert");
  alert.textContent = reason;
  if (wrong) {
    wrong.setAttribute("aria-invalid", true);
    wrong.setAttribute("aria-describedby", "refused");
  }
  (row || (wrong || field).form).prepend(alert);
}

function forget() {
  $$("#refused").forEach((alert) => alert.remove());
  $$("[aria-describedby=refused]").forEach((wrong) => wrong.removeAttribute("aria-invalid"));
}

// What still waits when the page is left all the same is sent by the browser on its own.
addEventListener("beforeunload", (event) => {
  if (stuck || waiting.length > 1) event.preventDefault();
});
addEventListener("pagehide", () => {
  const options = { method: "POST", keepalive: true, redirect: "manual" };
  for (const { address, body } of waiting) fetch(address, { ...options, body }).catch(() => {});
});

// ---- showing what the server drew

const policy = globalThis.trustedTypes?.createPolicy("server", { createHTML: (html) => html });
let etag = "";

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}

async function refresh(certainly = false) {
  const before = acts;
  const headers = etag && !certainly ? { "If-None-Match": etag } : {};
  const answer = await ask({ address: page() }, headers);
  if (answer?.ok && !waiting.length && acts === before) apply(answer);
}

function apply(answer) {
  const fresh = parse(answer.html);
  const same = $(".rows", fresh) && !act === !$(".toggle-all", fresh);
  if (!same) return location.reload(); // log-in, or other rights
  if ($(".dragged")) return; // who drags asks again
  etag = answer.headers.get("ETag") ?? "";
  const open = $(".editing");
  const draft = open && !fresh.getElementById(open.id) ? $(".edit", open).value : "";
  const said = $(".status").textContent;
  const news = $(".status", fresh).textContent !== said;
  if (news || "fresh" in $(".status").dataset) $(".status", fresh).dataset.fresh = "";
  keepingFocus(() => {
    morph($(".rows"), $(".rows", fresh));
    morph($(".status"), $(".status", fresh));
  });
  if (draft) complain(act.dataset.gone, keep(draft));
  // It hides itself after a while; new words are seen for as long.
  if (news) $(".said")?.getAnimations().forEach((a) => a.play());
  wanted = Math.max(wanted, shown());
  tell(0);
}

// Make `old` what `fresh` is, touching only what differs: focus, selection and scroll stay.
// Children with an id are found by it, others by their order, name and first class.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.matches(".editing") && !fresh.matches(".editing")) {
    old.classList.toggle("completed", fresh.matches(".completed"));
    return morph($(".view", old), $(".view", fresh));
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const children = [...fresh.childNodes].filter((child) => child === solid(child));
  const ids = new Set(children.map((child) => child.id));
  for (const child of [...old.children]) {
    if (child.matches("li") && !ids.has(child.id)) child.remove();
  }
  let at = solid(old.firstChild);
  for (const child of children) {
    let match = at;
    if (child.id) match = document.getElementById(child.id);
    else while (match && !alike(match, child)) match = solid(match.nextSibling);
    if (match?.parentNode === old) {
      if (child.id && match !== at) place(old, match, at);
      while (at !== match && !child.id) at = drop(at);
      morph(match, child);
    } else {
      match = old.insertBefore(child, at);
    }
    at = solid(match.nextSibling);
  }
  while (at) at = drop(at);
}

const alike = (a, b) => a.nodeName === b.nodeName && a.classList?.[0] === b.classList?.[0];

function solid(node) {
  while (node?.nodeType === Node.TEXT_NODE && !node.data.trim()) node = node.nextSibling;
  return node;
}

function drop(node) {
  const next = solid(node.nextSibling);
  node.remove();
  return next;
}

function place(parent, node, before) {
  if (parent.moveBefore && node.isConnected) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
}

// Focus never falls to the body: the same control of a neighbour gets it.
function keepingFocus(change) {
  const active = document.activeElement;
  const row = active.closest(ROW);
  const rows = $$(ROW);
  const at = rows.indexOf(row);
  change();
  if (active === document.body || (active.isConnected && active.checkVisibility())) {
    if (document.activeElement !== active) active.focus();
    return;
  }
  for (const near of row ? [...rows.slice(at), ...rows.slice(0, at).reverse()] : []) {
    if (!near.isConnected) continue;
    const control = $(`.view .${active.classList[0]}`, near) ?? $(".rename", near);
    if (control?.checkVisibility()) return control.focus();
  }
  field?.focus();
}

function say(text) {
  const said = document.createElement("p");
  said.className = "said";
  said.textContent = text;
  $(".status").replaceChildren(said);
  $(".status").dataset.fresh = "";
}

// The number of open todos, wherever it is shown.
function tell(more) {
  const count = $(".todo-count");
  const open = Math.max(0, Number(count.firstElementChild.textContent) + more);
  const { one, other } = count.dataset;
  count.firstElementChild.textContent = open;
  count.lastChild.data = ` ${new Intl.PluralRules(language).select(open) === "one" ? one : other}`;
  const all = $(".toggle-all");
  all?.setAttribute("aria-checked", open === 0);
  all?.setAttribute("value", open > 0);
  const badge = $(".side [aria-current] small");
  if (badge) badge.textContent = open || "";
  document.title = open ? `(${open}) ${title}` : title;
}

// ---- news of other windows

const list = Number($("[data-list]")?.dataset.list);
const page = () => (act ? $("[name=back]", act).value : location.pathname);
const shown = () => Number($(".main").dataset.version);
let line; // by which news come
let lines = 0; // how many: an older one is not listened to
let failures = 0;
let wanted = 0; // the version that the list has by now
let began, heard, retrying, pulling;

// Where a socket doesn't get through, a stream may; where that doesn't, single answers do.
const doors = [
  (lost) => {
    const socket = new WebSocket(`ws${location.origin.slice(4)}/live`);
    socket.onopen = () => socket.send(JSON.stringify({ type: "watch", list, version: shown() }));
    socket.onclose = ({ code }) => lost(code);
    return socket;
  },
  (lost) => {
    const stream = new EventSource(`/live/events?list=${list}&version=${shown()}`);
    stream.onerror = lost;
    return stream;
  },
  (lost, hear) => {
    const stop = new AbortController();
    const known = document.body.dataset.live === "on" ? wanted : 0; // else it answers at once
    fetch(`/live/poll?list=${list}&version=${known}`, { signal: stop.signal })
      .then((answer) => (answer.ok ? answer.text() : Promise.reject()))
      .then((text) => [...JSON.parse(text || "[]"), {}].forEach(hear))
      .then(connect, lost);
    return { close: () => stop.abort() };
  },
];

function connect() {
  const number = (lines += 1);
  const current = (deed) => (value) => number === lines && deed(value);
  clearTimeout(retrying);
  line?.close();
  began = heard = Date.now();
  line = doors[Math.floor(failures / 3) % 3](current(lost), current(hear));
  line.onmessage = current(({ data }) => hear(JSON.parse(data)));
}

function lost(code) {
  lines += 1;
  if (code === 4401) return logIn(location.href);
  failures = Date.now() - began > 10_000 ? 1 : failures + 1;
  document.body.dataset.live = "off";
  const most = failures < 9 ? 1_000 : 15_000; // by then each door was tried
  retrying = setTimeout(connect, Math.random() * Math.min(250 * 2 ** failures, most));
}

function hear({ type, version }) {
  heard = Date.now();
  const { live } = document.body.dataset;
  document.body.dataset.live = "on";
  if (live === "off") dispatchEvent(new Event("line"));
  if (type === "gone") location.reload();
  wanted = version ?? wanted;
  catchUp();
}

// Many news are one look; the answer to what waits brings them along.
function catchUp() {
  clearTimeout(pulling);
  pulling = setTimeout(() => sending || wanted === shown() || refresh(), 25);
}

// ---- what an action will do, shown beforehand

// Returns whether there is anything to send.
function foresee(form, button, row, body) {
  const title = body.get("title")?.trim();
  if (form.matches(".new")) {
    field.value = "";
    field.focus();
    if (title) addRow(title);
    return Boolean(title);
  }
  if (form.matches(".editor")) {
    const label = $("label", row);
    const before = label.textContent;
    closeRow(row);
    if (!title) hide([row]);
    else label.textContent = title;
    return title !== before;
  }
  if (form.matches(".several form")) {
    form.reset();
    form.closest("details").open = false;
    field.focus();
  } else if (button?.matches(".toggle")) {
    tick([row], !row.matches(".completed"));
  } else if (button?.matches(".toggle-all")) {
    tick($$(ROW), button.value === "true");
  } else if (button?.matches(".destroy")) {
    hide([row]);
  } else if (button?.matches(".clear-completed")) {
    hide($$(`${ROW}.completed`));
    keepingFocus(() => (button.hidden = true));
  }
  return true;
}

// Until the server's row comes.
function addRow(title) {
  tell(1);
  if ($(".filters .selected").href.endsWith("/completed")) return;
  const [row, view, label] = ["li", "div", "label"].map((name) => document.createElement(name));
  row.inert = true;
  view.className = "view";
  label.dir = "auto";
  label.textContent = title;
  row.append(view);
  view.append(label);
  $(".todo-list").append(row);
  $(".main").hidden = false;
  $(".empty")?.remove();
  row.scrollIntoView({ block: "nearest" });
}

function tick(rows, completed) {
  const changing = rows.filter((row) => row.matches(".completed") !== completed);
  for (const row of changing) {
    row.classList.toggle("completed", completed);
    const toggle = $(".toggle", row);
    toggle.setAttribute("aria-checked", completed);
    const verb = completed ? "reopen" : "complete";
    toggle.setAttribute("formaction", `/todos/${row.dataset.id}/${verb}`);
  }
  tell(changing.length * (completed ? -1 : 1));
}

function hide(rows) {
  tell(-rows.filter((row) => !row.matches(".completed")).length);
  keepingFocus(() => rows.forEach((row) => (row.hidden = true)));
}

// ---- renaming

function openRow(row, text = $("label", row).textContent, focus = true) {
  const other = $(".editing");
  if (other && other !== row) saveRow(other);
  if (!row.matches(".editing")) row.prepend($("#open").content.cloneNode(true));
  row.classList.add("editing");
  $(".editor", row).setAttribute("action", `/todos/${row.dataset.id}`);
  $(".more", row).href = `/todos/${row.dataset.id}`;
  const edit = $(".edit", row);
  edit.setAttribute("aria-labelledby", `w t-${row.dataset.id}`);
  edit.value = text;
  if (focus) edit.focus();
  edit.setSelectionRange(text.length, text.length);
  return edit;
}

function closeRow(row) {
  const inside = $(".editor", row).contains(document.activeElement);
  row.classList.remove("editing"); // first: leaving the field saves only a row that is open
  $(".editor", row).remove();
  forget();
  if (inside) $(".rename", row).focus();
}

function saveRow(row) {
  if ($(".edit", row).value.trim() === $("label", row).textContent) closeRow(row);
  else $(".editor", row).requestSubmit();
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
  if (row && document.hasFocus() && !$(".editor", row).contains(event.relatedTarget)) saveRow(row);
});
document.addEventListener("mousedown", (event) => {
  if (event.target.closest(".editor button")) event.preventDefault(); // the field keeps the focus
});

// ---- order

function before(row) {
  do row = row.previousElementSibling;
  while (row && !row.matches(ROW));
  return row;
}

function moveAfter(row, other) {
  const body = new URLSearchParams(new FormData(act));
  body.set("after", other?.dataset.id ?? "");
  enqueue({ address: `/todos/${row.dataset.id}/move`, body, form: act, row });
}

function moveBy(row, where) {
  const rows = $$(ROW);
  const at = rows.indexOf(row);
  const to = { top: 0, up: at - 1, down: at + 1 }[where];
  if (to === at || !rows[to]) return;
  keepingFocus(() => place(row.parentNode, row, to < at ? rows[to] : rows[to].nextSibling));
  row.scrollIntoView({ block: "nearest" });
  moveAfter(row, before(row));
}

document.addEventListener("pointerdown", (event) => {
  const row = event.target.closest(".grip")?.closest(ROW);
  if (!row || event.button) return;
  event.preventDefault();
  const home = $$(".todo-list > li");
  const first = before(row);
  const listening = new AbortController();
  const middle = (other) => other.getBoundingClientRect().y + other.offsetHeight / 2;
  let y = event.clientY;
  row.classList.add("dragged");

  // The others move around the row: one that leaves the page lets go of the finger.
  function sort() {
    let other;
    while ((other = row.previousElementSibling) && y < middle(other)) row.after(other);
    while ((other = row.nextElementSibling) && y > middle(other)) row.before(other);
  }
  const scrolling = setInterval(() => {
    if (y > 64 && y < innerHeight - 64) return;
    scrollBy(0, y <= 64 ? -8 : 8);
    sort();
  }, 16);
  function end(keep) {
    listening.abort();
    clearInterval(scrolling);
    row.classList.remove("dragged");
    if (!keep) row.parentNode.append(...home);
    if (before(row) !== first) moveAfter(row, before(row));
    else refresh();
  }
  const on = (name, listener) =>
    document.addEventListener(name, listener, { signal: listening.signal });
  on("pointermove", ({ clientY }) => {
    y = clientY;
    sort();
  });
  on("pointerup", () => end(true));
  on("pointercancel", () => end(false));
  on("keydown", ({ key }) => key === "Escape" && end(false));
});

// ---- keys

const single = {
  n: () => field?.focus(),
  "/": () => field?.focus(),
  j: (row) => step(row, 1),
  k: (row) => step(row, -1),
  e: (row) => act && row && openRow(row),
  d: (row) => row && $(".toggle", row)?.click(),
  z: () => (waiting.length ? undoLater() : undo()),
  "?": () => $("#keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // these keys choose letters
  const { key, target } = event;
  const row = target.closest(ROW);
  const typing = target.matches("input, textarea, select");
  const arrow = { ArrowUp: "up", ArrowDown: "down" }[key];
  if (key === "Escape" && row?.matches(".editing")) closeRow(row);
  else if (key === "F2" && row && act && !typing) openRow(row);
  else if (arrow && event.altKey && row && act && !typing) moveBy(row, arrow);
  else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  else if ("keys" in document.body.dataset && single[key] && !$("dialog[open]")) single[key](row);
  else return;
  event.preventDefault();
});

function undo() {
  $(".undo")?.click();
}

// What was done last has a name when it is answered.
function undoLater() {
  if (!waiting.some(undoing)) document.addEventListener("idle", undo, { once: true });
}

function step(row, by) {
  const rows = $$(ROW);
  const next = row ? rows[rows.indexOf(row) + by] : rows.at(by > 0 ? 0 : -1);
  $(".toggle, label", next ?? row ?? document)?.focus();
}

// ---- small comforts

// Following a link waits for what was done before.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !waiting.length || stuck || event.defaultPrevented) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  leaving = () => location.assign(link.href);
});
document.addEventListener("input", () => (leaving = null));

// Several lines in the field for one todo: offer to add them all.
field?.addEventListener("paste", (event) => {
  const text = event.clipboardData.getData("text");
  if (text.trim().split(/[\r\n]+/).length < 2) return;
  event.preventDefault();
  keep((field.value + text).trim());
  field.value = "";
  $(".several button").focus();
});

$("#help")?.addEventListener("click", () => $("#keys").showModal());
$("#show")?.addEventListener("change", ({ target }) => {
  $("#password").type = target.checked ? "text" : "password";
});

for (const time of $$("time")) {
  const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  time.textContent = format.format(new Date(time.dateTime));
}

const reader = () => $(".bar [href='/account']").textContent;

if (field) {
  // What the same person typed before; and a row is open once, in this window.
  const [person, text] = JSON.parse(sessionStorage.getItem("typed") ?? "[]");
  sessionStorage.removeItem("typed");
  if (person === reader() && text) {
    field.value = "";
    keep(text);
  }
  if (location.search) history.replaceState(null, "", location.pathname);
}

if (list) {
  connect();
  const again = () => {
    failures = 0;
    if (document.body.dataset.live !== "on") connect();
    sending || refresh();
  };
  document.addEventListener("idle", catchUp);
  document.addEventListener("visibilitychange", () => document.hidden || again());
  addEventListener("online", again);
  addEventListener("pagehide", () => line.close());
  addEventListener("pageshow", ({ persisted }) => persisted && connect());
  setInterval(() => Date.now() - heard > 45_000 && lost(), 5_000);
}
