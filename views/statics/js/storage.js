// What waits to be sent and what is half typed, kept by the browser until the server has it: a tab
// may be closed, a link followed, the browser killed. Each account has its own. In IndexedDB, as
// localStorage is written to the disk only after seconds.

export const { user } = document.body.dataset; // an id; none when nobody is logged in
const MONTH = 30 * 86_400_000; // ms
export const TEXTS = ".new-todo, .edit, .say textarea, #lines, .todo :is(#title, #notes)";
let opening = null;

function open() {
  opening ??= new Promise((done, failed) => {
    const asked = indexedDB.open("afazeres", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore("kept", { keyPath: "key" });
    asked.onerror = () => failed(asked.error);
    asked.onsuccess = () => {
      asked.result.onclose = () => (opening = null); // a log-out has cleared it
      done(asked.result);
    };
  });
  return opening;
}

// Gives what was found or, when it was written, its key; nothing if that isn't possible.
async function run(mode, work, durability = "relaxed") {
  if (!user) return;
  try {
    const transaction = (await open()).transaction("kept", mode, { durability });
    const asked = work(transaction.objectStore("kept"));
    await new Promise((done, failed) => {
      transaction.oncomplete = done;
      transaction.onabort = () => failed(transaction.error);
    });
    return asked.result;
  } catch {
    opening = null; // it is full, or forbidden
  }
}

// What is still being written, or removed (no values), by its key: leaving the page would end that.
const unfinished = new Map(); // [key, values]
export const dropUnfinished = () => unfinished.clear();

// A key is ["action", ms, op] or ["text", address, name], in the order in which it is read.
export async function keep(key, values, durability) {
  const name = key.join(" ");
  const entry = [key, values];
  unfinished.set(name, entry);
  const full = [user, ...key];
  const work = (store) => (values ? store.put({ ...values, key: full, at: Date.now() }) : store.delete(full));
  const done = (await run("readwrite", work, durability)) || !values;
  if (done && unfinished.get(name) === entry) unfinished.delete(name);
  return done;
}

export const forget = (key) => keep(key);

// So it goes to localStorage, at once; the next page takes it from there.
const LATE = `late ${user} `;
addEventListener("pagehide", () => {
  try {
    for (const [name, entry] of user ? unfinished : []) localStorage.setItem(LATE + name, JSON.stringify(entry));
  } catch {
    // It is full, or forbidden.
  }
});

async function takeLate() {
  try {
    for (const name of Object.keys(localStorage).filter((each) => each.startsWith(LATE))) {
      const [key, values] = JSON.parse(localStorage[name]);
      if (await keep(key, values, "strict")) localStorage.removeItem(name);
    }
  } catch {
    // It is forbidden.
  }
}

export async function read(kind) {
  await takeLate();
  const range = () => IDBKeyRange.bound([user, kind], [user, kind, []]);
  const found = (await run("readonly", (store) => store.getAll(range()))) ?? [];
  const all = found.map((each) => ({ ...each, key: each.key.slice(1) }));
  for (const { key, at } of all) if (at < Date.now() - MONTH) forget(key);
  return all.filter(({ at }) => at >= Date.now() - MONTH);
}

// The address of a form and the name of its field say where a text belongs.
export const placeOf = ({ form, name }) => ["text", form.getAttribute("action"), name];

export function keepTyped(field) {
  const { value: text, defaultValue: base } = field;
  return text === base ? forget(placeOf(field)) : keep(placeOf(field), { text, base });
}

document.addEventListener("input", ({ target }) => target.matches(TEXTS) && keepTyped(target));
