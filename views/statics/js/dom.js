// Finding, making and patching elements, what the page says of itself, and what was refused.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
export const make = (name, values) => Object.assign(document.createElement(name), values);

export const ROW = ".todo-list > li:not([hidden], [inert])"; // not just deleted, not just added
export const [TODO, MESSAGE] = [".new-todo", ".say textarea"];
export const rowAt = (address) => $(`#todo-${address.match(/^\/todos\/(\d+)/)?.[1]}`);
export const act = $("#act[data-live]"); // the form of all single buttons; readers have none
export const field = $(TODO) ?? $(MESSAGE);

export const list = Number($("section[data-list]")?.dataset.list); // NaN on other pages
export const several = Boolean($("[data-turn] [aria-current]")); // Today
export const pageAddress = () => (act ? $("[name=back]", act).value : location.pathname);
export const shownVersion = () => Number($("[data-version]")?.dataset.version) || 0;
export const reader = document.body.dataset.name;
export const words = $("#words")?.dataset; // what the script may have to say
export const messagesVisible = () => !document.hidden && $("#talk")?.checkVisibility();

// The only way in which HTML becomes elements: Trusted Types refuse every other.
const policy = globalThis.trustedTypes?.createPolicy("server", { createHTML: (html) => html });

export function parse(html) {
  return make("template", { innerHTML: policy ? policy.createHTML(html) : html }).content;
}

// Makes `old` what `fresh` is, touching only what differs: focus, selection and scroll stay.
export function patch(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
  } else if (old.matches(".editing") && !fresh.matches(".editing")) {
    old.classList.toggle("completed", fresh.matches(".completed"));
    old.dataset.title = fresh.dataset.title;
    patch($(".view", old), $(".view", fresh));
  } else {
    patchAttributes(old, fresh);
    patchChildren(old, fresh);
  }
}

function patchAttributes(old, fresh) {
  const gone = [...old.attributes].filter(({ name }) => !fresh.hasAttribute(name));
  for (const { name } of gone) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function patchChildren(old, fresh) {
  const had = Map.groupBy(children(old), key);
  const pairs = children(fresh).map((child) => [had.get(key(child))?.shift() ?? child, child]);
  for (const node of [...had.values()].flat()) node.remove();
  const now = children(old);
  pairs.forEach(([node, child], at) => {
    if (node !== now[at]) {
      const put = old.moveBefore && node.isConnected ? "moveBefore" : "insertBefore";
      old[put](node, now[at] ?? null);
      if (node !== child) now.splice(now.indexOf(node), 1);
      now.splice(at, 0, node);
    }
    if (node !== child) patch(node, child);
  });
}

// Children with an id are found by it, others by their name, first class and order.
const key = (node) => node.id || `${node.nodeName} ${node.classList?.[0]}`;
const children = ({ childNodes }) =>
  [...childNodes].filter(({ data }) => !/^\s*\n\s*$/.test(data)); // a space between words stays

let quiet = 0; // ms until which keys do nothing to rows
export const isQuiet = () => Date.now() < quiet;

// Does `change`. Focus never falls to the body: the same control of a neighbour gets it. What is
// typed in the second after others took a row away was meant for that row, not for the neighbour.
export function keepFocus(change) {
  const active = document.activeElement;
  const row = active.closest(ROW);
  const rows = $$(ROW);
  const at = rows.indexOf(row);
  change();
  if (active === document.body || (active.isConnected && active.checkVisibility())) {
    if (document.activeElement !== active) active.focus();
    return;
  }
  if (row && !row.isConnected && !row.acted) quiet = Date.now() + 1_000;
  for (const near of row ? [...rows.slice(at), ...rows.slice(0, at).reverse()] : []) {
    if (!near.isConnected) continue;
    const control = $(`.view .${active.classList[0]}`, near) ?? $(".rename", near);
    if (control?.checkVisibility()) return control.focus();
  }
  (active.matches(".take-back") ? $(MESSAGE) : field)?.focus();
}

export function showError(reason, wrong, row) {
  const alert = make("p", { className: "problem refused", id: "refused", role: "alert" });
  alert.textContent = reason;
  wrong?.setAttribute("aria-invalid", true);
  wrong?.setAttribute("aria-describedby", "refused");
  (row || (wrong ?? field)?.form || $("main")).prepend(alert);
}

export function clearError() {
  $$("#refused").forEach((alert) => alert.remove());
  $$("[aria-describedby=refused]").forEach((wrong) => wrong.removeAttribute("aria-invalid"));
}
