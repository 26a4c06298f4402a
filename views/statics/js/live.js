// News of what others do: by WebSocket; where that doesn't get through, by a stream of events; or
// else by single answers. News only say that something changed; then the page is asked for again.

import { $, $$, list, messagesVisible, reader, several, shownVersion } from "./dom.js";
import { catchUp, expectVersion, markStale, refresh, wanted } from "./refreshing.js";
import { LOGIN, leave, retry, sending } from "./sending.js";

const SILENCE = 42_000; // ms after which a line is dead: it is said, 2 s later, within 45 s
let connection;
let number = 0; // of the connection: an older one is not listened to
let failures = 0;
let began, heard, retrying; // milliseconds; a timer
let watched; // the lists in the side bar

const isLive = () => document.body.dataset.live === "on";

function webSocket(onLost) {
  const socket = new WebSocket(`ws${location.origin.slice(4)}/live`);
  const watch = (what) => socket.send(JSON.stringify({ type: "watch", ...what }));
  socket.onopen = () => {
    watched = "";
    if (!several) watch({ list, version: shownVersion() }); // which is open
    socket.watchMine();
  };
  socket.watchMine = () => {
    const mine = $$(".side [data-list]").map(({ dataset }) => dataset.list).join();
    if (mine !== watched) watch({ list: "mine" });
    watched = mine;
  };
  socket.onclose = ({ code }) => onLost(code);
  return socket;
}

document.addEventListener("shown", () => connection?.readyState === 1 && connection.watchMine?.());

function eventStream(onLost) {
  const stream = new EventSource(`/live/events?list=${list}&version=${shownVersion()}`);
  stream.onerror = onLost;
  return stream;
}

function longPoll(onLost, onNews) {
  const stop = new AbortController();
  const known = isLive() ? wanted : 0; // else it answers at once
  fetch(`/live/poll?list=${list}&version=${known}`, { signal: stop.signal })
    .then((answer) => (answer.ok ? answer.text() : Promise.reject(4000 + answer.status)))
    .then((text) => [...JSON.parse(text || "[]"), {}].forEach(onNews))
    .then(connect, onLost);
  return { close: () => stop.abort() };
}

const transports = [webSocket, eventStream, longPoll]; // three tries each

function connect() {
  ignoreNews();
  const mine = number;
  const ifCurrent = (handler) => (value) => mine === number && handler(value);
  clearTimeout(retrying);
  connection?.close();
  began = heard = Date.now();
  const transport = transports[Math.floor(failures / 3) % 3];
  connection = transport(ifCurrent(lost), ifCurrent(receive));
  connection.onmessage = ifCurrent(({ data }) => receive(JSON.parse(data)));
}

// Until the next connection, say because the page is being left.
export function ignoreNews() {
  number += 1;
}

function lost(code) {
  ignoreNews();
  if (code === 4401) return leave(LOGIN); // the session has ended
  failures = Date.now() - began > 10_000 ? 1 : failures + 1;
  document.body.dataset.live = "off";
  const most = failures < 9 ? 1_000 : 7_000; // each transport was tried
  retrying = setTimeout(connect, Math.random() * Math.min(250 * 2 ** failures, most));
}

function receive({ type, version, people, list: other = list }) {
  heard = Date.now();
  if (document.body.dataset.live === "off") markStale(); // who knows what was missed
  document.body.dataset.live = "on";
  retry();
  if (type === "titles" || (several && (type === "watching" || !connection.watchMine))) markStale();
  if (other !== list) ["changed", "gone"].includes(type) && markStale();
  else if (type === "gone") refresh(); // which says so
  else if (people) others(people) !== $("#talk").dataset.here && markStale();
  else expectVersion(version ?? wanted);
  catchUp();
}

const others = (people) => people.filter((person) => person !== reader).join();

function connectAgain() {
  failures = 0;
  retry();
  if (!isLive()) connect();
  if (!sending) refresh();
}

function start() {
  connect();
  if ($("#talking b") && messagesVisible()) refresh(); // which says that they were seen
  document.addEventListener("visibilitychange", () => document.hidden || connectAgain());
  addEventListener("online", connectAgain);
  addEventListener("pageshow", ({ persisted }) => persisted && connect());
  addEventListener("pagehide", () => connection.close());
  setInterval(() => Date.now() - heard > SILENCE && lost(), 1_000);
}

if (list) start();
