"""A TCP proxy with faults: latency, cut connections, half-open ones, answers lost. Needs no root and no image.

The broker must advertise the proxy's port: ``settings={"advertised.listeners": f"PLAINTEXT://127.0.0.1:{proxy.port}"}``.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType

from streams.local import ports

CHUNK = 65_536
RESET = struct.pack("ii", 1, 0)  # linger on, zero seconds: close sends RST

Pair = tuple[asyncio.StreamWriter, asyncio.StreamWriter]


class TcpProxy:
    """Forwards ``port`` to ``target``; its methods may be called from any thread."""

    def __init__(self, target: int, port: int = 0) -> None:
        self.target, self.port = target, port or ports.free()
        self.latency_s = 0.0  # each way
        self._silent = {"up": False, "down": False}
        self._refuses = False
        self._pairs: set[Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    def __enter__(self) -> "TcpProxy":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def cut(self) -> None:
        """Resets every connection and refuses new ones."""
        self._refuses = True
        self._do(self._reset_all)

    def half_open(self, *, up: bool = True, down: bool = True) -> None:
        """Swallows what clients (``up``) or the broker (``down``) send, while connections stay open."""
        self._silent = {"up": up, "down": down}

    def heal(self) -> None:
        """Ends every fault. Silenced connections lost bytes: they are reset, as a real peer would find them dead."""
        lost = any(self._silent.values())
        self._silent, self._refuses, self.latency_s = {"up": False, "down": False}, False, 0.0
        if lost:
            self._do(self._reset_all)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def _do(self, action: Callable[[], None]) -> None:
        self._loop.call_soon_threadsafe(action)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, ports.HOST, self.port)

    async def _close(self) -> None:
        self._server.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            return _reset(writer)
        try:
            behind_reader, behind = await asyncio.open_connection(ports.HOST, self.target)
        except OSError:
            return _reset(writer)
        pair = (writer, behind)
        self._pairs.add(pair)
        try:
            await _first_of(self._pump(reader, behind, "up"), self._pump(behind_reader, writer, "down"))
        finally:
            self._pairs.discard(pair)
            for side in pair:
                side.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: str) -> None:
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        await _first_of(self._read(reader, chunks), self._write(writer, chunks, way))

    async def _read(self, reader: asyncio.StreamReader, chunks: asyncio.Queue[tuple[float, bytes]]) -> None:
        while data := await reader.read(CHUNK):
            chunks.put_nowait((self._loop.time() + self.latency_s, data))
        chunks.put_nowait((self._loop.time() + self.latency_s, b""))
        await asyncio.Event().wait()  # the writer ends both, once everything read is written

    async def _write(self, writer: asyncio.StreamWriter, chunks: asyncio.Queue[tuple[float, bytes]], way: str) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                return
            if not self._silent[way]:
                writer.write(data)
                await writer.drain()

    def _reset_all(self) -> None:
        for pair in tuple(self._pairs):
            for side in pair:
                _reset(side)


async def _first_of(*jobs: Coroutine[object, object, None]) -> None:
    """Runs the jobs until one ends; a connection that breaks is an end like another."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
