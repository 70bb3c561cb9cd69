"""A small node that is a gateway and a free orchestrator: `python -m _client.node`.

It answers a job with the body of the request, in the headers of go-livepeer's gateway, and on the
path `hold/N` only when N are waiting. `GET /seen` gives the headers of the last job.
"""

from __future__ import annotations

import asyncio
import json

from _face.roles import say

TOKEN = {
    "sender_address": {},
    "balance": 0,
    "price": {"pricePerUnit": 0, "pixelsPerUnit": 1},
    "service_addr": "",
    "available_capacity": 1_000_000,
}
HOLD = b"/hold/"


class Node(asyncio.Protocol):
    """One connection."""

    seen: bytes = b""
    url: str = ""
    held: list[tuple[Node, bytes, bool]] = []  # noqa: RUF012 - of all connections

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end]
            whole = end + 4 + _length(head)
            if len(self._data) < whole:
                return
            body, self._data = self._data[end + 4 : whole], self._data[whole:]
            self._take(head, body)

    def _take(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1]
        last = b"connection: close" in head.lower()
        if path == b"/process/token":
            self._answer(json.dumps(TOKEN).encode(), last)
        elif path == b"/seen":
            self._answer(json.dumps(_headers(Node.seen)).encode(), last)
        elif HOLD in path:
            Node.held.append((self, body, last))
            if len(Node.held) >= int(path.rpartition(b"/")[2]):
                held, Node.held = Node.held, []
                for connection, held_body, held_last in held:
                    connection._answer(held_body, held_last)
        else:
            Node.seen = head
            self._answer(body, last)

    def _answer(self, body: bytes, last: bool) -> None:
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
            f"Livepeer-Balance: 0\r\nX-Metadata: \r\nX-Orchestrator-Url: {Node.url}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
        if last:
            self._transport.close()


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"content-length:")
    return int(lower[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode().split("\r\n")[1:]
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


async def main() -> None:
    # All of a crowd connect at once.
    server = await asyncio.get_running_loop().create_server(Node, "127.0.0.1", 0, backlog=1024)
    Node.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    say({"url": Node.url})
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
