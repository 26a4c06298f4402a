// What the page does by forms and links, done at once and without leaving it. Every action is
// still a form, sent in the background; the answer is the page without its frame, drawn by the
// server. That is always right; what is shown before only bridges the wait.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (name, values) => Object.assign(document.createElement(name), values);
const ROW = ".todo-list > li:not([hidden], [inert])"; // not those that go, nor those that come
const act = $("#act[data-live]"); // the form of all single buttons; readers have none
const [TODO, TALK] = [".new-todo", ".say textarea"];
const field = $(TODO) ?? $(TALK);

// ---- sending, in the order of typing

const waiting = []; // not acknowledged yet: {address, body, form, row}
let sending = false;
let stuck = false; // there was no answer, and the first of them is tried again
let acts = 0; // how many, to know an answer that is older than the last
let wake; // ends the wait before the next try
let next = null; // to do when all is sent: follow a link, submit another form, undo

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (form.method === "dialog") return;
  if (!form.matches("[data-live]") || button?.matches("[data-plain]")) {
    if (waiting.length && !stuck) {
      event.preventDefault();
      next = () => form.requestSubmit(button);
    } else lines += 1;
    return;
  }
  event.preventDefault();
  if (button?.matches(".undo") && waiting.length) return undo();
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
  // Whatever happens to the answer, a thing with one `op` is done once.
  const bytes = [...crypto.getRandomValues(new Uint8Array(16))];
  action.body.set("op", bytes.map((byte) => byte.toString(16).padStart(2, "0")).join(""));
  if (!stuck && !undoing(action) && !action.body.has("text")) $(".said")?.remove(); // it's older
  forget();
  acts += 1;
  waiting.push(action);
  if (!sending) send();
}

async function send() {
  document.body.toggleAttribute("data-sending", (sending = true));
  for (let pause = 250; waiting.length; pause = Math.min(2 * pause, 15_000)) {
    const answer = await ask(waiting[0]);
    if (answer) {
      pause = 125;
      stuck = false;
      const action = waiting.shift();
      if (!answer.ok) await refuse(action, answer);
      else if (!waiting.length) apply(answer); // else it is older than what is shown
    } else {
      const said = make("p", { className: "said", textContent: act.dataset.offline });
      if (!stuck) $("#status").replaceChildren(said);
      $("#status").dataset.fresh = "";
      stuck = true;
      next = null;
      await new Promise((go) => setTimeout((wake = go), pause * (0.5 + Math.random())));
    }
  }
  document.body.toggleAttribute("data-sending", (sending = false));
  const deed = next;
  next = null;
  deed ? deed() : catchUp();
}

addEventListener("unhandledrejection", () => location.reload()); // after a mistake of ours

// The answer with its text, or nothing for the moment.
async function ask({ address, body }, headers) {
  try {
    const answer = await fetch(address, {
      method: body ? "POST" : "GET",
      body,
      headers: { "X-Fragment": "rows", ...(seeing() && { "X-Seen": "1" }), ...headers },
      signal: AbortSignal.timeout(10_000),
    });
    answer.html = await answer.text();
    return [429, 502, 503, 504].includes(answer.status) ? null : answer;
  } catch {
    return null;
  }
}

const undoing = ({ address }) => address === "/undo";
const typed = ({ body }) => body.get("title") || body.get("lines") || body.get("text") || "";

async function refuse(action, answer) {
  const { form, row } = action;
  const page = parse(answer.html);
  const login = $("#login", page);
  next = null;
  if (login) {
    if (!row) waiting.unshift(action);
    return leave(login.getAttribute("href"));
  }
  etag = "";
  await refresh();
  let reason = $("[role=alert]", page)?.textContent || act.dataset.failed;
  if (answer.status === 404) reason = act.dataset.gone;
  const open = form.matches(".editor") && row.isConnected;
  const busy = document.activeElement.matches("input, textarea");
  const wrong = open ? openRow(row, typed(action), !busy) : keep(typed(action), form);
  complain(reason, wrong, open && row);
}

// What was typed is kept for the same person.
function leave(href) {
  const unsent = (talk) => waiting.filter(({ body }) => body.has("text") === talk).map(typed);
  const todo = [...unsent(false), $(TODO)?.value, $(".edit")?.value];
  const texts = [todo, [...unsent(true), $(TALK)?.value]];
  const joined = texts.map((each) => each.filter(Boolean).join("\n"));
  sessionStorage.setItem("typed", JSON.stringify([reader(), ...joined]));
  waiting.length = 0;
  href ? location.assign(href) : location.reload();
}

