// What the page does by forms and links, done at once and without leaving it.
//
// Every action is still a form of the page: it is sent in the background, and the answer is the same
// page without its frame, drawn by the server. That is always right; what is shown before it comes
// only bridges the wait. Without this file everything works, a page at a time.

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const ROW = ".todo-list > li";
const act = $("#act[data-live]"); // the form that all single buttons belong to; readers have none
const field = $(".new-todo");
const language = document.documentElement.lang;

// ---------------------------------------------------------------- sending, in the order of typing

const waiting = []; // actions that are not acknowledged yet: {address, body, form, row}
let sending = false;
let stuck = false; // there was no answer, and the first of them is tried again

document.addEventListener("submit", (event) => {
  const { target: form, submitter: button } = event;
  if (!form.matches("[data-live]")) return;
  event.preventDefault();
  const body = new URLSearchParams(new FormData(form, button));
  const address = button?.getAttribute("formaction") ?? form.getAttribute("action");
  const row = (button ?? form).closest(ROW);
  if (button?.closest(".menu")) {
    saveRow(row);
    moveBy(row, button.className);
  } else if (foresee(form, button, row, body)) {
    enqueue({ address, body, form, row });
  }
});

function enqueue(action) {
  // Whatever happens to the answer, the server does a thing with the same `op` once.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  action.body.set("op", Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  $$(".refused").forEach((alert) => alert.remove());
  waiting.push(action);
  if (!sending) send();
}

async function send() {
  document.body.toggleAttribute("data-sending", (sending = true));
  for (let pause = 250; waiting.length; ) {
    const { address, body } = waiting[0];
    let answer, html;
    try {
      answer = await fetch(address, {
        method: "POST",
        body,
        headers: { "X-Fragment": "rows" },
        signal: AbortSignal.timeout(10_000),
      });
      if ([502, 503, 504].includes(answer.status)) throw answer;
      html = await answer.text();
    } catch {
      stuck = true;
      say(act.dataset.offline);
      await pausing(pause * (0.5 + Math.random()));
      pause = Math.min(2 * pause, 15_000);
      continue;
    }
    pause = 250;
    stuck = false;
    const action = waiting.shift();
    if (!answer.ok) await refuse(action, parse(html));
    else if (!waiting.length) apply(answer, html); // else it is older than what is shown
  }
  document.body.toggleAttribute("data-sending", (sending = false));
  document.dispatchEvent(new Event("idle"));
}

function pausing(time) {
  return new Promise((go) => {
    setTimeout(go, time);
    addEventListener("online", go, { once: true });
  });
}

async function refuse({ body, form, row }, page) {
  const text = body.get("title") ?? body.get("lines") ?? "";
  const login = $("#login", page);
  if (login) {
    sessionStorage.setItem("typed", text);
    location.assign(login.getAttribute("href"));
    return waiting.splice(0);
  }
  await refresh(true);
  const alert = document.createElement("p");
  alert.className = "problem refused";
  alert.setAttribute("role", "alert");
  alert.textContent = $("[role=alert]", page)?.textContent || act.dataset.failed;
  let place = form.isConnected && !form.hidden && form !== act ? form : null;
  if (row?.isConnected) {
    place = row;
    if (form.matches(".editor")) openRow(row, text);
  } else if (text && $("textarea", form)) {
    form.closest("details").open = true;
    $("textarea", form).value = text;
  } else if (text && !field.value) {
    field.value = text;
  } else if (text) {
    alert.textContent += ` ${text}`;
  }
  (place ?? $(".new")).prepend(alert);
}

// Following a link waits for what was done before, so that the next page shows it.
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || !waiting.length || stuck || event.defaultPrevented) return;
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  document.addEventListener("idle", () => location.assign(link.href), { once: true });
});
// What is still waiting when the page is left all the same is sent by the browser on its own.
addEventListener("beforeunload", (event) => stuck && event.preventDefault());
addEventListener("pagehide", () => {
  const options = { method: "POST", keepalive: true, redirect: "manual" };
  for (const { address, body } of waiting) fetch(address, { ...options, body }).catch(() => {});
});

