"""Starlette: a set of sockets and a loop over them, as FastAPI's tutorial goes."""

import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

sockets: set[WebSocket] = set()
version = 0


def text(kind: str) -> str:
    return json.dumps({"type": kind, "list": 1, "version": version}, separators=(",", ":"))


async def live(socket: WebSocket) -> None:
    await socket.accept()
    sockets.add(socket)
    try:
        async for _ in socket.iter_text():
            await socket.send_text(text("watching"))
    finally:
        sockets.discard(socket)


async def change(request: Request) -> Response:
    global version
    version += 1
    changed = text("changed")
    for socket in [*sockets]:
        await socket.send_text(changed)
    return Response(status_code=204)


app = Starlette(routes=[WebSocketRoute("/live", live), Route("/lists/1", change, methods=["POST"])])
