"""What is written in one turn of the loop goes out with one write."""

from __future__ import annotations

import asyncio

from livepeer.runner._server.writing import Gathering


class Below(asyncio.Transport):
    """Remembers what it was handed."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def get_write_buffer_size(self) -> int:
        return 0


async def test_parts_of_one_turn_go_together():
    below = Below()
    transport = Gathering(below)
    for part in (b"head", b"", b"body", b"end"):
        transport.write(part)
    assert below.writes == []
    assert transport.get_write_buffer_size() == 11
    await asyncio.sleep(0)
    assert below.writes == [b"headbodyend"]
    transport.write(b"next")
    await asyncio.sleep(0)
    assert below.writes == [b"headbodyend", b"next"]


async def test_much_goes_at_once():
    below = Below()
    transport = Gathering(below)
    for _ in range(10):
        transport.write(b"x" * 20_000)
    assert [len(write) for write in below.writes] == [80_000, 80_000]
    await asyncio.sleep(0)
    assert sum(map(len, below.writes)) == 200_000


async def test_nothing_is_lost_or_late_at_the_end():
    below = Below()
    transport = Gathering(below)
    transport.write(b"last")
    transport.close()
    assert (below.writes, below.closed, transport.is_closing()) == ([b"last"], True, True)
    await asyncio.sleep(0)
    assert below.writes == [b"last"]


async def test_order_over_a_real_socket():
    class Talking(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            gathering = Gathering(transport)
            for i in range(5000):
                gathering.write(b"%06d" % i)
            gathering.close()

    server = await asyncio.get_running_loop().create_server(Talking, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert found == b"".join(b"%06d" % i for i in range(5000))