// ------------------------------------------------------------------- showing what the server drew

const policy = globalThis.trustedTypes?.createPolicy("server", { createHTML: (html) => html });
let etag = "";

function parse(html) {
  const template = document.createElement("template");
  template.innerHTML = policy ? policy.createHTML(html) : html;
  return template.content;
}

async function refresh(certainly = false) {
  const headers = { "X-Fragment": "rows" };
  if (etag && !certainly) headers["If-None-Match"] = etag;
  try {
    const answer = await fetch(location.pathname, { headers, signal: AbortSignal.timeout(10_000) });
    if (answer.ok && !waiting.length) apply(answer, await answer.text());
  } catch {
    // There is no connection: what is shown stays, and the next try will tell.
  }
}

function apply(answer, html) {
  const fresh = parse(html);
  if (!$(".rows", fresh)) return location.reload(); // this is another page by now, such as log-in
  etag = answer.headers.get("ETag") ?? "";
  const said = $(".status").textContent;
  keepingFocus(() => {
    morph($(".rows"), $(".rows", fresh));
    morph($(".status"), $(".status", fresh));
  });
  // It hides itself after a while: what is new is seen for as long.
  if ($(".status").textContent !== said) $(".said")?.getAnimations().forEach((a) => a.play());
  tell(Number($(".todo-count strong").textContent));
}

// Make the element `old` what `fresh` is, touching only what differs: focus, selection and scroll
// stay. Children with an id are found by it, others by their order, name and first class.
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

// Focus never falls to the body: when what had it goes, the same control of a neighbour gets it.
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
}

// The number of open todos, wherever it is shown.
function tell(open) {
  const count = $(".todo-count");
  const { one, other } = count.dataset;
  count.firstElementChild.textContent = open;
  count.lastChild.data = ` ${new Intl.PluralRules(language).select(open) === "one" ? one : other}`;
  const all = $(".toggle-all");
  all?.setAttribute("aria-checked", open === 0);
  all?.setAttribute("value", open > 0);
  const badge = $(".side [aria-current] small");
  if (badge) badge.textContent = open || "";
  document.title = (open ? `(${open}) ` : "") + document.title.replace(/^\(\d+\) /, "");
}

// -------------------------------------------------------- what an action will do, shown beforehand

// Returns whether there is anything to send.
function foresee(form, button, row, body) {
  const title = body.get("title")?.trim();
  if (form.matches(".new")) {
    field.value = "";
    if (title) addRow(title);
    return Boolean(title);
  }
  if (form.matches(".editor")) {
    const before = $("label", row).textContent;
    closeRow(row);
    if (!title) hide([row]);
    else $("label", row).textContent = title;
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
  }
  return true;
}

// A row like the others, until the server's own comes.
function addRow(title) {
  const row = $(ROW)?.cloneNode(true);
  if (!row || $(".filters .selected").href.endsWith("/completed")) return;
  row.removeAttribute("id");
  row.className = "";
  row.inert = true;
  $(".editor", row)?.remove();
  $(".noted", row)?.remove();
  $(".toggle", row).setAttribute("aria-checked", false);
  $("label", row).textContent = title;
  $(".todo-list").append(row);
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
  tell(Number($(".todo-count strong").textContent) + changing.length * (completed ? -1 : 1));
}

function hide(rows) {
  keepingFocus(() => rows.forEach((row) => (row.hidden = true)));
}

// --------------------------------------------------------------------------------------- renaming

function openRow(row, text = $("label", row).textContent) {
  const other = $(".editing");
  if (other && other !== row) saveRow(other);
  if (!row.matches(".editing")) row.prepend($("#open").content.cloneNode(true));
  row.classList.add("editing");
  for (const part of $$(".editor, .editor [formaction], .editor .more", row)) {
    const name = ["action", "formaction", "href"].find((name) => part.hasAttribute(name));
    part.setAttribute(name, part.getAttribute(name).replace("/0", `/${row.dataset.id}`));
  }
  const edit = $(".edit", row);
  edit.setAttribute("aria-describedby", `t-${row.dataset.id}`);
  edit.value = text;
  edit.focus();
  edit.setSelectionRange(text.length, text.length);
}

