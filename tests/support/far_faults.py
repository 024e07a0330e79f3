"""Faults that need what only tests have: a network between clients and broker, and workers with a fault inside."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.drill.crew import steady_s, until
from streams.drill.faults import Fault, Play, somebody
from streams.drill.site import Site
from streams.local import ports
from streams.local.kafka import EmbeddedKafka
from tests.support import fault_worker
from tests.support.tcp_proxy import TcpProxy

LATENCY_S, SLOW_S, SKEW_S = 0.5, 2.5, 3600
POINT_S = 20.0


class Distant:
    """An embedded broker that clients reach through a proxy only."""

    def __init__(self, embedded: EmbeddedKafka, proxy: TcpProxy) -> None:
        self.embedded, self.proxy = embedded, proxy

    @property
    def bootstrap_servers(self) -> str:
        return f"{ports.HOST}:{self.proxy.port}"

    def start(self) -> object:
        return self.embedded.start()

    def kill(self) -> None:
        self.embedded.kill()

    def restart(self) -> None:
        self.embedded.restart()

    def pause(self) -> None:
        self.embedded.pause()

    def unpause(self) -> None:
        self.embedded.unpause()


@contextmanager
def distant(directory: Path) -> Iterator[Distant]:
    """A broker behind a proxy, both gone at the end."""
    behind = ports.free()
    with TcpProxy(behind, ports.free(behind)) as proxy:
        listeners = {"advertised.listeners": f"PLAINTEXT://{ports.HOST}:{proxy.port}"}
        embedded = EmbeddedKafka(directory / "kafka", behind, settings=listeners)
        try:
            yield Distant(embedded.start(), proxy)
        finally:
            embedded.kill()


def _network(harm: Callable[[TcpProxy], None], most_s: float = 600.0) -> Play:
    async def play(site: Site, chance: random.Random, hold_s: float) -> None:
        proxy = site.broker.proxy
        harm(proxy)
        try:
            await asyncio.sleep(min(hold_s, most_s))
        finally:
            proxy.heal()

    return play


def _slow(latency_s: float) -> Callable[[TcpProxy], None]:
    return lambda proxy: setattr(proxy, "latency_s", latency_s)


async def skew(site: Site, chance: random.Random, hold_s: float) -> None:
    """The clock of a worker is an hour ahead or behind, and jumps back."""
    slot = somebody(site, chance)
    await site.crew.leave(slot)
    site.crew.start(slot, ("tests.support.fault_worker", f"clock:{chance.choice((-SKEW_S, SKEW_S))}"))
    await asyncio.sleep(hold_s)
    await site.crew.leave(slot)
    site.crew.start(slot)


async def point(site: Site, chance: random.Random, hold_s: float) -> None:
    """A worker kills itself between a result and its commit, at one of the named points."""
    slot, name = somebody(site, chance), chance.choice(fault_worker.POINTS)
    site.crew.kill(slot, ("tests.support.fault_worker", f"point:{name}:{chance.randint(5, 40)}"))
    armed, end = site.crew.processes[slot], steady_s() + POINT_S
    await until(lambda: armed.poll() is not None, end - steady_s())
    if armed.poll() is None:  # it never came to that point: nothing was injected
        raise AssertionError(f"{name} was not reached within {POINT_S:.0f} s")
    site.crew.revive()


FAR = {
    fault.name: fault
    for fault in (
        Fault("fail-point", "F3", point),
        Fault("network-cut", "F8", _network(lambda proxy: proxy.cut(), 5.0)),
        Fault("half-open", "F8", _network(lambda proxy: proxy.half_open())),
        Fault("latency", "F8", _network(_slow(LATENCY_S))),
        Fault("slow-broker", "F9", _network(_slow(SLOW_S))),
        Fault("clock-skew", "F16", skew),
    )
}
