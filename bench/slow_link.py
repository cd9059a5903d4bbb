"""A link with a round trip and little room, before a server on loopback: `python -m bench.slow_link HOST PORT`.

Prints the port it listens on. Each way takes half the round trip. A connection holds at most WINDOW bytes on their way
and unacknowledged, as TCP does without window scaling, and all connections together share BYTES_A_SECOND.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

ROUND_TRIP = 0.020
WINDOW = 65_535
BYTES_A_SECOND = 50_000_000


class Line:
    """The wire that all connections share: what it is given goes on when what came before it is through."""

    def __init__(self) -> None:
        self._free_at = 0.0

    def through(self, size: int, now: float) -> float:
        """When the last of `size` bytes has left."""
        self._free_at = max(self._free_at, now) + size / BYTES_A_SECOND
        return self._free_at


class Way:
    """One way of one connection."""

    def __init__(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, line: Line) -> None:
        self._source, self._sink, self._line = source, sink, line
        self._room, self._window = asyncio.Event(), WINDOW
        self._arriving: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def pass_on(self) -> None:
        """Until the sender ends or either side is gone."""
        loop, delivery = asyncio.get_running_loop(), asyncio.create_task(self._deliver())
        try:
            while True:
                while self._window <= 0:
                    self._room.clear()
                    await self._room.wait()
                data = await self._source.read(self._window)
                self._window -= len(data)
                arrives = self._line.through(len(data), loop.time()) + ROUND_TRIP / 2
                self._arriving.put_nowait((arrives, data))
                if not data:
                    break
            await delivery
        except OSError:
            delivery.cancel()

    async def _deliver(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            at, data = await self._arriving.get()
            await asyncio.sleep(max(0.0, at - loop.time()))
            if not data:
                with contextlib.suppress(OSError, RuntimeError):
                    self._sink.write_eof()
                return
            self._sink.write(data)
            await self._sink.drain()
            loop.call_later(ROUND_TRIP / 2, self._acknowledge, len(data))

    def _acknowledge(self, size: int) -> None:
        self._window += size
        self._room.set()


async def serve(host: str, port: int) -> None:
    """Pass connections on until the process is ended."""
    there, back = Line(), Line()

    async def accept(client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection(host, port)
        await asyncio.gather(Way(client_in, server_out, there).pass_on(), Way(server_in, client_out, back).pass_on())
        for end in (client_out, server_out):
            end.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
