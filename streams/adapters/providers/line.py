"""How does one call travel over HTTP? Kept connections, bounds of time and size; nothing is followed or tried again.

Every way in which it can fail is a ``ProviderError``; cancelling the task closes the connection.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson

from streams.adapters.providers.headers import request_id, retry_after_s
from topics.provider_errors import ProviderError, ProviderMalformed, ProviderTimeout, ProviderUnreachable

MIB = 1024 * 1024
KEPT_S = 4.0  # of an idle connection: common servers close theirs after 5 s, and a call would meet the closing
AGENT = "prompt-streams"


@dataclass(frozen=True, slots=True)
class LinePolicy:
    """The knobs of a line; all times in seconds.

    ``connect_s``: until there is a connection, TLS included; ``first_byte_s``: until the head of the answer has come,
    counted from before the connection; ``idle_s``: between two pieces of it; ``total_s``: for all of it; ``pool``:
    connections, and so calls, at once; ``max_bytes`` of one answer, unpacked.
    """

    base_url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    connect_s: float = 5.0
    first_byte_s: float = 120.0
    idle_s: float = 60.0
    total_s: float = 600.0
    pool: int = 256
    max_bytes: int = 8 * MIB


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, whole: raw bytes, and what the head told."""

    provider: str
    status: int
    raw: bytes
    request_id: str | None = None
    retry_after_s: float | None = None

    def error(self, kind: type[ProviderError], detail: str = "") -> ProviderError:
        """An error of that class with what is known, and nothing of the body."""
        known = {"status": self.status, "request_id": self.request_id, "retry_after_s": self.retry_after_s}
        return kind(self.provider, detail, **known)  # type: ignore[arg-type]  # a dict of mixed values, named as there


class Line:
    """One provider's connections; opened by the first call, in that call's event loop."""

    def __init__(self, provider: str, policy: LinePolicy) -> None:
        self._provider, self._policy = provider, policy
        self._base = policy.base_url.rstrip("/")
        self._free = asyncio.Semaphore(policy.pool)
        self._session: aiohttp.ClientSession | None = None

    async def post(self, path: str, body: object, call_id: str) -> Response:
        """One request and its whole answer, of any status; ``call_id`` lets a server recognise a repeated call."""
        data = orjson.dumps(body)
        async with self._free, self._within(self._policy.total_s, "the whole answer"):
            async with self._within(self._policy.first_byte_s, "the first byte"):
                response = await self._sent(path, data, call_id)
            try:
                raw = await self._received(response)
            except BaseException:
                response.close()  # a connection with an unread rest serves no other call
                raise
            response.release()
        return self._whole(response, raw)

    async def aclose(self) -> None:
        """Closes all connections; the next call would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            # The semaphore bounds the connections, so that waiting for one is not taken for a slow provider.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_S),
                headers={"User-Agent": AGENT, "Accept-Encoding": "identity", **self._policy.headers},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._policy.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session

    async def _sent(self, path: str, data: bytes, call_id: str) -> aiohttp.ClientResponse:
        headers = {"Content-Type": "application/json", "Idempotency-Key": call_id}
        try:
            return await self._opened().post(self._base + path, data=data, headers=headers, allow_redirects=False)
        except aiohttp.ConnectionTimeoutError as late:
            raise ProviderUnreachable(self._provider, f"no connection within {self._policy.connect_s:g} s") from late
        except aiohttp.ClientResponseError:
            raise ProviderMalformed(self._provider, "no HTTP") from None  # the cause quotes what was sent
        except (aiohttp.ClientError, OSError) as broken:
            raise ProviderUnreachable(self._provider, type(broken).__name__) from broken

    async def _received(self, response: aiohttp.ClientResponse) -> bytes:
        limit, size, pieces = self._policy.max_bytes, response.content_length or 0, list[bytes]()
        if size > limit:
            raise ProviderMalformed(self._provider, above(limit), status=response.status)
        size = 0
        while not response.content.at_eof():
            piece = await self._piece(response)
            size += len(piece)
            if size > limit:
                raise ProviderMalformed(self._provider, above(limit), status=response.status)
            pieces.append(piece)
        return b"".join(pieces)

    async def _piece(self, response: aiohttp.ClientResponse) -> bytes:
        async with self._within(self._policy.idle_s, "the next byte"):
            try:
                return await response.content.readany()
            except (aiohttp.ClientError, OSError) as broken:
                raise ProviderUnreachable(self._provider, f"the answer broke off, {type(broken).__name__}") from None

    def _whole(self, response: aiohttp.ClientResponse, raw: bytes) -> Response:
        told = response.headers
        plain = unpacked(raw, told.get("Content-Encoding", ""), self._policy.max_bytes)
        if isinstance(plain, str):
            raise ProviderMalformed(self._provider, plain, status=response.status)
        return Response(self._provider, response.status, plain, request_id(told), retry_after_s(told))

    @asynccontextmanager
    async def _within(self, seconds: float, what: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as late:
            raise ProviderTimeout(self._provider, f"{what} took more than {seconds:g} s") from late


def unpacked(raw: bytes, encoding: str, limit: int) -> bytes | str:
    """The bytes as they were before packing, or why not, in words; at most ``limit`` bytes are unpacked.

    We ask for unpacked answers; a proxy may pack them all the same.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return raw
        case "gzip" | "x-gzip" | "deflate":
            return _inflated(raw, limit)
    return "packed in an unknown way"


def _inflated(raw: bytes, limit: int) -> bytes | str:
    unpacking = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)  # 32: tells gzip from zlib by itself
    try:
        plain = unpacking.decompress(raw, limit + 1)
    except zlib.error:
        return "cannot be unpacked"
    if len(plain) > limit:
        return above(limit)
    return plain if unpacking.eof else "packed, and cut short"


def above(limit: int) -> str:
    """The words for too large an answer."""
    return f"above {limit} bytes"
