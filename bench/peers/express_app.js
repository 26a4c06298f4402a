// Express with better-sqlite3, as their readmes go.

const { createHash, randomBytes } = require("node:crypto");
const { createRequire } = require("node:module");
const load = createRequire(process.env.NODE_MODULES + "/");
const express = load("express");
const Database = load("better-sqlite3");
const { verify } = load("@node-rs/argon2");

const db = new Database(process.env.DATABASE);
db.pragma("journal_mode = wal");
db.pragma("synchronous = full");
const findUser = db.prepare("SELECT user AS id FROM token WHERE hash = ?");
const findName = db.prepare("SELECT id, password FROM user WHERE name = ?");
const addToken = db.prepare("INSERT INTO token VALUES (NULL, ?, ?)");
const findTodos = db.prepare('SELECT * FROM todo WHERE list = ? ORDER BY "order"');
const findTodo = db.prepare("SELECT * FROM todo WHERE id = ?");
const addTodo = db.prepare("INSERT INTO todo VALUES (NULL, 2, ?, '', 0, 1, ?, ?, 1)");

const app = express();
app.disable("etag");
app.use(express.json());
function digest(token) {
  return createHash("sha256").update(token).digest("hex");
}

app.post("/api/tokens", async (request, response) => {
  const user = findName.get(request.body.username ?? "");
  if (!user || !(await verify(user.password, request.body.password ?? ""))) {
    return response.sendStatus(403);
  }
  const token = randomBytes(32).toString("base64url");
  addToken.run(user.id, digest(token));
  response.status(201).json({ token });
});
app.use((request, response, next) => {
  const token = (request.get("Authorization") ?? "").replace("Bearer ", "");
  request.user = findUser.get(digest(token));
  if (request.user) next();
  else response.sendStatus(401);
});

function shown(request, todo) {
  const url = `${request.protocol}://${request.get("Host")}/api/todos/${todo.id}`;
  return { ...todo, completed: Boolean(todo.completed), url };
}

app.get("/api/todos", (request, response) => {
  response.json(findTodos.all(request.user.id).map((todo) => shown(request, todo)));
});
app.post("/api/todos", (request, response) => {
  const title = (request.body.title ?? "").trim();
  if (!title || title.length > 1000) return response.sendStatus(422);
  const at = new Date().toISOString();
  const { lastInsertRowid } = addTodo.run(title, at, at);
  response.status(201).json(shown(request, findTodo.get(lastInsertRowid)));
});
app.listen(Number(process.env.PORT), "127.0.0.1");