// Puts unsaved text where there is room; returns the field.
function keep(text, form) {
  const many = text.includes("\n") || (text && ![text, ""].includes(field.value));
  const room = form?.matches(".say") ? $(TALK) : (many && $("#lines")) || field;
  room.value = [...new Set([room.value.trim(), text])].filter(Boolean).join("\n");
  if (room.matches("#lines")) room.closest("details").open = true;
  return text ? room : null;
}

function complain(reason, wrong, row) {
  const alert = make("p", { className: "problem refused", id: "refused", role: "alert" });
  alert.textContent = reason;
  wrong?.setAttribute("aria-invalid", true);
  wrong?.setAttribute("aria-describedby", "refused");
  (row || (wrong || field).form).prepend(alert);
}

function forget() {
  $$("#refused").forEach((alert) => alert.remove());
  $$("[aria-describedby=refused]").forEach((wrong) => wrong.removeAttribute("aria-invalid"));
}

// What still waits when the page is left is sent by the browser on its own.
addEventListener("beforeunload", (event) => (stuck || waiting[1]) && event.preventDefault());
addEventListener("pagehide", () => {
  const options = { method: "POST", keepalive: true, redirect: "manual" };
  for (const { address, body } of waiting) fetch(address, { ...options, body }).catch(() => {});
  line?.close();
});

// ---- showing what the server drew

const policy = globalThis.trustedTypes?.createPolicy("server", { createHTML: (html) => html });
let etag = "";
let announced = 0;

function parse(html) {
  return make("template", { innerHTML: policy ? policy.createHTML(html) : html }).content;
}

async function refresh() {
  const before = acts;
  stale = false;
  const answer = await ask({ address: page() }, etag && { "If-None-Match": etag });
  stale ||= !answer;
  if (answer?.ok && !waiting.length && acts === before) apply(answer);
}

function apply(answer) {
  const fresh = parse(answer.html);
  const status = $("#status", fresh);
  const before = $("#status");
  if (status?.dataset.role !== before.dataset.role) return leave(); // or no log-in
  if ($(".dragged")) return; // who drags asks again
  etag = answer.headers.get("ETag") ?? "";
  const open = $(".editing");
  const draft = open && !fresh.getElementById(open.id) ? $(".edit", open).value : "";
  const news = status.textContent !== before.textContent;
  if (news || "fresh" in before.dataset) status.dataset.fresh = "";
  keepingFocus(() => {
    for (const part of [...fresh.children]) {
      const old = document.getElementById(part.id);
      if (part.id === "news") announce(old, part);
      else if (old) morph(old, part);
    }
  });
  if (draft) complain(act.dataset.gone, keep(draft));
  // It hides itself after a while.
  if (news) $(".said")?.getAnimations().forEach((a) => a.play());
  wanted = Math.max(wanted, shown());
  const name = $(".side [aria-current] span").textContent;
  const count = Number($(".todo-count strong")?.textContent);
  for (const place of $$(".list-name")) place.textContent = name;
  tellTimes();
  if ($(".rows")) document.title = `${count ? `(${count}) ` : ""}${name} – Afazeres`;
}

// What others did is said every five seconds at most.
function announce(old, fresh) {
  clearTimeout(announcing);
  const say = () => morph(old, fresh, (announced = Date.now()));
  announcing = setTimeout(say, Math.max(100, announced + 5_000 - Date.now()));
}

// Make `old` what `fresh` is, touching only what differs: focus, selection and scroll stay.
// Children with an id are found by it, others by their name, first class and order.
function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.matches(".editing") && !fresh.matches(".editing")) {
    old.classList.toggle("completed", fresh.matches(".completed"));
    return morph($(".view", old), $(".view", fresh));
  }
  const gone = [...old.attributes].filter(({ name }) => !fresh.hasAttribute(name));
  for (const { name } of gone) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const had = Map.groupBy(solid(old), key);
  const pairs = solid(fresh).map((child) => [had.get(key(child))?.shift() ?? child, child]);
  for (const node of [...had.values()].flat()) node.remove();
  const now = solid(old);
  pairs.forEach(([node, child], at) => {
    if (node !== now[at]) {
      const put = old.moveBefore && node.isConnected ? "moveBefore" : "insertBefore";
      old[put](node, now[at] ?? null);
      if (node !== child) now.splice(now.indexOf(node), 1);
      now.splice(at, 0, node);
    }
    if (node !== child) morph(node, child);
  });
}

