// ws, as its readme goes under "Server broadcast".

const { createServer } = require("node:http");
const { createRequire } = require("node:module");
const load = createRequire(process.env.NODE_MODULES + "/");
const { WebSocket, WebSocketServer } = load("ws");

let version = 0;

function text(type) {
  return Buffer.from(JSON.stringify({ type, list: 1, version }));
}

const server = createServer((request, response) => {
  if (request.method === "POST") {
    version += 1;
    const data = text("changed");
    wss.clients.forEach((client) => {
      if (client.readyState === WebSocket.OPEN) client.send(data, { binary: false });
    });
  }
  response.writeHead(204).end();
});
const wss = new WebSocketServer({ server });
wss.on("connection", (ws) => {
  ws.on("error", console.error);
  ws.on("message", () => ws.send(text("watching"), { binary: false }));
});
server.listen(Number(process.env.PORT), "127.0.0.1");