function closeRow(row) {
  const inside = $(".editor", row).contains(document.activeElement);
  row.classList.remove("editing"); // first: leaving the field saves only a row that is open
  $(".editor", row).remove();
  if (inside) $(".rename", row).focus();
}

function saveRow(row) {
  const [form, title] = [$(".editor", row), $("label", row).textContent];
  if ($(".edit", row).value.trim() === title) closeRow(row);
  else form.requestSubmit();
}

document.addEventListener("dblclick", (event) => {
  const label = event.target.closest(".view label");
  if (label && act) openRow(label.closest(ROW));
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

// ------------------------------------------------------------------------------------------ order

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
  moveAfter(row, row.previousElementSibling);
}

document.addEventListener("pointerdown", (event) => {
  const row = event.target.closest(".grip")?.closest(ROW);
  if (!row || event.button) return;
  event.preventDefault();
  const before = row.previousElementSibling;
  const home = $$(ROW);
  const listening = new AbortController();
  const middle = (other) => other.getBoundingClientRect().y + other.offsetHeight / 2;
  row.classList.add("dragged");

  // The others move around the row: one that left the page for a moment would let go of the finger.
  function drag({ clientY: y }) {
    if (y < 64 || y > innerHeight - 64) scrollBy(0, y < 64 ? -8 : 8);
    let other;
    while ((other = row.previousElementSibling) && y < middle(other)) row.after(other);
    while ((other = row.nextElementSibling) && y > middle(other)) row.before(other);
  }
  function end(keep) {
    listening.abort();
    row.classList.remove("dragged");
    if (!keep) row.parentNode.append(...home);
    else if (row.previousElementSibling !== before) moveAfter(row, row.previousElementSibling);
  }
  const { signal } = listening;
  document.addEventListener("pointermove", drag, { signal });
  document.addEventListener("pointerup", () => end(true), { signal });
  document.addEventListener("pointercancel", () => end(false), { signal });
  document.addEventListener("keydown", ({ key }) => key === "Escape" && end(false), { signal });
});

// ------------------------------------------------------------------------------------------- keys

const single = {
  n: () => field?.focus(),
  "/": () => field?.focus(),
  j: (row) => step(row, 1),
  k: (row) => step(row, -1),
  e: (row) => act && row && openRow(row),
  d: (row) => row && $(".toggle", row)?.click(),
  z: () => $(".undo")?.click(),
  "?": () => $("#keys")?.showModal(),
};

document.addEventListener("keydown", (event) => {
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

function step(row, by) {
  const rows = $$(ROW);
  const next = row ? rows[rows.indexOf(row) + by] : rows.at(by > 0 ? 0 : -1);
  $(".toggle, label", next ?? row ?? document)?.focus();
}

// --------------------------------------------------------------------------------- small comforts

// Several lines in the field for one todo: offer to add them all.
field?.addEventListener("paste", (event) => {
  const text = event.clipboardData.getData("text");
  if (text.trim().split(/[\r\n]+/).length < 2) return;
  event.preventDefault();
  const several = $(".several");
  several.open = true;
  $("textarea", several).value = (field.value + text).trim();
  field.value = "";
  $("button", several).focus();
});

$("#help")?.addEventListener("click", () => $("#keys").showModal());

for (const time of $$("time")) {
  const format = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" });
  time.textContent = format.format(new Date(time.dateTime));
}

if (field) {
  // What was typed before logging in anew, or a row that is open only in this window, this once.
  field.value ||= sessionStorage.getItem("typed") ?? "";
  sessionStorage.removeItem("typed");
  if (location.search) history.replaceState(null, "", location.pathname);
  document.addEventListener("visibilitychange", () => document.hidden || sending || refresh());
}