const key = (node) => node.id || `${node.nodeName} ${node.classList?.[0]}`;
const solid = ({ childNodes }) => [...childNodes].filter((node) => node.data?.trim() !== "");

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
  (active.matches(".take-back") ? $(TALK) : field)?.focus();
}

// ---- news of other windows

const list = Number($("section[data-list]")?.dataset.list);
const page = () => (act ? $("[name=back]", act).value : location.pathname);
const shown = () => Number($("[data-version]").dataset.version);
const seeing = () => !document.hidden && $("#talk")?.checkVisibility();
const reader = () => $(".bar [href='/account']").textContent;
let lines = 0; // by which news came: an older one is not listened to
let failures = 0;
let wanted = 0; // the version that the list has by now
let stale = false; // what is around it: other lists, who is here
let line, began, heard, retrying, pulling, announcing;

// Where a socket doesn't get through, a stream may; or else single answers.
const doors = [
  (lost) => {
    const socket = new WebSocket(`ws${location.origin.slice(4)}/live`);
    const watch = (what) => socket.send(JSON.stringify({ type: "watch", ...what }));
    socket.onopen = () => {
      watch({ list, version: shown() });
      const others = $$(".side li a:not([aria-current])").slice(0, 40);
      for (const { dataset } of others) watch({ list: Number(dataset.list) });
    };
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
      .then((answer) => (answer.ok ? answer.text() : Promise.reject(4000 + answer.status)))
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
  if (code === 4401) return leave();
  failures = Date.now() - began > 10_000 ? 1 : failures + 1;
  document.body.dataset.live = "off";
  const most = failures < 9 ? 1_000 : 7_000; // each door was tried
  retrying = setTimeout(connect, Math.random() * Math.min(250 * 2 ** failures, most));
}

function hear({ type, version, people, list: other = list }) {
  heard = Date.now();
  stale ||= type === "titles" || document.body.dataset.live === "off";
  document.body.dataset.live = "on";
  wake?.();
  if (other !== list) stale ||= type === "changed";
  else if (type === "gone") leave();
  else if (people) stale ||= people.filter((p) => p !== reader()) + "" !== $("#talk").dataset.here;
  else wanted = version ?? wanted;
  catchUp();
}

function catchUp() {
  clearTimeout(pulling);
  pulling = list && setTimeout(() => sending || (wanted === shown() && !stale) || refresh(), 25);
}

// ---- what an action will do, shown beforehand

// Returns whether there is anything to send.
function foresee(form, button, row, body) {
  const title = body.get("title")?.trim();
  if (form.matches(".new, .say")) {
    const room = $(".new-todo, textarea", form);
    const text = room.value.trim();
    room.value = "";
    room.focus();
    const rows = $(form.matches(".say") ? ".messages" : ".todo-list");
    if (text && !page().endsWith("/completed")) addRow(rows, text);
    return Boolean(text);
  }
  if (form.matches(".editor")) {
    const before = written(row);
    closeRow(row);
    if (!title) hide([row]);
    else if (title !== before) $("label", row).textContent = title;
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

function addRow(rows, text) {
  const row = rows.appendChild(make("li", { inert: true }));
  row.append(make("label", { dir: "auto", textContent: text }));
  if (rows.matches(".todo-list")) $(".main").hidden = false;
  $(".empty")?.remove();
  row.scrollIntoView({ block: "nearest" });
}

function tick(rows, completed) {
  for (const row of rows) {
    row.classList.toggle("completed", completed);
    $(".toggle", row).setAttribute("aria-checked", completed);
    const verb = completed ? "reopen" : "complete";
    $(".toggle", row).setAttribute("formaction", `/todos/${row.dataset.id}/${verb}`);
  }
}

const hide = (rows) => keepingFocus(() => rows.forEach((row) => (row.hidden = true)));

// ---- renaming

// As it was written, not as links show it.
const written = (row) => $("label span", row)?.title ?? $("label", row).textContent;

function openRow(row, text = written(row), focus = true) {
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
  return edit;
}

function closeRow(row) {
  const inside = $(".editor", row).contains(document.activeElement);
  row.classList.remove("editing"); // first: leaving the field saves only a row that is open
  $(".editor", row).remove();
  forget();
  if (inside) $(".rename", row).focus();
}

const saveRow = (row) => $(".editor", row).requestSubmit();

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

const before = (row, rows = $$(ROW)) => rows[rows.indexOf(row) - 1];
function moved(row) {
  const body = new URLSearchParams(new FormData(act));
  body.set("after", before(row)?.dataset.id ?? "");
  enqueue({ address: `/todos/${row.dataset.id}/move`, body, form: act, row });
}

function moveBy(row, where) {
  const rows = $$(ROW);
  const at = rows.indexOf(row);
  const to = { top: 0, up: at - 1, down: at + 1 }[where];
  if (to === at || !rows[to]) return;
  keepingFocus(() => rows[to][to < at ? "before" : "after"](row));
  row.scrollIntoView({ block: "nearest" });
  moved(row);
}

document.addEventListener("pointerdown", (event) => {
  const row = event.target.closest(".grip")?.closest(ROW);
  if (!row || event.button) return;
  event.preventDefault();
  const home = $$(".todo-list > li");
  const first = before(row);
  const listening = new AbortController();
  const middle = (other) => other.getBoundingClientRect().y + other.offsetHeight / 2;
  row.classList.add("dragged");

  // The others move around the row: one that leaves the page lets go of the finger.
  function sort({ clientY: y }) {
    let other;
    while ((other = row.previousElementSibling) && y < middle(other)) row.after(other);
    while ((other = row.nextElementSibling) && y > middle(other)) row.before(other);
    row.scrollIntoView({ block: "nearest" }); // with its scroll-margin
  }
  function end(keep) {
    listening.abort();
    row.classList.remove("dragged");
    if (!keep) row.parentNode.append(...home);
    before(row) === first ? refresh() : moved(row);
  }
  const on = (name, listener) =>
    document.addEventListener(name, listener, { signal: listening.signal });
  on("pointermove", sort);
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
  z: undo,
  "?": () => $("#keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // these keys choose letters
  const { key, target } = event;
  const row = target.closest(ROW);
  const typing = target.matches("input, textarea, select");
  const arrow = { ArrowUp: "up", ArrowDown: "down" }[key];
  const sends = key === "Enter" && !event.shiftKey && target.matches(TALK);
  if (sends && matchMedia("(hover: hover)").matches) target.form.requestSubmit();
  else if (key === "Escape" && row?.matches(".editing")) closeRow(row);
  else if (key === "F2" && row && act && !typing) openRow(row);
  else if (arrow && event.altKey && row && act && !typing) moveBy(row, arrow);
  else if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  else if ("keys" in document.body.dataset && single[key] && !$("dialog[open]")) single[key](row);
  else return;
  event.preventDefault();
});

// What was done last has a name when it is answered.
function undo() {
  if (!waiting.length) $(".undo")?.click();
  else if (!waiting.some(undoing)) next = undo;
}

function step(row, by) {
  const rows = $$(ROW);
  const next = row ? rows[rows.indexOf(row) + by] : rows.at(by > 0 ? 0 : -1);
  $(".toggle, label", next ?? row ?? document)?.focus();
}

// ---- small comforts

// Following a link waits, too.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !waiting.length || stuck || event.defaultPrevented) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  next = () => location.assign(link.href);
});
document.addEventListener("input", () => (next = null));

// Several lines: offer to add them all.
$(TODO)?.addEventListener("paste", (event) => {
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

const style = { dateStyle: "medium", timeStyle: "short" };
const moments = new Intl.DateTimeFormat(document.documentElement.lang, style);
function tellTimes() {
  for (const time of $$("time")) time.textContent = moments.format(new Date(time.dateTime));
}
tellTimes();

if (field) {
  const [person, todo, talk] = JSON.parse(sessionStorage.getItem("typed") ?? "[]");
  sessionStorage.removeItem("typed");
  if (person === reader() && todo) keep(todo, null, (field.value = ""));
  if (person === reader() && talk) keep(talk, $(TALK)?.form);
  if (list && location.search) history.replaceState(null, "", location.pathname);
}

if (list) {
  connect();
  const again = () => {
    failures = 0;
    wake?.();
    if (document.body.dataset.live !== "on") connect();
    sending || refresh();
  };
  if ($("#talking b") && seeing()) refresh(); // which says that they were seen
  document.addEventListener("visibilitychange", () => document.hidden || again());
  addEventListener("online", again);
  addEventListener("pageshow", ({ persisted }) => persisted && connect());
  setInterval(() => Date.now() - heard > 45_000 && lost(), 5_000);
}
